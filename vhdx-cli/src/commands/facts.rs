//! Defines the facts about a disk that all reading commands report in the same way: as warnings and as JSON keys.
//!
//! Each fact is a variant of [`Fact`] with a key, a text and a JSON form. [`Reading`](super::reading::Reading) finds
//! the facts and reports them.

use std::path::PathBuf;

use serde_json::{Value, json};
use vhdx::ops::LeftOver;
use vhdx::{Rule, UnfinishedMerge};

use crate::output::{self, Output, shown};

/// A fact about a disk that the user must know, although the command can read the disk.
#[derive(Debug)]
pub(super) enum Fact {
    /// A merge into the disk was begun and may be incomplete.
    Unfinished { message: String, merges: Vec<UnfinishedMerge> },
    /// Parents that were found by GUID, because no stored path leads to them.
    FoundByGuid(Vec<Found>),
    /// A completed merge no longer needs the disk.
    LeftOver(LeftOver),
    /// BAT entries that break a tolerated rule: the content is not in doubt.
    Entries { path: PathBuf, rule: Rule, count: u64 },
    /// A file that is read although another program has it open for writing.
    Writer(PathBuf),
}

/// A parent that was found by its GUID.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) child: PathBuf,
    pub(super) parent: PathBuf,
}

/// The JSON keys of the facts. Each holds a list.
const KEYS: [&str; 5] = ["unfinished", "found_by_guid", "left_over", "bat_entries", "held_by_writer"];
/// The most parents that a warning names.
const SHOWN: usize = 4;

impl Fact {
    fn key(&self) -> &'static str {
        match self {
            Fact::Unfinished { .. } => "unfinished",
            Fact::FoundByGuid(_) => "found_by_guid",
            Fact::LeftOver(_) => "left_over",
            Fact::Entries { .. } => "bat_entries",
            Fact::Writer(_) => "held_by_writer",
        }
    }

    /// The text of the warning, without the prefix `warning:`.
    fn text(&self) -> String {
        match self {
            Fact::Unfinished { message, .. } => message.clone(),
            Fact::FoundByGuid(found) => found_by_guid(found),
            Fact::LeftOver(found) => left_over(found),
            Fact::Entries { path, rule, count } => {
                let break_a = if *count == 1 { "BAT entry breaks a" } else { "BAT entries break a" };
                let (message, section) = (rule.message(), rule.section());
                format!(
                    "{}: {count} {break_a} rule of the format: {message} ([MS-VHDX] {section}). The content of the disk \
                     is certain nevertheless",
                    shown(path)
                )
            }
            Fact::Writer(path) => format!(
                "{}: another program has the file open for writing. It is read anyway: the result may be a mix of old \
                 and new data",
                shown(path)
            ),
        }
    }

    /// The entries that the fact adds to the list at its key.
    fn json(&self) -> Value {
        match self {
            Fact::Unfinished { merges, .. } => output::unfinished(merges),
            Fact::FoundByGuid(found) => found
                .iter()
                .map(|one| json!({ "child": output::path(&one.child), "parent": output::path(&one.parent) }))
                .collect(),
            Fact::LeftOver(found) => {
                let files: Value = found.layers.iter().map(|path| output::path(path)).collect();
                json!({ "files": files, "into": found.target.as_deref().map(output::path) })
            }
            Fact::Entries { path, rule, count } => json!({
                "path": output::path(path),
                "rule": rule.name(),
                "message": rule.message(),
                "count": count,
            }),
            Fact::Writer(path) => json!([output::path(path)]),
        }
    }
}

fn found_by_guid(found: &[Found]) -> String {
    let name = |one: &Found| {
        format!("{} is the parent of {}", output::shown(&one.parent), output::shown(&one.child))
    };
    let named: Vec<String> = found.iter().take(SHOWN).map(name).collect();
    let more = match found.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "found by DataWriteGuid, because no stored path leads there: {}{more}; `vhdx reparent CHILD --parent FILE` \
         stores the path",
        named.join(", ")
    )
}

fn left_over(found: &LeftOver) -> String {
    let files: Vec<String> = found.layers.iter().map(|path| shown(path)).collect();
    let (first, all) = (files.first().map_or("the file", String::as_str), files.join(", "));
    match &found.target {
        Some(target) => format!(
            "{first} is left over from a completed merge into {0}: {0} has all its data. If no virtual machine uses \
             these files, delete only these, in this order: {all}. Do not delete {0}",
            shown(target)
        ),
        None => format!(
            "{first} is left over from a completed merge, but the merge target was not found, was changed since, or \
             was replaced by another file; {}",
            delete_if_target_is_known(&all)
        ),
    }
}

/// Returns what to do with the files of a completed merge whose target is not known.
///
/// That the target opens proves nothing: an older copy from a backup opens, too.
pub(super) fn delete_if_target_is_known(files: &str) -> String {
    format!(
        "find the merge target first. Keep these files: they may be the only copy of their data. Delete them only if all \
         three are true: the target opens (`vhdx check TARGET --chain`), it is not an older copy from a backup, and no \
         virtual machine uses these files. Then delete only these, in this order: {files}. Do not delete the target"
    )
}

/// The facts that a command has reported so far.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    /// Prints a fact as a warning and keeps it for the JSON. A fact that was reported before is skipped, because two
    /// sources can be the same file.
    pub(super) fn report(&mut self, output: Output, fact: Fact) {
        if self.0.iter().any(|known| known.key() == fact.key() && known.json() == fact.json()) {
            return;
        }
        output.warning(&fact.text());
        self.0.push(fact);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a merge into the disk was begun and may be incomplete.
    pub(super) fn has_unfinished(&self) -> bool {
        self.0.iter().any(|fact| matches!(fact, Fact::Unfinished { .. }))
    }

    /// Adds a list at each key to the answer. A list without facts is empty.
    pub(super) fn in_json(&self, mut answer: Value) -> Value {
        for key in KEYS {
            let facts = self.0.iter().filter(|fact| fact.key() == key);
            let values = facts.flat_map(|fact| match fact.json() {
                Value::Array(values) => values,
                value => vec![value],
            });
            answer[key] = values.collect();
        }
        answer
    }

    /// The facts without an answer.
    pub(super) fn json(&self) -> Value {
        self.in_json(json!({}))
    }
}
