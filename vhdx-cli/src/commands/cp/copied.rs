//! What was copied, and what was not.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::commands::files::shown;
use crate::exit::{self, Failure, Outcome};
use crate::output::{Output, count};
use crate::sizes::human;

/// What was copied, and what was not.
pub(super) struct Copied {
    output: Output,
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) bytes: u64,
    skipped: Vec<(Vec<u8>, String)>,
    failed: Vec<(Vec<u8>, Value)>,
    /// The largest exit code of the failures.
    worst: u8,
}

impl Copied {
    pub(super) fn new(output: Output) -> Self {
        Self { output, files: 0, folders: 0, bytes: 0, skipped: Vec::new(), failed: Vec::new(), worst: 0 }
    }

    /// Notes something that is not copied, because the host gets no such files.
    pub(super) fn skip(&mut self, path: &[u8], what: &str) {
        self.output.warning(&format!("{} is not copied: it is {what}", shown(path)));
        self.skipped.push((path.to_vec(), what.to_owned()));
    }

    /// Reports a file or folder that could not be copied, or not completely.
    pub(super) fn fail(&mut self, path: &[u8], failure: &Failure) {
        self.worst = self.worst.max(exit::report(failure, self.output.json));
        self.failed.push((path.to_vec(), failure.json()));
    }

    pub(super) fn outcome(&self) -> Outcome {
        if self.worst == 0 { Outcome::Done } else { Outcome::Reported(self.worst) }
    }

    pub(super) fn json(&self) -> Value {
        let path = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let skipped = self.skipped.iter().map(|(at, reason)| json!({ "path": path(at), "reason": reason }));
        let failed = self.failed.iter().map(|(at, error)| json!({ "path": path(at), "error": error }));
        json!({
            "files": self.files,
            "folders": self.folders,
            "bytes": self.bytes,
            "skipped": skipped.collect::<Vec<_>>(),
            "failed": failed.collect::<Vec<_>>(),
        })
    }

    /// Returns the counts as text.
    pub(super) fn text(&self) -> String {
        let files = count(usize::try_from(self.files).unwrap_or(usize::MAX), "file", "files");
        let folders = count(usize::try_from(self.folders).unwrap_or(usize::MAX), "folder", "folders");
        let mut text = format!("{files} and {folders} copied, {}", human(self.bytes));
        for (number, what) in [(self.skipped.len(), "skipped"), (self.failed.len(), "failed")] {
            if number > 0 {
                text += &format!("; {number} {what}");
            }
        }
        text
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        // Then the errors say it all.
        if self.files == 0 && self.folders == 0 && !self.failed.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", self.text())
    }
}
