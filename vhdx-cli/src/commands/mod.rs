//! Runs the commands. Each command has its own module.

mod chain;
mod check;
mod compare;
mod completions;
mod convert;
mod create;
mod destination;
mod facts;
mod folder;
mod info;
mod left_behind;
mod man;
mod map;
mod merge;
mod reading;
mod reparent;
mod replay;
mod several;
mod size_differences;
mod source;
mod tree;

use crate::args::{Args, Command};
use crate::exit::Outcome;

/// Runs the command that the arguments ask for.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    for folder in args.command.parent_dirs() {
        folder::ensure_is_folder(folder)?;
    }
    let done = match &args.command {
        Command::Info(info) => info::run(args, info),
        Command::Chain(chain) => chain::run(args, chain),
        Command::Tree(tree) => tree::run(args, tree),
        Command::Map(map) => map::run(args, map),
        Command::Check(check) => check::run(args, check),
        Command::Compare(compare) => compare::run(args, compare),
        Command::Convert(convert) => convert::run(args, convert),
        Command::Create(create) => create::run(args, create),
        Command::Merge(merge) => merge::run(args, merge),
        Command::Reparent(reparent) => reparent::run(args, reparent),
        Command::Replay(replay) => replay::run(args, replay),
        Command::Completions(completions) => completions::run(completions),
        Command::Man(man) => man::run(man),
    };
    done.map_err(source::named_by_format)
}
