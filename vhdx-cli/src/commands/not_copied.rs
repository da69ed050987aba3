//! Reports the parts of the sources that a new disk does not get, and stale files of an older disk with its name.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::Chain;
use vhdx::ops::{Dropped, DroppedPart};

use crate::output::{self, shown};

pub(super) struct NotCopied<'a> {
    parts: Vec<Part<'a>>,
    stale: Vec<PathBuf>,
}

/// A part of a source that the new file does not get.
struct Part<'a> {
    path: &'a Path,
    what: &'static str,
    id: String,
}

impl<'a> NotCopied<'a> {
    /// The report for a new VHDX made of `chain`, of whose files the parts `dropped` are not copied.
    pub(super) fn of(chain: &'a Chain, dropped: &[Dropped], new: &Path) -> Self {
        let part = |dropped: &Dropped| {
            let path = chain.layers().get(dropped.layer)?.path()?;
            let (what, id) = match dropped.part {
                DroppedPart::Region(id) => ("region", id),
                DroppedPart::MetadataItem { id, is_user: true } => ("user metadata item", id),
                DroppedPart::MetadataItem { id, is_user: false } => ("metadata item", id),
            };
            Some(Part { path, what, id: id.to_string() })
        };
        Self { parts: dropped.iter().filter_map(part).collect(), ..Self::beside(new) }
    }

    /// The report for a new file that drops no part of a source.
    pub(super) fn beside(new: &Path) -> Self {
        Self { parts: Vec::new(), stale: side_files(new) }
    }

    pub(super) fn dropped_json(&self) -> Value {
        let json =
            |part: &Part<'_>| json!({ "path": output::path(part.path), "part": part.what, "id": part.id });
        self.parts.iter().map(json).collect()
    }

    pub(super) fn stale_json(&self) -> Value {
        self.stale.iter().map(|path| output::path(path)).collect()
    }

    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Part { path, what, id } in &self.parts {
            writeln!(out, "not copied: {what} {id} of {}", shown(path))?;
        }
        for path in &self.stale {
            writeln!(
                out,
                "stale: {} is Hyper-V's change tracking of an older disk with this name; delete it or move it away",
                shown(path)
            )?;
        }
        Ok(())
    }
}

/// Returns the existing files of Hyper-V's change tracking beside a disk.
pub(super) fn side_files(disk: &Path) -> Vec<PathBuf> {
    let side_file = |extension: &str| {
        let mut name = OsString::from(disk);
        name.push(extension);
        PathBuf::from(name)
    };
    [".rct", ".mrt"].into_iter().map(side_file).filter(|path| path.exists()).collect()
}
