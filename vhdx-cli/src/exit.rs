//! Maps results and errors to exit codes, and prints errors as text or JSON.

mod errors;
mod hints;

use std::borrow::Cow;
use std::io::{self, Write, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use vhdx::{ChainError, Error, ErrorKind};

use crate::damage::Damage;
use crate::foreign::Foreign;
use crate::guesses;
use crate::output;
use crate::sizes::both;

pub(crate) use errors::{Details, Hint, Interrupted, NotDeleted, NotTheParent, PartlyOverwritten, Usage};

/// The result of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// `check` found violations, or `compare` a difference.
    Found,
    /// The command read several files and has reported their errors. This is the largest exit code.
    Reported(u8),
}

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

/// Adds a hint to the failure to open a new parent, for commands whose `--parent` does not name the levels of a chain.
pub(crate) fn parent_does_not_open(error: Error) -> anyhow::Error {
    let is_wrong_link = match error.chain_error() {
        Some(ChainError::MissingParent { expected, .. }) => !expected.is_empty(),
        Some(ChainError::Mismatch { .. } | ChainError::AmbiguousParent { .. }) => true,
        _ => false,
    };
    let error = anyhow::Error::from(error);
    match is_wrong_link {
        true => error.context(Hint(
            "the chain of the new parent does not open. `--parent-dir DIR` adds a folder to search. Or first point \
             each file of that chain at its own parent, starting at the base: `vhdx reparent CHILD --parent FILE`"
                .into(),
        )),
        false => error,
    }
}

const FOUND: u8 = 1;
const USAGE: u8 = 2;
const CORRUPT: u8 = 3;
const UNSUPPORTED: u8 = 4;
const CHAIN: u8 = 5;
const IO: u8 = 6;
const INTERRUPTED: u8 = 130;

/// Reports an error, if any, on stderr and returns the exit code of the process.
pub(crate) fn code(result: anyhow::Result<Outcome>, json: bool) -> ExitCode {
    match result {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => ExitCode::from(report(&error, json)),
    }
}

/// Whether the reader of a disk on stdout closed it early.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let source = error.downcast_ref::<Error>().and_then(Error::io_error);
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints the output of the argument parser: an error, the help or the version.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if let Some((name, advice)) = guesses::advice(error) {
        // The parser would suggest a command with a similar name that may do something else.
        let message = format!("there is no command `{}`", output::harmless(name));
        match json {
            true => print_json("usage", &message, vec![("hint", advice.into())]),
            false => print_text(&message, advice),
        }
        return ExitCode::from(USAGE);
    }
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ");
        print_json("usage", message, Vec::new());
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

fn print_text(message: &str, hint: &str) {
    let _ = writeln!(stderr(), "vhdx: {message}\nhint: {hint}");
}

/// Returns the error of the library, if it is one.
fn library(error: &anyhow::Error) -> Option<&Error> {
    let refused = || error.downcast_ref::<NotTheParent>().map(|refused| &refused.error);
    let shared = || error.downcast_ref::<Arc<Error>>().map(|shared| &**shared);
    error.downcast_ref::<Error>().or_else(refused).or_else(shared)
}

fn classify(error: &anyhow::Error) -> (&'static str, u8) {
    if error.is::<Usage>() {
        return ("usage", USAGE);
    }
    if error.is::<Foreign>() {
        return ("unsupported", UNSUPPORTED);
    }
    if error.is::<Interrupted>() {
        return ("cancelled", INTERRUPTED);
    }
    match library(error).map(Error::kind) {
        Some(ErrorKind::Corrupt) => ("corrupt", CORRUPT),
        Some(ErrorKind::Unsupported) => ("unsupported", UNSUPPORTED),
        Some(ErrorKind::Chain) => ("chain", CHAIN),
        Some(ErrorKind::Conflict) => ("conflict", IO),
        Some(ErrorKind::InvalidArgument) => ("usage", USAGE),
        Some(ErrorKind::Cancelled) => ("cancelled", INTERRUPTED),
        Some(ErrorKind::Internal) => ("internal", IO),
        // `InvalidState` follows a failed write.
        _ => ("io", IO),
    }
}

/// Returns the file that an error is about.
fn path_of(error: &anyhow::Error) -> Option<&Path> {
    let foreign = error.downcast_ref::<Foreign>().map(|foreign| foreign.path.as_path());
    let undeleted = error.downcast_ref::<NotDeleted>().map(|undeleted| undeleted.path.as_path());
    library(error).and_then(Error::path).or(foreign).or(undeleted)
}

/// Returns the JSON form of an error.
pub(crate) fn json(error: &anyhow::Error) -> Value {
    let offset = library(error).and_then(Error::offset).map(vhdx::FileOffset::get);
    let mut details = details(error);
    let damage = damage(error);
    details.extend(damage.as_ref().map(|damage| ("damage", damage.json())));
    let hint = hint_for(error).or_else(|| damage.map(|damage| damage.hint().into()));
    details.extend(hint.map(|hint| ("hint", hint.into())));
    json_of(classify(error).0, &message(error), path_of(error), offset, details)
}

