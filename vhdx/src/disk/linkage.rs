//! One link of a chain: whether a file is the parent of another.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::by_guid;
use super::mark::{self, Linkages};
use super::resolver::{Candidate, Candidates, FoundBy, GuidSearch, ParentRequest};
use crate::error::ChainError;
use crate::error::{Error, ErrorKind, Result};
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::storage::FileIdentity;

/// A file of a chain, and what it is called in messages.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: PathBuf,
    pub(super) vhdx: Vhdx,
    /// How it was found, unless the caller opened it.
    pub(super) found_by: Option<FoundBy>,
}

/// What tells an opened file from others.
#[derive(Debug)]
pub(super) struct Seen {
    name: PathBuf,
    identity: Option<FileIdentity>,
    /// The mark that it carries.
    mark: Option<Uuid>,
}

impl Seen {
    /// No file, but a mark that is carried by a descendant of the others.
    pub(super) fn of_mark(mark: Uuid) -> Self {
        Self { name: PathBuf::new(), identity: None, mark: Some(mark) }
    }
}

impl Layer {
    pub(super) fn seen(&self) -> Seen {
        let mark = Linkages::of(&self.vhdx).carried_mark();
        Seen { name: self.name.clone(), identity: self.vhdx.identity(), mark }
    }

    /// Whether this is one of those files. Where they have no identities, names must do.
    pub(super) fn is_among(&self, seen: &[Seen]) -> bool {
        seen.iter().any(|other| match (self.vhdx.identity(), other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.name == other.name,
        })
    }
}

/// Why `parent` is not the parent of `child`, if it is not ([MS-VHDX] 2.6.2.6.3), or not to be read below it. `above` are
/// the files of the chain as far as the child.
pub(super) fn check_link(name: &Path, child: &Vhdx, parent: &Layer, above: &[Seen]) -> Option<ChainError> {
    let expected = child.parent_locator().map(ParentLocator::linkages).unwrap_or_default();
    let found = parent.vhdx.data_write_guid();
    let is_expected = expected.contains(&found);
    let (child_size, parent_size) = (child.logical_sector_size(), parent.vhdx.logical_sector_size());
    let left = Linkages::of(child);
    let guid = child.data_write_guid();
    let (child, parent) = (name.to_owned(), parent.name.clone());
    let is_mark_missing = left
        .required_mark()
        .is_some_and(|required| !above.iter().any(|seen| seen.mark.is_some_and(|mark| required.is(mark))));
    let is_complete = left.merge().is_some_and(|layer| layer.is_complete);
    // The merged disk of one level is readable by itself; once it was changed, it is a disk like any other.
    let is_merged_disk = left.merge().is_some_and(|layer| layer.is_complete && layer.merge.is_of(guid));
    let is_layer_of_merge = left.required_mark().is_some() || is_merged_disk;
    if is_mark_missing || !is_expected && is_layer_of_merge {
        return Some(ChainError::Superseded { child, parent, is_complete });
    }
    if !is_expected {
        return Some(ChainError::Mismatch { child, parent, expected, found, damaged: Vec::new() });
    }
    (child_size != parent_size).then_some(ChainError::SectorSize { child, parent, child_size, parent_size })
}

/// What the search for a parent came to.
pub(super) enum Outcome {
    /// The parent.
    Parent(Layer),
    /// What stands in the parent's place, and why it is not the parent.
    Wrong(Layer, Box<ChainError>),
    /// Nothing to go on with.
    Nothing(Error),
}

/// Candidates that were opened in vain.
#[derive(Default)]
pub(super) struct Rejected {
    /// The first that is not the parent.
    wrong: Option<(Layer, ChainError)>,
    /// Files of the chain itself that do not have the DataWriteGuid of the parent.
    in_chain: Vec<PathBuf>,
    /// Those that could not be opened.
    pub(super) unopened: Vec<(PathBuf, Error)>,
}

