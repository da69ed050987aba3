use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vhdx::{FileOffset, Storage};

use super::*;
use crate::sparse::SparseImage;

fn images(names: &[&str], len: u64) -> Images {
    names.iter().map(|name| (name.into(), SparseImage::new(len))).collect()
}

fn at(offset: u64) -> FileOffset {
    FileOffset::new(offset)
}

fn write(storage: &dyn Storage, offset: u64, byte: u8, len: usize) {
    storage.write_all_at(&vec![byte; len], at(offset)).unwrap();
}

/// A sweep without samples, so without torn writes.
const WHOLE: Sweep = Sweep { exhaustive: 10, samples: 0, seed: 0 };

/// Returns what file `name` can contain after a power failure: the first byte of each sector.
fn outcomes(world: &CrashWorld, name: &str, sweep: &Sweep) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    world.recording().crash(sweep, |image| {
        let Some(file) = image.file(name) else { return };
        found.insert(file.to_vec().chunks(512).map(|sector| sector[0]).collect());
    });
    found
}

#[test]
fn unsynced_writes_are_kept_or_dropped_independently() {
    let world = CrashWorld::new(images(&["a"], 1024));
    let file = world.storage("a");
    write(&*file, 0, 1, 512);
    write(&*file, 512, 2, 512);
    let all = [[0, 0], [0, 2], [1, 0], [1, 2]].map(Vec::from);
    assert_eq!(outcomes(&world, "a", &WHOLE), BTreeSet::from(all));
}

#[test]
fn synced_writes_stay_and_order_is_kept() {
    let world = CrashWorld::new(images(&["a"], 1024));
    let file = world.storage("a");
    write(&*file, 0, 1, 512);
    file.sync().unwrap();
    write(&*file, 0, 2, 512);
    write(&*file, 0, 3, 1024);
    // When a 2 or 3 is there, no 0 is left in the first sector. The 2 never overwrites the 3.
    let all = [[0, 0], [1, 0], [2, 0], [3, 3]].map(Vec::from);
    assert_eq!(outcomes(&world, "a", &WHOLE), BTreeSet::from(all));
}

#[test]
fn files_are_independent() {
    let world = CrashWorld::new(images(&["a", "b"], 512));
    let (a, b) = (world.storage("a"), world.storage("b"));
    write(&*a, 0, 1, 512);
    write(&*b, 0, 2, 512);
    b.sync().unwrap();
    let mut found = BTreeSet::new();
    let swept = world.recording().crash(&WHOLE, |image| {
        found.insert(["a", "b"].map(|name| image.file(name).unwrap().to_vec()[0]));
    });
    assert_eq!(found, BTreeSet::from([[0, 0], [0, 2], [1, 0], [1, 2]]));
    assert_eq!(swept, Swept { points: 1, exhaustive_points: 1, forged: 4, images: 4 });
    assert!(!found.contains(&[1, 1]));
}

#[test]
fn images_are_checked_once() {
    let world = CrashWorld::new(images(&["a"], 512));
    let file = world.storage("a");
    for _ in 0..3 {
        write(&*file, 0, 1, 512);
        file.sync().unwrap();
        write(&*file, 0, 1, 512);
    }
    let swept = world.recording().crash(&WHOLE, |_| ());
    assert_eq!(swept, Swept { points: 4, exhaustive_points: 4, forged: 2 + 4 + 4 + 2, images: 2 });
}

#[test]
fn lengths_zeros_and_holes() {
    let world = CrashWorld::new(images(&["a"], 512));
    let file = world.storage("a");
    write(&*file, 0, 1, 512);
    file.sync().unwrap();
    file.set_len(0).unwrap();
    file.set_len(1024).unwrap();
    assert_eq!(world.images().values().next().unwrap().to_vec(), [0; 1024]);
    let all = [vec![0], vec![1], vec![], vec![0, 0], vec![1, 0]];
    assert_eq!(outcomes(&world, "a", &WHOLE), BTreeSet::from(all));

    let world = CrashWorld::new(images(&["a"], 512));
    let file = world.storage("a");
    write(&*file, 0, 1, 1024);
    file.sync().unwrap();
    file.zero_range(at(512), 1024).unwrap();
    file.punch_hole(at(0), 512).unwrap();
    let all = [vec![0], vec![1, 1], vec![0, 1], vec![1, 0, 0], vec![0, 0, 0]];
    assert_eq!(outcomes(&world, "a", &WHOLE), BTreeSet::from(all));
}

#[test]
fn a_kept_write_past_a_lost_length_extends_the_file() {
    let world = CrashWorld::new(images(&["a"], 0));
    let file = world.storage("a");
    file.set_len(2048).unwrap();
    write(&*file, 512, 7, 512);
    let all = [vec![], vec![0; 4], vec![0, 7], vec![0, 7, 0, 0]];
    assert_eq!(outcomes(&world, "a", &WHOLE), BTreeSet::from(all));
}

