//! Decides whether a file is the parent of another, and chooses the parent among candidates.

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

/// A file of a chain and its name in messages.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: PathBuf,
    pub(super) vhdx: Vhdx,
    /// How the file was found; `None` if the caller opened it.
    pub(super) found_by: Option<FoundBy>,
}

/// The facts about an open file that are needed to check links to later files.
#[derive(Debug)]
pub(super) struct Seen {
    name: PathBuf,
    identity: Option<FileIdentity>,
    /// The mark that the file carries.
    mark: Option<Uuid>,
}

impl Seen {
    /// Creates an entry without a file, for a mark that a descendant of the files carries.
    pub(super) fn of_mark(mark: Uuid) -> Self {
        Self { name: PathBuf::new(), identity: None, mark: Some(mark) }
    }
}

impl Layer {
    pub(super) fn seen(&self) -> Seen {
        let mark = Linkages::of(&self.vhdx).carried_mark();
        Seen { name: self.name.clone(), identity: self.vhdx.identity(), mark }
    }

    /// Returns whether this is one of the files. Names are compared if a file has no identity.
    pub(super) fn is_among(&self, seen: &[Seen]) -> bool {
        seen.iter().any(|other| match (self.vhdx.identity(), other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.name == other.name,
        })
    }
}

/// Returns why the link from `child` to `parent` is not valid; `None` if it is valid.
///
/// The rule for GUIDs is [MS-VHDX] 2.6.2.6.3. `seen` has the files of the chain from the leaf to the child.
pub(super) fn check_link(name: &Path, child: &Vhdx, parent: &Layer, seen: &[Seen]) -> Option<ChainError> {
    let expected = child.parent_locator().map(ParentLocator::linkages).unwrap_or_default();
    let found = parent.vhdx.data_write_guid();
    let is_expected = expected.contains(&found);
    let (child_size, parent_size) = (child.logical_sector_size(), parent.vhdx.logical_sector_size());
    let left = Linkages::of(child);
    let guid = child.data_write_guid();
    let (child, parent) = (name.to_owned(), parent.name.clone());
    let is_mark_missing = left
        .required_mark()
        .is_some_and(|required| !seen.iter().any(|file| file.mark.is_some_and(|mark| required.is(mark))));
    let is_complete = left.merge().is_some_and(|layer| layer.is_complete && layer.merge.guid() != found);
    // In a merge of one level, the merged disk opens without a mark. Once it was written to, it has another GUID and is
    // a disk like any other.
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

/// The result of the search for a parent.
pub(super) enum Outcome {
    /// The parent.
    Parent(Layer),
    /// The file in the place of the parent, and why it cannot be used as the parent.
    Wrong(Layer, Box<ChainError>),
    /// No usable file, and the reason.
    Nothing(Error),
}

/// Candidates that are not the parent.
#[derive(Default)]
pub(super) struct Rejected {
    /// The first candidate that opened, but has another DataWriteGuid.
    wrong: Option<(Layer, ChainError)>,
    /// Files that are in the chain already and have another DataWriteGuid.
    in_chain: Vec<PathBuf>,
    /// Candidates that could not be opened, and the errors.
    pub(super) unopened: Vec<(PathBuf, Error)>,
}

/// Finds the parent by its stored paths or, if none leads to it, by its GUID.
///
/// `seen` has the files of the chain so far, with the child.
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

/// Chooses among candidates that were found by name; `None` if none has an expected GUID.
///
/// A candidate exactly at the stored relative path is chosen at once. Otherwise the first candidate with the GUID of
/// the first linkage is chosen. The first one with the GUID of the second linkage is chosen if no candidate has the
/// first GUID, or if the candidate that has it is an old copy.
fn by_name(
    request: &ParentRequest<'_>,
    candidates: impl Iterator<Item = Candidate>,
    named: bool,
    seen: &[Seen],
    rejected: &mut Rejected,
) -> Option<Outcome> {
    let expected = request.linkages();
    let (mut by_first, mut by_second) = (None, None);
    // Without linkages no candidate can match, so none is opened.
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
            // Only GUIDs make a cycle: a stored path may lead to another disk of the same name.
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

/// Returns whether this error means that a candidate could not be read. Other errors mean that it is damaged.
fn is_unusable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Conflict
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidState
            | ErrorKind::Internal
    )
}

impl Rejected {
    /// Returns whether a file of this name could not be opened.
    pub(super) fn has_tried(&self, name: &Path) -> bool {
        self.unopened.iter().any(|(tried, _)| tried == name)
    }

    /// Returns the best reason why no parent was found, or all errors if no candidate could be read.
    ///
    /// The best reason is a file with another GUID, then a damaged file. If the caller `named` the candidates, any
    /// error is a reason.
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
