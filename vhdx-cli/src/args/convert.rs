//! Defines the options of `convert`, and their help.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::ValueHint;

use super::format::Format;
use super::option_groups::{NewVhdx, Parents, Share, Threads, Writing};
use crate::sizes;

/// Copy a disk with all its parents into one new file, or over an existing file or device
#[derive(Debug, ClapArgs)]
pub(crate) struct Convert {
    /// The disk to copy: VHDX, AVHDX or raw
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    /// The new file, or the URL of a new raw object; `-` writes raw to stdout; with --in-place, the file or device to
    /// overwrite
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) destination: PathBuf,
    /// Format of the source [default: vhdx if the file has a signature of a VHDX or is named .vhdx or .avhdx; else raw,
    /// unless it looks like another format]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<Format>,
    /// Format of the new file [default: by its name: .vhdx, .avhdx; .raw, .img, .dd; raw on stdout]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Format>,
    /// Overwrite DESTINATION with the raw disk; its content is lost. DESTINATION is an existing file, or on Linux a
    /// block device, that is not in use and at least as long as the disk
    #[arg(long, conflicts_with_all = ["disk_type", "block_size", "force"])]
    pub(crate) in_place: bool,
    /// Write only data that is not zero. DESTINATION must read as zeros already: any old data in it stays in the disk
    #[arg(long, requires = "in_place", conflicts_with_all = ["disk_type", "block_size", "force"])]
    pub(crate) target_is_zero: bool,
    /// DESTINATION holds the disk OLD, an older point in time of the same disk: write only what changed since. First,
    /// samples of DESTINATION are compared with OLD
    #[arg(long, value_name = "OLD", value_hint = ValueHint::FilePath, requires = "in_place",
        conflicts_with_all = ["target_is_zero", "disk_type", "block_size", "force"])]
    pub(crate) since: Option<PathBuf>,
    /// Compare all of DESTINATION with OLD before it is written to, not only samples
    #[arg(long, requires = "since", conflicts_with_all = ["target_is_zero", "disk_type", "block_size", "force"])]
    pub(crate) verify_base: bool,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    /// Block size of the new VHDX: a power of two from 1M to 256M [default: that of the base; 32M for a raw source]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) block_size: Option<u64>,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}
