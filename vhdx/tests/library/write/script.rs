//! Changes to a disk, one after the other, and which bytes it may have when it is interrupted.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use proptest::prelude::*;
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::check_storage;
use vhdx::{ChainMut, Disk, DiskMut, DiskType, LogState, OpenOptions, Result, Vhdx, VhdxMut};
use vhdx_testkit::crash::{Calls, CrashImage, CrashWorld, Images};
use vhdx_testkit::{
    ByRelativePath, ChainModel, DirtyLog, Family, Headers, LayerModel, Operation, RegionTables,
};

use crate::common::{assert_same, at};

/// The unit that a medium writes as a whole, in bytes. It does not depend on the disk's sector size.
const MEDIUM_SECTOR: usize = 512;

/// Something that is done to an open disk. Places are in sectors, or in bytes for `…Bytes`, modulo the size of the disk.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { start: u64, count: u64, fill: u8 },
    WriteBytes { start: u64, len: u64, fill: u8 },
    Zero { start: u64, count: u64 },
    ZeroBytes { start: u64, len: u64 },
    Unmap { start: u64, count: u64 },
    Flush,
    Reopen,
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let count = || prop_oneof![4 => 1..64u64, 2 => 1..5000u64, 1 => Just(u64::MAX)];
    let start = || prop_oneof![3 => 0..12_000u64, 1 => (0..6u64).prop_map(|mib| mib * 2048)];
    let byte =
        || prop_oneof![3 => 0..6_000_000u64, 1 => (0..6u64).prop_map(|mib| (mib << 20) - mib.min(1) * 100)];
    let len = || prop_oneof![4 => 1..600u64, 1 => 1..100_000u64];
    let change = prop_oneof![
        3 => (byte(), len(), 1..=255u8).prop_map(|(start, len, fill)| Change::WriteBytes { start, len, fill }),
        1 => (byte(), len()).prop_map(|(start, len)| Change::ZeroBytes { start, len }),
        6 => (start(), count(), 1..=255u8).prop_map(|(start, count, fill)| Change::Write { start, count, fill }),
        3 => (start(), count()).prop_map(|(start, count)| Change::Zero { start, count }),
        2 => (start(), count()).prop_map(|(start, count)| Change::Unmap { start, count }),
        1 => Just(Change::Flush),
        1 => Just(Change::Reopen),
    ];
    prop::collection::vec(change, 1..20)
}

impl Change {
    /// Returns the bytes of the disk that the change is about: none if it changes none.
    fn range(&self, sector: u64, size: u64) -> Range<u64> {
        match *self {
            Change::Write { start, count, .. }
            | Change::Zero { start, count }
            | Change::Unmap { start, count } => {
                let sectors = size / sector;
                let start = start % sectors;
                start * sector..(start + count.min(sectors - start)) * sector
            }
            Change::WriteBytes { start, len, .. } | Change::ZeroBytes { start, len } => {
                let start = start % size;
                start..start + len.min(size - start)
            }
            Change::Flush | Change::Reopen => 0..0,
        }
    }

    /// Makes the change on the disk and in the plain array, which also gets it if the disk returns an error.
    pub(crate) fn apply(&self, disk: &mut ChainMut, bytes: &mut [u8]) -> Result<()> {
        let (size, block_size) = (disk.virtual_size(), disk.leaf().block_size());
        let range = self.range(disk.logical_sector_size().into(), size);
        let places = range.start as usize..range.end as usize;
        let on_disk = at(range.start)..at(range.end);
        match *self {
            Change::Write { fill, .. } | Change::WriteBytes { fill, .. } => {
                bytes[places.clone()].fill(fill);
                disk.write_all_at(&bytes[places], on_disk.start)
            }
            Change::Zero { .. } | Change::ZeroBytes { .. } => {
                bytes[places].fill(0);
                disk.write_zeros(on_disk)
            }
            Change::Unmap { .. } => {
                for start in (0..size).step_by(block_size as usize) {
                    let end = (start + block_size).min(size);
                    if range.start <= start && end <= range.end {
                        bytes[start as usize..end as usize].fill(0);
                    }
                }
                disk.unmap(on_disk)
            }
            Change::Flush => disk.flush(),
            Change::Reopen => Ok(()),
        }
    }

    /// Returns the sectors of the disk that the change may write.
    fn sectors(&self, sector: u64, size: u64) -> Range<usize> {
        let range = self.range(sector, size);
        (range.start / sector) as usize..range.end.div_ceil(sector) as usize
    }

    fn is_of_bytes(&self) -> bool {
        matches!(self, Change::WriteBytes { .. } | Change::ZeroBytes { .. })
    }
}

