//! The volumes that hold the disks, and their free space.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::family::Forest;
use crate::progress::Progress;
use crate::storage::{folder_of, volume_space};

/// A volume of the host that holds disks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Volume {
    /// The folder of the first disk on it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The bytes that this user may still allocate, if known.
    pub free: Option<u64>,
    /// The size in bytes, if known.
    pub size: Option<u64>,
    /// The number of disks on it.
    pub disks: usize,
}

/// Returns the volumes of the disks, each once.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn of(forest: &Forest, progress: &dyn Progress) -> Result<Vec<Volume>> {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut known: HashMap<Place<'_>, usize> = HashMap::new();
    for disk in &forest.disks {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let folder = folder_of(&disk.facts.path);
        let place = disk.facts.identity.map_or(Place::Folder(folder), |file| Place::Volume(file.volume()));
        let number = *known.entry(place).or_insert_with(|| {
            volumes.push(look(folder));
            volumes.len() - 1
        });
        volumes[number].disks += 1;
    }
    Ok(volumes)
}

/// Tells volumes apart: by their number, or by a folder on them if a file has no identity.
#[derive(PartialEq, Eq, Hash)]
enum Place<'a> {
    Volume(u64),
    Folder(&'a Path),
}

/// Returns the volume of a folder. Its space is not known if the folder was deleted in the meantime.
fn look(folder: &Path) -> Volume {
    let space = volume_space(folder).ok().flatten();
    Volume {
        path: folder.to_owned(),
        free: space.map(|space| space.free),
        size: space.map(|space| space.size),
        disks: 0,
    }
}
