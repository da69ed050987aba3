//! Defines the options of `diff`, and their help.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::ValueHint;

use super::option_groups::{Parents, Share, Threads};

/// List the ranges that changed between two points in time of a disk
///
/// OLD must be an ancestor of NEW, or have a common ancestor with it. The ranges come from the block allocation tables
/// and sector bitmaps: no changed byte is missing, but bytes that are equal may be included. A shorter disk counts as
/// zeros past its end.
#[derive(Debug, ClapArgs)]
pub(crate) struct Diff {
    /// The older disk: a VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) old: PathBuf,
    /// The newer disk: a VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) new: PathBuf,
    /// Compare the bytes of these ranges, and list only the sectors that differ
    #[arg(long)]
    pub(crate) exact: bool,
    /// Print one range per line for scripts: start and length in bytes, and `data` or `zero`
    #[arg(long, conflicts_with = "json")]
    pub(crate) lines: bool,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}
