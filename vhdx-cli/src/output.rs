//! Writes answers to stdout, as text or as one JSON document, and warnings to stderr.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use vhdx::{Severity, Undetermined, UnfinishedMerge, Violation};

/// Which output the user asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Answers and errors are JSON.
    pub(crate) json: bool,
    /// There is no progress bar, and there are no warnings.
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints the answer on stdout: `json` if `--json` is given, else `text`.
    pub(crate) fn answer(
        self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        write(|out| if self.json { writeln!(out, "{:#}", json()) } else { text(out) })
    }

    /// Prints the violations that were worked around in a file as warnings. Scripts get them from `check --json`.
    pub(crate) fn warn(self, path: &Path, violations: &[Violation]) {
        for violation in violations.iter().filter(|violation| violation.severity() > Severity::Note) {
            self.warning(&format!("{}: {violation}", shown(path)));
        }
    }

    /// Prints a warning whose text names the files. Scripts get it from the JSON.
    pub(crate) fn warning(self, text: &str) {
        if self.has_notes() {
            let _ = writeln!(io::stderr(), "vhdx: warning: {text}");
        }
    }

    /// Prints a note about a file on stderr: the path, then `text`.
    pub(crate) fn note(self, path: &Path, text: &str) {
        if self.has_notes() {
            let _ = writeln!(io::stderr(), "vhdx: {} {text}", shown(path));
        }
    }

    /// Whether warnings and notes are printed on stderr.
    pub(crate) fn has_notes(self) -> bool {
        !self.quiet && !self.json
    }
}

/// Writes to stdout through a buffer.
///
/// A reader that closes stdout early wants no more of the answer: that is no error, and the exit code stays the same.
///
/// # Errors
/// If stdout cannot be written to. The error says so.
pub(crate) fn write(content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let print = || {
        let mut out = BufWriter::new(stdout()?);
        content(&mut out)?;
        out.flush()
    };
    print().or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        kind => Err(io::Error::new(kind, format!("cannot write to stdout: {error}"))),
    })
}

