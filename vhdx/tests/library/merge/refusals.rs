//! Merges that are refused, with nothing written, and plans for files that are not as they were.

use std::path::{Path, PathBuf};

use vhdx::format::bat_entry::{BatEntry, PayloadBlockState};
use vhdx::format::region_table::BAT_REGION;
use vhdx::ops::{MergeOptions, MergePlan};
use vhdx::{
    BlockIndex, ChainErrorKind, Conflict, DiskOffset, Error, ErrorKind, InvalidArgument, LogState,
    NoProgress, OpenOptions, Relatives, Rule, Vhdx, VhdxMut,
};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault};
use vhdx_testkit::{Family, SparseImage};

use super::cases;
use super::scene::Scene;

fn plan(scene: &Scene, world: &CrashWorld) -> MergePlan {
    world.plan_merge(scene.child(), scene.target(), &scene.options).unwrap()
}

fn argument(error: &Error) -> Option<&InvalidArgument> {
    match error {
        Error::InFile { error, .. } => argument(error),
        Error::InvalidArgument(argument) => Some(argument),
        _ => None,
    }
}

/// Files are made durable before they are looked at, as an earlier run may have been killed.
#[track_caller]
fn assert_unchanged(world: &CrashWorld) {
    let lines = world.recording().lines();
    assert!(lines.iter().all(|line| line.ends_with(" sync")), "a refused merge has written: {lines:?}");
}

/// The plan is refused for this file, and nothing is written.
#[track_caller]
fn assert_stale(plan: &MergePlan, world: &CrashWorld, path: &Path) {
    let world = CrashWorld::new(world.images());
    let error = plan.execute(&world, &NoProgress).unwrap_err();
    assert_eq!(error.conflict(), Some(&Conflict::StalePlan), "{error}");
    assert_eq!(error.path(), Some(path), "{error}");
    assert_unchanged(&world);
}

fn replaced(world: &CrashWorld, path: &Path, image: SparseImage) -> CrashWorld {
    let mut images = world.images();
    images.insert(path.to_owned(), image);
    CrashWorld::new(images)
}

fn files(scene: &Scene) -> Vec<PathBuf> {
    let mut files = scene.layers.clone();
    files.extend(scene.leaves.iter().map(|(leaf, _)| leaf.clone()));
    files.dedup();
    files
}

#[test]
fn headers_that_would_not_outlast_the_merge() {
    let scene = cases::of_files_with_worn_headers().scene();
    let world = scene.world();
    let error = scene.merge(&world, &NoProgress).unwrap_err();
    assert_eq!(error.violation().map(|violation| violation.rule()), Some(Rule::HeaderSequence), "{error}");
    assert_unchanged(&world);
    VhdxMut::open_with(world.storage(scene.target()), &OpenOptions::default()).unwrap();
}

#[test]
fn a_plan_for_a_file_that_was_written_to_since() {
    let scene = cases::with_two_children().scene();
    let world = scene.world();
    let plan = plan(&scene, &world);
    assert_unchanged(&world);
    for path in files(&scene) {
        let other = CrashWorld::new(world.images());
        let mut disk = VhdxMut::open_with(other.storage(&path), &OpenOptions::default()).unwrap();
        disk.write_all_at(&[1; 512], DiskOffset::new(0)).unwrap();
        disk.close().unwrap();
        assert_stale(&plan, &other, &path);
    }
    plan.execute(&world, &NoProgress).unwrap();
    scene.assert_done(&world, "as planned");
    assert_stale(&plan, &world, scene.child());
}

/// A replayed log leaves the disk as it is, but not the file.
#[test]
fn a_plan_for_a_file_whose_log_was_replayed_since() {
    let scene = cases::with_dirty_logs_everywhere().scene();
    let world = scene.world();
    let plan = plan(&scene, &world);
    for path in files(&scene) {
        let other = CrashWorld::new(world.images());
        vhdx::ops::replay(other.storage(&path)).unwrap().unwrap();
        assert_stale(&plan, &other, &path);
    }
    plan.execute(&world, &NoProgress).unwrap();
    scene.assert_done(&world, "as planned");
}

