//! `vhdx info`: shows the facts about a file.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use vhdx::{Guid, LogState, OnWriter, ParentLocator, Vhdx};
use vhdx_contents::Contents;

use super::contents;
use super::reading::Reading;
use super::several::{self, Answer};
use crate::args::Info;
use crate::disks::{self, Resolver};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::remote;
use crate::sizes::both;

pub(super) fn run(output: Output, info: &Info) -> Result<Outcome, Failure> {
    let parents = &info.parents;
    let names_parents = !parents.parent.is_empty() || !parents.parent_dir.is_empty();
    if names_parents && !info.contents {
        return Err(Failure::usage(
            "--parent and --parent-dir find the parents of a disk, which only --contents reads: add --contents",
        ));
    }
    let is_one_file = matches!(&info.files[..], [file] if !several::is_folder(file));
    if !is_one_file && !parents.parent.is_empty() {
        return Err(Failure::usage("--parent names the parents of one FILE: run the command for each file"));
    }
    let mut reading = Reading::new(output, &parents.parent_dir).on_writer(OnWriter::ReadAnyway);
    several::run(output, &info.files, |file| one(output, info, file, &mut reading))
}

fn one(output: Output, info: &Info, file: &Path, reading: &mut Reading<'_>) -> Result<Answer, Failure> {
    let disk = disks::open(file)?;
    output.warn(file, disk.tolerated());
    let facts = Facts::of(file, &disk, info.blocks)?;
    let resolver = info.parents.resolver_of(file);
    if !info.contents {
        reading.report_file(file, &resolver)?;
        return reading.answer_for_one(|| facts.json(file, &disk), |out| facts.text(file, &disk, out));
    }
    let (contents, end) = match contents_of(file, &resolver, reading) {
        Ok(contents) => (Some(contents), Ok(Outcome::Done)),
        Err(failure) => {
            reading.report_file(file, &resolver)?;
            (None, Err(failure))
        }
    };
    let json = || {
        let mut json = facts.json(file, &disk);
        json["contents"] = contents.as_ref().map_or(Value::Null, contents::json);
        json
    };
    let answer = reading.answer_for_one(json, |out| {
        facts.text(file, &disk, out)?;
        contents.iter().try_for_each(|contents| contents::write(contents, out))
    })?;
    Ok(answer.ending(end))
}

/// Returns what the disk contains, as its file and all its parents say.
fn contents_of(file: &Path, resolver: &Resolver, reading: &mut Reading<'_>) -> Result<Contents, Failure> {
    let chain = reading.lock_chain(file, resolver)?;
    reading.report_chain(file, &chain)?;
    let contents = contents::of_disk(&chain)?;
    chain.ensure_unchanged()?;
    Ok(contents)
}

/// Facts that need another read of the file, which can fail.
pub(super) struct Facts {
    file_size: u64,
    /// `None` for a file on a server.
    allocated: Option<u64>,
    blocks: Option<Vec<(&'static str, u64)>>,
}

impl Facts {
    pub(super) fn of(path: &Path, disk: &Vhdx, blocks: bool) -> Result<Self, Failure> {
        let cannot = |error| Failure::io(format!("cannot get the size of {}", path.display()), &error);
        let allocated = match remote::is_url(path) {
            true => None,
            false => Some(vhdx::allocated_bytes(path).map_err(cannot)?),
        };
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
            ("allocated", self.allocated.map_or_else(|| "not known".to_owned(), both)),
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
        LogState::Dirty { entries } => json!({ "state": "dirty", "entries": entries }),
    }
}

fn log_text(log: LogState) -> String {
    match log {
        LogState::Clean => "clean".to_owned(),
        LogState::Dirty { entries } => {
            format!("dirty; entries replayed in memory: {entries}; the file was not touched")
        }
    }
}

/// The text label and the key of each path in the parent locator. JSON uses the same key.
const PATHS: [(&str, &str); 3] = [
    ("parent, relative", "relative_path"),
    ("parent, absolute", "absolute_win32_path"),
    ("parent, volume", "volume_path"),
];

pub(super) fn parent_json(locator: &ParentLocator) -> Value {
    let guid = |guid: Option<Guid>| guid.map(|guid| guid.to_string());
    let mut json = json!({
        "linkage": guid(locator.parent_linkage()),
        "linkage2": guid(locator.parent_linkage2()),
    });
    for (_, key) in PATHS {
        json[key] = locator.get(key).into();
    }
    json
}

pub(super) fn parent_rows(locator: &ParentLocator) -> Vec<(&'static str, String)> {
    let is_of_merge = locator.names_incomplete_merge();
    let linkages = [(locator.parent_linkage(), is_of_merge), (locator.parent_linkage2(), false)];
    // Zero matches no parent.
    let linkages = linkages.into_iter().filter_map(|(guid, is_of_merge)| Some((guid?, is_of_merge)));
    let mut rows = Vec::new();
    let mut is_first_guid = true;
    for (guid, is_of_merge) in linkages.filter(|(guid, _)| !guid.is_nil()) {
        let label = match is_of_merge {
            _ if ParentLocator::is_mark(guid) => "mark of a merge",
            true => "parent during a merge",
            false if std::mem::take(&mut is_first_guid) => "parent's GUID",
            false => "or its GUID",
        };
        rows.push((label, guid.to_string()));
    }
    let path = |(label, key)| Some((label, output::harmless(locator.get(key)?)));
    rows.extend(PATHS.into_iter().filter_map(path));
    rows
}
