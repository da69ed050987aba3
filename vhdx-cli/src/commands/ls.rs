//! `vhdx ls`: lists files in a disk.

use std::time::SystemTime;

use serde_json::{Value, json};
use vhdx_contents::Error;
use vhdx_contents::files::{Attributes, FileSystem, Kind, Node};

use super::date::{unix_seconds, utc};
use super::files::{self, Tree, shown, word};
use super::reading::Reading;
use crate::args::{Location, Ls};
use crate::exit::{self, Failure, Outcome};
use crate::output::{self, Output};

/// A file in the answer.
struct Row {
    name: Vec<u8>,
    path: Vec<u8>,
    attributes: Option<Attributes>,
    target: Option<Vec<u8>>,
}

pub(super) fn run(output: Output, ask: &Ls) -> Result<Outcome, Failure> {
    let mut reading =
        Reading::new(output, &ask.volume.parents.parent_dir).on_writer(ask.volume.share.on_writer());
    let disk = files::open(&mut reading, &ask.file, &ask.volume)?;
    let fs = disk.file_system(&ask.file, output)?;
    let location = Location { file: ask.file.clone(), path: ask.path.clone() };
    let place = files::find(&*fs, &location)?;
    let mut lister =
        Lister { fs: &*fs, output, location: &location, tree: Tree::default(), rows: Vec::new(), worst: 0 };
    match place.name {
        Some(name) if place.attributes.kind != Kind::Folder => {
            lister.add(place.node, name.clone(), name);
        }
        _ => lister.list(place.node, &[], ask.recursive, 0),
    }
    let Lister { rows, worst, .. } = lister;
    disk.ensure_unchanged()?;
    output.answer(
        || rows.iter().map(|row| row.json(ask.recursive)).collect(),
        |out| {
            let lines: Vec<Vec<String>> = rows.iter().map(|row| row.words(ask.recursive)).collect();
            output::table(out, &[false, true, false, false], &lines)
        },
    )?;
    // The JSON on stdout is a list of files, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(if worst == 0 { Outcome::Done } else { Outcome::Reported(worst) })
}

/// Collects the files.
struct Lister<'a> {
    fs: &'a dyn FileSystem,
    output: Output,
    location: &'a Location,
    tree: Tree,
    rows: Vec<Row>,
    /// The largest exit code of the errors so far.
    worst: u8,
}

impl Lister<'_> {
    fn list(&mut self, folder: Node, path: &[u8], is_recursive: bool, depth: usize) {
        let (entries, listed) = self.tree.entries(self.fs, folder, depth);
        for entry in entries {
            let path = if path.is_empty() { entry.name.clone() } else { [path, b"/", &entry.name].concat() };
            let is_folder = self.add(entry.node, entry.name, path.clone()) == Some(Kind::Folder);
            if is_folder && is_recursive {
                self.list(entry.node, &path, true, depth + 1);
            }
        }
        if let Err(error) = listed {
            self.report(error, path);
        }
    }

    /// Adds a file to the answer, and returns its kind.
    fn add(&mut self, node: Node, name: Vec<u8>, path: Vec<u8>) -> Option<Kind> {
        let attributes = match self.fs.attributes(node) {
            Ok(attributes) => Some(attributes),
            Err(error) => {
                self.report(error, &path);
                None
            }
        };
        let kind = attributes.as_ref().map(|attributes| attributes.kind);
        let target = match kind.filter(|kind| *kind == Kind::Link).map(|_| self.fs.link_target(node)) {
            Some(Ok(target)) => Some(target),
            Some(Err(error)) => {
                self.report(error, &path);
                None
            }
            None => None,
        };
        self.rows.push(Row { name, path, attributes, target });
        kind
    }

    /// Reports an error about one file or folder. The others are still listed.
    fn report(&mut self, error: Error, path: &[u8]) {
        let folder = files::place(self.location);
        let name = if path.is_empty() {
            folder
        } else {
            format!("{}/{}", folder.trim_end_matches('/'), shown(path))
        };
        self.worst = self.worst.max(exit::report(&files::failure(error, &name), self.output.json));
    }
}

impl Row {
    fn kind(&self) -> &'static str {
        self.attributes.as_ref().map_or("unknown", |attributes| word(attributes.kind))
    }

    fn modified(&self) -> Option<SystemTime> {
        self.attributes.as_ref()?.modified
    }

    fn json(&self, is_recursive: bool) -> Value {
        let lossy = |name: &[u8]| Value::from(String::from_utf8_lossy(name));
        let mut json = json!({
            "name": lossy(&self.name),
            "type": self.kind(),
            "size": self.attributes.as_ref().map(|attributes| attributes.size),
            "modified": self.modified().and_then(unix_seconds),
        });
        if let Some(target) = &self.target {
            json["target"] = lossy(target);
        }
        if is_recursive {
            json["path"] = lossy(&self.path);
        }
        json
    }

    fn words(&self, is_recursive: bool) -> Vec<String> {
        let size = match &self.attributes {
            Some(Attributes { kind: Kind::Folder, .. }) | None => String::new(),
            Some(attributes) => attributes.size.to_string(),
        };
        let name = shown(if is_recursive { &self.path } else { &self.name });
        let name = match &self.target {
            Some(target) => format!("{name} -> {}", shown(target)),
            None => name,
        };
        vec![self.kind().to_owned(), size, self.modified().map(utc).unwrap_or_default(), name]
    }
}
