//! Defines the options of each command, and their help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueHint;
use clap::{ArgGroup, Args as ClapArgs};
use vhdx::ops::{MergeOptions, NamePattern, PruneOptions};

use super::duration;
use super::format::Format;
use super::option_groups::{NewVhdx, Parents, Share, Threads, Writing};
use crate::sizes;

/// Show the facts about files
///
/// A dirty log is replayed in memory; the file is not changed. The whole block allocation table is read only with --blocks. --parent and
/// --parent-dir are for --contents.
#[derive(Debug, ClapArgs)]
pub(crate) struct Info {
    /// VHDX or AVHDX files, or folders: every disk in them and in their subfolders
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Count the payload blocks in each state
    #[arg(long)]
    pub(crate) blocks: bool,
    /// Also show the partitions of the disk and the file systems in them; all parents must be found
    #[arg(long)]
    pub(crate) contents: bool,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Show a file and its parents down to the base, and check each link
#[derive(Debug, ClapArgs)]
pub(crate) struct Chain {
    /// A VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Find every disk in folders and subfolders, and show which file belongs to which
///
/// Files are linked by the GUIDs inside them. Their names and stored paths do not matter. Block allocation tables are
/// not read; `check --chain` reads them.
#[derive(Debug, ClapArgs)]
pub(crate) struct Tree {
    /// The folders to search
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) roots: Vec<PathBuf>,
    /// Also show the partitions of each disk and the file systems in them
    #[arg(long)]
    pub(crate) contents: bool,
}

/// Show where each part of a disk is stored
///
/// The JSON is that of `qemu-img map --output=json`, with the file name of every range that has data.
#[derive(Debug, ClapArgs)]
pub(crate) struct Map {
    /// A VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Map this file alone, without its parents. What a checkpoint does not hold is shown as absent
    #[arg(long, conflicts_with_all = ["parent_dir", "parent"])]
    pub(crate) single_layer: bool,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Check files against every rule of the format
///
/// Exits with 1 if a violation is fatal or unsupported. Tolerated violations and notes are only listed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// VHDX or AVHDX files, or folders: every disk in them and in their subfolders
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Also check the parents of each file, and the links between them
    #[arg(long)]
    pub(crate) chain: bool,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Compare the content of two disks, in any format
///
/// Each disk is a VHDX, AVHDX or raw image. A shorter disk counts as zeros past its end. Exits with 1 if the disks
/// differ. --parent-dir applies to both disks, --parent only to A.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// The first disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) a: PathBuf,
    /// The second disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) b: PathBuf,
    /// Format of A [default: recognized as in `convert`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) a_from: Option<Format>,
    /// Format of B [default: recognized as in `convert`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) b_from: Option<Format>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Make a new disk, or a child of a disk
///
/// A child stores only the differences from its parent. The command does not write to the parent. The parent must not
/// change any more: do not start a virtual machine from it.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("kind").args(["size", "parent"]).required(true).multiple(true)))]
pub(crate) struct Create {
    /// The new VHDX file, which must be named .vhdx or .avhdx
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Size of the disk [default for a child: that of its parent]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) size: Option<u64>,
    /// Make a child of this disk; all of its own parents must be found
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["disk_type", "logical_sector_size", "physical_sector_size"])]
    pub(crate) parent: Option<PathBuf>,
    /// Also search this folder for the parents of the file of --parent (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "parent",
        conflicts_with_all = ["disk_type", "logical_sector_size", "physical_sector_size"])]
    pub(crate) parent_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    /// Block size: a power of two from 1M to 256M [default: 32M; 2M for a child]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) block_size: Option<u64>,
    /// Logical sector size, in which the guest addresses the disk: 512 or 4096 [default: 512]; a child has its parent's
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) logical_sector_size: Option<u64>,
    /// Physical sector size that the disk reports to the guest: 512 or 4096 [default: 4096]; a child has its parent's
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) physical_sector_size: Option<u64>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// Merge a checkpoint into its parent, or into one new standalone disk
///
/// Without --output, the merge is in place: the target (the parent, or --into) takes over the checkpoint's content, and
/// the children of the checkpoint become children of the target. After a power failure at any moment, every disk
/// except the target reads as before, and the same command completes the merge. Until then, do not start a virtual
/// machine from the target: its content may be a mix of old and new data.
///
/// Other disks that depend on the changed files are searched for in the folders of all these files and in each
/// --parent-dir. If there is one, or a file that may be one but cannot be read, the merge is refused. With --output,
/// the existing files are not changed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Merge {
    /// The checkpoint to merge; to merge a whole chain, its newest AVHDX
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) child: PathBuf,
    /// Merge into this ancestor, together with all files between [default: the target of an earlier merge of the
    /// checkpoint, else the parent]
    #[arg(long, value_name = "ANCESTOR", value_hint = ValueHint::FilePath)]
    pub(crate) into: Option<PathBuf>,
    /// Delete the merged files at the end, the checkpoint first; the target is never deleted
    #[arg(long)]
    pub(crate) delete_merged: bool,
    /// Merge although files or folders that cannot be read may be, or contain, disks that depend on the changed files:
    /// such a disk is lost
    #[arg(long)]
    pub(crate) ignore_undetermined: bool,
    /// Merge although data is lost: that of the target, or of a file between, past the end of the checkpoint's disk
    #[arg(long)]
    pub(crate) shrink_target: bool,
    /// Make this new VHDX file instead, which must be named .vhdx or .avhdx
    #[arg(long, short, value_name = "NEW", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["into", "delete_merged", "ignore_undetermined", "shrink_target"])]
    pub(crate) output: Option<PathBuf>,
    /// Make the new file a child of this ancestor of CHILD, with the content of all files after it: an incremental backup
    #[arg(long, value_name = "OLD", value_hint = ValueHint::FilePath, requires = "output",
        conflicts_with_all = ["disk_type", "into", "delete_merged", "ignore_undetermined", "shrink_target"])]
    pub(crate) since: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