#[test]
fn writes_are_torn_between_sectors_and_files_grow_without_their_bytes() {
    let world = CrashWorld::new(images(&["a"], 0));
    // The write is not aligned: bytes 500 to 1500 lie in three sectors.
    world.storage("a").write_all_at(&[9; 1000], at(500)).unwrap();
    let mut found = BTreeSet::new();
    world.recording().crash(&Sweep { samples: 300, ..WHOLE }, |image| {
        let bytes = image.file("a").unwrap().to_vec();
        let sector = |from: usize, to: usize| {
            let bytes = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
            assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]), "no sector is cut");
            bytes.first().copied()
        };
        found.insert([sector(500, 512), sector(512, 1024), sector(1024, 1500)]);
    });
    let lost_alone = [Some(0), None];
    for kept in 0..8 {
        let matches = |sectors: &&[Option<u8>; 3]| {
            let is_kept = |n: usize| kept >> n & 1 == 1;
            (0..3).all(|n| if is_kept(n) { sectors[n] == Some(9) } else { lost_alone.contains(&sectors[n]) })
        };
        assert!(found.iter().any(|sectors| matches(&sectors)), "{kept:03b} is not in {found:?}");
    }
    assert!(found.contains(&[Some(0), Some(0), Some(0)]), "the file has grown, without its bytes");
}

#[test]
fn a_medium_that_garbles_leaves_sectors_that_are_neither_old_nor_new() {
    let world = CrashWorld::new(images(&["a"], 2048));
    write(&*world.storage("a"), 512, 9, 1024);
    let garbled = |recording: Recording| {
        let mut garbled = BTreeSet::new();
        recording.crash(&Sweep { samples: 100, ..WHOLE }, |image| {
            let bytes = image.file("a").unwrap().to_vec();
            let sectors = (0..).zip(bytes.chunks(512));
            let is_garbage = |sector: &[u8]| !sector.iter().all(|byte| *byte == sector[0]);
            garbled.extend(sectors.filter(|(_, sector)| is_garbage(sector)).map(|(number, _)| number));
        });
        garbled
    };
    assert_eq!(garbled(world.recording()), BTreeSet::new());
    assert_eq!(garbled(world.recording().garbling()), BTreeSet::from([1, 2]));
}

#[test]
fn many_operations_are_sampled_within_the_budget() {
    let world = CrashWorld::new(images(&["a"], 64 * 512));
    let file = world.storage("a");
    for round in 1..=3 {
        for sector in 0..64 {
            write(&*file, sector * 512, round, 512);
        }
        file.sync().unwrap();
    }
    let mut most_lost = [0; 4];
    let sweep = Sweep { samples: 200, ..WHOLE };
    let swept = world.recording().crash(&sweep, |image| {
        let bytes = image.file("a").unwrap().to_vec();
        let (low, high) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
        assert!(high - low <= 1, "each round was synced before the next one");
        let lost = bytes.chunks(512).filter(|sector| sector[0] == *low && low < high).count();
        most_lost[*high as usize] = most_lost[*high as usize].max(lost);
    });
    assert_eq!((swept.points, swept.exhaustive_points, swept.forged), (3, 0, 200 + 2 * 3));
    assert!(swept.images > 150, "{swept:?}");
    assert!(most_lost[1..].iter().all(|&lost| lost > 56), "{most_lost:?}");
    let mut other = Vec::new();
    world.recording().crash(&sweep, |image| other.push(image.event()));
    assert_eq!(other.len(), swept.images, "a second sweep checks the same images");
}

