//! What the samples of a large target detect, and what they cost.

use std::io;
use std::sync::Arc;

use vhdx::ops::{BaseProof, ensure_holds_base};
use vhdx::{
    Chain, Conflict, DiskOffset, Error, ErrorKind, FileOffset, Jobs, Memory, NoProgress, OpenOptions, ReadAt,
    Storage, Vhdx,
};
use vhdx_testkit::{Block, Image, SparseImage};

use crate::common::MIB;

const GIB: u64 = 1 << 30;
const SIZE: u64 = 4 * GIB;

/// A target that is only read.
struct OnlyRead<R>(R);

impl<R: ReadAt> ReadAt for OnlyRead<R> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

impl<R: ReadAt> Storage for OnlyRead<R> {
    fn write_all_at(&self, _: &[u8], _: FileOffset) -> io::Result<()> {
        panic!("a proof writes nothing")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        panic!("a proof writes nothing")
    }

    fn sync(&self) -> io::Result<()> {
        panic!("a proof writes nothing")
    }
}

/// A disk of 4 GiB with data in 64 blocks, and a child that changes blocks 100 and 200 to 209.
fn disks() -> (Chain, Chain) {
    let mut base = Image::dynamic(SIZE, 1 << 20);
    base.litter = false;
    for block in 0..64 {
        base.blocks.insert(block * 64 + 1, Block::full(vec![block as u8 + 1; 1 << 20]));
    }
    let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
    for block in [100].into_iter().chain(200..210) {
        child.blocks.insert(block, Block::full(vec![0xee; 1 << 20]));
    }
    let open = |image: &Image| Vhdx::open_with(Arc::new(image.sparse()), &OpenOptions::default()).unwrap();
    let base = open(&base);
    let new = Chain::from_layers(vec![open(&child), base.clone()]).unwrap();
    (Chain::from_layers(vec![base]).unwrap(), new)
}

/// A target that holds the disk.
fn holding(disk: &Chain) -> SparseImage {
    let mut target = SparseImage::new(SIZE);
    let mut block = vec![0; 1 << 20];
    for number in 0..64 {
        let at = (number * 64 + 1) * MIB;
        disk.read_exact_at(&mut block, DiskOffset::new(at)).unwrap();
        target.write(at, &block);
    }
    target
}

fn prove(target: SparseImage, proof: BaseProof) -> Result<u64, Option<Conflict>> {
    let (old, new) = disks();
    let result = ensure_holds_base(&old, &new, &OnlyRead(target), proof, Jobs::default(), &NoProgress);
    result.map_err(|error| error.conflict().cloned())
}

#[test]
fn a_sample_of_a_large_disk_is_small() {
    let (old, _) = disks();
    let compared = prove(holding(&old), BaseProof::Sampled).unwrap();
    assert!((2 * MIB..24 * MIB).contains(&compared), "{compared}");
}

#[test]
fn another_disk_is_detected() {
    let (old, _) = disks();
    // Zeros, and a disk with other data in the same places.
    assert!(matches!(prove(SparseImage::new(SIZE), BaseProof::Sampled), Err(Some(Conflict::OtherBase(_)))));
    let mut other = holding(&old);
    for number in 0..64 {
        other.write((number * 64 + 1) * MIB, &vec![0x77; 1 << 20]);
    }
    let found = prove(other, BaseProof::Sampled);
    let is_in_first = |at: FileOffset| (MIB..2 * MIB).contains(&at.get());
    assert!(matches!(found, Err(Some(Conflict::OtherBase(at))) if is_in_first(at)), "{found:?}");
    // A block has 16 of the 1,024 parts of the data.
    let mut other = holding(&old);
    other.write(65 * MIB, &vec![0x77; 1 << 20]);
    assert!(prove(other, BaseProof::Sampled).is_err());
}

#[test]
fn the_edges_of_changed_ranges_and_of_the_disk_are_compared() {
    let (old, _) = disks();
    for at in [0, MIB - 1, 100 * MIB - 1, 101 * MIB, 200 * MIB - 4096, 210 * MIB, SIZE - MIB, SIZE - 1] {
        let mut other = holding(&old);
        other.write(at, &[0x55]);
        let expected = Err(Some(Conflict::OtherBase(FileOffset::new(at))));
        assert_eq!(prove(other, BaseProof::Sampled), expected, "{at}");
    }
}

#[test]
fn a_full_proof_finds_every_difference() {
    let (old, _) = disks();
    let mut other = holding(&old);
    other.write(3 * GIB + 77_777, &[1]);
    assert_eq!(prove(holding(&old), BaseProof::Full), Ok(SIZE));
    let at = FileOffset::new(3 * GIB + 77_777);
    assert_eq!(prove(other, BaseProof::Full), Err(Some(Conflict::OtherBase(at))));
    let target = Memory::new(vec![0; 512]);
    let (old, new) = disks();
    assert!(ensure_holds_base(&old, &new, &target, BaseProof::Full, Jobs::default(), &NoProgress).is_err());
}

/// Bytes of which one range cannot be read.
struct Unreadable(Memory, std::ops::Range<u64>);

impl ReadAt for Unreadable {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let end = offset.get() + buf.len() as u64;
        match offset.get() < self.1.end && self.1.start < end {
            true => Err(io::Error::other("a bad sector")),
            false => self.0.read_exact_at(buf, offset),
        }
    }
}

#[test]
fn a_difference_before_a_bad_sector_of_the_target_is_found() {
    let size = 4 << 20;
    let base = Image::dynamic(size, 1 << 20);
    let child = Image::child_of(&base, "base.vhdx", 1 << 20);
    let open = |image: &Image| Vhdx::open_with(image.build(), &OpenOptions::default()).unwrap();
    let base = open(&base);
    let old = Chain::from_layers(vec![base.clone()]).unwrap();
    let new = Chain::from_layers(vec![open(&child), base]).unwrap();
    let outcome = |difference: u64, bad: u64| {
        let mut bytes = vec![0; size as usize];
        old.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
        bytes[difference as usize] ^= 1;
        let target = OnlyRead(Unreadable(Memory::new(bytes), bad..bad + 512));
        ensure_holds_base(&old, &new, &target, BaseProof::Full, Jobs::default(), &NoProgress).unwrap_err()
    };
    let at = 1 << 20;
    for (difference, bad) in [(at + 512, at + 4096), (at, at + 512)] {
        match outcome(difference, bad) {
            Error::Conflict(Conflict::OtherBase(found)) => assert_eq!(found.get(), difference),
            other => panic!("{other}"),
        }
        assert_eq!(outcome(bad, difference / 512 * 512).kind(), ErrorKind::Io);
    }
}
