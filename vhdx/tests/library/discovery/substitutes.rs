//! If a parent is missing, possible substitutes are listed, and perhaps one is recommended.

use std::path::{Path, PathBuf};

use vhdx::Evidence::{self, Name, NoChildren, Older, SectorSize, VirtualDiskId, VirtualSize};
use vhdx::{DiskLink, Fallback, MAX_SUBSTITUTES, MIB, Problem, Remedy};
use vhdx_testkit::Image;

use super::{Discover, child, disk, disk_at, guid, problem_of, set_modified};
use crate::common::Folder;

/// The fallback if no copy of a missing parent exists.
#[derive(Debug, PartialEq)]
enum Possible {
    Nothing,
    ChangedParent(PathBuf),
    NearestAncestor(PathBuf),
    NotRecommended,
}

/// The paths and the evidence of the substitutes for the parent of a disk, and what is possible with them.
fn substitutes(folder: &Folder, lost: &Path) -> (Vec<(PathBuf, Vec<Evidence>)>, Possible) {
    let forest = folder.forest();
    assert_eq!(disk_at(&forest, lost).link, DiskLink::Missing);
    let problem = problem_of(&forest, lost);
    let Problem::LostParent { substitutes, .. } = problem else { panic!("{problem:?}") };
    assert!(substitutes.iter().all(|one| forest.disks[one.disk].facts.path == one.path));
    let message = problem.to_string();
    assert!(message.contains("this link of the chain is missing"), "{message}");
    assert_eq!(message.contains("possible substitutes (none is the original): "), !substitutes.is_empty());
    let Remedy::FindParent { fallback } = problem.remedy() else { panic!("{:?}", problem.remedy()) };
    let possible = match fallback {
        None => Possible::Nothing,
        Some(Fallback::ChangedParent(path)) => Possible::ChangedParent(path.to_owned()),
        Some(Fallback::NearestAncestor(path)) => Possible::NearestAncestor(path.to_owned()),
        Some(Fallback::NotRecommended) => Possible::NotRecommended,
    };
    (substitutes.iter().map(|one| (one.path.clone(), one.evidence.clone())).collect(), possible)
}

fn paths(substitutes: &[(PathBuf, Vec<Evidence>)]) -> Vec<&Path> {
    substitutes.iter().map(|(path, _)| path.as_path()).collect()
}

#[test]
fn substitutes_are_ranked_and_of_the_same_family() {
    let folder = Folder::new();
    let small = |image: Image| Image { virtual_size: 2 * MIB, ..image };
    let foreign = |image: Image| Image { virtual_disk_id: guid(77), ..image };
    let lost = folder.put("lost.avhdx", &child(1, 99, r".\Base.vhdx"));
    let grown = folder.put("a/grown.vhdx", &small(disk(2)));
    let younger = folder.put("younger.vhdx", &disk(3));
    let older = folder.put("older.vhdx", &disk(4));
    let called = folder.put("b/BASE.VHDX", &small(disk(5)));
    folder.put("c/base.vhdx", &foreign(disk(6)));
    folder.put("similar.vhdx", &foreign(disk(7)));
    folder.put("coarse.vhdx", &Image { logical_sector_size: 4096, ..disk(8) });
    folder.put("descendant.avhdx", &child(9, 1, r".\lost.avhdx"));
    for path in [&lost, &older] {
        set_modified(path, 100);
    }
    for path in [&grown, &younger, &called] {
        set_modified(path, 200);
    }
    let (found, _) = substitutes(&folder, &lost);
    assert_eq!(paths(&found), [&called, &older, &younger, &grown]);
    let evidence: Vec<&[Evidence]> = found.iter().map(|(_, evidence)| evidence.as_slice()).collect();
    assert_eq!(evidence[0], [VirtualDiskId, Name, NoChildren, SectorSize]);
    assert_eq!(evidence[1], [VirtualDiskId, NoChildren, Older, VirtualSize, SectorSize]);
    assert_eq!(evidence[2], [VirtualDiskId, NoChildren, VirtualSize, SectorSize]);
    assert_eq!(evidence[3], [VirtualDiskId, NoChildren, SectorSize]);
    let forest = folder.forest();
    let orphans: Vec<&Path> = forest.orphans().map(|i| forest.disks[i].facts.path.as_path()).collect();
    assert_eq!(orphans, [&lost]);
    let problem = problem_of(&forest, &lost);
    assert!(
        matches!(problem, Problem::LostParent { expected, .. } if *expected == [guid(99)]),
        "{problem:?}"
    );
    let message = problem.to_string();
    assert!(message.contains(&guid(99).to_string()) && message.contains(r".\Base.vhdx"), "{message}");
}