#[test]
fn a_removed_file_may_come_back_until_names_are_synced() {
    let world = CrashWorld::new(images(&["a", "b"], 512));
    let still_open = world.storage("a");
    world.remove("a").unwrap();
    assert_eq!(world.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(world.open("a").is_err() && !world.contains("a") && world.images().len() == 1);
    still_open.sync().unwrap();
    world.storage("b").sync().unwrap();
    let mut found = BTreeSet::new();
    world.recording().crash(&WHOLE, |image| {
        found.insert(image.files().len());
    });
    assert_eq!(found, BTreeSet::from([1, 2]));

    world.sync_names().unwrap();
    write(&*world.storage("b"), 0, 1, 512);
    let mut last = BTreeSet::new();
    world.recording().crash(&WHOLE, |image| {
        if image.file("b").unwrap().to_vec()[0] == 1 {
            last.insert(image.files().len());
        }
    });
    assert_eq!(last, BTreeSet::from([1]));
}

#[test]
fn the_chosen_calls_fail() {
    let world = CrashWorld::new(images(&["a"], 512));
    let file = world.storage("a");
    world.fail(Fault::once(Calls::Writes, 1));
    write(&*file, 0, 1, 512);
    file.read_exact_at(&mut [0], at(0)).unwrap();
    assert!(file.sync().is_err() && world.has_failed());
    file.sync().unwrap();
    assert_eq!((world.calls(Calls::Reads), world.calls(Calls::Writes), world.calls(Calls::Any)), (1, 3, 4));

    let world = CrashWorld::new(images(&["a"], 2048));
    let file = world.storage("a");
    world.fail(Fault::full(1));
    write(&*file, 0, 1, 2048);
    let error = file.write_all_at(&[2; 1900], at(100)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let error = file.write_all_at(&[3; 2048], at(0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let expected = [vec![1; 100], vec![2; 924], vec![1; 1024]].concat();
    assert_eq!(world.images()[std::path::Path::new("a")].to_vec(), expected);
    assert!(file.set_len(7).is_err() && file.size().unwrap() == 2048);
    world.mend();
    file.set_len(7).unwrap();

    world.fail(Fault::forever(Calls::Reads, world.calls(Calls::Reads)));
    assert!(file.size().is_err() && file.read_exact_at(&mut [0], at(0)).is_err());
    file.sync().unwrap();
    world.fail(Fault::once(Calls::Any, world.calls(Calls::Any)));
    assert!(file.sync().is_err() && file.size().is_ok());
}

#[test]
fn each_call_fails_in_its_turn() {
    let mut outcomes = Vec::new();
    let calls = for_each_failure(&images(&["a"], 0), Fault::full, |world| {
        let file = world.storage("a");
        let result = (|| {
            file.set_len(512)?;
            file.write_all_at(&[1; 4], at(0))?;
            file.sync()
        })();
        outcomes.push((result.is_ok(), world.images().values().next().unwrap().fingerprint()));
    });
    assert_eq!(calls, 3);
    assert_eq!(outcomes.iter().map(|outcome| outcome.0).collect::<Vec<_>>(), [false, false, false, true]);
    assert_eq!(outcomes[2].1, outcomes[3].1, "a failed sync loses nothing that programs can read");
}

#[test]
fn a_failed_sync_makes_nothing_durable() {
    let world = CrashWorld::new(images(&["a"], 512));
    let file = world.storage("a");
    world.fail(Fault::once(Calls::Writes, 1));
    write(&*file, 0, 1, 512);
    file.sync().unwrap_err();
    write(&*file, 0, 2, 512);
    assert_eq!(outcomes(&world, "a", &WHOLE).len(), 3);
}

#[test]
fn a_protocol_without_a_necessary_sync_is_detected() {
    // The protocol writes data, then a mark that says that the data exist.
    let broken = |syncs: bool| {
        let world = CrashWorld::new(images(&["data", "mark"], 512));
        write(&*world.storage("data"), 0, 1, 512);
        if syncs {
            world.storage("data").sync().unwrap();
        }
        write(&*world.storage("mark"), 0, 1, 512);
        catch_unwind(AssertUnwindSafe(|| {
            world.recording().crash(&WHOLE, |image| {
                let [data, mark] = ["data", "mark"].map(|name| image.file(name).unwrap().to_vec()[0]);
                assert!(data >= mark, "the mark is set without its data");
            })
        }))
        .is_err()
    };
    assert!(!broken(true));
    assert!(broken(false));
}

#[test]
fn an_image_says_what_was_lost() {
    let world = CrashWorld::new(images(&["a"], 512));
    write(&*world.storage("a"), 0, 1, 512);
    world.storage("a").sync().unwrap();
    world.storage("a").set_len(9).unwrap();
    assert_eq!(world.recording().lines(), ["a write 0x0+0x200", "a sync", "a set_len 0x9"]);
    let mut last = String::new();
    world.recording().crash(&WHOLE, |image| last = image.to_string());
    assert_eq!(last, "power failure after 3 events; not durable:\n  2 a set_len 0x9: Kept");
}

#[test]
fn a_file_that_was_put_is_durable_and_has_the_only_name() {
    let world = CrashWorld::new(images(&["a", "b"], 512));
    write(&*world.storage("a"), 0, 1, 512);
    world.remove("b").unwrap();
    for byte in [2, 3] {
        let mut image = SparseImage::new(512);
        image.write(0, &[byte; 512]);
        world.put("b", image).unwrap();
    }
    world.remove("b").unwrap();
    let mut found = BTreeSet::new();
    world.recording().crash(&WHOLE, |image| {
        assert_eq!(image.files().len(), 1 + usize::from(image.file("b").is_some()));
        found.insert((image.file("a").unwrap().to_vec()[0], image.file("b").map(|file| file.to_vec()[0])));
    });
    let of_b = [None, Some(0), Some(2), Some(3)];
    assert_eq!(found, of_b.into_iter().flat_map(|b| [(0, b), (1, b)]).collect());
    assert_eq!(world.recording().lines()[2..4], ["b put", "b put"]);
}
