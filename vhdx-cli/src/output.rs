//! stdout carries the answer, as text or as one JSON document; stderr carries warnings.

use std::fmt::Display;
use std::io::{self, BufWriter, Write, stdout};
use std::path::Path;

use serde_json::Value;
use vhdx::{Severity, Violation};

use crate::args::Args;

/// The reader of stdout went away: nobody wants the rest of the answer, which is no failure.
#[derive(Debug)]
pub(crate) struct NobodyListens;

impl Display for NobodyListens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stdout is closed")
    }
}

impl std::error::Error for NobodyListens {}

/// Prints an answer: `text` writes the one for people.
pub(crate) fn answer(
    args: &Args,
    json: impl FnOnce() -> Value,
    text: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    write(|out| if args.json { Ok(writeln!(out, "{:#}", json())?) } else { text(out) })
}

/// Writes to stdout, buffered. A bare [`io::Error`] of `content` is a failure of stdout, not of a disk.
pub(crate) fn write(content: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let written = content(&mut out).and_then(|()| Ok(out.flush()?));
    written.map_err(|error| match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::BrokenPipe) => NobodyListens.into(),
        Some(_) => error.context("cannot write to stdout"),
        None => error,
    })
}

/// Prints for people what was worked around in a file; scripts find the same in the JSON of `check`.
pub(crate) fn warn(args: &Args, path: &Path, violations: &[Violation]) {
    if args.quiet || args.json {
        return;
    }
    for violation in violations.iter().filter(|violation| violation.severity() > Severity::Note) {
        let _ = writeln!(io::stderr(), "vhdx: warning: {}: {violation}", shown(path));
    }
}

/// Tells people something about a file that is no failure.
pub(crate) fn note(args: &Args, path: &Path, text: &str) {
    if !args.quiet && !args.json {
        let _ = writeln!(io::stderr(), "vhdx: {} {text}", shown(path));
    }
}

/// A path as people read it.
pub(crate) fn shown(path: &Path) -> String {
    harmless(&path.to_string_lossy())
}

/// A text that comes out of a file or its name, without what could play tricks on a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// A path as JSON holds it.
pub(crate) fn path(path: &Path) -> Value {
    Value::from(path.to_string_lossy())
}

/// The words in columns, the last one ragged; `right` says which columns are numbers.
pub(crate) fn table(out: &mut dyn Write, right: &[bool], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|w| w.chars().count()).max();
    let widths: Vec<usize> = (0..right.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for ((word, width), right) in row.iter().zip(&widths).zip(right) {
            let gap = " ".repeat(width.saturating_sub(word.chars().count()));
            line += &if *right { format!("{gap}{word}  ") } else { format!("{word}{gap}  ") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
