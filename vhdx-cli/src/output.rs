//! stdout carries the answer, as text or as one JSON document; stderr carries warnings.

use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use vhdx::{Severity, Violation};

use crate::args::Args;

/// Prints an answer: `text` writes the one for people.
pub(crate) fn answer(
    args: &Args,
    json: impl FnOnce() -> Value,
    text: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    write(|out| if args.json { Ok(writeln!(out, "{:#}", json())?) } else { text(out) })
}

/// Writes to stdout, buffered. A bare [`io::Error`] of `content` is a failure of stdout, not of a disk. A reader that went
/// away wants no more of the answer, which is no failure, and changes no verdict.
pub(crate) fn write(content: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let print = || {
        let mut out = BufWriter::new(stdout()?);
        content(&mut out)?;
        Ok(out.flush()?)
    };
    print().or_else(|error: anyhow::Error| match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::BrokenPipe) => Ok(()),
        Some(_) => Err(error.context("cannot write to stdout")),
        None => Err(error),
    })
}

/// stdout as a file: [`io::Stdout`] takes what goes to a descriptor that is not open for writing as written.
#[cfg(unix)]
pub(crate) fn stdout() -> io::Result<impl Write> {
    use std::os::fd::AsFd;

    Ok(std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// stdout, which knows how to write to a console.
#[cfg(windows)]
pub(crate) fn stdout() -> io::Result<impl Write> {
    Ok(io::stdout().lock())
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

/// The same path without detours (`snapshots/../disk.vhdx`), unless a link makes it another file.
pub(crate) fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        let is_name = matches!(plain.components().next_back(), Some(Component::Normal(_)));
        if part == Component::ParentDir && is_name {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    let is_same =
        || plain.canonicalize().is_ok_and(|real| path.canonicalize().is_ok_and(|path| path == real));
    if plain != path && is_same() { plain } else { path.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_are_left_out_where_they_lead_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("a/deep")).unwrap();
        std::fs::create_dir(path("b")).unwrap();
        std::fs::write(path("b/disk"), b"").unwrap();
        assert_eq!(without_detours(&path("a/../b/disk")), path("b/disk"));
        assert_eq!(without_detours(&path("a/deep/../../b/disk")), path("b/disk"));
        assert_eq!(without_detours(&path("a/../b/none")), path("a/../b/none"));
        assert_eq!(without_detours(Path::new("../x")), Path::new("../x"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("a/deep"), path("link")).unwrap();
            std::fs::write(path("a/disk"), b"").unwrap();
            std::fs::write(path("disk"), b"").unwrap();
            assert_eq!(without_detours(&path("link/../disk")), path("link/../disk"), "a/disk");
        }
    }
}
