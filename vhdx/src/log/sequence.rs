//! Finds the active sequence of the log among all its entries ([MS-VHDX] 2.3.2).
//!
//! The log also contains stale entries with the right GUID. Applying them would undo later writes.
//!
//! A sequence is a run of adjacent entries whose numbers have no gap. It begins at the tail that its last entry, the
//! head, names. The active sequence is the one whose head has the highest sequence number.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::entry::Entry;
use super::ring::{Ring, SECTOR};
use crate::error::{Bounded, Result};
use crate::rules::Rule;
use crate::violation::{Structure, Violation, Violations};

/// The maximum number of invalid entries that are reported if the log has no valid sequence.
const REPORTED: usize = 16;

/// The active sequence of a log.
pub(super) struct Active {
    /// The entries, tail first; never empty.
    pub(super) entries: Vec<Entry>,
    /// The highest sequence number of any valid entry in the log. It exceeds that of the head if entries follow a torn
    /// one.
    pub(super) highest: u64,
}

/// Returns the active sequence. If there is none, reports the reasons and returns `None`.
pub(super) fn active(ring: &Ring<'_>, log_guid: Uuid, violations: &mut Violations) -> Result<Option<Active>> {
    let mut entries = BTreeMap::new();
    let mut rejected = Vec::new();
    let mut at = 0;
    while at < ring.len() {
        match Entry::read(ring, at, log_guid)? {
            Ok(entry) => drop(entries.insert(at, entry)),
            Err(violation) => {
                let is_of_this_log = !matches!(violation.rule, Rule::LogEntrySignature | Rule::LogEntryGuid);
                if is_of_this_log && rejected.len() < REPORTED {
                    rejected.push(violation);
                }
            }
        }
        at = at.plus(SECTOR)?;
    }
    // Sequence numbers are greater than 0, so 0 stands for no entry.
    let highest = entries.values().map(|entry| entry.header.sequence_number).fold(0, u64::max);
    let active = choose(ring, &entries)?.map(|entries| Active { entries, highest });
    if active.is_none() {
        let none = Violation::new(Structure::Log, ring.file_offset(0), Rule::LogNoActiveSequence);
        violations.report(none);
        rejected.into_iter().for_each(|violation| violations.report(violation));
    }
    Ok(active)
}

/// Returns the active sequence among the valid entries, which are keyed by their positions.
///
/// Valid entries never overlap, so each has at most one predecessor and belongs to one run. Each entry is numbered once
/// with its run and its rank in it, so all candidates for the head are tested in linear time.
fn choose(ring: &Ring<'_>, entries: &BTreeMap<u64, Entry>) -> Result<Option<Vec<Entry>>> {
    let next = |entry: &Entry| -> Result<Option<&Entry>> {
        let at = ring.advance(entry.at, u64::from(entry.header.entry_length))?;
        let expected = entry.header.sequence_number.checked_add(1);
        let follower = entries.get(&at);
        Ok(follower.filter(|follower| Some(follower.header.sequence_number) == expected))
    };
    let mut by_sequence: Vec<&Entry> = entries.values().collect();
    by_sequence.sort_by_key(|entry| entry.header.sequence_number);

    let mut run_of: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for entry in &by_sequence {
        let (run, rank) = *run_of.entry(entry.at).or_insert((entry.at, 0));
        if let Some(follower) = next(entry)? {
            run_of.insert(follower.at, (run, rank.plus(1)?));
        }
    }
    let is_head = |entry: &&&Entry| {
        let tail = run_of.get(&u64::from(entry.header.tail));
        let own = run_of.get(&entry.at);
        matches!((tail, own), (Some(tail), Some(own)) if tail.0 == own.0 && tail.1 <= own.1)
    };
    let Some(head) = by_sequence.iter().rev().find(is_head) else { return Ok(None) };
    let mut sequence = Vec::new();
    let mut entry = entries.get(&u64::from(head.header.tail));
    while let Some(found) = entry {
        sequence.push(found.clone());
        if found.at == head.at {
            return Ok(Some(sequence));
        }
        entry = next(found)?;
    }
    Ok(None)
}
