//! The options of a prune: which checkpoints it selects, and what it may do.

use std::fmt;
use std::time::Duration;

use crate::error::{InvalidArgument, Result};

/// Which checkpoints a prune deletes. A checkpoint must fit every selection that is given.
///
/// Without any selection, every checkpoint fits.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Keeps this many of the newest checkpoints of each family.
    pub keep_last: Option<usize>,
    /// Selects checkpoints that are older than this.
    pub older_than: Option<Duration>,
    /// Selects checkpoints whose children take more than this many bytes, over all of the checkpoint's disks.
    ///
    /// This is about the space that deleting the checkpoint frees. If a prune has already deleted one of the disks of a
    /// checkpoint, the others are selected whatever their size.
    pub larger_than: Option<u64>,
    /// Selects checkpoints with such a name: one of their configurations, or else that of the file.
    pub name: Option<NamePattern>,
    /// Whether a disk counts as a checkpoint although its child is not named `.avhdx`.
    ///
    /// Hyper-V names the child of a checkpoint so. A differencing disk with another name was usually made by hand, and
    /// its parent is often a base that must stay as it is.
    pub any_extension: bool,
    /// Whether to merge although undetermined files may depend on the merged files.
    pub ignore_undetermined: bool,
    /// Whether to merge although the host may have too little free space.
    pub ignore_space: bool,
}

impl PruneOptions {
    /// Returns options that select every checkpoint.
    pub fn all() -> Self {
        Self::default()
    }
}

/// A pattern for names: `*` is any text, `?` is any character, `[ab]` is one of these. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(glob::Pattern);

impl NamePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`InvalidArgument::NamePattern`].
    pub fn new(pattern: &str) -> Result<Self> {
        let parsed = glob::Pattern::new(pattern);
        Ok(Self(
            parsed.map_err(|error| InvalidArgument::NamePattern { reason: error.msg, offset: error.pos })?,
        ))
    }

    /// Returns whether the whole name fits.
    pub fn matches(&self, name: &str) -> bool {
        let options = glob::MatchOptions { case_sensitive: false, ..glob::MatchOptions::default() };
        self.0.matches_with(name, options)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_name_in_any_case() {
        let pattern = NamePattern::new("before *update?").unwrap();
        assert!(pattern.matches("Before the Update1"));
        assert!(pattern.matches("before a/b update."));
        assert!(!pattern.matches("before the update"));
        assert!(!pattern.matches("not before the update1"));
        assert!(NamePattern::new("[").is_err());
    }
}
