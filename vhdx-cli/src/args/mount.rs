//! Defines the options of `mount`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::ValueHint;

use super::option_groups::{Parents, Share};

/// Show a disk as files, as it was at each checkpoint (Linux)
///
/// Mounts over an empty folder, with FUSE: DIR/<checkpoint>/disk.raw has the bytes of the disk, p1, p2 and so on its
/// partitions, and info.json facts about it. <checkpoint> is the name of a file of the chain without its extension.
/// DIR/latest leads to the folder of FILE. All files are read-only. The files of the chain are locked against writers.
///
/// The command returns when the files can be read, and a process in the background serves them. It ends when the folder
/// is unmounted, with `fusermount3 -u DIR` or `umount DIR`, or when it gets SIGTERM.
#[derive(Debug, ClapArgs)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // the command says there that it does not work
pub(crate) struct Mount {
    /// A VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// An empty folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Stay in the foreground until the folder is unmounted. Ctrl-C unmounts it
    #[arg(long, short)]
    pub(crate) foreground: bool,
    /// Let all users of this host read the files
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Answer this many requests at the same time, at most 64 [default: 4; for a URL 16]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<NonZero<usize>>,
    /// In the background, append messages about failed reads to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "foreground")]
    pub(crate) log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

fn threads(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| {
        "the number of threads is a whole number of at least 1 (more than 64 counts as 64)".to_owned()
    })
}
