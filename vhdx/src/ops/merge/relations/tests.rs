use super::*;
use crate::error::ChainErrorKind;
use crate::error::Error;
use crate::ops::merge::testing::{base, child, open, relatives};
use crate::units::MIB;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A leaf, a middle layer and a target, in this order.
fn layers() -> [Vhdx; 3] {
    let target = base(MIB);
    let middle = child(&target);
    let leaf = child(&middle);
    [open(&leaf), open(&middle), open(&target)]
}

/// A disk outside the merge, with these linkages.
fn disk(path: &str, linkage: Uuid, linkage2: Uuid) -> FileFacts {
    let mut disk = FileFacts::of(Path::new(path), &open(&child(&base(2 * MIB))));
    (disk.linkage, disk.linkage2) = (Some(linkage), Some(linkage2));
    disk
}

fn validate_all(layers: &[Vhdx], disks: Vec<FileFacts>) -> Result<Children> {
    find_children(layers, &relatives(disks))
}

/// Returns the disks that block the merge, each with the name of its parent.
fn dependents(result: Result<Children>) -> Vec<(String, String)> {
    let Err(Error::Chain(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.path(), Path::new("layer 0"));
    assert_eq!(error.kind(), ChainErrorKind::OtherChildren, "{error}");
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    error.dependents().iter().map(|(child, parent)| (text(child), text(parent))).collect()
}

fn in_order(child: &str, parent: &str) -> (String, String) {
    (child.to_owned(), parent.to_owned())
}

const OTHER: Uuid = Uuid::from_u128(77);

#[test]
fn children_that_name_the_leaf_by_either_linkage_are_relinked() {
    let layers = layers();
    let leaf = layers[0].data_write_guid();
    let disks = vec![disk("a", leaf, Uuid::nil()), disk("b", OTHER, leaf), disk("c", OTHER, Uuid::nil())];
    let children = validate_all(&layers, disks).unwrap();
    let paths: Vec<_> = children.to_relink.iter().map(|state| state.path.as_path()).collect();
    assert_eq!(paths, [Path::new("a"), Path::new("b")]);
    assert!(children.relinked.is_empty());
}

#[test]
fn other_children_of_changing_layers_block_the_merge() {
    let layers = layers();
    let [leaf, middle, target] = [0, 1, 2].map(|layer: usize| layers[layer].data_write_guid());
    for parent in [(middle, "layer 1"), (target, "layer 2")] {
        for linkages in [(parent.0, Uuid::nil()), (OTHER, parent.0), (leaf, parent.0)] {
            let disks = vec![disk("a", linkages.0, linkages.1), disk("b", leaf, Uuid::nil())];
            assert_eq!(dependents(validate_all(&layers, disks)), [in_order("a", parent.1)]);
        }
    }
    let disks = vec![disk("a", middle, Uuid::nil()), disk("b", target, Uuid::nil())];
    let result = validate_all(&layers, disks);
    let message = result.as_ref().unwrap_err().to_string();
    assert!(
        message.contains("\"a\" is a child of \"layer 1\", \"b\" is a child of \"layer 2\""),
        "{message}"
    );
    assert_eq!(dependents(result), [in_order("a", "layer 1"), in_order("b", "layer 2")]);
}

#[test]
fn a_relinked_child_is_recognised_by_its_linkages() {
    let layers = layers();
    let [leaf, middle, target] = [0, 1, 2].map(|layer: usize| layers[layer].data_write_guid());
    let children =
        validate_all(&layers, vec![disk("a", target, leaf), disk("b", leaf, Uuid::nil())]).unwrap();
    assert_eq!(children.relinked[0].path, Path::new("a"));
    assert_eq!(children.relinked.len(), 1);
    assert_eq!(children.to_relink.len(), 1);
    // Only if the target is first, and only with the leaf.
    for linkages in [(leaf, target), (target, middle)] {
        assert_eq!(dependents(validate_all(&layers, vec![disk("a", linkages.0, linkages.1)])).len(), 1);
    }
}

#[test]
fn the_files_of_the_merge_do_not_block_it() {
    let layers = layers();
    let of_layer = |layer: usize, path: &str| FileFacts::of(Path::new(path), &layers[layer]);
    // In memory, a file is known only by its name.
    let own = vec![of_layer(0, "layer 0"), of_layer(1, "layer 1"), of_layer(2, "layer 2")];
    assert_eq!(validate_all(&layers, own).unwrap(), Children::default());
    let copy = vec![of_layer(0, "copy")];
    assert_eq!(dependents(validate_all(&layers, copy)), [in_order("copy", "layer 1")]);
}

#[test]
fn a_zero_linkage_matches_nothing() {
    let mut target = base(MIB);
    target.data_write_guid = OTHER;
    let layers = [open(&child(&target)), open(&target)];
    let disks = vec![disk("a", Uuid::nil(), Uuid::nil())];
    assert_eq!(validate_all(&layers, disks).unwrap(), Children::default());
}

/// Returns the unfinished merges that the error names: layer, merged disk, target.
fn unfinished(result: Result<Children>) -> Vec<[Option<String>; 3]> {
    let Err(Error::Chain(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), ChainErrorKind::OtherChildren, "{error}");
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let all = error.unfinished().iter().cloned();
    all.map(|left| [Some(left.layer), left.merged, left.target].map(|path| path.map(text))).collect()
}

fn known(names: [&str; 3]) -> [Option<String>; 3] {
    names.map(|name| (!name.is_empty()).then(|| name.to_owned()))
}

#[test]
fn files_of_an_unfinished_merge_are_named() {
    const MARK: Uuid = Uuid::from_u128(crate::format::parent_locator::MARK | 1);
    const OLD: Uuid = Uuid::from_u128(78);
    let layers = layers();
    let [middle, target] = [1, 2].map(|layer: usize| layers[layer].data_write_guid());
    let of = |disks: Vec<FileFacts>| unfinished(validate_all(&layers, disks));
    let marked = || disk("k", MARK, target);
    let other = || disk("x", target, Uuid::nil());
    assert_eq!(of(vec![other(), marked()]), [known(["k", "", "layer 2"])]);
    let bearer = || disk("l", OTHER, MARK);
    assert_eq!(of(vec![bearer(), marked(), other()]), [known(["k", "l", "layer 2"])]);
    assert_eq!(of(vec![disk("l", middle, MARK)]), [known(["l", "l", ""])]);
    // Before there is a mark, and for a merge of one level.
    let target_child = || disk("k", OLD, target);
    assert_eq!(of(vec![target_child()]), [known(["k", "k", "layer 2"])]);
    let above = disk("l", target_child().data_write_guid, MARK);
    assert_eq!(of(vec![target_child(), above]), [known(["k", "l", "layer 2"])]);
    // A child that was relinked from a layer to the parent of that layer.
    let below = FileFacts { path: "layer 2".into(), ..FileFacts::of(Path::new(""), &layers[2]) };
    let parent = FileFacts { path: "layer 1".into(), ..FileFacts::of(Path::new(""), &layers[1]) };
    let relinked = vec![below, parent, disk("g", target, middle)];
    assert_eq!(of(relinked), [known(["g", "layer 1", "layer 2"])]);
    // Neither copies of the merge's own layers nor ordinary children belong to another merge.
    let copy = FileFacts { data_write_guid: middle, ..marked() };
    for ordinary in [other(), disk("x", Uuid::nil(), target), disk("x", target, target), copy] {
        assert!(of(vec![ordinary.clone(), bearer()]).is_empty(), "{ordinary:?}");
    }
}
