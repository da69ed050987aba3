//! Serializes paths and errors of reports as text. Serde refuses paths that are not UTF-8, and errors are no data.

use std::error::Error as _;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::Error;

/// Serializes a field of a report. In a path, characters that are not UTF-8 are replaced.
pub(crate) fn as_text<T: AsText, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

pub(crate) trait AsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

struct Text<'a, T>(&'a T);

impl<T: AsText> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl AsText for PathBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.display())
    }
}

impl AsText for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&WithSources(self))
    }
}

/// Its text contains its source.
impl AsText for hyperv_config::Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<T: AsText> AsText for Arc<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<T: AsText> AsText for Option<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Text(value)),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: AsText> AsText for Vec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Text))
    }
}

impl<A: AsText, B: AsText> AsText for (A, B) {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Text(&self.0), Text(&self.1)).serialize(serializer)
    }
}

/// An error and its sources, separated by colons.
struct WithSources<'a>(&'a Error);

impl Display for WithSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
