//! Applies plans in the simplest way there is, in memory and without a log. Then the target must read as the leaf.

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use vhdx_testkit::{ChainModel, chains};

use super::*;
use crate::file::{OpenOptions, VhdxMut, replay, validate_bat};
use crate::format::bat_entry::{BatEntry, SectorBitmapBlockState};
use crate::ops::merge::batch::{Batch, NewBitmap};
use crate::ops::merge::block::{BitChange, BlockPlan};
use crate::ops::merge::pieces::{Content, pieces};
use crate::storage::{Memory, ReadAt, Storage};
use crate::units::{BatIndex, ChunkIndex, DiskOffset};
use crate::violation::Violations;

/// A target to which a plan is applied.
struct Applied {
    file: Vec<u8>,
    /// Opened before the batches, for values that they do not change.
    vhdx: Vhdx,
    geometry: Geometry,
}

impl Applied {
    /// Replays the log of the file and grows its disk.
    fn new(file: Vec<u8>, plan: &MergePlan) -> Self {
        let memory = Arc::new(Memory::new(file));
        let storage = Arc::clone(&memory) as Arc<dyn Storage>;
        replay(Arc::clone(&storage)).unwrap();
        if let Some(growth) = &inputs(plan).growth {
            let mut target = VhdxMut::open_with(storage, &OpenOptions::default()).unwrap();
            target.grow(growth).unwrap();
            target.close().unwrap();
        }
        let mut file = vec![0; memory.size().unwrap() as usize];
        memory.read_exact_at(&mut file, FileOffset::new(0)).unwrap();
        let vhdx = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
        let geometry = vhdx.geometry();
        assert_eq!(geometry, inputs(plan).geometry);
        Self { file, vhdx, geometry }
    }

    fn apply(&mut self, plan: &MergePlan, batch: &Batch, merged: &[Vhdx]) {
        let taken = self.taken();
        let is_free = |place: FileOffset, len: u64| {
            taken.iter().all(|other| place.get() + len <= other.start || place.get() >= other.end)
        };
        let len = self.file.len().max(batch.file_size as usize);
        self.file.resize(len, 0);
        for bitmap in &batch.bitmaps {
            assert!(is_free(bitmap.place, MIB), "{bitmap:?}");
            self.add_bitmap(bitmap);
        }
        for block in &batch.blocks {
            let size = self.geometry.block_size();
            if block.is_new_place() {
                assert!(is_free(block.place, size), "{block:?}");
                self.make_zero(block.place, size, block.is_fresh);
            }
            if block.bits() == BitChange::Replace {
                let start = self.geometry.block_start(block.block);
                let bits = start..start.saturating_add(size);
                self.set_bits(bits, false);
            }
            let mut copied = 0;
            for piece in pieces(merged, inputs(plan), block) {
                copied += self.write(&piece.unwrap(), block, merged);
            }
            assert_eq!(copied, block.copied);
            if let Some(entry) = block.entry() {
                self.set_entry(self.geometry.payload_bat_index(block.block), entry);
            }
        }
    }

    /// Returns the places to which the file points now.
    fn taken(&self) -> Vec<Range<u64>> {
        let vhdx = Vhdx::open_with(self.file.clone(), &OpenOptions::default()).unwrap();
        let geometry = vhdx.geometry();
        let blocks = (0..geometry.block_count()).map(crate::units::BlockIndex::new);
        let entries = blocks.map(|block| vhdx.payload_entry(block).unwrap());
        let present = entries.filter(|entry| entry.payload_state().unwrap().is_present());
        let mut taken: Vec<_> = present
            .map(|entry| entry.file_offset().get()..entry.file_offset().get() + geometry.block_size())
            .collect();
        let regions = vhdx.regions().iter().map(|region| (region.offset, region.length));
        let log = (vhdx.header().log_offset, vhdx.header().log_length.into());
        let fixed = regions.chain([log, (FileOffset::new(0), MIB)]);
        taken.extend(fixed.map(|(start, len): (FileOffset, u64)| start.get()..start.get() + len));
        for chunk in (0..geometry.chunk_count()).filter(|_| geometry.has_parent()).map(ChunkIndex::new) {
            let entry = vhdx.bat_entries(geometry.bitmap_bat_index(chunk), 1).unwrap()[0];
            if entry.bitmap_state() == Some(SectorBitmapBlockState::Present) {
                taken.push(entry.file_offset().get()..entry.file_offset().get() + MIB);
            }
        }
        taken
    }

    fn make_zero(&mut self, place: FileOffset, len: u64, is_fresh: bool) {
        let bytes = &mut self.file[place.get() as usize..][..len as usize];
        if is_fresh {
            assert!(bytes.iter().all(|byte| *byte == 0), "{place} is not fresh");
        }
        bytes.fill(0);
    }

    fn add_bitmap(&mut self, bitmap: &NewBitmap) {
        self.make_zero(bitmap.place, MIB, bitmap.is_fresh);
        let entry = BatEntry::new(SectorBitmapBlockState::Present.bits(), bitmap.place);
        self.set_entry(self.geometry.bitmap_bat_index(bitmap.chunk), entry);
    }

