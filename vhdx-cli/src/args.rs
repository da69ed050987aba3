//! The command line, as types.

mod format;
mod share;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueHint;
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use vhdx::{DiskType, FolderIndex, FolderResolver};

use crate::{exit, sizes};

pub(crate) use format::Format;
pub(crate) use share::Share;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 `check` found violations, `compare` a difference; 2 usage; 3 corrupt file; \
4 valid but unsupported; 5 broken chain; 6 input/output; 130 interrupted.";

/// Look at, check and merge Hyper-V virtual disks (VHDX, AVHDX) and their checkpoint chains.
///
/// A command that reads a disk leaves its file as it is, and does not even replay its log. New files are complete or
/// absent.
#[derive(Debug, Parser)]
#[command(name = "vhdx", version, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Answer with one JSON document on stdout; errors are JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bar and no warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Info(Info),
    Chain(Chain),
    Tree(Tree),
    Map(Map),
    Check(Check),
    Compare(Compare),
    Convert(Convert),
    Create(Create),
    Merge(Merge),
    Reparent(Reparent),
    Replay(Replay),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// The folders that were named for parents to be looked for in.
    pub(crate) fn parent_dirs(&self) -> &[PathBuf] {
        match self {
            Command::Chain(chain) => &chain.parents.parent_dir,
            Command::Map(map) => &map.parents.parent_dir,
            Command::Check(check) => &check.parents.parent_dir,
            Command::Compare(compare) => &compare.parents.parent_dir,
            Command::Convert(convert) => &convert.parents.parent_dir,
            Command::Create(create) => &create.parent_dir,
            Command::Merge(merge) => &merge.parents.parent_dir,
            Command::Reparent(reparent) => &reparent.parent_dir,
            Command::Info(_) | Command::Tree(_) | Command::Replay(_) => &[],
            Command::Completions(_) | Command::Man(_) => &[],
        }
    }
}

/// Show the facts about files
///
/// A log that was not replayed is replayed in memory; the file is not touched. The block allocation table is read
/// only with --blocks.
#[derive(Debug, ClapArgs)]
pub(crate) struct Info {
    /// VHDX or AVHDX files, or folders: every disk below them
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Count the states of the payload blocks
    #[arg(long)]
    pub(crate) blocks: bool,
}

/// Show a file and its parents, down to the base, and judge each link
#[derive(Debug, ClapArgs)]
pub(crate) struct Chain {
    /// A VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Find every disk below some folders, and which file belongs to which
///
/// Files are linked by the GUIDs inside them, whatever they are called and whatever paths they remember. Block
/// allocation tables are not read: `check --chain` does.
#[derive(Debug, ClapArgs)]
pub(crate) struct Tree {
    /// Where to look
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) roots: Vec<PathBuf>,
}