/// The parent by its name; or, if no name leads to it, by its GUID. `seen` are the files of the chain so far, the child
/// among them.
pub(super) fn find_parent(
    request: &ParentRequest<'_>,
    found: Candidates,
    seen: &[Seen],
    search: impl FnOnce() -> Result<GuidSearch>,
) -> Outcome {
    let Candidates { candidates, named, looked_for, folders } = found;
    let mut rejected = Rejected::default();
    if let Some(outcome) = by_name(request, candidates, named, seen, &mut rejected) {
        return outcome;
    }
    let GuidSearch { candidates, folders: searched, unreadable } = match search() {
        Ok(search) => search,
        Err(error) => return Outcome::Nothing(error.in_file(request.name)),
    };
    if let Some(outcome) = by_guid::choose(request, candidates, seen, &mut rejected) {
        return outcome;
    }
    let in_chain = std::mem::take(&mut rejected.in_chain);
    rejected.outcome(named).unwrap_or_else(|unusable| {
        let missing = ChainError::MissingParent {
            child: request.name.to_owned(),
            expected: request.linkages(),
            names: request.stored_paths(),
            looked_for,
            folders,
            searched,
            in_chain,
            unusable,
            unreadable,
        };
        Outcome::Nothing(missing.into())
    })
}

/// The candidate that is where the child says, or else the first that has the first linkage; one that has the second only
/// if there is no other, or if that is an old copy of it.
fn by_name(
    request: &ParentRequest<'_>,
    candidates: impl Iterator<Item = Candidate>,
    named: bool,
    seen: &[Seen],
    rejected: &mut Rejected,
) -> Option<Outcome> {
    let expected = request.linkages();
    let (mut by_first, mut by_second) = (None, None);
    // A zero linkage matches nothing, so there is no use in opening anything.
    for candidate in candidates.take_while(|_| !expected.is_empty()) {
        let is_in_place = candidate.is_in_place();
        let found_by = Some(if named { FoundBy::Named } else { candidate.found_by });
        let layer = match candidate.open() {
            (name, Ok(vhdx)) => Layer { name, vhdx, found_by },
            (name, Err(error)) => {
                rejected.unopened.push((name, error));
                continue;
            }
        };
        let found = layer.vhdx.data_write_guid();
        let fits = expected.contains(&found);
        let own = layer.vhdx.parent_locator().map(ParentLocator::linkages);
        let error = check_link(request.name, request.child, &layer, seen);
        let outcome = if layer.is_among(seen) {
            // Only the GUIDs make a cycle. A stored path may lead to another disk of the same name.
            if !fits {
                rejected.in_chain.push(layer.name);
                continue;
            }
            let cycle = ChainError::Cycle { child: request.name.to_owned(), parent: layer.name };
            Outcome::Nothing(cycle.into())
        } else {
            match error {
                None => Outcome::Parent(layer),
                Some(error) if fits => Outcome::Wrong(layer, Box::new(error)),
                Some(error) => {
                    rejected.wrong.get_or_insert((layer, error));
                    continue;
                }
            }
        };
        if is_in_place || expected.len() == 1 {
            return Some(outcome);
        }
        let by = if expected.first() == Some(&found) { &mut by_first } else { &mut by_second };
        by.get_or_insert((outcome, own));
    }
    match (by_first, by_second) {
        (Some((_, first)), Some((outcome, second)))
            if mark::prefers_second(Linkages::of(request.child), first == second) =>
        {
            Some(outcome)
        }
        (Some((outcome, _)), _) | (None, Some((outcome, _))) => Some(outcome),
        (None, None) => None,
    }
}

/// Whether this is no file that could be judged, rather than a damaged one.
fn is_unusable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::InvalidArgument)
}

impl Rejected {
    /// Whether a file of that name was opened in vain.
    pub(super) fn has_tried(&self, name: &Path) -> bool {
        self.unopened.iter().any(|(tried, _)| tried == name)
    }

    /// The most telling of the reasons; or, if nothing that was found can be used, all of that. What the caller
    /// `named` is wrong in itself, whatever the reason.
    fn outcome(self, named: bool) -> std::result::Result<Outcome, Vec<(PathBuf, Error)>> {
        if let Some((layer, mut error)) = self.wrong {
            if let ChainError::Mismatch { damaged, .. } = &mut error {
                damaged.extend(self.unopened.into_iter().map(|(name, _)| name));
            }
            return Ok(Outcome::Wrong(layer, Box::new(error)));
        }
        let mut unopened = self.unopened;
        match unopened.iter().position(|(_, error)| named || !is_unusable(error)) {
            Some(telling) => Ok(Outcome::Nothing(unopened.swap_remove(telling).1)),
            None => Err(unopened),
        }
    }
}