    fn set_entry(&mut self, index: BatIndex, entry: BatEntry) {
        let at = self.vhdx.bat_entry_place(index).get() as usize;
        self.file[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }

    fn set_bits(&mut self, range: Range<DiskOffset>, value: bool) {
        let chunk = self.geometry.chunk_of(self.geometry.block_of(range.start));
        let at = self.vhdx.bat_entry_place(self.geometry.bitmap_bat_index(chunk)).get() as usize;
        let entry = BatEntry::from_le_bytes(self.file[at..at + 8].try_into().unwrap());
        assert_eq!(entry.bitmap_state(), Some(SectorBitmapBlockState::Present));
        let bitmap = entry.file_offset().get() as usize;
        for bit in self.geometry.bitmap_bits(range).unwrap() {
            let byte = &mut self.file[bitmap + bit as usize / 8];
            *byte = *byte & !(1 << (bit % 8)) | u8::from(value) << (bit % 8);
        }
    }

    /// Writes a piece and returns how many bytes are copied.
    fn write(&mut self, piece: &CopyPiece, block: &BlockPlan, merged: &[Vhdx]) -> u64 {
        let place = block.place.get()..block.place.get() + self.geometry.block_size();
        assert!(place.contains(&piece.to.get()) && piece.to.get() + piece.len <= place.end);
        let bytes = &mut self.file[piece.to.get() as usize..][..piece.len as usize];
        let copied = match piece.content {
            Content::Copy { layer, offset } => {
                merged[layer].storage().read_exact_at(bytes, offset).unwrap();
                piece.len
            }
            Content::Zeros => {
                bytes.fill(0);
                0
            }
            Content::Nothing => {
                assert!(bytes.iter().all(|byte| *byte == 0));
                0
            }
        };
        if block.bits() != BitChange::None {
            let start = piece.start;
            self.set_bits(start..start.saturating_add(piece.len), true);
        }
        copied
    }

    /// The target with all batches so far.
    fn now(&self) -> Vhdx {
        Vhdx::open_with(self.file.clone(), &OpenOptions::default()).unwrap()
    }

    /// Returns what the target reads as, together with its own parents.
    fn content(&self, parents: &[Vec<u8>]) -> Vec<u8> {
        content(&self.with(parents))
    }

    fn with(&self, parents: &[Vec<u8>]) -> Vec<Vhdx> {
        std::iter::once(&self.file)
            .chain(parents)
            .map(|file| Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap())
            .collect()
    }
}

fn check(model: &ChainModel, leaf: usize, target: usize, options: &MergeOptions) {
    let files: Vec<Vec<u8>> = model.files().iter().map(|file| file.to_vec()).collect();
    let files = &files[leaf..];
    let open = || {
        files
            .iter()
            .map(|file| Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap())
            .collect::<Vec<_>>()
    };
    let chain = Chain::from_layers(open()).unwrap();
    let expected = content(chain.layers());
    assert!(expected == model.disks()[model.layers.len() - 1 - leaf]);
    let merged = &chain.layers()[..target];
    let plan = MergePlan::new(&chain, target, &relatives(Vec::new()), options).unwrap();

    let mut applied = Applied::new(files[target].clone(), &plan);
    let is_fixed = applied.vhdx.disk_type() == DiskType::Fixed;
    let parents = &files[target + 1..];
    // Computed again while the target changes, the batches are those of the unchanged target.
    let mut planned = batches(&plan, chain.layers()).into_iter();
    let mut executed = Batches::new(inputs(&plan), merged);
    while let Some(batch) = executed.next(&applied.now()).unwrap() {
        assert_eq!(Some(&batch), planned.next().as_ref());
        assert!(batch.pages <= options.pages || batch.blocks.len() == 1);
        applied.apply(&plan, &batch, merged);
        let mut all = open();
        all.truncate(target);
        all.extend(applied.with(parents));
        assert!(content(&all) == expected, "the leaf changes during the merge");
    }
    assert_eq!((planned.next(), executed.finish().0), (None, plan.totals.clone()));
    let found = applied.content(parents);
    assert!(found[..expected.len()] == expected[..], "the target does not read as the leaf");
    assert_eq!(found.len() as u64, applied.geometry.virtual_size());
    assert!(applied.file.len() as u64 <= plan.file_size.max(files[target].len() as u64));

    let vhdx = Vhdx::open_with(applied.file.clone(), &OpenOptions::default()).unwrap();
    let mut violations = Violations::new();
    validate_bat(&vhdx, &mut violations).unwrap();
    violations.ensure_none_fatal().unwrap();
    if is_fixed {
        let counts = vhdx.block_counts().unwrap();
        assert_eq!(
            counts.into_keys().collect::<Vec<_>>(),
            [crate::format::bat_entry::PayloadBlockState::FullyPresent]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_target_reads_as_the_leaf(
        model in chains(5).prop_filter("a merge needs two layers", |model| model.layers.len() > 1),
        (leaf, target) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        (pages, batch_mib) in (1..30_usize, prop_oneof![0..4_u64, Just(64)]),
    ) {
        let leaf = leaf.index(model.layers.len() - 1);
        let target = 1 + target.index(model.layers.len() - 1 - leaf);
        let options = MergeOptions { pages, batch_bytes: batch_mib * MIB, shrink_target: true, ..MergeOptions::default() };
        check(&model, leaf, target, &options);
    }
}