/// A disk, and what is done to it.
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) images: Images,
    /// The disk that is written to; the other files are its parents.
    pub(crate) path: PathBuf,
    pub(crate) before: Vec<u8>,
    pub(crate) changes: Vec<Change>,
}

impl Script {
    pub(crate) fn new(name: &str, model: &ChainModel, changes: Vec<Change>) -> Self {
        let family = Family::new(model, &[]);
        let leaf = family.leaves[0].clone();
        let (images, path) = (family.images, leaf.path);
        Self { name: name.into(), images, path, before: leaf.expected, changes }
    }

    pub(crate) fn world(&self) -> CrashWorld {
        CrashWorld::new(self.images.clone())
    }

    fn open(&self, world: &CrashWorld) -> Result<ChainMut> {
        ChainMut::from_leaf(
            VhdxMut::open_with(world.storage(&self.path), &OpenOptions::default())?,
            &ByRelativePath(world),
        )
    }

    /// Does everything, up to the first error. What is not flushed at the end is not: the disk is left open.
    pub(crate) fn run(&self, world: &CrashWorld) -> (History, Option<ChainMut>, Result<()>) {
        let (bytes, sectors) = (self.before.clone(), 0..0);
        let before = Version { began: 0, ended: 0, bytes, sectors, is_of_bytes: false };
        let mut history = History { versions: vec![before], durable: vec![(0, 0)] };
        let mut disk = None;
        let result = self.run_on(world, &mut history, &mut disk);
        (history, disk, result)
    }

    fn run_on(&self, world: &CrashWorld, history: &mut History, disk: &mut Option<ChainMut>) -> Result<()> {
        for change in &self.changes {
            if let (Change::Reopen, Some(open)) = (change, disk.take_if(|_| matches!(change, Change::Reopen)))
            {
                open.close()?;
                history.mark_durable(world);
                continue;
            }
            if disk.is_none() {
                *disk = Some(self.open(world)?);
            }
            let open = disk.as_mut().unwrap();
            let began = world.calls(Calls::Writes);
            let mut bytes = history.versions.last().unwrap().bytes.clone();
            let result = change.apply(open, &mut bytes);
            history.versions.push(Version {
                began,
                ended: world.calls(Calls::Writes),
                bytes,
                sectors: change.sectors(open.logical_sector_size().into(), open.virtual_size()),
                is_of_bytes: change.is_of_bytes(),
            });
            result?;
            if matches!(change, Change::Flush) {
                history.mark_durable(world);
            }
        }
        Ok(())
    }

    /// Checks that the disk opens, that each sector is as in one of the versions that it can have, and that the disk can
    /// be written to again. The sectors in `garbled` can have any bytes.
    pub(crate) fn check(&self, world: &CrashWorld, versions: &[&[u8]], garbled: &Garbled) {
        let mut read = world.read_disk(&self.path).unwrap();
        let file = || Vhdx::open_with(world.images()[&self.path].clone(), &OpenOptions::default()).unwrap();
        let original = Vhdx::open_with(self.images[&self.path].clone(), &OpenOptions::default()).unwrap();
        let sector_size = original.logical_sector_size() as usize;
        assert_each_sector_is_one_of(&read, versions, garbled, sector_size);
        if read != self.before {
            assert_ne!(file().data_write_guid(), original.data_write_guid(), "its children would not know");
            assert_ne!(file().file_write_guid(), original.file_write_guid());
        }

        let mut disk = self.open(world).unwrap();
        let start = read.len() as u64 / 3 / 4096;
        let change = Change::Write { start, count: 3, fill: 0xee };
        change.apply(&mut disk, &mut read).unwrap();
        disk.close().unwrap();
        assert_same(&world.read_disk(&self.path).unwrap(), &read, "after another write");
        assert_eq!(file().log(), LogState::Clean);
        let report = check_storage(std::sync::Arc::new(world.images()[&self.path].clone()));
        assert!(report.is_valid(), "{:?}", report.files[0].violations);
    }
}

/// The bytes of a disk after a change.
struct Version {
    /// The number of events before the change began.
    began: usize,
    /// The number of events when the change had returned.
    ended: usize,
    bytes: Vec<u8>,
    /// The sectors of the disk that the change may have written.
    sectors: Range<usize>,
    /// Whether the change may have written only a part of its first and its last sector.
    is_of_bytes: bool,
}

/// The bytes that a disk had.
pub(crate) struct History {
    versions: Vec<Version>,
    /// From this event on, this version is durable.
    durable: Vec<(usize, usize)>,
}

impl History {
    fn mark_durable(&mut self, world: &CrashWorld) {
        self.durable.push((world.calls(Calls::Writes), self.versions.len() - 1));
    }

    /// Returns the contents that the disk may have when power fails after so many events: from the last flush on.
    pub(crate) fn versions_at(&self, event: usize) -> Vec<&[u8]> {
        self.since_flush(event).map(|version| version.bytes.as_slice()).collect()
    }

