//! A finding of a report.

use std::fmt;
use std::path::PathBuf;

use super::fact::FindingFact;
use super::kind::{FindingKind, FindingSeverity};

/// A problem, or a limit that is passed.
///
/// Its [`Display`](fmt::Display) continues a sentence that begins with the path.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// How urgent it is.
    pub severity: FindingSeverity,
    /// The file or folder that it is about.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The disk that it is about, as an index into [`Report::disks`](super::Report::disks), if it is one.
    pub disk: Option<usize>,
    /// The facts.
    pub fact: FindingFact,
}

impl Finding {
    pub(super) fn new(path: PathBuf, disk: Option<usize>, fact: FindingFact) -> Self {
        Self { kind: fact.kind(), severity: fact.severity(), path, disk, fact }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fact.fmt(f)
    }
}
