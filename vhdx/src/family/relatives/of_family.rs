//! Collects the relatives of one family from a forest, so that no file is read again.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{OtherFormat, Relatives, of_lost_linkage, to_undetermined};
use crate::error::Undetermined;
use crate::family::families::Family;
use crate::family::forest::{DiskLink, Forest};
use crate::family::problem::Problem;
use crate::storage::folder_of;

/// The relatives of all families of a forest.
pub(crate) struct FamilyRelatives<'a> {
    forest: &'a Forest,
    /// The disks that name each DataWriteGuid in a linkage, and are linked to no parent.
    ///
    /// A disk that is linked to a copy in another family does not depend on this one.
    by_linkage: HashMap<Uuid, Vec<usize>>,
    undetermined: HashMap<&'a Path, Vec<Undetermined>>,
    other_formats: HashMap<&'a Path, Vec<OtherFormat>>,
}

impl<'a> FamilyRelatives<'a> {
    pub(crate) fn of(forest: &'a Forest) -> Self {
        let mut relatives = Self {
            forest,
            by_linkage: HashMap::new(),
            undetermined: HashMap::new(),
            other_formats: HashMap::new(),
        };
        for (i, disk) in forest.disks.iter().enumerate() {
            let is_linked = disk.link == DiskLink::Ok;
            for guid in disk.facts.guids_of_parent().into_iter().filter(|_| !is_linked) {
                relatives.by_linkage.entry(guid).or_default().push(i);
            }
            let lost = of_lost_linkage(&disk.facts);
            relatives.undetermined.entry(folder_of(&disk.facts.path)).or_default().extend(lost);
        }
        for problem in &forest.problems {
            let folder = folder_of(problem.path());
            if let Problem::OtherFormat { path, format } = problem {
                let other = OtherFormat { path: path.clone(), format: *format };
                relatives.other_formats.entry(folder).or_default().push(other);
            } else if let Some(undetermined) = to_undetermined(problem.clone()) {
                relatives.undetermined.entry(folder).or_default().push(undetermined);
            }
        }
        relatives
    }

    /// Returns the disks of a family, those without a parent that name one of its DataWriteGuids, and what could not be read in its
    /// folders.
    pub(crate) fn of_family(&self, family: &Family) -> Relatives {
        let disks = &self.forest.disks;
        let named =
            |disk: &usize| self.by_linkage.get(&disks[*disk].facts.data_write_guid).into_iter().flatten();
        let related: BTreeSet<usize> =
            family.disks.iter().flat_map(|disk| [disk].into_iter().chain(named(disk))).copied().collect();
        let folders: BTreeSet<&Path> =
            family.disks.iter().map(|&disk| folder_of(&disks[disk].facts.path)).collect();
        Relatives {
            folders: folders.iter().map(|folder| PathBuf::from(*folder)).collect(),
            disks: related.into_iter().map(|disk| disks[disk].facts.clone()).collect(),
            undetermined: folders
                .iter()
                .filter_map(|folder| self.undetermined.get(folder))
                .flatten()
                .cloned()
                .collect(),
            other_formats: folders
                .iter()
                .filter_map(|folder| self.other_formats.get(folder))
                .flatten()
                .cloned()
                .collect(),
        }
    }
}
