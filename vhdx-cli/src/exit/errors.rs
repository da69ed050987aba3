//! Defines the errors and error contexts of commands that the library does not have.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use vhdx::Error;

/// A usage error that is found after the arguments were parsed.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Work on existing files that was stopped on request. The message tells the state of the files.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// The state of a target whose overwriting failed, as a context of the error.
#[derive(Debug)]
pub(crate) struct PartlyOverwritten(pub(crate) String);

impl fmt::Display for PartlyOverwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Merged files that could not be deleted at the end of a complete merge.
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

/// A file that `reparent` refused as a parent, with the evidence about the file and the child.
#[derive(Debug)]
pub(crate) struct NotTheParent {
    pub(crate) error: Error,
    pub(crate) evidence: Value,
    /// The evidence as whole lines of text.
    pub(crate) text: String,
}

impl fmt::Display for NotTheParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for NotTheParent {}

/// A hint of a command, which replaces the general hint for the error.
#[derive(Debug)]
pub(crate) struct Hint(pub(crate) Cow<'static, str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keys and values that a command adds to the JSON of an error.
#[derive(Debug)]
pub(crate) struct Details(pub(crate) Vec<(&'static str, Value)>);

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| write!(f, "{key}: {value} "))
    }
}