#[test]
fn a_plan_for_a_file_that_grew_or_shrank_or_is_gone() {
    let scene = cases::into_a_differencing_disk().scene();
    let world = scene.world();
    let plan = plan(&scene, &world);
    for path in &scene.layers {
        let mut longer = world.images()[path].clone();
        longer.set_len(longer.size() + (1 << 20));
        assert_stale(&plan, &replaced(&world, path, longer.clone()), path);
        // Planned anew, it is merged.
        let again = replaced(&world, path, longer);
        scene.complete(&again, "with a longer file");

        let mut shorter = world.images()[path].clone();
        shorter.set_len(shorter.size() - (1 << 20));
        let again = replaced(&world, path, shorter);
        let error = plan.execute(&again, &NoProgress).unwrap_err();
        assert_eq!(error.path(), Some(path.as_path()), "{error}");
        let error = scene.merge(&again, &NoProgress).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path.as_path())), "{error}");
        assert_unchanged(&again);

        let mut images = world.images();
        images.remove(path);
        let error = plan.execute(&CrashWorld::new(images), &NoProgress).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(path.as_path())), "{error}");
    }
}

#[test]
fn targets_that_are_no_ancestor() {
    let scene = cases::into_a_differencing_disk().scene();
    let world = scene.world();
    let chain = world.chain(scene.child()).unwrap();
    for target in [0, chain.layers().len(), usize::MAX] {
        let error = MergePlan::new(&chain, target, &Relatives::default(), &scene.options).unwrap_err();
        let expected = InvalidArgument::MergeTarget { target, layers: 3 };
        assert_eq!(argument(&error), Some(&expected), "{error}");
    }
    // A child, and the disk itself, are no ancestors either.
    for target in [&scene.leaves[0].0, scene.child()] {
        let error = world.merge(scene.child(), target, &scene.options, &NoProgress).unwrap_err();
        assert!(matches!(argument(&error), Some(InvalidArgument::MergeTarget { .. })), "{error}");
    }
    let base = world.chain(&scene.leaves[0].0).unwrap().layers()[3].path().unwrap().to_owned();
    let error = world.merge(&base, scene.target(), &scene.options, &NoProgress).unwrap_err();
    assert!(matches!(argument(&error), Some(InvalidArgument::MergeTarget { .. })), "{error}");
    assert_unchanged(&world);
}

#[test]
fn a_child_that_is_merged_already() {
    let scene = cases::into_a_dynamic_base().scene();
    let world = scene.world();
    scene.complete(&world, "the first time");
    let plan = world.plan_merge(scene.child(), scene.target(), &scene.options).unwrap();
    assert!(plan.is_done() && plan.bytes_to_copy() == 0);
    let again = CrashWorld::new(world.images());
    let merged = scene.merge(&again, &NoProgress).unwrap().unwrap();
    assert_eq!((merged.bytes_copied, merged.blocks), (0, 0));
    scene.assert_done(&again, "the second time");
    assert_unchanged(&again);
}

