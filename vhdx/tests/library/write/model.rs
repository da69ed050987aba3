//! Disks in memory, held against plain arrays.

use std::sync::Arc;

use proptest::prelude::*;
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx::ops::check_storage;
use vhdx::{
    Chain, ChainMut, DiskType, FileOffset, LogState, Memory, NewDisk, OpenOptions, ReadAt, Storage, Vhdx,
    VhdxMut, VhdxWriter,
};
use vhdx_testkit::{ChainModel, chains};

use super::script::{Change, changes};
use crate::common::{assert_same, cases, read_all};

/// A file that is written to, its parents, and the bytes that it must read as.
pub(crate) struct Subject {
    pub(crate) file: Arc<Memory>,
    parents: Vec<Vec<u8>>,
    expected: Vec<u8>,
}

impl Subject {
    fn new(model: &ChainModel) -> Self {
        let mut images: Vec<Vec<u8>> = model.images().iter().rev().map(|image| image.build()).collect();
        let file = Arc::new(Memory::new(images.remove(0)));
        Self { file, parents: images, expected: model.disks().pop().unwrap() }
    }

    pub(crate) fn open(&self) -> VhdxMut {
        VhdxMut::open_with(Arc::clone(&self.file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap()
    }

    fn open_chain(&self) -> ChainMut {
        let parents = self
            .parents
            .iter()
            .map(|parent| Vhdx::open_with(parent.clone(), &OpenOptions::default()).unwrap());
        ChainMut::from_layers(self.open(), parents.collect()).unwrap()
    }

    fn apply(&mut self, disk: &mut ChainMut, change: &Change) {
        change.apply(disk, &mut self.expected).unwrap();
        assert_same(&read_all(disk), &self.expected, "through the open disk");
        if matches!(change, Change::Flush) {
            self.assert_reads("after a flush");
        }
    }

    /// The file as another reader finds it now, with its log replayed if need be.
    pub(crate) fn assert_reads(&self, what: &str) -> Vhdx {
        let mut snapshot = vec![0; self.file.size().unwrap() as usize];
        self.file.read_exact_at(&mut snapshot, FileOffset::new(0)).unwrap();
        let report = check_storage(Arc::new(snapshot.clone()));
        assert!(report.is_valid(), "{what}: {:?}", report.files[0].violations);
        let mut layers = vec![Vhdx::open_with(snapshot.clone(), &OpenOptions::default()).unwrap()];
        layers.extend(
            self.parents
                .iter()
                .map(|parent| Vhdx::open_with(parent.clone(), &OpenOptions::default()).unwrap()),
        );
        let chain = Chain::from_layers(layers).unwrap();
        assert_same(&read_all(&chain), &self.expected, what);
        Vhdx::open_with(snapshot, &OpenOptions::default()).unwrap()
    }

    fn run(mut self, changes: &[Change]) {
        let before = self.assert_reads("before");
        let mut disk = self.open_chain();
        for change in changes {
            if matches!(change, Change::Reopen) {
                disk.close().unwrap();
                let found = self.assert_reads("after closing");
                assert_eq!(found.log(), LogState::Clean);
                disk = self.open_chain();
            }
            self.apply(&mut disk, change);
        }
        disk.close().unwrap();
        let after = self.assert_reads("at the end");
        assert_eq!(after.log(), LogState::Clean);
        let changed =
            changes.iter().any(|change| matches!(change, Change::Write { .. } | Change::WriteBytes { .. }));
        if changed {
            assert_ne!(after.data_write_guid(), before.data_write_guid());
        }
        if after.data_write_guid() != before.data_write_guid() {
            assert_ne!(after.file_write_guid(), before.file_write_guid());
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn disks_and_children_read_like_the_model(model in chains(4), changes in changes()) {
        Subject::new(&model).run(&changes);
    }

    #[test]
    fn fixed_disks_read_like_the_model(sectors in 1..9000u64, changes in changes()) {
        let subject = Subject { parents: Vec::new(), ..new_disk(DiskType::Fixed, sectors * 512) };
        let file = Arc::clone(&subject.file);
        subject.run(&changes);
        let counts = Vhdx::open_with(file, &OpenOptions::default()).unwrap().block_counts().unwrap();
        prop_assert_eq!(counts.keys().collect::<Vec<_>>(), [&PayloadBlockState::FullyPresent]);
    }
}

pub(crate) fn new_disk(disk_type: DiskType, size: u64) -> Subject {
    let disk = NewDisk { block_size: 1 << 20, disk_type, ..NewDisk::new(size) };
    let file = Memory::default();
    VhdxWriter::new(&file, &disk).unwrap().finish().unwrap();
    Subject { file: Arc::new(file), parents: Vec::new(), expected: vec![0; size as usize] }
}
