//! Maps the results of commands to exit codes, and prints failures as text or JSON.

mod details;
mod failure;
mod hints;

use std::io::{Write, stderr};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::output;
use crate::unknown_command;

pub(crate) use failure::Failure;

/// The result of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// `check` found violations, `compare` or `hash` a difference, `report` an exceeded limit, or `prune` a selected checkpoint that had to be kept.
    Found,
    /// The command read several files and has reported their errors. This is the largest exit code.
    Reported(u8),
}

const FOUND: u8 = 1;

impl Outcome {
    /// Returns the exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Found => FOUND,
            Outcome::Reported(code) => code,
        }
    }
}

/// Reports a failure, if any, on stderr and returns the exit code of the process.
pub(crate) fn code(result: Result<Outcome, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => ExitCode::from(report(&failure, json)),
    }
}

/// Reports a failure on stderr and returns its exit code.
pub(crate) fn report(failure: &Failure, in_json: bool) -> u8 {
    match in_json {
        true => print_json(&failure.json()),
        false => {
            let _ = stderr().write_all(failure.text().as_bytes());
        }
    }
    failure.code()
}

/// Prints the output of the argument parser: an error, the help or the version.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if let Some((name, advice)) = unknown_command::advice(error) {
        // The parser would suggest a command with a similar name that may do something else.
        let message = format!("there is no command `{}`", output::harmless(name));
        return ExitCode::from(report(&Failure::usage(message).with_hint(advice), json));
    }
    let text = error.render().to_string();
    let failure = Failure::usage(text.trim().trim_start_matches("error: "));
    if json && error.use_stderr() {
        print_json(&failure.json());
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure.code()))
}

/// The exit code of a Nagios plugin that cannot tell the state of a service.
pub(crate) const PLUGIN_UNKNOWN: u8 = 3;

/// Prints an error of the argument parser as a Nagios plugin does: the first line, on stdout.
pub(crate) fn usage_of_plugin(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").replace('|', "/");
    let _ = output::write(|out| writeln!(out, "VHDX UNKNOWN - {}", output::harmless(&first)));
    ExitCode::from(PLUGIN_UNKNOWN)
}

fn print_json(failure: &Value) {
    let _ = writeln!(stderr(), "{}", json!({ "error": failure }));
}
