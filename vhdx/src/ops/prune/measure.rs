//! Counts what a merge copies, takes and frees.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::order::{Use, Uses};
use crate::error::{Bounded, Result};
use crate::ops::merge::{FileState, MergeFiles, MergePlan};

/// What a merge with deletion copies, takes and frees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) bytes_to_copy: u64,
    pub(super) bytes_taken: u64,
    pub(super) bytes_freed: u64,
    /// What happens on each file system.
    pub(super) uses: Uses,
    /// A file of the merge on each file system.
    pub(super) places: BTreeMap<Option<u64>, PathBuf>,
}

impl Measure {
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the host does not tell the free space or the size of a file.
    pub(super) fn of(plan: &MergePlan, files: &dyn MergeFiles) -> Result<Self> {
        let mut uses = Uses::new();
        let mut places = BTreeMap::new();
        for need in plan.volume_needs(files)? {
            places.insert(need.volume, need.path.to_owned());
            uses.insert(need.volume, Use { needed: need.bytes, ..Use::default() });
        }
        let [merged @ .., target] = plan.layers() else { return Ok(Self::default()) };
        let volume = |layer: &FileState| layer.identity.map(|identity| identity.volume());
        uses.entry(volume(target)).or_default().taken = plan.growth_bytes();
        places.extend(plan.layers().iter().map(|layer| (volume(layer), layer.path.clone())));
        let mut bytes_freed = 0;
        for layer in merged {
            let freed = files.bytes_freed_by_deletion(&layer.path)?;
            bytes_freed = freed.plus(bytes_freed)?;
            let on_volume = uses.entry(volume(layer)).or_default();
            on_volume.freed = on_volume.freed.plus(freed)?;
        }
        Ok(Self {
            bytes_to_copy: plan.bytes_to_copy(),
            bytes_taken: plan.growth_bytes(),
            bytes_freed,
            uses,
            places,
        })
    }
}
