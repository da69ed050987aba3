//! One command over several files and folders: each answer, then the worst exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use vhdx::{Error, find_disks};

use super::source;
use crate::args::Args;
use crate::exit::{self, Outcome};
use crate::output::{self, shown};
use crate::progress::Bar;

/// What a command says about one file.
pub(super) struct Answer {
    json: Value,
    text: Vec<u8>,
    /// How the command ends for this file. An error here was found beside the answer.
    end: anyhow::Result<Outcome>,
}

impl Answer {
    /// An answer in the form that is asked for, with which the command is done.
    pub(super) fn new(
        args: &Args,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut answer = Self { json: Value::Null, text: Vec::new(), end: Ok(Outcome::Done) };
        match args.json {
            true => answer.json = json(),
            false => text(&mut answer.text)?,
        }
        Ok(answer)
    }

    /// The answer, after which the command ends so.
    pub(super) fn ending(self, end: anyhow::Result<Outcome>) -> Self {
        Self { end, ..self }
    }
}

/// How a command ended for several files.
#[derive(Default)]
struct Tally {
    /// For how many files there is a result.
    results: usize,
    /// For how many of them the command did not end with 0.
    failed: usize,
    worst: u8,
}

/// Runs `one` for each path, or for each disk below it if it is a folder. For one file the answer is that of the command;
/// for several it is `{"ok", "results"}`, and every failure is reported before the command goes on.
pub(super) fn run(
    args: &Args,
    paths: &[PathBuf],
    mut one: impl FnMut(&Path) -> anyhow::Result<Answer>,
) -> anyhow::Result<Outcome> {
    if let [path] = paths
        && !path.is_dir()
    {
        let Answer { json, text, end } = one(path)?;
        output::answer(args, || json, |out| Ok(out.write_all(&text)?))?;
        return end;
    }
    let (mut tally, mut results) = (Tally::default(), Vec::new());
    for path in paths {
        let (files, unreadable) = disks_at(args, path)?;
        for (path, error) in unreadable {
            results.push(tally.add(args, &path, Err(error.into()))?);
        }
        for file in files {
            results.push(tally.add(args, &file, one(&file))?);
        }
    }
    let json = || json!({ "ok": tally.failed == 0, "results": results });
    let count = tally.results;
    output::answer(args, json, |out| {
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        Ok(writeln!(out, "{files}, {} with violations or errors", tally.failed)?)
    })?;
    Ok(if tally.worst == 0 { Outcome::Done } else { Outcome::Reported(tally.worst) })
}

/// Folders and files that cannot be searched, and why.
type Unreadable = Vec<(PathBuf, Arc<Error>)>;

/// The files that `path` stands for. A folder without a disk is no success: it may be the wrong one, or not mounted.
fn disks_at(args: &Args, path: &Path) -> anyhow::Result<(Vec<PathBuf>, Unreadable)> {
    if !path.is_dir() {
        return Ok((vec![path.to_owned()], Vec::new()));
    }
    let found = find_disks(path, &Bar::new(args.quiet))?;
    if !found.files.is_empty() || !found.unreadable.is_empty() {
        return Ok((found.files, found.unreadable));
    }
    let reason = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no disk in this folder");
    let error = Error::Io { operation: "find a disk", offset: None, source: reason };
    Ok((Vec::new(), vec![(path.to_owned(), error.in_file(path).into())]))
}

impl Tally {
    /// Prints the answer about one file, or reports why there is none, and gives its place in the JSON.
    fn add(&mut self, args: &Args, path: &Path, result: anyhow::Result<Answer>) -> anyhow::Result<Value> {
        let (mut json, end) = match result {
            Ok(Answer { json, text, end }) => {
                let heading = format!("{}:\n", shown(path));
                let is_text = !args.json;
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
            Err(error) => (json!({}), Err(error)),
        };
        json["path"] = output::path(path);
        json["error"] = Value::Null;
        let code = match end.map_err(source::named_by_format) {
            Ok(outcome) => outcome.code(),
            Err(error) => {
                json["error"] = exit::json(&error);
                exit::report(&error, args.json)
            }
        };
        self.results += 1;
        self.failed += usize::from(code != 0);
        self.worst = self.worst.max(code);
        Ok(json)
    }
}
