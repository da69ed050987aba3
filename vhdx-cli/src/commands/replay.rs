//! `vhdx replay`: applies a dirty log to its file.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{LogContent, replay_file};
use vhdx::{FolderResolver, Vhdx};

use super::reading::Reading;
use crate::args::Replay;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::sizes::both;

pub(super) fn run(output: Output, replay: &Replay) -> Result<Outcome, Failure> {
    let content = match replay.dry_run {
        true => Vhdx::open(&replay.file)?.log_content(),
        false => replay_file(&replay.file)?,
    };
    let file_size = match content {
        Some(content) => content.file_size,
        None => size_of(&replay.file)?,
    };
    let mut reading = Reading::new(output, &[]);
    reading.report_file(&replay.file, &FolderResolver::default())?;
    let report = Report { replay, content, file_size };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

fn size_of(file: &Path) -> Result<u64, Failure> {
    let metadata = file.metadata();
    let metadata = metadata
        .map_err(|error| Failure::io(format!("cannot get the size of {}", file.display()), &error))?;
    Ok(metadata.len())
}

struct Report<'a> {
    replay: &'a Replay,
    /// The content of the log; `None` if the log was clean.
    content: Option<LogContent>,
    file_size: u64,
}

impl Report<'_> {
    fn json(&self) -> Value {
        let count = |count: fn(&LogContent) -> u64| self.content.as_ref().map_or(0, count);
        json!({
            "dry_run": self.replay.dry_run,
            "path": output::path(&self.replay.file),
            "log": if self.content.is_some() { "dirty" } else { "clean" },
            "entries": self.content.map_or(0, |content| content.entries),
            "bytes_written": count(|content| content.bytes()),
            "bytes_zeroed": count(|content| content.zeroed),
            "file_size": self.file_size,
        })
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let path = shown(&self.replay.file);
        let Some(content) = &self.content else {
            return writeln!(out, "{path}: the log is clean; there is nothing to replay");
        };
        let entries = content.entries;
        match self.replay.dry_run {
            true => writeln!(out, "{path}: log entries that would be replayed: {entries}")?,
            false => writeln!(out, "{path}: log entries replayed: {entries}; the log is clean now")?,
        }
        writeln!(
            out,
            "bytes written: {}, filled with zeros: {}, file size: {}",
            both(content.bytes()),
            both(content.zeroed),
            both(content.file_size)
        )
    }
}
