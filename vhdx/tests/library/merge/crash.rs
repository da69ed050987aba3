//! Power fails at every write and every sync of a merge, and leaves every combination of what was not durable.
//!
//! In each image that this could leave, every leaf opens with every link proven and reads what it always read; and the
//! merge, run again, completes. `VHDX_CRASH_IMAGES` says how many images are sampled beside the exhaustive ones.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use vhdx::format::header::{Header, OFFSETS, SIZE};
use vhdx::{ChainErrorKind, DiskOffset, Error, FileOffset, NoProgress, OpenOptions, Vhdx, VhdxMut};
use vhdx_testkit::SparseImage;
use vhdx_testkit::crash::{Calls, CrashImage, CrashWorld, Fault, Sweep, Swept};

use super::cases;
use super::scene::{SEEN_BEFORE_LAST_WRITE, Scene};
use crate::common::report;

macro_rules! sweeps {
    ($($name:ident, at least $images:literal;)*) => {$(
        #[test]
        fn $name() {
            let swept = cases::$name().scene().sweep(&Sweep::default(), |_| ());
            assert!(swept.images >= $images, "only {} images were checked", swept.images);
        }
    )*};
}

sweeps! {
    into_a_dynamic_base, at least 50;
    into_a_differencing_disk, at least 50;
    into_a_fixed_disk, at least 50;
    into_a_smaller_disk, at least 50;
    into_a_smaller_differencing_disk, at least 50;
    into_a_larger_disk, at least 50;
    through_a_smaller_middle_layer, at least 50;
    with_deletion, at least 50;
    of_a_child_that_is_linked_by_its_second_linkage, at least 50;
    in_small_batches, at least 50;
    where_freed_space_is_used_again, at least 50;
    with_dirty_logs_everywhere, at least 50;
    of_files_without_a_log, at least 50;
    with_large_sectors, at least 50;
    where_metadata_has_no_room, at least 50;
    with_metadata_and_a_region_that_nobody_knows, at least 50;
    of_scattered_sectors_into_a_dynamic_disk, at least 250;
    of_scattered_sectors_into_a_fixed_disk, at least 250;
    of_scattered_sectors_into_a_differencing_disk, at least 250;
}

/// How many of the leaves have the target for their parent.
fn relinked(world: &CrashWorld, scene: &Scene) -> usize {
    let parent = |leaf| world.chain(leaf).unwrap().layers()[1].path() == Some(scene.target().as_path());
    scene.leaves.iter().filter(|(leaf, _)| parent(leaf)).count()
}

#[test]
fn with_two_children() {
    let scene = cases::with_two_children().scene();
    let counts = [const { Cell::new(0_usize) }; 4];
    let swept = scene.sweep(&Sweep::default(), |image| {
        let count = &counts[relinked(&image.world(), &scene)];
        count.set(count.get() + 1);
    });
    eprintln!("images by how many of three children are relinked: {counts:?}");
    assert!(counts.iter().all(|count| count.get() > 0), "{counts:?}");
    assert!(swept.images >= 50, "{swept:?}");
    assert!(SEEN_BEFORE_LAST_WRITE.load(Ordering::Relaxed) > 0);
}

#[test]
fn what_is_whole_after_the_merge_is_sound() {
    for case in cases::ALL {
        let scene = case().scene();
        let world = scene.world();
        scene.complete(&world, "after the merge");
        scene.assert_valid(&world, &scene.name);
        scene.assert_clean(&world, &scene.name);
    }
}

/// The program ends just before each of its writes; the next run ends there too, a step further; and so on.
#[test]
fn a_rerun_after_every_step() {
    for case in cases::ALL {
        let scene = case().scene();
        let first = scene.world();
        scene.merge(&first, &NoProgress).unwrap();
        for step in 0..first.calls(Calls::Writes) {
            let cut = scene.world();
            cut.fail(Fault::forever(Calls::Writes, step));
            let ended = scene.merge(&cut, &NoProgress);
            assert!(!ended.is_ok_and(|merged| merged.is_none_or(|merged| merged.undeleted.is_empty())));
            let left = CrashWorld::new(cut.images());
            scene.check(&left, "when it ended early");
            if step.is_multiple_of(3) {
                left.fail(Fault::forever(Calls::Writes, step / 2));
                drop(scene.merge(&left, &NoProgress));
                scene.check(&CrashWorld::new(left.images()), "when the next run ended early");
            }
            scene.complete(&CrashWorld::new(left.images()), "after the next run");
        }
    }
}

