//! Finds the parents of disks as a forest has linked them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::disk::{Candidate, Candidates, ParentRequest, ParentResolver};
use crate::error::Result;
use crate::family::Forest;

/// The parent of each disk, by their paths. Whether it still is the parent, its GUID says.
#[derive(Clone, Debug, Default)]
pub(super) struct RelatedParents(HashMap<PathBuf, PathBuf>);

impl RelatedParents {
    pub(super) fn of(forest: &Forest) -> Self {
        let link = |disk: &crate::family::DiscoveredDisk| {
            let parent = forest.disks.get(disk.parent?)?;
            Some((disk.facts.path.clone(), parent.facts.path.clone()))
        };
        Self(forest.disks.iter().filter_map(link).collect())
    }

    /// Records that a disk has a new parent.
    pub(super) fn relink(&mut self, child: &Path, parent: &Path) {
        self.0.insert(child.to_owned(), parent.to_owned());
    }
}

impl ParentResolver for RelatedParents {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        let parent = self.0.get(request.name).map(|path| Candidate::file(path.clone()));
        Ok(parent.into_iter().collect::<Vec<_>>().into())
    }
}
