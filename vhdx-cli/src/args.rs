//! Defines and parses the command line. [`commands`] defines the options of each command and their help.

mod commands;
mod convert;
mod diff;
pub(crate) mod duration;
mod files;
mod format;
mod hash;
mod mount;
mod option_groups;
mod report;
mod serve;
mod urls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit;
use crate::output::Output;

pub(crate) use commands::{
    Chain, Check, Compare, Completions, Config, Create, Info, Man, Map, Merge, Prune, Reparent, Replay,
    Revert, Tree,
};
pub(crate) use convert::Convert;
pub(crate) use diff::Diff;
pub(crate) use files::{Cp, Location, Ls, Volume};
pub(crate) use format::Format;
pub(crate) use hash::Hash;
pub(crate) use mount::Mount;
pub(crate) use option_groups::{Parents, Writing};
pub(crate) use report::Report;
pub(crate) use serve::Serve;
pub(crate) use urls::accept as accept_urls;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 `check` found violations, `compare` or `hash --verify` a difference, `report` an exceeded limit, `prune` kept a selected checkpoint; 2 usage; 3 corrupt \
file; 4 valid but unsupported; 5 broken chain; 6 input/output, or a conflict: in use, changed, destination exists; 130 interrupted.";

/// Inspect, check, convert and merge Hyper-V virtual disks (VHDX, AVHDX) and their checkpoint chains.
///
/// A command that only reads a disk does not change its files: a dirty log is replayed in memory. A new file is
/// complete or absent. Most commands that only read a disk also take URLs: s3://, az://, gs:// or https://.
#[derive(Debug, Parser)]
#[command(name = "vhdx", version, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Print one JSON document on stdout; errors are JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress bar and no warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Returns which output is asked for.
    pub(crate) fn output(&self) -> Output {
        Output { json: self.json, quiet: self.quiet }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Info(Info),
    Chain(Chain),
    Tree(Tree),
    Map(Map),
    Check(Check),
    Compare(Compare),
    Diff(Diff),
    Hash(Hash),
    Mount(Mount),
    Convert(Convert),
    Ls(Ls),
    Cp(Cp),
    Create(Create),
    Merge(Merge),
    Reparent(Reparent),
    Replay(Replay),
    Revert(Revert),
    Prune(Prune),
    Config(Config),
    Report(Report),
    Serve(Serve),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Returns the folders of `--parent-dir`.
    pub(crate) fn parent_dirs(&self) -> &[PathBuf] {
        match self {
            Command::Info(info) => &info.parents.parent_dir,
            Command::Chain(chain) => &chain.parents.parent_dir,
            Command::Map(map) => &map.parents.parent_dir,
            Command::Check(check) => &check.parents.parent_dir,
            Command::Compare(compare) => &compare.parents.parent_dir,
            Command::Diff(diff) => &diff.parents.parent_dir,
            Command::Hash(hash) => &hash.parents.parent_dir,
            Command::Mount(mount) => &mount.parents.parent_dir,
            Command::Convert(convert) => &convert.parents.parent_dir,
            Command::Ls(ls) => &ls.volume.parents.parent_dir,
            Command::Cp(cp) => &cp.volume.parents.parent_dir,
            Command::Create(create) => &create.parent_dir,
            Command::Merge(merge) => &merge.parents.parent_dir,
            Command::Reparent(reparent) => &reparent.parent_dir,
            Command::Revert(revert) => &revert.parent_dir,
            Command::Prune(_) => &[],
            Command::Tree(_) | Command::Replay(_) | Command::Config(_) => &[],
            Command::Report(_) => &[],
            Command::Serve(serve) => &serve.parents.parent_dir,
            Command::Completions(_) | Command::Man(_) => &[],
        }
    }
}

/// Parses the arguments of this process.
///
/// # Errors
/// The exit code, after the help or a usage error was printed.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        let is_given =
            |option: &str| std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == option);
        match is_given("report") && is_given("--nagios") && error.use_stderr() {
            true => exit::usage_of_plugin(&error),
            false => exit::usage(&error, is_given("--json")),
        }
    })
}

#[cfg(test)]
mod tests;
