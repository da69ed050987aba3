//! The second pass over the keys: finds their parents. A key can come before its parent in the file.

use std::collections::BTreeMap;
use std::ops::Range;

use super::key::{FoundKey, Position};
use crate::limits::MAX_DEPTH;
use crate::tree::Entry;
use crate::value::Value;
use crate::warning::{Problem, Warnings};

/// Where a key is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Root,
    Key(usize),
    /// No key is at that position, or it is no node.
    Missing,
}

/// What is known about the path from the root to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Unknown,
    /// It is on the path that is being followed.
    OnPath,
    /// This number of ancestors leads to the root.
    Depth(usize),
    Unreachable,
}

/// Returns the keys that can be reached from the root, with the indices of their parents.
///
/// `keys` are sorted by offset. Every path is followed only once, so the work is linear.
pub(super) fn attach(keys: Vec<FoundKey>, warnings: &mut Warnings) -> Vec<Entry> {
    let parents = parents(&keys);
    let reach = reach(&keys, &parents, warnings);
    let mut count = 0usize;
    // The index of each key among those that are kept.
    let kept: Vec<Option<usize>> = reach
        .iter()
        .map(|reach| {
            let index = count;
            // No list has more than `usize::MAX` entries, so this does not saturate.
            matches!(reach, Reach::Depth(_)).then(|| count = count.saturating_add(1)).map(|()| index)
        })
        .collect();
    let entry = |((key, parent), own): ((FoundKey, &Parent), &Option<usize>)| {
        own.as_ref()?;
        let parent = match parent {
            Parent::Root => None,
            Parent::Key(id) => Some((*kept.get(*id)?)?),
            Parent::Missing => return None,
        };
        Some(Entry { name: key.name, parent, value: key.value, offset: key.offset, sequence: key.sequence })
    };
    keys.into_iter().zip(&parents).zip(&kept).filter_map(entry).collect()
}

fn parents(keys: &[FoundKey]) -> Vec<Parent> {
    let tables = tables(keys);
    let find = |position: Position| {
        let range = tables.get(&position.table)?;
        let of_table = keys.get(range.clone())?;
        let in_table = of_table.binary_search_by_key(&position.at, |key| key.position.at).ok()?;
        let is_node = of_table.get(in_table)?.value == Value::Node;
        is_node.then(|| range.start.checked_add(in_table))?
    };
    let parent = |key: &FoundKey| match key.parent {
        None => Parent::Root,
        Some(position) => find(position).map_or(Parent::Missing, Parent::Key),
    };
    keys.iter().map(parent).collect()
}

/// Returns which keys belong to each key table: those of one table follow each other.
fn tables(keys: &[FoundKey]) -> BTreeMap<u16, Range<usize>> {
    let mut start = 0usize;
    let of_one_table = keys.chunk_by(|a, b| a.position.table == b.position.table);
    let ranges = of_one_table.filter_map(|keys| {
        let range = start..start.checked_add(keys.len())?;
        start = range.end;
        Some((keys.first()?.position.table, range))
    });
    ranges.collect()
}

/// Returns whether each key can be reached, and reports those that cannot.
fn reach(keys: &[FoundKey], parents: &[Parent], warnings: &mut Warnings) -> Vec<Reach> {
    let mut reach = vec![Reach::Unknown; keys.len()];
    let mut below = Below::default();
    for start in 0..keys.len() {
        let mut path = Vec::new();
        let mut ancestor = follow(start, parents, &mut reach, &mut path);
        // The path leads to an ancestor, so it is resolved from its end.
        for id in path.into_iter().rev() {
            let Some(key) = keys.get(id) else { continue };
            let name = || key.name.to_string();
            let own = match ancestor {
                End::Root => Reach::Depth(0),
                End::At(Reach::Depth(depth))
                    if depth.checked_add(1).is_some_and(|depth| depth < MAX_DEPTH) =>
                {
                    Reach::Depth(depth.saturating_add(1)) // cannot saturate: below the limit
                }
                End::At(Reach::Depth(_)) => {
                    warnings.add(key.offset, Problem::Depth(name()));
                    Reach::Unreachable
                }
                End::At(_) => {
                    below.add(key.offset);
                    Reach::Unreachable
                }
                End::Missing => {
                    warnings.add(key.offset, Problem::Parent(name()));
                    Reach::Unreachable
                }
                End::Cycle => {
                    warnings.add(key.offset, Problem::Cycle(name()));
                    Reach::Unreachable
                }
            };
            if let Some(reach) = reach.get_mut(id) {
                *reach = own;
            }
            ancestor = End::At(own);
        }
    }
    below.report(warnings);
    reach
}

/// Where a path to the root ends.
enum End {
    Root,
    Missing,
    /// The last key of the path belongs to a key of the path.
    Cycle,
    /// At a key that is known already.
    At(Reach),
}

/// Follows the parents of a key up to the first key that is known, and appends the others to `path`.
fn follow(start: usize, parents: &[Parent], reach: &mut [Reach], path: &mut Vec<usize>) -> End {
    let mut id = start;
    loop {
        match reach.get_mut(id) {
            Some(unknown @ Reach::Unknown) => *unknown = Reach::OnPath,
            Some(Reach::OnPath) => return End::Cycle,
            Some(known) => return End::At(*known),
            None => return End::Missing,
        }
        path.push(id);
        match parents.get(id) {
            Some(Parent::Root) => return End::Root,
            Some(Parent::Key(parent)) => id = *parent,
            Some(Parent::Missing) | None => return End::Missing,
        }
    }
}

/// The keys that cannot be reached because of an ancestor that was reported.
#[derive(Default)]
struct Below {
    first: Option<u64>,
    count: usize,
}

impl Below {
    fn add(&mut self, offset: u64) {
        self.first.get_or_insert(offset);
        self.count = self.count.saturating_add(1); // No list of keys is that long.
    }

    fn report(self, warnings: &mut Warnings) {
        if let Some(first) = self.first {
            warnings.add(first, Problem::Descendants(self.count));
        }
    }
}
