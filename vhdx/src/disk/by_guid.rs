//! Chooses the parent among files that were found by their DataWriteGuid.
//!
//! The rules are those of [`discover`](crate::discover). If each of two linkages names a file, [`mark::prefers_second`]
//! decides. If several files have the same GUID and all are proven to be copies, any of them is the parent.

use std::collections::HashSet;
use std::path::PathBuf;

use uuid::Uuid;

use super::copies;
use super::found_by::FoundBy;
use super::link_check::{Layer, Seen, check_link};
use super::mark::{self, Linkages};
use super::outcome::{Outcome, Rejected};
use super::resolver::{Candidate, ParentRequest};
use crate::error::ChainFault;
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::storage::FileIdentity;

/// The files that have the same DataWriteGuid. Only the first one stays open.
struct Holders {
    first: Layer,
    /// The names of all files.
    names: Vec<PathBuf>,
    identities: HashSet<FileIdentity>,
    /// The linkages of all files; `None` for a base.
    linkages: HashSet<Option<Vec<Uuid>>>,
    are_copies: bool,
}

impl Holders {
    fn new(first: Layer) -> Self {
        Self {
            names: vec![first.name.clone()],
            identities: first.vhdx.identity().into_iter().collect(),
            linkages: [linkages(&first.vhdx)].into(),
            are_copies: true,
            first,
        }
    }

    fn add(&mut self, other: &Layer) {
        // The same file under another name.
        if other.vhdx.identity().is_some_and(|identity| !self.identities.insert(identity)) {
            return;
        }
        self.names.push(other.name.clone());
        self.linkages.insert(linkages(&other.vhdx));
        self.are_copies = self.are_copies && copies::are_copies(&self.first.vhdx, &other.vhdx);
    }

    fn outcome(self, request: &ParentRequest<'_>, seen: &[Seen]) -> Outcome {
        if !self.are_copies {
            let guid = self.first.vhdx.data_write_guid();
            let child = request.name.to_owned();
            return Outcome::Nothing(ChainFault::AmbiguousParent { child, guid, parents: self.names }.into());
        }
        match check_link(request.name, request.child, &self.first, seen) {
            None => Outcome::Parent(self.first),
            Some(error) => Outcome::Wrong(self.first, Box::new(error)),
        }
    }
}

fn linkages(vhdx: &Vhdx) -> Option<Vec<Uuid>> {
    vhdx.parent_locator().map(ParentLocator::linkages)
}

/// Chooses the parent among the candidates; `None` if none has an expected GUID.
///
/// All candidates are opened. Each is validated like one that was found by name. `seen` has the files of the chain so
/// far.
pub(super) fn choose(
    request: &ParentRequest<'_>,
    candidates: Vec<Candidate>,
    seen: &[Seen],
    rejected: &mut Rejected,
) -> Option<Outcome> {
    let expected = request.linkages();
    let (mut by_first, mut by_second): (Option<Holders>, Option<Holders>) = (None, None);
    let mut cycle = None;
    for candidate in candidates {
        if rejected.has_tried(candidate.name()) {
            continue;
        }
        let layer = match candidate.open() {
            (name, Ok(vhdx)) => Layer { name, vhdx, found_by: Some(FoundBy::Guid) },
            (name, Err(error)) => {
                rejected.unopened.push((name, error));
                continue;
            }
        };
        // The file may have changed since the search read its header.
        let Some(linkage) = expected.iter().position(|guid| *guid == layer.vhdx.data_write_guid()) else {
            continue;
        };
        if layer.is_among(seen) {
            cycle.get_or_insert(ChainFault::Cycle { child: request.name.to_owned(), parent: layer.name });
            continue;
        }
        match if linkage == 0 { &mut by_first } else { &mut by_second } {
            Some(holders) => holders.add(&layer),
            none => *none = Some(Holders::new(layer)),
        }
    }
    let chosen = match (by_first, by_second) {
        (Some(first), Some(second)) => {
            let have_same_parent = !first.linkages.is_disjoint(&second.linkages);
            Some(if mark::prefers_second(Linkages::of(request.child), have_same_parent) {
                second
            } else {
                first
            })
        }
        (first, second) => first.or(second),
    };
    // A file of the chain that has the GUID is a cycle only if there is no other candidate.
    chosen.map(|holders| holders.outcome(request, seen)).or(cycle.map(|cycle| Outcome::Nothing(cycle.into())))
}
