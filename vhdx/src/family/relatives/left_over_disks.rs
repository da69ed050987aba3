//! Finds the disks in some folders that are left over from completed merges.

use std::collections::HashMap;

use uuid::Uuid;

use super::FileFacts;
use crate::disk::mark::Linkages;
use crate::family::left_overs::{Disks, LeftOvers};

/// Finds the disks that are left over from completed merges: no other disk needs them.
///
/// It caches its results, so that checking all disks takes little longer than checking one.
pub struct LeftOverDisks<'a> {
    disks: &'a [FileFacts],
    found: LeftOvers<Indexed<'a>>,
}

impl<'a> LeftOverDisks<'a> {
    pub(super) fn new(disks: &'a [FileFacts]) -> Self {
        Self { disks, found: LeftOvers::new(Indexed::new(disks)) }
    }

    /// Returns whether a layer is left over: no disk needs it any more.
    ///
    /// A layer is left over if its parent is the target of a completed merge, and no disk that is read through the
    /// layer was changed since. A disk that is not among the searched disks is never left over.
    pub fn contains(&mut self, layer: &FileFacts) -> bool {
        layer.linkages().merge().is_some() && self.position(layer).is_some_and(|at| self.found.contains(at))
    }

    /// Returns the disks that are read through a layer, and last the layer; `None` if it is not
    /// [left over](Self::contains).
    ///
    /// Each disk comes before its parent, so they can be deleted in this order.
    pub fn with_descendants(&mut self, layer: &FileFacts) -> Option<Vec<&'a FileFacts>> {
        let at = self.position(layer)?;
        let found = self.found.with_descendants(at)?;
        Some(found.into_iter().map(|at| &self.disks[at]).collect())
    }

    fn position(&self, layer: &FileFacts) -> Option<usize> {
        self.disks.iter().position(|disk| disk.is_same_file(layer))
    }
}

/// The disks, indexed by their GUIDs and linkages. A disk is identified by its position.
struct Indexed<'a> {
    disks: &'a [FileFacts],
    /// The disks that name each GUID in one of their linkages.
    children: HashMap<Uuid, Vec<usize>>,
    guids: HashMap<Uuid, usize>,
}

impl<'a> Indexed<'a> {
    fn new(disks: &'a [FileFacts]) -> Self {
        let mut children: HashMap<Uuid, Vec<usize>> = HashMap::new();
        for (at, disk) in disks.iter().enumerate() {
            let first = disk.linkage.filter(|guid| !guid.is_nil());
            let second = disk.linkage2.filter(|guid| !guid.is_nil() && Some(*guid) != first);
            for guid in first.into_iter().chain(second) {
                children.entry(guid).or_default().push(at);
            }
        }
        let guids = disks.iter().enumerate().map(|(at, disk)| (disk.data_write_guid, at)).collect();
        Self { disks, children, guids }
    }
}

impl Disks for Indexed<'_> {
    type Id = usize;

    fn facts(&self, at: usize) -> (Uuid, Linkages) {
        (self.disks[at].data_write_guid, self.disks[at].linkages())
    }

    fn children(&self, at: usize) -> Vec<usize> {
        // A disk that no other names has no children, and no entry here.
        self.children.get(&self.disks[at].data_write_guid).map_or_else(Vec::new, Clone::clone)
    }

    fn has(&self, data_write_guid: Uuid) -> bool {
        self.guids.contains_key(&data_write_guid)
    }
}
