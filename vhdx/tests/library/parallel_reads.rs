//! A layer that fails while several threads read it: the error is that of the lowest offset of the disk, in any number of
//! threads, and nothing incomplete looks complete.

use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{at, cases};
use proptest::prelude::*;
use vhdx::ops::{self, TargetContent};
use vhdx::{
    Chain, Error, FileOffset, Jobs, Memory, NewDisk, NoProgress, OpenOptions, Progress, ReadAt, Result,
    Source, Vhdx,
};
use vhdx_testkit::{Block, ChainModel, Image, chains};

/// A file that cannot be read in some ranges once they are broken.
struct Breaking {
    bytes: Vec<u8>,
    bad: Mutex<Vec<Range<u64>>>,
}

impl ReadAt for Breaking {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let range = offset.get()..offset.get() + buf.len() as u64;
        if self.bad.lock().unwrap().iter().any(|bad| bad.start < range.end && range.start < bad.end) {
            return Err(io::Error::other("a bad sector"));
        }
        self.bytes.read_exact_at(buf, offset)
    }
}

/// Opens a chain whose files can be broken, leaf first.
fn breakable(model: &ChainModel) -> (Chain, Vec<Arc<Breaking>>) {
    let files: Vec<_> = model.images().iter().rev().map(|image| image.build()).collect();
    let files: Vec<_> =
        files.into_iter().map(|bytes| Arc::new(Breaking { bytes, bad: Mutex::default() })).collect();
    let layers = files.iter().map(|file| Vhdx::open_with(Arc::clone(file), &OpenOptions::default()).unwrap());
    (Chain::from_layers(layers.collect()).unwrap(), files)
}

/// Breaks the data of some extents, and returns the file offset of the first on the disk, if there is one.
fn break_some(chain: &Chain, files: &[Arc<Breaking>], picks: &[usize]) -> Option<(u64, FileOffset)> {
    let extents = chain.extents(at(0)..at(chain.virtual_size())).map(Result::unwrap);
    let data: Vec<_> = extents
        .filter_map(|extent| match extent.source {
            Source::Data { layer, offset } if layer_log_is_clean(chain, layer) => {
                Some((extent, layer, offset))
            }
            _ => None,
        })
        .collect();
    let mut first = None;
    for &pick in picks {
        let Some(&(extent, layer, offset)) = data.get(pick % data.len().max(1)) else { continue };
        files[layer].bad.lock().unwrap().push(offset.get()..offset.get() + extent.len);
        let here = (extent.start.get(), offset);
        first = Some(first.map_or(here, |first: (u64, FileOffset)| first.min(here)));
    }
    first
}

/// With a dirty log, the offset of an extent is not where its bytes are.
fn layer_log_is_clean(chain: &Chain, layer: usize) -> bool {
    matches!(chain.layers()[layer].log(), vhdx::LogState::Clean)
}

fn jobs() -> impl Iterator<Item = Jobs> {
    [1, 2, 4, 16].into_iter().map(|threads| Jobs::new(NonZero::new(threads).unwrap()))
}