/// Show where each part of a disk is stored
///
/// The JSON is that of `qemu-img map --output=json`, and names the file of every range with data.
#[derive(Debug, ClapArgs)]
pub(crate) struct Map {
    /// A VHDX or AVHDX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Check files against every rule of the format
///
/// Exits with 1 if a violation is fatal or unsupported. Tolerated ones, which real Windows files have too, are listed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// VHDX or AVHDX files, or folders: every disk below them
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Check its parents too, and the links between them
    #[arg(long)]
    pub(crate) chain: bool,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Tell whether two disks read the same, whatever their formats
///
/// Each is a VHDX, AVHDX or raw image. Where one is shorter, it counts as zeros. Exits with 1 at a difference.
/// --parent-dir holds for both, --parent names parents of A only.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// One disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) a: PathBuf,
    /// The other disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) b: PathBuf,
    /// A's format [default: told as `convert` tells its source's]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) a_from: Option<Format>,
    /// B's format
    #[arg(long, value_name = "FORMAT")]
    pub(crate) b_from: Option<Format>,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Copy what a disk and its parents hold into one new file, or over a device
#[derive(Debug, ClapArgs)]
pub(crate) struct Convert {
    /// The disk to copy: VHDX, AVHDX or raw
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,
    /// The file to make; `-` writes raw to stdout; with --in-place, what to overwrite
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) destination: PathBuf,
    /// The source's format [default: vhdx if the file is one, even a damaged one, or is called so; else raw, unless it
    /// looks like another format]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<Format>,
    /// The new file's format [default: by its name: .vhdx or .avhdx, .raw, .img or .dd; raw on stdout]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<Format>,
    /// Write raw over what is in DESTINATION: an existing file, or on Linux a block device, that is not in use and at
    /// least as long as the disk
    #[arg(long, conflicts_with_all = ["disk_type", "block_size", "force"])]
    pub(crate) in_place: bool,
    /// What is overwritten reads as zeros already: write only what is not zero. Wrong if it does not
    #[arg(long, requires = "in_place")]
    pub(crate) target_is_zero: bool,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    /// The new VHDX's block size: a power of two from 1M to 256M [default: 32M; a chain keeps its base's]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) block_size: Option<u64>,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Make a new disk, or a child of a disk
///
/// A child holds only what will differ from its parent, which must not change any more from then on. The parent's
/// file is not touched.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("kind").args(["size", "parent"]).required(true).multiple(true)))]
pub(crate) struct Create {
    /// The VHDX file to make, which must be called .vhdx or .avhdx
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The disk's size [default for a child: its parent's]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) size: Option<u64>,
    /// Make a child of this disk, whose own parents must be found too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["disk_type", "logical_sector_size", "physical_sector_size"])]
    pub(crate) parent: Option<PathBuf>,
    /// Look for the parents of FILE in this folder too (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "parent")]
    pub(crate) parent_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    /// The block size: a power of two from 1M to 256M [default: 32M; 2M for a child]
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) block_size: Option<u64>,
    /// The sector size that the guest sees: 512 or 4096 [default: 512]; a child has its parent's
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) logical_sector_size: Option<u64>,
    /// The sector size of the medium, as the guest is told: 512 or 4096 [default: 4096]; a child has its parent's
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) physical_sector_size: Option<u64>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// Merge a checkpoint into its parent, or into one new standalone disk
///
/// Without --output, the parent (or --into) takes the checkpoint's content, and the checkpoint's own children get it
/// for their parent; whenever power fails, every disk reads as before, and the same command completes what was begun.
/// Other disks that depend on what changes are looked for in the folders of all these files and in each --parent-dir,
/// and are refused; so is what may be such a disk but cannot be read. With --output, the chain is left as it is.
#[derive(Debug, ClapArgs)]
pub(crate) struct Merge {
    /// The checkpoint whose content is wanted: usually the newest AVHDX
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) child: PathBuf,
    /// Merge into this ancestor, and all layers in between with it [default: the parent]
    #[arg(long, value_name = "ANCESTOR", value_hint = ValueHint::FilePath)]
    pub(crate) into: Option<PathBuf>,
    /// Delete the merged files in the end, the checkpoint first
    #[arg(long)]
    pub(crate) delete_merged: bool,
    /// Merge although a file or a folder that cannot be judged may be, or hold, a disk that depends on what changes
    #[arg(long)]
    pub(crate) ignore_undetermined: bool,
    /// Merge although data of the target, or of a file between, past the end of the checkpoint's disk is lost
    #[arg(long)]
    pub(crate) shrink_target: bool,
    /// Make this VHDX file instead, which must be called .vhdx or .avhdx
    #[arg(long, short, value_name = "NEW", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["into", "delete_merged", "ignore_undetermined", "shrink_target"])]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) new: NewVhdx,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// Point a child at its parent: the paths and the GUID that it stores
///
/// For a parent that was moved, renamed or changed. A file that is not what the child was made from is refused, with
/// all that is known about the two; a file that stands on the child, always.
#[derive(Debug, ClapArgs)]
pub(crate) struct Reparent {
    /// The child: an AVHDX, or a differencing VHDX
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) child: PathBuf,
    /// The parent, whose own parents must be found too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) parent: PathBuf,
    /// Look for parents, and for files with the right GUID, in this folder too (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Take the parent although it is not, or is no longer, what the child was made from: whatever the child does not
    /// hold itself may be wrong then
    #[arg(long)]
    pub(crate) ignore_id_mismatch: bool,
    /// Validator, say what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Write what a dirty log holds to its places in the file
///
/// Hyper-V does so when it opens the file. The file reads the same before and after, also if this is interrupted.
#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// A VHDX or AVHDX file that nobody uses
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Print the completions of a shell
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
    /// Replace pages that exist
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct NewVhdx {
    /// Whether the new VHDX has all its space from the start [default: dynamic]
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) disk_type: Option<NewType>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Writing {
    /// Replace the new file if it exists; never one of the files that are read
    #[arg(long)]
    pub(crate) force: bool,
    /// Validator what can be judged without writing, say what would be made, and make nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Begin although there may be too little free space: right where the content is sparse and takes less
    #[arg(long)]
    pub(crate) no_space_check: bool,
}

/// Where parents may be looked for. The child's own folder always is such a place.
#[derive(Debug, ClapArgs)]
pub(crate) struct Parents {
    /// Look for parents in this folder too (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Name a parent outright (repeatable, nearest first)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) parent: Vec<PathBuf>,
    /// What the command has read of folders.
    #[arg(skip)]
    pub(crate) index: FolderIndex,
}

impl Parents {
    pub(crate) fn resolver(&self) -> FolderResolver {
        FolderResolver {
            folders: self.parent_dir.clone(),
            named: self.parent.clone(),
            index: self.index.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewType {
    Dynamic,
    Fixed,
}

impl NewVhdx {
    pub(crate) fn disk_type(&self) -> DiskType {
        match self.disk_type {
            None | Some(NewType::Dynamic) => DiskType::Dynamic,
            Some(NewType::Fixed) => DiskType::Fixed,
        }
    }
}

/// The arguments of this process, or the code to end with because help or a complaint has been printed.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
        exit::usage(&error, json)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
