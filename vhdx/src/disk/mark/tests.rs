use super::*;

const MERGED: Uuid = Uuid::from_u128(7);

fn linkages(first: Uuid, second: Uuid) -> Linkages {
    Linkages { first: Some(first), second: Some(second) }
}

#[test]
fn a_mark_is_not_a_data_write_guid() {
    let mark = random();
    assert!(is_mark(mark) && mark.to_string().starts_with("6d657267-"), "{mark}");
    assert_ne!(mark, random());
    assert!(!is_mark(Uuid::new_v4()) && !is_mark(Uuid::nil()));
    assert!(!is_mark(MergeId::new(Some(mark), MERGED).guid()));
}

#[test]
fn the_lowest_layer_says_whether_the_merge_is_complete() {
    let (mark, before) = (random(), Uuid::from_u128(1));
    let merge = MergeId::new(Some(mark), MERGED);
    let begun = linkages(merge.guid(), before);
    let complete = linkages(merge.guid(), merge.complete_guid());
    assert_eq!(begun.merge(), Some(TargetChild { merge, is_complete: false }));
    assert_eq!(complete.merge(), Some(TargetChild { merge, is_complete: true }));
    assert!(complete.merge().unwrap().is_complete_in(merge.complete_guid()));
    assert!(!complete.merge().unwrap().is_complete_in(merge.guid()), "the target is not complete yet");
    assert!(!begun.merge().unwrap().is_complete_in(before));
    assert!(names_newer_first(begun) && !names_newer_first(complete));
    for layer in [begun, complete] {
        let required = layer.required_mark().unwrap();
        assert!(required.is(mark) && !required.is(random()) && !required.is(MERGED));
    }
    // The two GUIDs must be of the same merge, and in this order.
    let other = MergeId::new(Some(mark), MERGED).complete_guid();
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
