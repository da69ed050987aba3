//! Errors of commands that are no errors of the library.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use vhdx::Error;

/// A request that makes no sense, found after the arguments were parsed.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Work on existing files that was stopped on request, in a state that is told.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// The state of what was being overwritten when something failed.
#[derive(Debug)]
pub(crate) struct PartlyOverwritten(pub(crate) String);

impl fmt::Display for PartlyOverwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Files that were to be deleted in the end and could not be, after all else was done.
#[derive(Debug)]
pub(crate) struct NotDeleted {
    /// The first of them.
    pub(crate) path: PathBuf,
    pub(crate) message: String,
}

impl fmt::Display for NotDeleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotDeleted {}

/// A file that was to become a parent is none, and what is known about it and the child.
#[derive(Debug)]
pub(crate) struct NotTheParent {
    pub(crate) error: Error,
    pub(crate) evidence: Value,
    /// The evidence as whole lines for people.
    pub(crate) text: String,
}

impl fmt::Display for NotTheParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for NotTheParent {}

/// What can be done about an error, from a command that knows it better than the error alone tells.
#[derive(Debug)]
pub(crate) struct Hint(pub(crate) Cow<'static, str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Facts that a command adds to the JSON of an error, by their keys.
#[derive(Debug)]
pub(crate) struct Details(pub(crate) Vec<(&'static str, Value)>);

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| write!(f, "{key}: {value} "))
    }
}
