//! Defines the failure of a command: its kind, its texts, and its JSON.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::{Error, ErrorKind, FileOffset, Rule};

use super::{details, hints};
use crate::damage::Damage;
use crate::foreign::Foreign;
use crate::output;
use crate::sizes::both;

/// Why a command failed. A failure of the library, or one that only the command line has.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    /// The file that the failure is about.
    path: Option<PathBuf>,
    /// The message without the path. Only the failure of a chain names its files itself.
    message: String,
    /// What the user can do.
    hint: Option<Cow<'static, str>>,
    /// The additional JSON keys.
    details: Vec<(&'static str, Value)>,
    /// Lines of text after the message, for values that the JSON has in `details`.
    lines: Box<str>,
    /// The rule that the file at `path` breaks.
    broken: Option<Rule>,
}

/// The class of a failure. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Corrupt,
    Unsupported,
    Chain,
    Conflict,
    Io,
    Cancelled,
    Internal,
}

impl Kind {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Corrupt => Kind::Corrupt,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::Chain => Kind::Chain,
            ErrorKind::Conflict => Kind::Conflict,
            ErrorKind::InvalidArgument => Kind::Usage,
            ErrorKind::Cancelled => Kind::Cancelled,
            ErrorKind::Internal => Kind::Internal,
            // `InvalidState` follows a failed write.
            _ => Kind::Io,
        }
    }

    /// Returns the name for JSON.
    const fn name(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Chain => "chain",
            Kind::Conflict => "conflict",
            Kind::Io => "io",
            Kind::Cancelled => "cancelled",
            Kind::Internal => "internal",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Corrupt => 3,
            Kind::Unsupported => 4,
            Kind::Chain => 5,
            Kind::Conflict | Kind::Io | Kind::Internal => 6,
            Kind::Cancelled => 130,
        }
    }
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            path: None,
            message,
            hint: None,
            details: Vec::new(),
            lines: Box::default(),
            broken: None,
        }
    }

    /// A usage error that is found after the arguments were parsed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A file that is corrupt, and is no VHDX.
    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }

    /// A file that needs an unsupported feature or has another format, and is no VHDX.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A failed call of the operating system. The message says what failed and why.
    pub(crate) fn failed_io(message: impl Into<String>) -> Self {
        Self::new(Kind::Io, message)
    }

    /// A failed call of the operating system outside of the library. `what` says what failed.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Self {
        Self::new(Kind::Io, format!("{what}: {error}"))
    }

    /// Work on existing files that was stopped on request. The message tells the state of the files.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Cancelled, message)
    }

    /// A disk that must not be changed, because other disks depend on it.
    pub(crate) fn has_dependents(message: impl Into<String>) -> Self {
        Self::new(Kind::Chain, message)
    }

    /// Merged files that could not be deleted at the end of a complete merge. `first` is the first of them.
    pub(crate) fn not_deleted(first: &Path, message: impl Into<String>) -> Self {
        Self { path: Some(first.to_owned()), ..Self::new(Kind::Io, message) }
    }

    /// A file that `reparent` refused as a parent, with the evidence about the file and the child: as JSON, and as whole
    /// lines of text.
    ///
    /// `is_listed`: the lines name another file with a DataWriteGuid that the child expects.
    pub(crate) fn not_the_parent(error: &Error, evidence: Value, lines: String, is_listed: bool) -> Self {
        Self {
            hint: hints::to_relink(error, is_listed),
            details: vec![("evidence", evidence)],
            lines: lines.into(),
            ..Self::from(error)
        }
    }

    /// The failure to open a new parent, for commands whose `--parent` does not name the levels of a chain.
    pub(crate) fn parent_does_not_open(error: Error) -> Self {
        match hints::to_open_parent(&error) {
            Some(hint) => Self::from(error).with_hint(hint),
            None => error.into(),
        }
    }

    /// A disk that could not be written to stdout, or not be read. An error of reading names its file.
    pub(crate) fn of_stream(error: Error) -> Self {
        let (None, Some(source)) = (error.path(), error.io_error()) else { return error.into() };
        let message = match source.kind() {
            io::ErrorKind::BrokenPipe => {
                "stdout was closed before the whole disk was written: the output is incomplete".to_owned()
            }
            _ => format!("cannot write to stdout: {source}: the output is incomplete"),
        };
        let is_full = source.kind() == io::ErrorKind::StorageFull;
        let failure = Self::from(&error).with_message(message);
        match is_full {
            true => failure.with_hint("free space where the output goes, and run the command again"),
            false => failure,
        }
    }

    /// Sets the file that the failure is about.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// Replaces the message.
    pub(crate) fn with_message(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// Replaces the hint.
    pub(crate) fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds JSON keys.
    pub(crate) fn with_details(mut self, details: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        self.details.extend(details);
        self
    }

    /// Returns the file that breaks a rule of the format, if that is the failure.
    pub(crate) fn broken_file(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.broken.is_some())
    }

    pub(super) fn code(&self) -> u8 {
        self.kind.code()
    }

    /// Returns the JSON form.
    pub(crate) fn json(&self) -> Value {
        let path = self.path.as_deref().map(output::path);
        let kind = self.kind.name();
        let mut json = json!({ "kind": kind, "message": self.message, "path": path, "offset": null });
        for (key, value) in &self.details {
            json[key] = value.clone();
        }
        let damage = self.damage();
        if let Some(damage) = &damage {
            json["damage"] = damage.json();
        }
        if let Some(hint) = self.hint(damage.as_ref()) {
            json["hint"] = hint.into();
        }
        json
    }

    /// Returns the text form, in whole lines.
    pub(super) fn text(&self) -> String {
        let path = self.path.as_deref().filter(|_| self.kind != Kind::Chain);
        let path = path.map(|path| format!("{}: ", output::shown(path))).unwrap_or_default();
        let mut text = format!("vhdx: {path}{}\n{}", self.message, self.lines);
        if let Some(hint) = self.hint(self.damage().as_ref()) {
            text += &format!("hint: {hint}\n");
        }
        text
    }

    /// Returns the damage of the file. The file is read for it, so a failure that is not reported costs nothing.
    fn damage(&self) -> Option<Damage> {
        Damage::of(self.path.as_deref()?, self.broken?)
    }

    fn hint(&self, damage: Option<&Damage>) -> Option<Cow<'static, str>> {
        self.hint.clone().or_else(|| damage.map(|damage| damage.hint().into()))
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let offset = error.offset().map(FileOffset::get);
        let mut failure = Self::new(Kind::of(error.kind()), message(error));
        failure.path = error.path().map(Path::to_owned);
        failure.hint = hints::for_error(error);
        failure.details.extend(offset.map(|offset| ("offset", offset.into())));
        failure.details.extend(details::of(error));
        failure.broken = error.violation().map(|violation| violation.rule());
        failure
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// For an error that names what failed itself, as those of stdout do.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Kind::Io, error.to_string())
    }
}

impl From<Foreign> for Failure {
    fn from(foreign: Foreign) -> Self {
        let mut failure = Self::new(Kind::Unsupported, foreign.to_string());
        failure.hint = foreign.hint();
        failure.path = Some(foreign.path);
        failure
    }
}

/// Returns the message about an error of the library.
fn message(error: &Error) -> String {
    match error.without_path() {
        Error::NoSpace { needed, free } => {
            format!("too little space: up to {} are needed, {} are free", both(*needed), both(*free))
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_writing_the_stream_says_that_stdout_was_closed() {
        let broken_pipe = || Error::io("read", None, io::ErrorKind::BrokenPipe.into());
        let says_closed = |failure: Failure| failure.text().contains("stdout was closed");
        assert!(says_closed(Failure::of_stream(broken_pipe())));
        let of_file = broken_pipe().in_file(Path::new("base.vhdx"));
        assert!(!says_closed(Failure::from(&of_file)));
        assert!(!says_closed(Failure::of_stream(of_file)));
        assert!(!says_closed(Failure::from(broken_pipe())));
    }
}
