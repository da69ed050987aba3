use std::cell::Cell;
use std::io;

use super::*;
#[cfg(target_os = "linux")]
use crate::storage::{FileStorage, Storage};

const END: FileOffset = FileOffset::new(u64::MAX);

/// A storage with these holes, which counts how often it is queried.
struct WithHoles(Vec<Range<u64>>, std::sync::Mutex<Cell<usize>>);

impl ReadAt for WithHoles {
    fn size(&self) -> io::Result<u64> {
        unreachable!("only holes are queried")
    }

    fn read_exact_at(&self, _: &mut [u8], _: FileOffset) -> io::Result<()> {
        unreachable!("only holes are queried")
    }

    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        let asked = self.1.lock().unwrap();
        asked.set(asked.get() + 1);
        let hole = self.0.iter().find(|hole| hole.end > offset.get()).unwrap();
        Ok(Some(FileOffset::new(hole.start.max(offset.get()))..FileOffset::new(hole.end)))
    }
}

fn range(start: u64, end: u64) -> Range<FileOffset> {
    FileOffset::new(start)..FileOffset::new(end)
}

#[test]
fn the_bytes_of_every_range_are_counted() {
    let all = [10..20, 30..31, 40..u64::MAX];
    let storage = WithHoles(all.to_vec(), Default::default());
    let mut holes = Holes::new(&storage, END);
    let expected = |start, end| (start..end).filter(|at| all.iter().any(|hole| hole.contains(at))).count();
    // All pairs of ranges in every order, so that each cached hole is tested with each next query.
    for (a, b) in (0..50_u64).flat_map(|a| (0..50_u64).map(move |b| (a, b))) {
        for (start, end) in [(a, a.max(b)), (b, b + 7)] {
            let found = holes.bytes_in(range(start, end)).unwrap();
            assert_eq!(found, expected(start, end) as u64, "{start}..{end}");
        }
    }
}

#[test]
fn a_file_without_holes_is_queried_once() {
    let storage = WithHoles(std::iter::once(1000..u64::MAX).collect(), Default::default());
    let mut holes = Holes::new(&storage, END);
    for start in 0..900 {
        assert_eq!(holes.bytes_in(range(start, start + 100)).unwrap(), 0);
    }
    assert_eq!(storage.1.lock().unwrap().get(), 1);
    assert_eq!(holes.bytes_in(range(900, 1100)).unwrap(), 100);
    let mut holes = Holes::new(&storage, FileOffset::new(1020));
    assert_eq!(
        [range(900, 1100), range(1010, 1015), range(1020, 1100)].map(|range| holes.bytes_in(range).unwrap()),
        [20, 5, 0]
    );
}

#[test]
fn bytes_that_are_not_known_to_be_allocated_count() {
    let storage = vec![1; 100];
    assert_eq!(Holes::new(&storage, END).bytes_in(range(3, 10)).unwrap(), 7);
}

#[cfg(target_os = "linux")]
#[test]
fn the_holes_of_a_file() {
    const PIECE: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, []).unwrap();
    let file = FileStorage::open_exclusive(&path).unwrap();
    file.set_len(8 * PIECE).unwrap();
    for piece in [1, 2, 5] {
        file.write_all_at(&vec![1; PIECE as usize], FileOffset::new(piece * PIECE)).unwrap();
    }
    let mut holes = Holes::new(&file, END);
    let mut taken_by = |start, end| holes.bytes_in(range(start * PIECE, end * PIECE)).unwrap() / PIECE;
    assert_eq!((taken_by(0, 8), taken_by(1, 3), taken_by(2, 6), taken_by(7, 20)), (5, 0, 2, 13));
}
