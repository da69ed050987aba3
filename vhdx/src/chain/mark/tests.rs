use super::*;

const MERGED: Uuid = Uuid::from_u128(7);

fn linkages(first: Uuid, second: Uuid) -> Linkages {
    Linkages { first: Some(first), second: Some(second) }
}

#[test]
fn a_mark_is_no_guid_of_a_file() {
    let mark = random();
    assert!(is_mark(mark) && mark.to_string().starts_with("6d657267-"), "{mark}");
    assert_ne!(mark, random());
    assert!(!is_mark(Uuid::new_v4()) && !is_mark(Uuid::nil()));
    assert!(!is_mark(IncompleteMerge::new(Some(mark), MERGED).guid()));
}

#[test]
fn the_lowest_layer_says_how_far_the_merge_is() {
    let (mark, before) = (random(), Uuid::from_u128(1));
    let merge = IncompleteMerge::new(Some(mark), MERGED);
    let begun = linkages(merge.guid(), before);
    let complete = linkages(merge.guid(), merge.complete_guid());
    assert_eq!(begun.merge(), Some(LowestLayer { merge, is_complete: false }));
    assert_eq!(complete.merge(), Some(LowestLayer { merge, is_complete: true }));
    assert!(complete.merge().unwrap().is_complete_in(merge.complete_guid()));
    assert!(!complete.merge().unwrap().is_complete_in(merge.guid()), "the target does not say so yet");
    assert!(!begun.merge().unwrap().is_complete_in(before));
    assert!(names_newer_first(begun) && !names_newer_first(complete));
    for layer in [begun, complete] {
        let required = layer.required_mark().unwrap();
        assert!(required.is(mark) && !required.is(random()) && !required.is(MERGED));
    }
    // Only in this order, and with this GUID.
    let other = IncompleteMerge::new(Some(mark), MERGED).complete_guid();
    assert_eq!(linkages(merge.complete_guid(), merge.guid()).merge(), None);
    assert!(!linkages(merge.guid(), other).merge().unwrap().is_complete);
}

#[test]
fn layers_of_earlier_versions_require_the_mark_itself() {
    let (mark, target) = (random(), Uuid::from_u128(1));
    let layer = linkages(mark, target);
    assert_eq!((layer.merge(), layer.required_mark()), (None, Some(RequiredMark::Exact(mark))));
    assert!(!names_newer_first(layer));
    assert_eq!(linkages(target, mark).carried_mark(), Some(mark));
    assert_eq!(linkages(target, mark).required_mark(), None);
}

/// Disks as (DataWriteGuid, linkages, position of the parent); the first one is the lowest layer.
fn is_unneeded(disks: &[(Uuid, Linkages, usize)]) -> bool {
    let children = |at| (1..disks.len()).filter(|&child| disks[child].2 == at && child != at).collect();
    is_left_over(0, |at| (disks[at].0, disks[at].1), children)
}

#[test]
fn one_level_is_left_over_until_it_is_used() {
    let merge = IncompleteMerge::new(None, MERGED);
    let complete = linkages(merge.guid(), merge.complete_guid());
    let child = (Uuid::from_u128(9), linkages(MERGED, Uuid::nil()), 0);
    assert!(is_unneeded(&[(MERGED, complete, 0)]));
    assert!(!is_unneeded(&[(Uuid::from_u128(8), complete, 0)]), "written since");
    assert!(!is_unneeded(&[(MERGED, complete, 0), child]), "it has a child");
    assert!(!is_unneeded(&[(MERGED, linkages(merge.guid(), Uuid::from_u128(1)), 0)]), "incomplete");
    assert!(!is_unneeded(&[(MERGED, linkages(Uuid::from_u128(1), Uuid::nil()), 0)]), "no layer of a merge");
}

#[test]
fn several_levels_are_left_over_until_the_merged_disk_is_used() {
    let mark = random();
    let merge = IncompleteMerge::new(Some(mark), MERGED);
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
    assert!(!is_unneeded(&[lowest, middle]), "whatever is read through the middle layer is not known");
    let unmarked = (MERGED, linkages(mid, Uuid::nil()), 1);
    assert!(!is_unneeded(&[lowest, middle, unmarked]));
}

#[test]
fn children_that_are_left_over_do_not_count() {
    let (mark, other) = (random(), Uuid::from_u128(30));
    let [low, later, changed] = [20, 31, 32].map(Uuid::from_u128);
    let (merge, earlier) = (IncompleteMerge::new(Some(mark), MERGED), IncompleteMerge::new(None, other));
    let lowest = (low, linkages(merge.guid(), merge.complete_guid()), 0);
    let merged = (MERGED, linkages(low, mark), 0);
    // It was merged into the merged disk before that was merged itself.
    let left = (other, linkages(earlier.guid(), earlier.complete_guid()), 1);
    assert!(is_unneeded(&[lowest, merged, left]));
    assert!(!is_unneeded(&[lowest, merged, (changed, left.1, 1)]), "written since");
    assert!(
        !is_unneeded(&[lowest, merged, left, (later, linkages(other, Uuid::nil()), 2)]),
        "it has a child"
    );
    let incomplete = linkages(earlier.guid(), Uuid::from_u128(1));
    assert!(!is_unneeded(&[lowest, merged, (other, incomplete, 1)]), "incomplete");

    let single = IncompleteMerge::new(None, MERGED);
    let below = (MERGED, linkages(single.guid(), single.complete_guid()), 0);
    assert!(is_unneeded(&[below, (other, left.1, 0)]));
    assert!(!is_unneeded(&[below, (changed, left.1, 0)]));
}