/// Returns stdout as a file. [`io::Stdout`] would report success for a descriptor that is not open for writing.
#[cfg(unix)]
pub(crate) fn stdout() -> io::Result<impl Write> {
    use std::os::fd::AsFd;

    Ok(std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Returns [`io::Stdout`], which can write to a console.
#[cfg(windows)]
pub(crate) fn stdout() -> io::Result<impl Write> {
    Ok(io::stdout().lock())
}

/// Prints one JSON document on stderr, for commands whose stdout carries other data.
pub(crate) fn json_on_stderr(json: &Value) {
    let _ = writeln!(io::stderr(), "{json}");
}

/// Returns a path for text output.
pub(crate) fn shown(path: &Path) -> String {
    harmless(&path.to_string_lossy())
}

/// Returns the path of a file for text output: only its name if it lies in this folder.
pub(crate) fn shown_beside(folder: Option<&Path>, path: &Path) -> String {
    match path.file_name() {
        Some(name) if path.parent() == folder => shown(Path::new(name)),
        _ => shown(path),
    }
}

/// Returns a path in quotation marks, as the messages of the library show it.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let escaped = |c: char| if c == '\\' || c == '\'' { c.to_string() } else { c.escape_debug().to_string() };
    format!("\"{}\"", path.chars().map(escaped).collect::<String>())
}

/// Escapes the characters of a text from a file or a file name that could control the terminal: control characters, line
/// separators, and marks that are invisible or change the order in which text is shown.
pub(crate) fn harmless(text: &str) -> String {
    let reorders = |c: char| matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let escaped =
        |c: char| if c.is_control() || reorders(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// Returns a path as one word of a shell command.
pub(crate) fn word(path: &Path) -> String {
    let path = shown(path);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c) || (cfg!(windows) && c == '\\');
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path
    } else if cfg!(windows) {
        format!("\"{path}\"")
    } else {
        let path = if path.starts_with('-') { format!("./{path}") } else { path };
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Returns a path as JSON.
pub(crate) fn path(path: &Path) -> Value {
    Value::from(path.to_string_lossy())
}

/// Returns paths as JSON.
pub(crate) fn paths(paths: &[PathBuf]) -> Value {
    paths.iter().map(|path| self::path(path)).collect()
}

/// Returns children, each with its parent, as JSON.
pub(crate) fn children(children: &[(PathBuf, PathBuf)]) -> Value {
    children.iter().map(|(child, parent)| json!({ "path": path(child), "parent": path(parent) })).collect()
}

/// Returns merges that may be incomplete as JSON.
pub(crate) fn unfinished(merges: &[UnfinishedMerge]) -> Value {
    let or_null = |found: &Option<PathBuf>| found.as_deref().map(path);
    let json = |merge: &UnfinishedMerge| {
        json!({
            "path": path(&merge.layer),
            "merged": or_null(&merge.merged),
            "into": or_null(&merge.target),
        })
    };
    merges.iter().map(json).collect()
}

/// Returns the command that merges a disk, or completes its merge.
pub(crate) fn merge_command(merged: &Path, target: Option<&Path>) -> String {
    let into = target.map_or(String::new(), |target| format!(" --into {}", word(target)));
    format!("vhdx merge {}{into}", word(merged))
}

/// Returns undetermined files as JSON.
pub(crate) fn undetermined(files: &[Undetermined]) -> Value {
    files.iter().map(|file| json!({ "path": path(&file.path), "message": file.reason() })).collect()
}

/// Returns a number with its noun.
pub(crate) fn count(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Writes rows in aligned columns. `right` says which columns are aligned to the right.
pub(crate) fn table(out: &mut dyn Write, right: &[bool], rows: &[Vec<String>]) -> io::Result<()> {
    table_of_width(out, right, rows, usize::MAX)
}

/// As [`table`], but words wider than `widest` do not widen their column. They should be the last ones of their rows.
pub(crate) fn table_of_width(
    out: &mut dyn Write,
    right: &[bool],
    rows: &[Vec<String>],
    widest: usize,
) -> io::Result<()> {
    aligned(right, rows, widest).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Returns rows as lines with aligned columns, as [`table_of_width`] writes them.
pub(crate) fn aligned(right: &[bool], rows: &[Vec<String>], widest: usize) -> Vec<String> {
    let words = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |column| words(column).map(|word| word.width()).filter(|width| *width <= widest).max();
    let widths: Vec<usize> = (0..right.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((word, width), right) in row.iter().zip(&widths).zip(right) {
            let gap = " ".repeat(width.saturating_sub(word.width()));
            line += &if *right { format!("{gap}{word}  ") } else { format!("{word}{gap}  ") };
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

/// Truncates a text to this display width. A truncated text ends with `...`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    const END: &str = "...";
    // Letters without a width do not make a text longer than this.
    let letters = columns.saturating_mul(4);
    let is_short = text.chars().nth(letters).is_none();
    if is_short && text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut width = 0_usize;
    for letter in text.chars().take(letters) {
        let wider = width.saturating_add(letter.width().unwrap_or(0)); // Control characters were escaped.
        if wider + END.len() > columns {
            break;
        }
        width = wider;
        cut.push(letter);
    }
    cut + END
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for path in ["/vm/a.vhdx", "a b", "it's", "$HOME", "a;b", "\"", "`x`", "ä", "*"] {
            let script = format!("printf %s {}", word(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
        assert_eq!(word(Path::new("--x")), "'./--x'");
    }

    #[test]
    fn texts_cannot_control_the_terminal_or_be_shown_backwards() {
        assert_eq!(
            harmless("a\u{1b}b\u{202e}c\u{2066}d\ne\u{fc}"),
            "a\\u{1b}b\\u{202e}c\\u{2066}d\\ne\u{fc}"
        );
    }

    #[test]
    fn quoted_paths_cannot_control_the_terminal() {
        assert_eq!(quoted(Path::new("C:\\it's\"\u{1b}[2J\u{202e}")), r#""C:\it's\"\u{1b}[2J\u{202e}""#);
    }
}

#[cfg(test)]
mod tests_of_tables {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_number_of_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc...");
        // Each of these letters takes two columns.
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語x", 6), "日...");
        assert_eq!(cut("e\u{301}abcdef", 6), "e\u{301}ab...");
        // A name may have a million letters without a width.
        let long = cut(&("e".to_owned() + &"\u{301}".repeat(1_000_000)), 6);
        assert!(long.ends_with("...") && long.chars().count() < 30, "{long}");
    }

    #[test]
    fn columns_are_aligned_as_a_terminal_shows_them() {
        let rows = [["日本", "1"], ["ab", "22"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&[false, true], &rows, usize::MAX), ["日本   1", "ab    22"]);
    }
}
