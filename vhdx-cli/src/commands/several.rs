//! Runs a command for several files and folders: prints each answer, and returns the largest exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use vhdx::{Error, find_disks};

use super::source;
use crate::exit::{self, Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::remote;

/// The most disks of a prefix, with all prefixes inside it, that a command reads.
pub(super) const MAX_REMOTE_DISKS: usize = 10_000;

/// The answer of a command about one file.
pub(super) struct Answer {
    json: Value,
    text: Vec<u8>,
    /// How the command ends for this file. A file with an answer can still fail.
    end: Result<Outcome, Failure>,
}

impl Answer {
    /// Makes a successful answer, as JSON or as text.
    pub(super) fn new(
        output: Output,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Self, Failure> {
        let mut answer = Self { json: Value::Null, text: Vec::new(), end: Ok(Outcome::Done) };
        match output.json {
            true => answer.json = json(),
            false => text(&mut answer.text)?,
        }
        Ok(answer)
    }

    /// Sets how the command ends after this answer.
    pub(super) fn ending(self, end: Result<Outcome, Failure>) -> Self {
        Self { end, ..self }
    }
}

/// The results of a command for several files.
#[derive(Default)]
struct Tally {
    /// The number of files.
    results: usize,
    /// The number of files with an exit code other than 0.
    failed: usize,
    /// The largest exit code.
    worst: u8,
}

/// Runs `one` for each file, and for each disk in a folder and its subfolders.
///
/// For a single file, the answer is the command's. For several files, the JSON is `{"ok", "results"}`, and each failure
/// is reported immediately.
pub(super) fn run(
    output: Output,
    paths: &[PathBuf],
    mut one: impl FnMut(&Path) -> Result<Answer, Failure>,
) -> Result<Outcome, Failure> {
    if let [path] = paths
        && !is_folder(path)
    {
        let Answer { json, text, end } = one(path)?;
        output.answer(|| json, |out| out.write_all(&text))?;
        return end;
    }
    let (mut tally, mut results) = (Tally::default(), Vec::new());
    for path in paths {
        let (files, unreadable) = disks_at(output, path)?;
        for (path, error) in unreadable {
            results.push(tally.add(output, &path, Err((&*error).into()))?);
        }
        for file in files {
            results.push(tally.add(output, &file, one(&file))?);
        }
    }
    let json = || json!({ "ok": tally.failed == 0, "results": results });
    let count = tally.results;
    output.answer(json, |out| {
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        writeln!(out, "{files}, {} with errors", tally.failed)
    })?;
    Ok(if tally.worst == 0 { Outcome::Done } else { Outcome::Reported(tally.worst) })
}

/// Folders and files that cannot be searched, each with the error.
type Unreadable = Vec<(PathBuf, Arc<Error>)>;

/// Returns the files that `path` stands for. A folder without disks is an error: it may be the wrong folder, or not
/// mounted.
fn disks_at(output: Output, path: &Path) -> Result<(Vec<PathBuf>, Unreadable), Failure> {
    if !is_folder(path) {
        return Ok((vec![path.to_owned()], Vec::new()));
    }
    if remote::is_prefix(path) {
        let found = remote::names_in(path, MAX_REMOTE_DISKS);
        let found = found.map_err(|error| Error::io("search", None, error).in_file(path))?;
        return match found.is_empty() {
            false => Ok((found, Vec::new())),
            true => Ok((Vec::new(), vec![(path.to_owned(), no_disk(path).into())])),
        };
    }
    let found = find_disks(path, &Bar::new(output.quiet))?;
    if !found.files.is_empty() || !found.unreadable.is_empty() {
        return Ok((found.files, found.unreadable));
    }
    Ok((Vec::new(), vec![(path.to_owned(), no_disk(path).into())]))
}

fn no_disk(folder: &Path) -> Error {
    let reason = io::Error::new(io::ErrorKind::NotFound, "there is no disk in this folder");
    Error::io("find a disk", None, reason).in_file(folder)
}

/// Whether a path stands for all disks in it: it is a folder, or a URL that ends with a slash.
pub(super) fn is_folder(path: &Path) -> bool {
    if remote::is_url(path) { remote::is_prefix(path) } else { path.is_dir() }
}

impl Tally {
    /// Prints the answer about one file, or reports its error, and returns the entry for the JSON.
    fn add(
        &mut self,
        output: Output,
        path: &Path,
        result: Result<Answer, Failure>,
    ) -> Result<Value, Failure> {
        let (mut json, end) = match result {
            Ok(Answer { json, text, end }) => {
                let heading = format!("{}:\n", shown(path));
                let is_text = !output.json;
                output::write(|out| {
                    if is_text {
                        out.write_all(heading.as_bytes())?;
                        out.write_all(&text)?;
                        writeln!(out)?;
                    }
                    Ok(())
                })?;
                (json, end)
            }
            Err(failure) => (json!({}), Err(failure)),
        };
        json["path"] = output::path(path);
        json["error"] = Value::Null;
        let code = match end.map_err(source::named_by_format) {
            Ok(outcome) => outcome.code(),
            Err(failure) => {
                json["error"] = failure.json();
                exit::report(&failure, output.json)
            }
        };
        self.results += 1;
        self.failed += usize::from(code != 0);
        self.worst = self.worst.max(code);
        Ok(json)
    }
}