/// A disk that is half merged itself is not merged on, whatever layers are between; its own merge is completed first.
#[test]
fn a_half_merged_disk_is_not_merged_on() {
    let family = Family::new(&cases::four_versions_of_a_sector(), &[]);
    let [base, half, middle, top]: [PathBuf; 4] = family.chain.clone().try_into().unwrap();
    let first = CrashWorld::new(family.images.clone());
    first.merge(&top, &half, &MergeOptions::default(), &NoProgress).unwrap();
    let mut refused = 0;
    for number in 0..first.calls(Calls::Writes) {
        let cut = CrashWorld::new(family.images.clone());
        cut.fail(Fault::forever(Calls::Writes, number));
        cut.merge(&top, &half, &MergeOptions::default(), &NoProgress).unwrap_err();
        let left = CrashWorld::new(cut.images());
        let read = left.read_disk(&half);
        for child in [&top, &half] {
            let again = CrashWorld::new(left.images());
            match again.merge(child, &base, &MergeOptions::default(), &NoProgress) {
                Ok(_) => assert!(
                    child == &top
                        || read.as_ref().unwrap() == &family.disks[1]
                        || read.as_ref().unwrap() == &family.disks[3]
                ),
                Err(error) => {
                    assert_unchanged(&again);
                    let Error::Chain(error) = error else { panic!("{error}") };
                    match error.kind() {
                        ChainErrorKind::HalfMerged => {
                            assert!(error.path() == half && error.is_certain());
                            let unfinished = error.unfinished();
                            assert_eq!(unfinished[0].merged.as_ref(), Some(&top));
                            assert_eq!(unfinished[0].layer, middle);
                            refused += 1;
                        }
                        // The merge has begun, and the target is what it was.
                        ChainErrorKind::OtherChildren => {
                            let is_as_before = read.as_ref().unwrap() == &family.disks[1];
                            assert!(child == &half && is_as_before, "{number}: {error}");
                        }
                        _ => panic!("{error}"),
                    }
                }
            }
        }
        left.merge(&top, &half, &MergeOptions::default(), &NoProgress).unwrap();
        left.merge(&half, &base, &MergeOptions::default(), &NoProgress).unwrap();
        assert!(left.read_disk(&base).unwrap() == family.disks[3], "in the end");
    }
    assert!(refused > 10, "{refused}");
}

/// Makes the BAT say that the last block lies where the BAT does: nobody can write to this file.
fn damage_bat(world: &CrashWorld, path: &Path) -> CrashWorld {
    let vhdx = Vhdx::open_with(world.images()[path].clone(), &OpenOptions::default()).unwrap();
    let bat = vhdx.regions().iter().find(|region| region.id == BAT_REGION).unwrap();
    let entry = BatEntry::payload(PayloadBlockState::FullyPresent, bat.offset);
    let last = BlockIndex::new(vhdx.geometry().block_count() - 1);
    let at = bat.offset.saturating_add(vhdx.geometry().payload_bat_index(last).get() * 8);
    world.storage(path).write_all_at(&entry.to_le_bytes(), at).unwrap();
    CrashWorld::new(world.images())
}

/// Every file of the merge is held against the rules about block allocation tables before anything is written.
#[test]
fn a_layer_with_a_damaged_bat() {
    let scene = cases::into_a_differencing_disk().scene();
    for path in &scene.layers {
        let world = damage_bat(&scene.world(), path);
        let error = scene.merge(&world, &NoProgress).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path.as_path())), "{error}");
        assert_eq!(error.violation().unwrap().rule(), Rule::BlockOverlapsRegion, "{error}");
        assert_unchanged(&world);
    }
}

/// A child that could not be relinked would keep the merge from ever being complete.
#[test]
fn a_child_with_a_damaged_bat() {
    let scene = cases::with_two_children().scene();
    for (path, _) in &scene.leaves {
        let world = damage_bat(&scene.world(), path);
        let plan = plan(&scene, &world);
        let results = [plan.ensure_not_in_use(&world), scene.merge(&world, &NoProgress).map(drop)];
        for error in results.map(Result::unwrap_err) {
            assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path.as_path())), "{error}");
        }
        assert_unchanged(&world);
    }
}

/// The middle of the chain is read through its log, which stays as it is.
#[test]
fn a_dirty_log_in_the_middle() {
    let mut scene = cases::with_dirty_logs_everywhere().scene();
    let (sibling, _) = scene.leaves.pop().unwrap(); // it would be in the way
    scene.images.remove(&sibling);
    let middle = &scene.child().clone();
    let (leaf, content) = scene.leaves[0].clone();
    let layers = [scene.layers.as_slice(), &[leaf]].concat();
    let scene = Scene { layers, content, ..scene };
    let world = scene.world();
    let before = world.images()[middle].fingerprint();
    scene.complete(&world, "the merge");
    let images = world.images();
    assert_eq!(images[middle].fingerprint(), before, "only files that must be written are");
    assert!(matches!(
        Vhdx::open_with(images[middle].clone(), &OpenOptions::default()).unwrap().log(),
        LogState::Dirty { .. }
    ));
}
