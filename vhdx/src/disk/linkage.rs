//! Chooses the parent of a file among candidates.

use super::by_guid;
use super::found_by::FoundBy;
use super::link_check::{Layer, Seen, check_link};
use super::mark::{self, Linkages};
use super::outcome::{Outcome, Rejected};
use super::resolver::{Candidate, Candidates, GuidSearch, ParentRequest};
use crate::error::{ChainFault, Result};
use crate::format::parent_locator::ParentLocator;

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
        let missing = ChainFault::MissingParent {
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
        let own = layer.vhdx.parent_locator().map(ParentLocator::linkages);
        let Some(outcome) = outcome_with(request, layer, seen, rejected) else { continue };
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

/// Returns the outcome if the layer is the parent, or `None` if it cannot be: the layer is then `rejected`.
fn outcome_with(
    request: &ParentRequest<'_>,
    layer: Layer,
    seen: &[Seen],
    rejected: &mut Rejected,
) -> Option<Outcome> {
    let fits = request.linkages().contains(&layer.vhdx.data_write_guid());
    if layer.is_among(seen) {
        // Only GUIDs make a cycle: a stored path may lead to another disk of the same name.
        if !fits {
            rejected.in_chain.push(layer.name);
            return None;
        }
        let cycle = ChainFault::Cycle { child: request.name.to_owned(), parent: layer.name };
        return Some(Outcome::Nothing(cycle.into()));
    }
    match check_link(request.name, request.child, &layer, seen) {
        None => Some(Outcome::Parent(layer)),
        Some(error) if fits => Some(Outcome::Wrong(layer, Box::new(error))),
        Some(error) => {
            rejected.wrong.get_or_insert((layer, error));
            None
        }
    }
}
