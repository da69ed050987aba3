//! Defines the options of `report`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap::builder::ValueHint;
use vhdx::IfExists;
use vhdx::ops::{MinFree, ReportLimits};

use super::duration;
use crate::sizes;

/// Report the age and size of checkpoints, the space they take, and what is wrong
///
/// Exits with 1 if a limit is exceeded, if a value that it needs is not known, or if no disk was found. Problems are listed, and do not change the exit code.
#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    /// The folders to search
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) roots: Vec<PathBuf>,
    /// Report checkpoints that are older, such as 12h, 7d or 4w
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    pub(crate) older_than: Option<Duration>,
    /// Report checkpoints that are larger: deleting one frees at most its size
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) larger_than: Option<u64>,
    /// Report volumes with less free space: a size, or a part of the volume such as 10%
    #[arg(long, value_name = "SPACE", value_parser = min_free)]
    pub(crate) min_free: Option<MinFree>,
    /// Report chains of more files
    #[arg(long, value_name = "FILES")]
    pub(crate) deeper_than: Option<usize>,
    /// Print one line for each disk, as comma-separated values
    #[arg(long)]
    pub(crate) csv: bool,
    /// Print the status line of a Nagios plugin, and exit with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN)
    #[arg(long, conflicts_with = "csv")]
    pub(crate) nagios: bool,
    /// Also write a page with drawings of all families and maps of their disks
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
    /// Also write metrics for the textfile collector of Prometheus' node exporter
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) prometheus: Option<PathBuf>,
    /// Also report the partitions of each disk and the file systems in them
    #[arg(long)]
    pub(crate) contents: bool,
    /// Replace the files of --html and --prometheus although they are not from an earlier report
    #[arg(long)]
    pub(crate) force: bool,
}

impl Report {
    pub(crate) fn limits(&self) -> ReportLimits {
        ReportLimits {
            older_than: self.older_than,
            larger_than: self.larger_than,
            min_free: self.min_free,
            deeper_than: self.deeper_than,
        }
    }

    /// Returns what happens if a file exists that is not from an earlier report.
    pub(crate) fn if_exists(&self) -> IfExists {
        if self.force { IfExists::Replace } else { IfExists::Fail }
    }
}

fn min_free(text: &str) -> Result<MinFree, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return sizes::parse(text)
            .map(MinFree::Bytes)
            .map_err(|_| format!("{text:?} is neither a size such as 20G nor a percentage such as 10%"));
    };
    match percent.parse() {
        Ok(percent @ 0..=100) if text.starts_with(|first: char| first.is_ascii_digit()) => {
            Ok(MinFree::Percent(percent))
        }
        _ => Err(format!("{text:?} is not a percentage from 0% to 100%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_a_size_or_a_percentage() {
        assert_eq!(min_free("10%"), Ok(MinFree::Percent(10)));
        assert_eq!(min_free("100%"), Ok(MinFree::Percent(100)));
        assert_eq!(min_free("20G"), Ok(MinFree::Bytes(20 << 30)));
        for text in ["", "%", "101%", "-1%", "+5%", "1.5%", "10 %", "ten"] {
            assert!(min_free(text).is_err(), "{text}");
        }
    }
}
