//! `vhdx info`: shows the facts about a file.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use vhdx::format::merge_guid::IncompleteMerge;
use vhdx::format::parent_locator::{
    ABSOLUTE_WIN32_PATH, PARENT_LINKAGE, PARENT_LINKAGE2, ParentLocator, RELATIVE_PATH, VOLUME_PATH, is_mark,
};
use vhdx::{FolderResolver, Guid, LogState, Vhdx};

use super::reading::Reading;
use super::several::{self, Answer};
use crate::args::Info;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::sizes::both;

pub(super) fn run(output: Output, info: &Info) -> Result<Outcome, Failure> {
    let mut reading = Reading::new(output, &[]);
    // Shared, so that the folder of several files is searched only once.
    let resolver = FolderResolver::default();
    several::run(output, &info.files, |file| one(output, info, file, &resolver, &mut reading))
}

fn one(
    output: Output,
    info: &Info,
    file: &Path,
    resolver: &FolderResolver,
    reading: &mut Reading<'_>,
) -> Result<Answer, Failure> {
    let disk = Vhdx::open(file)?;
    output.warn(file, disk.tolerated());
    let facts = Facts::of(file, &disk, info.blocks)?;
    reading.report_file(file, resolver)?;
    reading.answer_for_one(|| facts.json(file, &disk), |out| facts.text(file, &disk, out))
}

/// Facts that need another read of the file, which can fail.
pub(super) struct Facts {
    file_size: u64,
    allocated: u64,
    blocks: Option<Vec<(&'static str, u64)>>,
}

impl Facts {
    pub(super) fn of(path: &Path, disk: &Vhdx, blocks: bool) -> Result<Self, Failure> {
        let allocated = vhdx::allocated_bytes(path)
            .map_err(|error| Failure::io(format!("cannot get the size of {}", path.display()), &error))?;
        let blocks = match blocks {
            true => Some(disk.block_counts()?.into_iter().map(|(state, n)| (state.name(), n)).collect()),
            false => None,
        };
        Ok(Self { file_size: disk.file_len(), allocated, blocks })
    }

    pub(super) fn json(&self, path: &Path, disk: &Vhdx) -> Value {
        let mut json = json!({
            "path": output::path(path),
            "type": disk.disk_type().to_string(),
            "virtual_size": disk.virtual_size(),
            "file_size": self.file_size,
            "allocated": self.allocated,
            "block_size": disk.block_size(),
            "logical_sector_size": disk.logical_sector_size(),
            "physical_sector_size": disk.physical_sector_size(),
            "virtual_disk_id": disk.virtual_disk_id().map(|id| id.to_string()),
            "file_write_guid": disk.file_write_guid().to_string(),
            "data_write_guid": disk.data_write_guid().to_string(),
            "creator": disk.creator(),
            "log": log_json(disk.log()),
        });
        if let Some(blocks) = &self.blocks {
            let counts: Map<String, Value> =
                blocks.iter().map(|(name, n)| (name.to_string(), json!(n))).collect();
            json["blocks"] = counts.into();
        }
        json["parent"] = disk.parent_locator().map_or(Value::Null, parent_json);
        json
    }

    pub(super) fn text(&self, path: &Path, disk: &Vhdx, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = vec![
            ("file", output::shown(path)),
            ("type", disk.disk_type().to_string()),
            ("virtual size", both(disk.virtual_size())),
            ("file size", both(self.file_size)),
            ("allocated", both(self.allocated)),
            ("block size", both(disk.block_size())),
            (
                "sector sizes",
                format!("{} logical, {} physical", disk.logical_sector_size(), disk.physical_sector_size()),
            ),
            ("virtual disk id", disk.virtual_disk_id().map_or_else(|| "missing".into(), |id| id.to_string())),
            ("data write GUID", disk.data_write_guid().to_string()),
            ("file write GUID", disk.file_write_guid().to_string()),
            ("creator", output::harmless(disk.creator())),
            ("log", log_text(disk.log())),
        ];
        rows.extend(disk.parent_locator().map(parent_rows).unwrap_or_default());
        for (name, count) in self.blocks.iter().flatten() {
            rows.push(("blocks", format!("{count} {name}")));
        }
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![format!("{name}:"), value]).collect();
        output::table(out, &[false, false], &rows)
    }
}

fn log_json(log: LogState) -> Value {
    match log {
        LogState::Clean => json!({ "state": "clean", "entries": 0 }),
        LogState::Replayed { entries } => json!({ "state": "dirty", "entries": entries }),
    }
}

fn log_text(log: LogState) -> String {
    match log {
        LogState::Clean => "clean".to_owned(),
        LogState::Replayed { entries } => {
            format!("dirty; entries replayed in memory: {entries}; the file was not touched")
        }
    }
}

/// The JSON key, the text label and the locator key of each value of the parent locator.
const PARENT: [(&str, &str, &str); 5] = [
    ("linkage", "parent's GUID", PARENT_LINKAGE),
    ("linkage2", "or its GUID", PARENT_LINKAGE2),
    ("relative_path", "parent, relative", RELATIVE_PATH),
    ("absolute_win32_path", "parent, absolute", ABSOLUTE_WIN32_PATH),
    ("volume_path", "parent, volume", VOLUME_PATH),
];

pub(super) fn parent_json(locator: &ParentLocator) -> Value {
    PARENT.iter().map(|(key, _, name)| (key.to_string(), json!(stored(locator, name)))).collect()
}

pub(super) fn parent_rows(locator: &ParentLocator) -> Vec<(&'static str, String)> {
    let zero = Guid::nil().to_string(); // matches no parent
    let mut is_first_guid = true;
    PARENT
        .iter()
        .filter_map(|(_, field, name)| {
            let value = stored(locator, name).filter(|value| *value != zero)?;
            let field = match *name {
                PARENT_LINKAGE | PARENT_LINKAGE2 if Guid::parse_str(&value).is_ok_and(is_mark) => {
                    "mark of a merge"
                }
                PARENT_LINKAGE if Guid::parse_str(&value).is_ok_and(is_of_merge) => "parent during a merge",
                PARENT_LINKAGE | PARENT_LINKAGE2 if std::mem::take(&mut is_first_guid) => "parent's GUID",
                _ => field,
            };
            Some((field, output::harmless(&value)))
        })
        .collect()
}

/// Whether this is the GUID of a parent while a merge into it is incomplete.
fn is_of_merge(guid: Guid) -> bool {
    IncompleteMerge::from_guid(guid).is_some()
}

/// Returns a value of the locator; a GUID in lower case and without braces.
fn stored(locator: &ParentLocator, key: &str) -> Option<String> {
    let value = locator.get(key)?;
    let guid = Guid::parse_str(value).ok().filter(|_| key == PARENT_LINKAGE || key == PARENT_LINKAGE2);
    Some(guid.map_or_else(|| value.to_owned(), |guid| guid.to_string()))
}