/// Reports an error on stderr and returns its exit code.
pub(crate) fn report(error: &anyhow::Error, in_json: bool) -> u8 {
    let (kind, code) = classify(error);
    if in_json {
        let _ = writeln!(stderr(), "{}", json!({ "error": json(error) }));
        return code;
    }
    let _ = match path_of(error).filter(|_| kind != "chain") {
        Some(path) => writeln!(stderr(), "vhdx: {}: {}", output::shown(path), message(error)),
        None => writeln!(stderr(), "vhdx: {}", message(error)),
    };
    if let Some(NotTheParent { text, .. }) = error.downcast_ref() {
        let _ = stderr().write_all(text.as_bytes());
    }
    if let Some(hint) = hint_for(error).or_else(|| damage(error).map(|damage| damage.hint().into())) {
        let _ = writeln!(stderr(), "hint: {hint}");
    }
    code
}

/// Returns the damage of the file, if the error is about a damaged file.
fn damage(error: &anyhow::Error) -> Option<Damage> {
    library(error).and_then(Damage::of_error)
}

/// Returns the hint for an error: that of the command, else the general one.
fn hint_for(error: &anyhow::Error) -> Option<Cow<'static, str>> {
    let foreign = || error.downcast_ref::<Foreign>().and_then(Foreign::hint);
    let known = error.downcast_ref::<Hint>().map(|hint| hint.0.clone()).or_else(foreign);
    let vhdx = library(error);
    let general = || match error.is::<NotTheParent>() {
        true => vhdx.and_then(hints::to_relink).map(Cow::from),
        false => vhdx.and_then(hints::of),
    };
    known.or_else(general)
}

/// Returns the message without the path, which the caller prints. Only a chain's error names its files itself.
fn message(error: &anyhow::Error) -> String {
    match library(error) {
        Some(_) if is_broken_pipe(error) => "stdout was closed before the whole disk was written".to_owned(),
        Some(vhdx) => match error.downcast_ref::<PartlyOverwritten>() {
            Some(state) => format!("{}; {state}", vhdx.without_path()),
            None => match vhdx.without_path() {
                Error::NoSpace { needed, free } => {
                    format!("too little space: up to {} are needed, {} are free", both(*needed), both(*free))
                }
                error => error.to_string(),
            },
        },
        None => format!("{error:#}"),
    }
}

/// Returns the additional JSON keys of an error.
fn details(error: &anyhow::Error) -> Vec<(&'static str, Value)> {
    let mut details = facts(error);
    if let Some(Details(more)) = error.downcast_ref() {
        details.extend(more.iter().cloned());
    }
    details
}

fn facts(error: &anyhow::Error) -> Vec<(&'static str, Value)> {
    if let Some(refused) = error.downcast_ref::<NotTheParent>() {
        return vec![("evidence", refused.evidence.clone())];
    }
    let error = match library(error).map(Error::without_path) {
        Some(Error::Chain(error)) => error,
        Some(Error::NoSpace { needed, free }) => {
            return vec![("needed", (*needed).into()), ("free", (*free).into())];
        }
        _ => return Vec::new(),
    };
    match &**error {
        ChainError::OtherChildren { in_the_way, unfinished, .. } => {
            vec![("in_the_way", output::children(in_the_way)), ("unfinished", output::unfinished(unfinished))]
        }
        ChainError::HalfMerged { unfinished, .. } => vec![("unfinished", output::unfinished(unfinished))],
        ChainError::AmbiguousParent { parents, .. } => {
            vec![("parents", parents.iter().map(|path| output::path(path)).collect())]
        }
        ChainError::DataPastEnd { target, bytes, size_before, size, .. } => vec![
            ("into", output::path(target)),
            ("virtual_size_before", (*size_before).into()),
            ("virtual_size", (*size).into()),
            ("bytes_dropped", (*bytes).into()),
        ],
        ChainError::UndeterminedFiles { undetermined, .. } => {
            vec![("undetermined", output::undetermined(undetermined))]
        }
        _ => Vec::new(),
    }
}

fn print_json(kind: &str, message: &str, details: Vec<(&'static str, Value)>) {
    let _ = writeln!(stderr(), "{}", json!({ "error": json_of(kind, message, None, None, details) }));
}

fn json_of(
    kind: &str,
    message: &str,
    path: Option<&Path>,
    offset: Option<u64>,
    details: Vec<(&'static str, Value)>,
) -> Value {
    let path = path.map(output::path);
    let mut error = json!({ "kind": kind, "message": message, "path": path, "offset": offset });
    for (key, value) in details {
        error[key] = value;
    }
    error
}
