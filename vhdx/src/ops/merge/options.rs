//! Defines the options of a merge in place, and how its content is counted.

use crate::transfer::Jobs;
use crate::units::MIB;

/// Options of a merge in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeOptions {
    /// Whether to merge although undetermined files may depend on the target or a merged layer.
    ///
    /// Such a file then loses the data that it reads through them.
    pub ignore_undetermined: bool,
    /// Whether to delete the merged files when the merge is complete.
    pub delete_merged: bool,
    /// Whether to merge although data past the end of the merged disk is lost.
    ///
    /// There can be such data if the merged disk is smaller than the target's, or than a layer between them.
    pub shrink_target: bool,
    /// Whether to merge although the host may have too little free space.
    ///
    /// A merge that runs out of space stops, and can be run again.
    pub ignore_space: bool,
    /// The most bytes of blocks that a batch writes, unless a single block has more.
    ///
    /// A merge that is cancelled finishes its current batch first. Where the host shares blocks between the files, a
    /// byte of a run of more than 1 MiB counts as an eighth.
    pub batch_bytes: u64,
    /// The most 4 KiB pages of metadata that a batch changes, unless a single block changes more.
    ///
    /// A block changes at most 18 pages; one entry in a log of 1 MiB can hold 84.
    pub pages: usize,
    /// How many threads copy.
    pub jobs: Jobs,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            ignore_undetermined: false,
            delete_merged: false,
            shrink_target: false,
            ignore_space: false,
            batch_bytes: 256 * MIB,
            pages: 84,
            jobs: Jobs::default(),
        }
    }
}

/// The number of passes in which the levels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    One,
    /// One for each level.
    ///
    /// Such a plan is never executed; it only counts the most space of the last pass. By then, the target's child
    /// answers for the sectors of all layers, and may store zeros that these only declare.
    LevelByLevel,
}