fn offset_of(error: &Error) -> Option<FileOffset> {
    match error {
        Error::Io { offset, .. } => *offset,
        _ => None,
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn the_error_is_that_of_the_lowest_offset(
        model in chains(4),
        picks in prop::collection::vec(any::<usize>(), 1..6),
    ) {
        let (chain, files) = breakable(&model);
        let disks = model.disks();
        let expected = disks.last().unwrap();
        let Some((start, offset)) = break_some(&chain, &files, &picks) else { return Ok(()) };
        for jobs in jobs() {
            let mut stream = Vec::new();
            let error = ops::to_stream(&chain, &mut stream, jobs, &NoProgress).unwrap_err();
            prop_assert_eq!(offset_of(&error), Some(offset), "{}", error);
            prop_assert!(stream.len() as u64 <= start && stream[..] == expected[..stream.len()]);

            let file = Memory::default();
            let new = NewDisk::new(expected.len() as u64);
            let error = ops::to_vhdx(&chain, &new, &file, jobs, &NoProgress).unwrap_err();
            prop_assert_eq!(offset_of(&error), Some(offset));
            prop_assert!(Vhdx::open_with(file.into_inner(), &OpenOptions::default()).is_err());

            let error = ops::to_raw(&chain, &Memory::default(), jobs, &NoProgress).unwrap_err();
            prop_assert_eq!(offset_of(&error), Some(offset));
            for content in [TargetContent::Unknown, TargetContent::Zeros] {
                let target = Memory::new(vec![0; expected.len()]);
                let error = ops::overwrite_raw(&chain, &target, content, jobs, &NoProgress).unwrap_err();
                prop_assert_eq!(offset_of(&error), Some(offset));
            }
            let whole = breakable(&model).0;
            let error = ops::compare(&whole, &chain, jobs, &NoProgress).unwrap_err();
            prop_assert_eq!(offset_of(&error), Some(offset));
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// A batch is read from one disk after the other. That must not decide which failure is reported.
    #[test]
    fn of_two_disks_the_error_is_that_of_the_lowest_offset(
        model in chains(4),
        picks in prop::collection::vec(0..usize::MAX / 2, 1..20),
        distance in 0..3_usize,
    ) {
        let [(a, files_of_a), (b, files_of_b)] = [breakable(&model), breakable(&model)];
        let near: Vec<usize> = picks.iter().map(|pick| pick + distance).collect();
        let first = [break_some(&a, &files_of_a, &near), break_some(&b, &files_of_b, &picks)];
        let Some((_, offset)) = first.into_iter().flatten().min_by_key(|(start, _)| *start) else { return Ok(()) };
        for jobs in jobs() {
            let error = ops::compare(&a, &b, jobs, &NoProgress).unwrap_err();
            prop_assert_eq!(offset_of(&error), Some(offset), "{}", error);
        }
    }
}

#[test]
fn of_two_points_the_error_is_that_of_the_lowest_offset() {
    let mut base = Image::dynamic(4 << 20, 1 << 20);
    base.blocks.insert(1, Block::full(vec![1; 1 << 20]));
    let mut child = Image::child_of(&base, "base.vhdx", 1 << 20);
    child.blocks.insert(1, Block::full(vec![2; 1 << 20]));
    let outcome = |bad: [u64; 2]| {
        let files =
            [&child, &base].map(|image| Arc::new(Breaking { bytes: image.build(), bad: Mutex::default() }));
        let layers =
            files.each_ref().map(|file| Vhdx::open_with(Arc::clone(file), &OpenOptions::default()).unwrap());
        let old = Chain::from_layers(vec![layers[1].clone()]).unwrap();
        let new = Chain::from_layers(layers.to_vec()).unwrap();
        let places = [&new, &old].map(|chain| match chain.extents(at(1 << 20)..at(2 << 20)).next() {
            Some(Ok(vhdx::Extent { source: Source::Data { offset, .. }, .. })) => offset.get(),
            other => panic!("{other:?}"),
        });
        for ((file, place), bad) in files.iter().zip(places).zip(bad) {
            file.bad.lock().unwrap().push(place + bad..place + bad + 512);
        }
        let errors = jobs().map(|jobs| {
            let error = ops::differing_ranges(&old, &new, jobs, &NoProgress, |_| Ok(())).unwrap_err();
            offset_of(&error).unwrap().get()
        });
        errors.map(|offset| places.map(|place| offset.checked_sub(place))).collect::<Vec<_>>()
    };
    let (low, high) = (100 * 512, 1900 * 512);
    assert!(outcome([low, high]).iter().all(|[of_new, _]| *of_new == Some(low)));
    assert!(outcome([high, low]).iter().all(|[_, of_old]| *of_old == Some(low)));
}

/// Shortens a file as soon as anything has been read.
struct Shortening<'a>(&'a std::path::Path, u64, AtomicBool);

impl Progress for Shortening<'_> {
    fn advance(&self, _: u64) {
        if !self.2.swap(true, Ordering::Relaxed) {
            std::fs::File::options().write(true).open(self.0).unwrap().set_len(self.1).unwrap();
        }
    }
}

#[test]
fn a_layer_that_shrinks_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    let disk = NewDisk { block_size: 1 << 20, ..NewDisk::new(64 << 20) };
    for jobs in jobs() {
        let file = vhdx::NewFile::create(&path, vhdx::IfExists::Replace).unwrap();
        let mut writer = vhdx::VhdxWriter::new(&file, &disk).unwrap();
        for block in 0..64 {
            writer.write(at(block << 20), &vec![7; 1 << 20]).unwrap();
        }
        writer.finish().unwrap();
        file.commit().unwrap();
        let chain = Chain::open(&path, &vhdx::FolderResolver::default()).unwrap();
        let shortened = Shortening(&path, 20 << 20, AtomicBool::new(false));
        let mut stream = Vec::new();
        let error = ops::to_stream(&chain, &mut stream, jobs, &shortened).unwrap_err();
        assert!(matches!(error.kind(), vhdx::ErrorKind::Io | vhdx::ErrorKind::Conflict), "{error}");
        assert!(stream.iter().all(|&byte| byte == 7), "missing bytes were read as zeros");
        assert!(shortened.2.into_inner());
    }
}
