use super::*;
use crate::disk::mark::random;

const MERGED: Uuid = Uuid::from_u128(7);

fn linkages(first: Uuid, second: Uuid) -> Linkages {
    Linkages { first: Some(first), second: Some(second) }
}

/// Disks as (DataWriteGuid, linkages, position of the parent), the target's child first.
struct Listed<'a>(&'a [(Uuid, Linkages, usize)]);

impl Disks for Listed<'_> {
    type Id = usize;

    fn facts(&self, at: usize) -> (Uuid, Linkages) {
        (self.0[at].0, self.0[at].1)
    }

    fn children(&self, at: usize) -> Vec<usize> {
        (1..self.0.len()).filter(|&child| self.0[child].2 == at && child != at).collect()
    }

    fn has(&self, guid: Uuid) -> bool {
        self.0.iter().any(|disk| disk.0 == guid)
    }
}

fn is_unneeded(disks: &[(Uuid, Linkages, usize)]) -> bool {
    LeftOvers::new(Listed(disks)).contains(0)
}

#[test]
fn a_merged_disk_is_left_over_until_it_is_used() {
    let merge = MergeId::new(None, MERGED);
    let complete = linkages(merge.guid(), merge.complete_guid());
    let child = (Uuid::from_u128(9), linkages(MERGED, Uuid::nil()), 0);
    assert!(is_unneeded(&[(MERGED, complete, 0)]));
    assert!(!is_unneeded(&[(Uuid::from_u128(8), complete, 0)]), "written since");
    assert!(!is_unneeded(&[(MERGED, complete, 0), child]), "it has a child");
    assert!(!is_unneeded(&[(MERGED, linkages(merge.guid(), Uuid::from_u128(1)), 0)]), "incomplete");
    assert!(!is_unneeded(&[(MERGED, linkages(Uuid::from_u128(1), Uuid::nil()), 0)]), "no layer of a merge");
}

#[test]
fn several_layers_are_left_over_until_the_merged_disk_is_used() {
    let mark = random();
    let merge = MergeId::new(Some(mark), MERGED);
    let [low, mid] = [20, 21].map(Uuid::from_u128);
    let lowest = (low, linkages(merge.guid(), merge.complete_guid()), 0);
    let middle = (mid, linkages(low, Uuid::nil()), 0);
    let merged = (MERGED, linkages(mid, mark), 1);
    let used = (Uuid::from_u128(8), linkages(mid, mark), 1);
    let child = |parent| (Uuid::from_u128(9), linkages(MERGED, Uuid::nil()), parent);
    assert!(is_unneeded(&[lowest]), "all others are deleted");
    assert!(is_unneeded(&[lowest, middle, merged]));
    assert!(is_unneeded(&[lowest, middle, merged, merged]), "a copy of the merged disk");
    assert!(!is_unneeded(&[lowest, middle, used]), "written since");
    assert!(!is_unneeded(&[lowest, middle, merged, used]), "a copy was written since");
    assert!(!is_unneeded(&[lowest, middle, merged, child(2)]), "the merged disk has a child");
    assert!(!is_unneeded(&[lowest, middle, merged, child(1)]), "a layer has another child");
    assert!(!is_unneeded(&[lowest, middle]), "the merged disk is not here");
    let unmarked = (MERGED, linkages(mid, Uuid::nil()), 1);
    assert!(!is_unneeded(&[lowest, middle, unmarked]));
}

#[test]
fn children_that_are_left_over_do_not_count() {
    let (mark, other) = (random(), Uuid::from_u128(30));
    let [low, later, changed] = [20, 31, 32].map(Uuid::from_u128);
    let (merge, earlier) = (MergeId::new(Some(mark), MERGED), MergeId::new(None, other));
    let lowest = (low, linkages(merge.guid(), merge.complete_guid()), 0);
    let merged = (MERGED, linkages(low, mark), 0);
    // A disk that was merged into the merged disk before.
    let left = (other, linkages(earlier.guid(), earlier.complete_guid()), 1);
    assert!(is_unneeded(&[lowest, merged, left]));
    assert!(!is_unneeded(&[lowest, merged, (changed, left.1, 1)]), "written since");
    assert!(
        !is_unneeded(&[lowest, merged, left, (later, linkages(other, Uuid::nil()), 2)]),
        "it has a child"
    );
    let incomplete = linkages(earlier.guid(), Uuid::from_u128(1));
    assert!(!is_unneeded(&[lowest, merged, (other, incomplete, 1)]), "incomplete");

    let single = MergeId::new(None, MERGED);
    let layer = (MERGED, linkages(single.guid(), single.complete_guid()), 0);
    assert!(is_unneeded(&[layer, (other, left.1, 0)]));
    assert!(!is_unneeded(&[layer, (changed, left.1, 0)]));
}

#[test]
fn a_relinked_child_needs_the_layer_if_the_target_is_not_here() {
    let single = MergeId::new(None, MERGED);
    let lowest = (MERGED, linkages(single.guid(), single.complete_guid()), 0);
    let child = (Uuid::from_u128(9), linkages(single.complete_guid(), MERGED), 0);
    let target = (single.complete_guid(), linkages(Uuid::nil(), Uuid::nil()), 9);
    assert!(is_unneeded(&[lowest]));
    assert!(!is_unneeded(&[lowest, child]));
    assert!(is_unneeded(&[lowest, child, target]));
}

#[test]
fn layers_that_are_nested_too_deeply_are_never_left_over() {
    let merges: Vec<MergeId> = (0..2_000).map(|at| MergeId::new(None, Uuid::from_u128(100 + at))).collect();
    let disks: Vec<_> = (0_u128..)
        .zip(&merges)
        .map(|(at, merge)| {
            let parent = usize::try_from(at.saturating_sub(1)).unwrap();
            (Uuid::from_u128(100 + at), linkages(merge.guid(), merge.complete_guid()), parent)
        })
        .collect();
    assert!(is_unneeded(&disks[..20]));
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || assert!(!is_unneeded(&disks)))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn left_over_layers_are_listed_children_first() {
    let mark = random();
    let merge = MergeId::new(Some(mark), MERGED);
    let [low, mid] = [20, 21].map(Uuid::from_u128);
    let lowest = (low, linkages(merge.guid(), merge.complete_guid()), 0);
    let disks = [lowest, (mid, linkages(low, Uuid::nil()), 0), (MERGED, linkages(mid, mark), 1)];
    assert_eq!(LeftOvers::new(Listed(&disks)).with_descendants(0), Some(vec![2, 1, 0]));
    assert_eq!(LeftOvers::new(Listed(&disks[..2])).with_descendants(0), None);
    assert_eq!(LeftOvers::new(Listed(&disks)).with_descendants(1), None, "not the target's child");
}