impl Merge {
    /// Returns the options of a merge in place.
    pub(crate) fn options(&self) -> MergeOptions {
        MergeOptions {
            ignore_undetermined: self.ignore_undetermined,
            delete_merged: self.delete_merged,
            shrink_target: self.shrink_target,
            ignore_space: self.writing.no_space_check,
            jobs: self.threads.jobs(),
            ..MergeOptions::default()
        }
    }
}

/// Change the parent that a child stores: its paths and its GUID
///
/// For a parent that was moved, renamed or changed. A file that the child was not made from is refused, and the
/// evidence is printed. A file that depends on the child is always refused.
#[derive(Debug, ClapArgs)]
pub(crate) struct Reparent {
    /// The child: an AVHDX, or a differencing VHDX
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) child: PathBuf,
    /// The parent; all of its own parents must be found
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) parent: PathBuf,
    /// Also search this folder for parents, and for files with the expected GUID (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Accept the parent although the child was not made from it, or it was changed since: all data that the child does
    /// not store itself may then be wrong
    #[arg(long)]
    pub(crate) ignore_id_mismatch: bool,
    /// Check everything, print what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Apply a dirty log to the file
///
/// Hyper-V does this when it opens the file. The disk reads the same before, after, and after an interruption.
#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// A VHDX or AVHDX file that is not in use
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Revert a disk to a checkpoint: make a new, empty child of the checkpoint, to use instead of the disk
///
/// This is what Hyper-V calls applying a checkpoint. No existing file is changed. The old disk stays unless --delete-old is given. A virtual
/// machine must then use the new file. If it has several disks, revert each of them.
#[derive(Debug, ClapArgs)]
pub(crate) struct Revert {
    /// The disk that the virtual machine uses now
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The checkpoint: its name, or its file
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) to: String,
    /// The new file [default: beside FILE, named as Hyper-V would name it]
    #[arg(long, short, value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Delete FILE at the end, if nothing depends on it: what was written since the checkpoint is lost. A record beside
    /// NEW says that NEW replaces FILE
    #[arg(long)]
    pub(crate) delete_old: bool,
    /// Also search this folder for files of the same family and for configurations (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Check everything, print what would be done, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Delete checkpoints by number, age, size or name, in all families of disks below folders
///
/// Deleting a checkpoint removes the state that its file keeps: the only child of the file is merged into it, in place, and
/// the merged file is deleted. All other states read as before. If the child is the newest disk, the virtual machine must
/// use the checkpoint's file from then on; the output says so. A checkpoint with several children is kept.
///
/// A checkpoint must fit all selections that are given. Without --yes, the plan is printed and must be confirmed on the
/// terminal. After a power failure or Ctrl-C, the same command goes on.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("selection")
    .args(["keep_last", "older_than", "larger_than", "name", "all"]).required(true).multiple(true)))]
pub(crate) struct Prune {
    /// The folders to search, with their subfolders
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) roots: Vec<PathBuf>,
    /// Keep the newest N checkpoints of each family
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,
    /// Select checkpoints that are older, such as 12h, 7d or 4w
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    pub(crate) older_than: Option<Duration>,
    /// Select checkpoints whose child takes more space: deleting one frees at most that
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) larger_than: Option<u64>,
    /// Select checkpoints whose name matches, or the name of the file if they have none: `*` is any text
    #[arg(long, value_name = "PATTERN", value_parser = name_pattern)]
    pub(crate) name: Option<NamePattern>,
    /// Select all checkpoints
    #[arg(long)]
    pub(crate) all: bool,
    /// Also select disks whose child is not named .avhdx: their child was probably made by hand
    #[arg(long)]
    pub(crate) any_extension: bool,
    /// Merge although files that cannot be read may be disks that depend on the changed files: such a disk is lost
    #[arg(long)]
    pub(crate) ignore_undetermined: bool,
    /// Start although free space may be too small
    #[arg(long)]
    pub(crate) no_space_check: bool,
    /// Print the plan, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Delete without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

fn name_pattern(text: &str) -> Result<NamePattern, String> {
    NamePattern::new(text).map_err(|error| error.to_string())
}

impl Prune {
    /// Returns the options of the prune.
    pub(crate) fn options(&self) -> PruneOptions {
        let mut options = PruneOptions::all();
        options.keep_last = self.keep_last;
        options.older_than = self.older_than;
        options.larger_than = self.larger_than;
        options.name = self.name.clone();
        options.any_extension = self.any_extension;
        options.ignore_undetermined = self.ignore_undetermined;
        options.ignore_space = self.no_space_check;
        options
    }
}

/// Show a configuration file of Hyper-V: a virtual machine, a checkpoint, or the register of a host
///
/// A dirty log is replayed in memory; the file is not changed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Config {
    /// A .vmcx, .vmrs or .xml file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// List every key with its value
    #[arg(long)]
    pub(crate) keys: bool,
}

/// Print the completion script for a shell
#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write the pages of all commands
#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// Write vhdx.1 and one page for each command into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing pages
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}
