//! The ways to do plain work.

/// The accesses that bypass the page cache (`O_DIRECT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direct {
    Reads,
    Writes,
    Both,
}

/// A way to do plain work.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Way {
    /// The number of threads; each takes the next read when it is done with one
    #[arg(long, default_value_t = 1)]
    pub(super) threads: usize,
    /// Whether reads are sorted by their places in the files, and not by those on the disk
    #[arg(long)]
    pub(super) file_order: bool,
    /// Join reads that are at most this many bytes apart
    #[arg(long, default_value_t = 0)]
    pub(super) gaps: u64,
    /// The accesses that bypass the page cache
    #[arg(long, value_enum)]
    direct: Option<Direct>,
    /// Announce (`POSIX_FADV_WILLNEED`) this many reads ahead
    #[arg(long, default_value_t = 0)]
    pub(super) ahead: usize,
    /// Read with one thread and an io_uring of this depth
    #[arg(long, default_value_t = 0)]
    pub(super) uring: u32,
    /// Copy with `copy_file_range`
    #[arg(long)]
    pub(super) in_kernel: bool,
    /// Begin a sync after each 16 MiB that are written
    #[arg(long)]
    pub(super) early: bool,
}

impl Way {
    pub(crate) fn threads(threads: usize) -> Self {
        Self {
            threads,
            file_order: false,
            gaps: 0,
            direct: None,
            ahead: 0,
            uring: 0,
            in_kernel: false,
            early: false,
        }
    }

    pub(crate) fn uring(depth: u32) -> Self {
        Self { uring: depth, ..Self::threads(1) }
    }

    pub(crate) fn file_order(self) -> Self {
        Self { file_order: true, ..self }
    }

    pub(crate) fn gaps(self, bytes: u64) -> Self {
        Self { gaps: bytes, ..self }
    }

    pub(crate) fn direct(self, direct: Direct) -> Self {
        Self { direct: Some(direct), ..self }
    }

    pub(crate) fn ahead(self, reads: usize) -> Self {
        Self { ahead: reads, ..self }
    }

    pub(crate) fn in_kernel(self) -> Self {
        Self { in_kernel: true, ..self }
    }

    pub(crate) fn early(self) -> Self {
        Self { early: true, ..self }
    }

    /// Returns the arguments for this way.
    pub(crate) fn args(&self) -> Vec<String> {
        let mut args = vec![format!("--threads={}", self.threads), format!("--gaps={}", self.gaps)];
        args.extend([format!("--ahead={}", self.ahead), format!("--uring={}", self.uring)]);
        let flags =
            [("--file-order", self.file_order), ("--in-kernel", self.in_kernel), ("--early", self.early)];
        args.extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| (*flag).to_owned()));
        args.extend(self.direct.map(|direct| format!("--direct={direct:?}").to_lowercase()));
        args
    }

    /// Returns the name of this way of reading.
    pub(crate) fn name(&self) -> String {
        let mut parts = vec![match (self.uring, self.threads) {
            (0, 1) => "1 thread".to_owned(),
            (0, threads) => format!("{threads} threads"),
            (depth, _) => format!("io_uring of {depth}"),
        }];
        let mut add = |is_used: bool, part: String| parts.extend(is_used.then_some(part));
        add(self.ahead > 0, format!("fadvise {} ahead", self.ahead));
        add(self.file_order, "file order".to_owned());
        add(self.gaps > 0, format!("gaps of {} KiB", self.gaps >> 10));
        add(self.in_kernel, "copy_file_range".to_owned());
        let direct = self.direct.map(|direct| match direct {
            Direct::Reads => "direct reads",
            Direct::Writes => "direct writes",
            Direct::Both => "direct",
        });
        add(direct.is_some(), direct.unwrap_or("").to_owned());
        add(self.early, "early syncs".to_owned());
        parts.join(", ")
    }

    pub(crate) fn is_uring(&self) -> bool {
        self.uring > 0
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    pub(super) fn reads_directly(&self) -> bool {
        matches!(self.direct, Some(Direct::Reads | Direct::Both))
    }

    pub(super) fn writes_directly(&self) -> bool {
        matches!(self.direct, Some(Direct::Writes | Direct::Both))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        way: Way,
    }

    #[test]
    fn a_way_is_parsed_from_its_own_arguments() {
        let ways = [
            Way::threads(1),
            Way::threads(16).file_order().gaps(64 << 10).direct(Direct::Writes).ahead(3).early(),
            Way::uring(32).in_kernel(),
        ];
        for way in ways {
            let args = std::iter::once("worker".to_owned()).chain(way.args());
            assert_eq!(Command::parse_from(args).way, way);
        }
    }

    #[test]
    fn names_tell_ways_apart() {
        let way = Way::threads(4).file_order().gaps(64 << 10).direct(Direct::Both).early();
        assert_eq!(way.name(), "4 threads, file order, gaps of 64 KiB, direct, early syncs");
        assert_eq!(Way::uring(32).name(), "io_uring of 32");
        assert_eq!(Way::threads(1).ahead(256).name(), "1 thread, fadvise 256 ahead");
    }
}
