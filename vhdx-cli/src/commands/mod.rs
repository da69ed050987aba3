//! Runs the commands. Each command has its own module.

mod advice;
mod chain;
mod check;
mod checkpoint;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod checkpoint_disks;
mod compare;
mod completions;
mod config;
mod contents;
mod convert;
mod cp;
mod create;
mod date;
mod destination;
mod diff;
mod facts;
mod files;
mod folder;
mod hash;
mod info;
mod ls;
mod machine;
mod man;
mod map;
mod merge;
mod mount;
mod not_copied;
mod points;
mod prune;
mod reading;
mod reparent;
mod replay;
mod report;
mod revert;
mod serve;
mod several;
mod size_differences;
mod source;
mod tree;

use crate::args::{Args, Command};
use crate::exit::{Failure, Outcome};
use crate::remote;

/// Runs the command that the arguments ask for.
pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    for folder in args.command.parent_dirs() {
        if !remote::is_url(folder) {
            folder::ensure_is_folder(folder)?;
        }
    }
    let output = args.output();
    let done = match &args.command {
        Command::Info(info) => info::run(output, info),
        Command::Chain(chain) => chain::run(output, chain),
        Command::Tree(tree) => tree::run(output, tree),
        Command::Map(map) => map::run(output, map),
        Command::Check(check) => check::run(output, check),
        Command::Compare(compare) => compare::run(output, compare),
        Command::Diff(diff) => diff::run(output, diff),
        Command::Hash(hash) => hash::run(output, hash),
        Command::Mount(mount) => mount::run(output, mount),
        Command::Convert(convert) => convert::run(output, convert),
        Command::Ls(ls) => ls::run(output, ls),
        Command::Cp(cp) => cp::run(output, cp),
        Command::Create(create) => create::run(output, create),
        Command::Merge(merge) => merge::run(output, merge),
        Command::Reparent(reparent) => reparent::run(output, reparent),
        Command::Replay(replay) => replay::run(output, replay),
        Command::Revert(revert) => revert::run(output, revert),
        Command::Prune(prune) => prune::run(output, prune),
        Command::Config(config) => config::run(output, config),
        Command::Report(report) => report::run(output, report),
        Command::Serve(serve) => serve::run(output, serve),
        Command::Completions(completions) => completions::run(completions),
        Command::Man(man) => man::run(man),
    };
    done.map_err(source::named_by_format)
}
