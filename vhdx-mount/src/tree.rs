//! Defines what is mounted: the disk as it was at each checkpoint.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use vhdx::Disk;

use crate::error::{Error, Result};

/// The name of the link to the newest disk.
pub const LATEST: &str = "latest";
/// The name of the file that has the bytes of a disk.
pub const DISK: &str = "disk.raw";
/// The name of the file that has the facts about a disk.
pub const INFO: &str = "info.json";

/// The most bytes that Linux allows in a name.
const MAX_NAME: usize = 255;

/// The disks that are mounted.
#[derive(Debug)]
pub struct Tree {
    /// The disk at each checkpoint. Their order is that of the folder.
    pub checkpoints: Vec<MountedDisk>,
    /// The position of the checkpoint to which the link [`LATEST`] leads.
    pub latest: usize,
}

/// A disk that is shown as a folder with files.
pub struct MountedDisk {
    /// The name of the folder.
    pub name: String,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// More files that show a range of the disk, in bytes: its partitions.
    pub partitions: Vec<(String, Range<u64>)>,
    /// The content of the file [`INFO`].
    pub info: Vec<u8>,
    /// The time of the last change, for all files in the folder.
    pub modified: SystemTime,
}

impl fmt::Debug for MountedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedDisk")
            .field("name", &self.name)
            .field("size", &self.disk.virtual_size())
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl Tree {
    /// Validates all names, the ranges of the partitions, and `latest`.
    ///
    /// # Errors
    /// [`Error::Tree`].
    pub(crate) fn validate(&self) -> Result<()> {
        if self.latest >= self.checkpoints.len() {
            return Err(Error::Tree(format!("there is no checkpoint number {}", self.latest)));
        }
        validate_names(&[LATEST], self.checkpoints.iter().map(|disk| disk.name.as_str()))?;
        self.checkpoints.iter().try_for_each(MountedDisk::validate)
    }
}

impl MountedDisk {
    fn validate(&self) -> Result<()> {
        validate_names(&[DISK, INFO], self.partitions.iter().map(|(name, _)| name.as_str()))?;
        let size = self.disk.virtual_size();
        match self.partitions.iter().find(|(_, range)| range.start > range.end || range.end > size) {
            Some((name, range)) => Err(Error::Tree(format!(
                "the partition {name:?} from {} to {} is not within the disk of {size} bytes",
                range.start, range.end
            ))),
            None => Ok(()),
        }
    }
}

/// Returns an error unless each name can be that of a file in one folder, beside `others`.
fn validate_names<'a>(others: &[&'a str], names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut used: HashSet<&str> = others.iter().copied().chain([".", "..", ""]).collect();
    for name in names {
        if name.len() > MAX_NAME || name.contains(['/', '\0']) || !used.insert(name) {
            return Err(Error::Tree(format!("{name:?} cannot be the name of a file here, or is used twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_different_files_are_valid() {
        for names in [&["a", "b"][..], &["Latest", "ä b", "..."]] {
            assert!(validate_names(&[LATEST], names.iter().copied()).is_ok(), "{names:?}");
        }
        let long = "x".repeat(256);
        for names in [&["latest"][..], &["a", "a"], &["a/b"], &["a\0"], &[".."], &["."], &[""], &[&long]] {
            assert!(validate_names(&[LATEST], names.iter().copied()).is_err(), "{names:?}");
        }
    }
}