/// base ← a ← b ← (c, which is missing) ← d. A disk that others depend on would leave out their content.
#[test]
fn the_nearest_surviving_end_comes_first_whatever_it_is_called() {
    for names in [["1", "2", "3"], ["3", "2", "1"], ["2", "3", "1"]] {
        let folder = Folder::new();
        let family = [disk(1), child(2, 1, names[0]), child(3, 2, names[1])];
        let [base, a, b] = [0, 1, 2].map(|i| folder.put(names[i], &family[i]));
        let lost = folder.put("d", &child(5, 4, "c"));
        for (day, path) in (100..).zip([&base, &a, &b, &lost]) {
            set_modified(path, day);
        }
        let (found, possible) = substitutes(&folder, &lost);
        assert_eq!(paths(&found), [&b, &a, &base]);
        assert_eq!(possible, Possible::NearestAncestor(b.clone()));

        // Times that a copy has changed prove nothing, and then nothing is recommended.
        set_modified(&b, 500);
        let (found, possible) = substitutes(&folder, &lost);
        assert_eq!(paths(&found)[0], b);
        assert_eq!(possible, Possible::NotRecommended);
    }
}

/// base ← a, (b), c, (d), e: of two ends the later one is nearer, but nothing proves it.
#[test]
fn of_several_ends_none_is_recommended() {
    let folder = Folder::new();
    let base = folder.put("0", &disk(1));
    let [a, c] = [folder.put("1", &child(2, 1, "0")), folder.put("3", &child(4, 3, "2"))];
    let e = folder.put("5", &child(6, 5, "4"));
    for (day, path) in (100..).zip([&base, &a, &c, &e]) {
        set_modified(path, day);
    }
    let (found, possible) = substitutes(&folder, &e);
    assert_eq!(paths(&found), [&c, &a, &base]);
    assert_eq!(possible, Possible::NotRecommended);
    let (found, possible) = substitutes(&folder, &c);
    assert_eq!(paths(&found), [&a, &e, &base]);
    assert_eq!(possible, Possible::NearestAncestor(a));
}

#[test]
fn a_parent_that_was_changed_is_named() {
    let folder = Folder::new();
    let lost = folder.put("leaf", &child(2, 1, r".\base.vhdx"));
    let base = folder.put("base.vhdx", &disk(9));
    set_modified(&lost, 100);
    set_modified(&base, 200);
    let (found, possible) = substitutes(&folder, &lost);
    assert_eq!(found, [(base.clone(), vec![VirtualDiskId, Name, NoChildren, VirtualSize, SectorSize])]);
    assert_eq!(possible, Possible::ChangedParent(base));
    // Something depends on it by now: it may be another level of the same name.
    folder.put("other", &child(10, 9, r".\base.vhdx"));
    assert_eq!(substitutes(&folder, &lost).1, Possible::NotRecommended);
}

#[test]
fn only_a_few_are_listed() {
    let folder = Folder::new();
    let lost = folder.put("lost", &child(1, 99, "x"));
    for number in 2..20 {
        folder.put(&format!("{number}"), &disk(number));
    }
    assert_eq!(substitutes(&folder, &lost).0.len(), MAX_SUBSTITUTES);
}

#[test]
fn without_relatives_there_is_nothing_to_name() {
    let folder = Folder::new();
    let lost = folder.put("lost", &child(1, 99, "x"));
    folder.put("other", &Image { virtual_disk_id: guid(77), ..disk(3) });
    let (found, possible) = substitutes(&folder, &lost);
    assert_eq!((found, possible), (Vec::new(), Possible::Nothing));
}
