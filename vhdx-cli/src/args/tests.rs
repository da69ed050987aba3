use clap::builder::ValueRange;
use clap::error::ErrorKind;
use clap::{Arg, CommandFactory};

use super::*;

#[test]
fn the_definition_is_consistent() {
    Args::command().debug_assert();
}

/// Each option that needs another one is refused without it, whatever third option is given.
///
/// clap does not ask for an option that conflicts with one of those that are given. `--since` without `--output` would
/// be ignored then, and a merge in place would change files.
#[test]
fn an_option_is_never_ignored_because_the_one_that_it_needs_has_conflicts() {
    let mut root = Args::command();
    root.build();
    let mut checked = 0;
    for command in root.get_subcommands() {
        for option in command.get_arguments() {
            for needed in needed(option) {
                let apart = ["help", &needed, option.get_id().as_str()];
                let is_other =
                    |other: &&Arg| !other.is_positional() && !apart.contains(&other.get_id().as_str());
                for other in command.get_arguments().filter(is_other) {
                    let kind = kind_of_error(command, &[option, other]);
                    let refused = [ErrorKind::MissingRequiredArgument, ErrorKind::ArgumentConflict];
                    let ids = (command.get_name(), option.get_id(), other.get_id());
                    assert!(refused.contains(&kind), "{ids:?}: {kind:?}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50, "{checked}");
}

/// Returns the ids of the options that an option needs, which clap only shows in its debug output.
fn needed(option: &Arg) -> Vec<String> {
    let debug = format!("{option:?}");
    let list = debug.split_once(", requires: [").unwrap().1.split_once(']').unwrap().0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Parses a command with options, and returns the error.
fn kind_of_error(command: &clap::Command, options: &[&Arg]) -> ErrorKind {
    let mut all = vec!["vhdx".to_owned(), command.get_name().to_owned()];
    all.extend(command.get_positionals().chain(options.iter().copied()).map(|arg| with_value(command, arg)));
    match Args::try_parse_from(&all) {
        Ok(args) => panic!("{all:?} was accepted: {args:?}"),
        Err(error) => error.kind(),
    }
}

/// Returns an argument with a value that its parser accepts.
fn with_value(command: &clap::Command, arg: &Arg) -> String {
    let name = arg.get_long().map(|long| format!("--{long}"));
    if arg.get_num_args() == Some(ValueRange::EMPTY) {
        return name.unwrap();
    }
    let with = |value: &str| name.as_ref().map_or(value.to_owned(), |name| format!("{name}={value}"));
    let values = ["1", "1M", "raw", "fixed", "512", "sha256", "1d", "127.0.0.1:0"].into_iter().map(with);
    let is_accepted = |value: &String| {
        let error = Args::try_parse_from(["vhdx", command.get_name(), value]).err().map(|error| error.kind());
        !matches!(error, Some(ErrorKind::InvalidValue | ErrorKind::ValueValidation))
    };
    values
        .into_iter()
        .find(is_accepted)
        .unwrap_or_else(|| panic!("no value is accepted for {}", arg.get_id()))
}