    fn since_flush(&self, event: usize) -> impl Iterator<Item = &Version> {
        let (_, first) = self.durable.iter().rfind(|(from, _)| *from <= event).unwrap();
        self.versions.iter().take_while(move |version| version.began <= event).skip(*first)
    }

    /// Returns the sectors that a medium may have garbled in `image`: those of changes that had begun, and whose writes
    /// were not all durable.
    pub(crate) fn garbled_in(&self, image: &CrashImage) -> Garbled {
        let is_pending = |version: &&Version| version.ended > image.first_pending();
        let mut garbled = Garbled::default();
        for version in self.since_flush(image.event()).filter(is_pending) {
            let sectors = version.sectors.clone();
            if version.is_of_bytes {
                garbled.ends.extend([sectors.start, sectors.end - 1]);
            }
            garbled.written.push(sectors);
        }
        garbled
    }
}

/// The sectors of a disk that a medium may garble, because they are written over in their places.
///
/// A sector of the disk is written as a whole. So if it is longer than a sector of the medium, the medium may garble any
/// part of it.
#[derive(Default)]
pub(crate) struct Garbled {
    written: Vec<Range<usize>>,
    /// Sectors of which a part is written: these count even if they keep their bytes.
    ends: BTreeSet<usize>,
}

impl Garbled {
    fn contains(&self, sector: usize, versions: &[&[u8]], sector_size: usize) -> bool {
        let bytes = sector * sector_size..(sector + 1) * sector_size;
        let changes = || versions.iter().any(|version| version[bytes.clone()] != versions[0][bytes.clone()]);
        self.written.iter().any(|written| written.contains(&sector))
            && (self.ends.contains(&sector) || changes())
    }
}

fn assert_each_sector_is_one_of(read: &[u8], versions: &[&[u8]], garbled: &Garbled, sector_size: usize) {
    const CHUNK: usize = 64 << 10;
    assert!(!versions.is_empty() && versions.iter().all(|version| version.len() == read.len()));
    for start in (0..read.len()).step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(read.len());
        if versions.iter().any(|version| version[chunk.clone()] == read[chunk.clone()]) {
            continue;
        }
        for sector in chunk.clone().step_by(MEDIUM_SECTOR) {
            let sector = sector..sector + MEDIUM_SECTOR;
            let mut those = versions.iter().map(|version| &version[sector.clone()]);
            let is_garbled = || garbled.contains(sector.start / sector_size, versions, sector_size);
            assert!(
                those.any(|version| *version == read[sector.clone()]) || is_garbled(),
                "byte {:#x} was never so",
                sector.start
            );
        }
    }
}

fn layer(sectors: u64, operations: Vec<Operation>) -> LayerModel {
    LayerModel {
        block_mib: 1,
        sectors,
        operations,
        second_linkage: false,
        shuffled: true,
        headers: Headers::FirstIsCurrent,
        region_tables: RegionTables::Both,
        log: None,
        is_fixed: false,
    }
}

fn fill(block: u64) -> Operation {
    Operation::Fill { block }
}

/// A disk with two full blocks, a cleared one that keeps its place, and a last one that is cut off.
pub(crate) fn disk(disk_type: DiskType, log: bool) -> ChainModel {
    let unmapped = Operation::Clear { block: 2, state: PayloadBlockState::Unmapped, placed: true };
    let own = layer(4 * 2048 + 90, vec![fill(0), fill(1), unmapped]);
    let log = log.then_some(DirtyLog { seed: 4, entries: 3, stale: 1, runs: 10, closed: false });
    let base = layer(4 * 2048, vec![fill(0), fill(1), fill(2), fill(3)]);
    let few = Operation::Write { start: 2048 + 9, count: 5, zeros: false };
    let layers = match disk_type {
        DiskType::Fixed => vec![LayerModel { is_fixed: true, log, ..own }],
        DiskType::Dynamic => vec![LayerModel { log, ..own }],
        DiskType::Differencing => {
            vec![base, LayerModel { log, ..layer(own.sectors, vec![fill(0), few, unmapped]) }]
        }
    };
    ChainModel { seed: 5, sector_size: 512, layers }
}

/// A child of two full blocks without any sector bitmap.
pub(crate) fn empty_child() -> ChainModel {
    let base = layer(3 * 2048, vec![fill(0), fill(1), fill(2)]);
    ChainModel { seed: 6, sector_size: 512, layers: vec![base, layer(4 * 2048, vec![])] }
}

pub(crate) fn empty_disk() -> ChainModel {
    ChainModel { seed: 7, sector_size: 512, layers: vec![layer(4 * 2048, vec![])] }
}