/// The merged child is not deleted, and still names the target when its former child is merged there too.
#[test]
fn a_second_merge_into_a_target_that_a_merged_child_still_names() {
    let scene = cases::into_a_dynamic_base().scene();
    let (top, content) = scene.leaves[0].clone();
    let second = Scene {
        name: "a second merge into the same target".into(),
        images: scene.images.clone(),
        layers: vec![scene.target().clone(), top],
        options: scene.options,
        leaves: scene.leaves.clone(),
        between: Vec::new(),
        content,
        then: |_, _| (),
    };
    let world = scene.world();
    scene.merge(&world, &NoProgress).unwrap();
    second.complete(&world, "without a failure");

    let done = Cell::new(0_usize);
    let validate_and_go_on = |image: &CrashImage| {
        scene.check(&image.world(), "after a power failure");
        let again = image.world();
        if relinked(&again, &scene) == 1 {
            second.merge(&again, &NoProgress).unwrap();
            done.set(done.get() + 1);
            // The target holds all of the merged child, and newer data.
            let error = scene.merge(&again, &NoProgress).unwrap_err();
            let Error::Chain(error) = &error else { panic!("{error}") };
            assert_eq!(error.kind(), ChainErrorKind::LayerOfMerge, "{error}");
            assert!(error.is_complete(), "{error}");
        } else {
            scene.complete(&again, "after another run");
        }
        second.complete(&again, "after both");
    };
    let swept = world.recording().garbling().crash(&Sweep::default(), validate_and_go_on);
    report(&second.name, &swept);
    assert!(done.get() > 50, "{} done", done.get());
}

/// A leaf that was merged without a child, and not deleted, goes on as one. It is merged again once it has changed.
#[test]
fn a_merged_leaf_that_is_kept_goes_on_as_a_child() {
    let scene = cases::into_a_dynamic_base().scene();
    let world = scene.world();
    let leaf = scene.leaves[0].0.clone();
    let last = Scene { layers: vec![scene.target().clone(), scene.child().clone(), leaf], ..scene };
    let last = Scene { content: last.leaves[0].1.clone(), ..last };
    last.complete(&world, "the first time");
    let guid = |world: &CrashWorld| {
        Vhdx::open_with(world.images()[last.target()].clone(), &OpenOptions::default())
            .unwrap()
            .data_write_guid()
    };
    let first = guid(&world);
    let again = CrashWorld::new(world.images());
    assert!(again.plan_merge(last.child(), last.target(), &last.options).unwrap().is_done());
    last.complete(&again, "the second time");
    assert_eq!(guid(&again), first, "nothing was copied");
    last.assert_valid(&again, "the second time");
    last.assert_clean(&again, "the second time");

    let changed = CrashWorld::new(world.images());
    let mut disk = VhdxMut::open_with(changed.storage(last.child()), &OpenOptions::default()).unwrap();
    disk.write_all_at(&[7; 512], DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    let merged = last.merge(&changed, &NoProgress).unwrap().unwrap();
    assert!(merged.bytes_copied > 0);
    assert_ne!(guid(&changed), first);
    let read = |path| changed.read_disk(path).unwrap();
    assert!(read(last.child())[..512] == [7; 512] && read(last.target()) == read(last.child()));
}

/// Power failed while a guest's first write began, and tore a header with a new DataWriteGuid. It was lost: the child that
/// was made then knows another. The merge writes headers in its place, and power fails again.
#[test]
fn a_header_that_was_torn_before_the_merge_does_not_come_back() {
    let mut scene = cases::into_a_dynamic_base().scene();
    let child = scene.child().clone();
    let open = |image: &SparseImage| Vhdx::open_with(image.clone(), &OpenOptions::default()).unwrap();
    let before = open(&scene.images[&child]).data_write_guid();
    let first = scene.world();
    let mut disk = VhdxMut::open_with(first.storage(&child), &OpenOptions::default()).unwrap();
    disk.write_all_at(&[9; 512], DiskOffset::new(0)).unwrap();
    disk.close().unwrap();
    let mut left = Vec::new();
    first.recording().garbling().crash(&Sweep { exhaustive: 0, ..Sweep::default() }, |image| {
        let file = image.file(&child).unwrap();
        let is_whole_in_part = |at: &FileOffset| {
            let found = Header::parse(&file.read(at.get(), SIZE)).map(|header| header.data_write_guid);
            found.is_some_and(|found| found != before)
        };
        if open(&file).data_write_guid() == before && OFFSETS.iter().any(is_whole_in_part) {
            left.push(file);
        }
    });
    assert!(left.len() > 2, "{}", left.len());
    let mut total = Swept::default();
    for (seed, file) in (0..).zip(left) {
        scene.images.insert(child.clone(), file);
        let world = scene.world();
        scene.complete(&world, "without a failure");
        let sweep = Sweep { exhaustive: 0, samples: 400, seed };
        total += world.recording().garbling().crash(&sweep, |image| {
            scene.check(&image.world(), "after both failures");
        });
    }
    report("a merge after a torn header", &total);
}
