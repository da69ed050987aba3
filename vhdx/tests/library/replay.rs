//! Replaying a log for good: the file reads the same before, after, and wherever power fails or a call does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::common::{MIB, assert_same, cases, digest, read_all};
use proptest::prelude::*;
use serde_json::Value;
use vhdx::format::header::{Header, OFFSETS};
use vhdx::format::log_entry::{LogEntryHeader, LogWrite, encode_entry};
use vhdx::ops::{self, LogContent};
use vhdx::{Chain, ErrorKind, FileOffset, FolderResolver, Guid, LogState, OnWriter, OpenOptions, Rule, Vhdx};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep, Swept, for_each_failure};
use vhdx_testkit::{Block, DirtyLog, Headers, Image, Part, Random, SparseImage, chains, shared};

const NAME: &str = "disk.vhdx";
const PAGE: u64 = 4096;

/// A file with a dirty log, and what it is to be.
struct Case {
    dirty: SparseImage,
    /// The same file without a log. Its headers differ, and what is left in the log.
    sound: SparseImage,
    log: std::ops::Range<u64>,
    content: Vec<u8>,
}

impl Case {
    /// `image`, which has a log.
    fn of(image: &Image) -> Self {
        let sound = Image { log: None, ..image.clone() }.sparse();
        let content = read_all(
            &Chain::from_layers(vec![Vhdx::open_with(sound.clone(), &OpenOptions::default()).unwrap()])
                .unwrap(),
        );
        let start = image.layout().offset(Part::Log);
        Self { dirty: image.sparse(), sound, log: start..start + u64::from(image.log_length), content }
    }

    fn files(&self) -> Images {
        Images::from([(NAME.into(), self.dirty.clone())])
    }

    /// A file without its headers and its log.
    fn rest(&self, file: &SparseImage) -> SparseImage {
        let mut rest = file.clone();
        OFFSETS.iter().for_each(|at| rest.zero(at.get(), PAGE));
        rest.zero(self.log.start, self.log.end - self.log.start);
        rest
    }

    /// The file opens, reads right, and is right where it claims to be clean.
    fn assert_reads_right(&self, file: &SparseImage) {
        let vhdx = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
        if vhdx.log() == LogState::Clean {
            assert_eq!(
                self.rest(file).fingerprint(),
                self.rest(&self.sound).fingerprint(),
                "it is not clean"
            );
        }
        let chain = Chain::from_layers(vec![vhdx]).unwrap();
        assert_same(&read_all(&chain), &self.content, "disk");
    }

    /// The file is clean, and a replay has nothing left to do.
    fn assert_is_replayed(&self, file: &SparseImage) {
        let found = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
        assert_eq!((found.log(), found.header().log_guid), (LogState::Clean, Guid::nil()));
        self.assert_reads_right(file);
        let report = ops::check_storage(Arc::new(file.clone()));
        assert!(report.is_valid(), "{report:?}");
        let world = CrashWorld::new(Images::from([(NAME.into(), file.clone())]));
        assert_eq!(ops::replay(world.storage(NAME)).unwrap(), None);
        assert_eq!(world.calls(Calls::Writes), 0);
    }

    /// Replays with a power failure at every point.
    fn sweep(&self, sweep: &Sweep) -> Swept {
        let world = CrashWorld::new(self.files());
        ops::replay(world.storage(NAME)).unwrap().unwrap();
        self.assert_is_replayed(&world.images()[&PathBuf::from(NAME)]);
        world.recording().garbling().crash(sweep, |image| {
            let file = image.file(NAME).unwrap();
            self.assert_reads_right(&file);
            self.assert_is_replayed(&replayed(file));
        })
    }
}

fn replayed(file: SparseImage) -> SparseImage {
    let world = CrashWorld::new(Images::from([(NAME.into(), file)]));
    ops::replay(world.storage(NAME)).unwrap();
    world.images().remove(&PathBuf::from(NAME)).unwrap()
}

/// A small disk, most of which is in the log.
fn dirty_image(seed: u64, runs: usize) -> Image {
    let mut image = Image::dynamic(2 * MIB, 1 << 20);
    image.blocks.insert(0, Block::full(Random::new(seed).bytes(MIB as usize)));
    image.blocks.insert(1, Block::full(vec![0; MIB as usize]));
    let headers = [Headers::FirstIsCurrent, Headers::SecondIsCurrent, Headers::Equal];
    image.headers = headers[seed as usize % headers.len()];
    image.log = Some(DirtyLog { seed, entries: 2, stale: 2, runs, closed: false });
    image
}

/// A file whose last block is in the log, and past its end: one page with bytes, `zeroed` bytes of zeros, and a length.
fn growing(zeroed: u64) -> Case {
    let mut image = Image { litter: false, ..Image::dynamic(2 * MIB, 1 << 20) };
    let mut bytes = vec![0; MIB as usize];
    bytes[5 * PAGE as usize..6 * PAGE as usize].fill(0xbb);
    image.blocks.insert(0, Block::full(vec![0xaa; MIB as usize]));
    image.blocks.insert(1, Block::full(bytes));
    let layout = image.layout();
    let (block, log) = (layout.offset(Part::Payload(1)), layout.offset(Part::Log));
    let bat_page = layout.bat_entry(0) / PAGE * PAGE;
    let sound = image.sparse();

    let page = |at: u64| {
        let page = sound.read(at, PAGE as usize).try_into().unwrap();
        LogWrite::Data { offset: FileOffset::new(at), page: Box::new(page) }
    };
    let zeros = LogWrite::Zero { offset: FileOffset::new(block), len: zeroed };
    let mut header = LogEntryHeader {
        entry_length: 0,
        tail: 0,
        sequence_number: 3,
        descriptor_count: 0,
        log_guid: Guid::from_u128(7),
        flushed_file_offset: block,
        last_file_offset: layout.len,
    };
    let mut dirty = sound.clone();
    dirty.set_len(block);
    dirty.write(bat_page, &[0x55; PAGE as usize]);
    let first = encode_entry(&header, &[page(bat_page), page(block + PAGE)]).unwrap();
    dirty.write(log, &first);
    header.sequence_number += 1;
    dirty.write(log + first.len() as u64, &encode_entry(&header, &[zeros, page(block + 5 * PAGE)]).unwrap());
    for at in OFFSETS {
        let mut bytes = dirty.read(at.get(), PAGE as usize);
        bytes[48..64].copy_from_slice(&header.log_guid.to_bytes_le());
        vhdx::format::bytes::seal(&mut bytes);
        dirty.write(at.get(), &bytes);
    }
    Case { dirty, ..Case::of(&image) }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_replayed_file_is_the_file_without_its_log(model in chains(3)) {
        for image in model.images() {
            let sound = Image { log: None, ..image.clone() }.sparse();
            let start = image.layout().offset(Part::Log);
            let log = start..start + u64::from(image.log_length);
            let case = Case { dirty: image.sparse(), sound, log, content: Vec::new() };
            let before = Vhdx::open_with(case.dirty.clone(), &OpenOptions::default()).unwrap();
            let world = CrashWorld::new(case.files());
            let content = ops::replay(world.storage(NAME)).unwrap();
            prop_assert_eq!(content, before.log_content());
            prop_assert_eq!(content.is_none(), before.log() == LogState::Clean);
            let file = world.images().remove(&PathBuf::from(NAME)).unwrap();
            prop_assert_eq!(case.rest(&file).fingerprint(), case.rest(&case.sound).fingerprint());
            let after = Vhdx::open_with(file, &OpenOptions::default()).unwrap();
            prop_assert_eq!(after.log(), LogState::Clean);
            prop_assert_eq!(after.data_write_guid(), before.data_write_guid());
            prop_assert_eq!(after.file_write_guid() == before.file_write_guid(), content.is_none());
            prop_assert_eq!(world.calls(Calls::Writes) == 0, content.is_none());
            let expected = before.header().sequence_number + if content.is_some() { 4 } else { 0 };
            prop_assert_eq!(after.header().sequence_number, expected);
        }
    }
}

#[test]
fn the_report_counts_pages_and_zeros_of_the_file() {
    let case = growing(2 * MIB);
    let vhdx = Vhdx::open_with(case.dirty.clone(), &OpenOptions::default()).unwrap();
    // The zeros lie over one of the three pages, and reach past the end of the file.
    let file_size = case.sound.size();
    let expected = LogContent { entries: 2, pages: 2, zeroed: MIB - PAGE, file_size };
    assert_eq!(vhdx.log_content(), Some(expected));
    assert_eq!((expected.bytes(), vhdx.file_len()), (2 * PAGE, file_size - MIB));
    let file = replayed(case.dirty.clone());
    assert_eq!(file.size(), file_size);
    case.assert_is_replayed(&file);
}

#[test]
fn power_may_fail_at_any_point() {
    let mut all = Swept::default();
    let sweep = Sweep::default();
    for seed in 0..6 {
        let swept = Case::of(&dirty_image(seed, 8)).sweep(&sweep);
        assert_eq!(swept.points, 8, "before anything, four headers, the torn entry, the log, the pages");
        all += swept;
        all += Case::of(&dirty_image(seed + 100, 32)).sweep(&Sweep { seed, ..sweep });
    }
    // The file gets its length from the zeros, or only because the log tells it.
    for zeroed in [2 * MIB, MIB / 2] {
        let grown = growing(zeroed).sweep(&Sweep { samples: 2 * sweep.samples, ..sweep });
        assert_eq!(grown.points, grown.exhaustive_points);
        all += grown;
    }
    eprintln!("{all:?}");
    assert!(all.images > 1000, "{all:?}");
}

/// The file is corrupt, and what it holds stays as it is.
#[test]
fn a_block_that_lies_in_the_log_is_not_written_over() {
    let case = Case::of(&dirty_image(1, 1));
    let mut file = case.dirty.clone();
    let entry = dirty_image(1, 1).layout().bat_entry(1);
    file.write(entry, &(case.log.start | 6).to_le_bytes());
    let world = CrashWorld::new(Images::from([(NAME.into(), file.clone())]));
    let unlogged = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
    assert_ne!(unlogged.log(), LogState::Clean);
    let found = ops::check_storage(Arc::new(file.clone()));
    assert!(
        found.files[0].violations.as_slice().iter().any(|v| v.rule() == Rule::BlockOverlapsLog),
        "{found:?}"
    );
    ops::replay(world.storage(NAME)).unwrap();
    let after = &world.images()[&PathBuf::from(NAME)];
    let len = (case.log.end - case.log.start) as usize;
    assert!(after.read(case.log.start, len) == file.read(case.log.start, len));
}

#[test]
fn any_call_may_fail() {
    let cases = [Case::of(&dirty_image(1, 8)), Case::of(&dirty_image(2, 24)), growing(MIB / 2)];
    let quick = Sweep { exhaustive: 1, samples: 6, ..Sweep::default() };
    for case in &cases {
        let faults: [fn(usize) -> Fault; 4] = [
            Fault::full,
            |n| Fault::once(Calls::Writes, n),
            |n| Fault { partial: true, ..Fault::once(Calls::Writes, n) },
            |n| Fault::forever(Calls::Any, n),
        ];
        for fault in faults {
            let calls = for_each_failure(&case.files(), fault, |world| {
                let result = ops::replay(world.storage(NAME));
                assert_eq!(result.is_err(), world.has_failed());
                if let Err(error) = result {
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                }
                let left = world.images().remove(&PathBuf::from(NAME)).unwrap();
                case.assert_reads_right(&left);
                case.assert_is_replayed(&replayed(left));
                world.recording().crash(&quick, |image| case.assert_reads_right(&image.file(NAME).unwrap()));
            });
            assert!(calls > 10, "{calls}");
        }
    }
}

#[test]
fn what_needs_no_replay_is_not_written() {
    let clean = Image { log: None, ..dirty_image(1, 8) };
    let closed = DirtyLog { seed: 3, entries: 2, stale: 1, runs: 8, closed: true };
    let closed = Image { log: Some(closed), ..clean.clone() };
    for image in [clean, closed] {
        let world = CrashWorld::new(Images::from([(NAME.into(), image.sparse())]));
        assert_eq!(ops::replay(world.storage(NAME)).unwrap(), None);
        assert_eq!(world.calls(Calls::Writes), 0);
    }
}

#[test]
fn what_cannot_be_opened_is_not_written() {
    let damaged = |place: u64, len: usize| {
        let mut file = dirty_image(1, 8).sparse();
        file.write(place, &vec![0; len]);
        file
    };
    let log = dirty_image(1, 8).layout().offset(Part::Log);
    let cases =
        [(damaged(0, 8), Rule::FileSignature), (damaged(log, MIB as usize), Rule::LogNoActiveSequence)];
    for (file, rule) in cases {
        let world = CrashWorld::new(Images::from([(NAME.into(), file)]));
        let error = ops::replay(world.storage(NAME)).unwrap_err();
        assert_eq!(error.violation().unwrap().rule(), rule);
        assert_eq!(world.calls(Calls::Writes), 0);
    }
}

#[test]
fn a_header_that_cannot_be_counted_up_is_refused_before_anything_is_written() {
    let image = Image { sequence_number: u64::MAX - 1, headers: Headers::Equal, ..dirty_image(1, 8) };
    let world = CrashWorld::new(Images::from([(NAME.into(), image.sparse())]));
    let error = ops::replay(world.storage(NAME)).unwrap_err();
    assert_eq!(error.violation().unwrap().rule(), Rule::HeaderSequence);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let lines = world.recording().lines();
    assert!(lines.iter().all(|line| line.ends_with(" sync")), "{lines:?}");
}

#[test]
fn files_on_the_host_are_replayed() {
    let folder = crate::common::folder();
    let path = folder.path().join(NAME);
    let case = growing(MIB / 2);
    case.dirty.write_to(&path).unwrap();
    let expected = Vhdx::open(&path).unwrap().log_content();
    assert_eq!(ops::replay_file(&path).unwrap(), expected);
    case.assert_is_replayed(&SparseImage::read_from(&path).unwrap());
    let after = fs::read(&path).unwrap();
    assert_eq!(ops::replay_file(&path).unwrap(), None);
    assert!(fs::read(&path).unwrap() == after);

    let error = ops::replay_file(&folder.path().join("absent.vhdx")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.path().unwrap().ends_with("absent.vhdx"));
}

#[test]
fn real_dirty_logs_are_replayed() {
    let Some(folder) = shared::folder("fixtures") else { return };
    let Some(()) = shared::program("xz") else { return };
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let Value::Array(images) = serde_json::from_str(&manifest).unwrap() else { panic!("a list of images") };
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let unpack = |image: &Value| {
        let packed = folder.join(image["file"].as_str().unwrap());
        let path = scratch.path().join(image["file"].as_str().unwrap()).with_extension("");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut xz = Command::new("xz").arg("-dc").arg(packed).stdout(Stdio::piped()).spawn().unwrap();
        digest::copy_sparse(xz.stdout.as_mut().unwrap(), &path).unwrap();
        assert!(xz.wait().unwrap().success());
        path
    };
    let dirty: Vec<&Value> = images.iter().filter(|image| image["log"]["state"] == "dirty").collect();
    assert!(dirty.len() >= 3, "{}", dirty.len());
    for image in dirty {
        let path = unpack(image);
        for name in image["read"]["chain"].as_array().unwrap().iter().skip(1) {
            let file = PathBuf::from(image["file"].as_str().unwrap());
            let file = file.with_file_name(format!("{}.xz", name.as_str().unwrap()));
            unpack(images.iter().find(|image| file == Path::new(image["file"].as_str().unwrap())).unwrap());
        }
        let before = Vhdx::open(&path).unwrap();
        let dirty = SparseImage::read_from(&path).unwrap();
        let content = ops::replay_file(&path).unwrap().unwrap();
        assert_eq!(content.entries as u64, image["log"]["active_entries"].as_u64().unwrap());
        assert_eq!(content.file_size, File::open(&path).unwrap().metadata().unwrap().len());

        let after = Vhdx::open(&path).unwrap();
        assert_eq!((after.log(), after.header().log_guid), (LogState::Clean, Guid::nil()));
        assert_eq!(after.data_write_guid(), before.data_write_guid());
        assert_ne!(after.file_write_guid(), before.file_write_guid());
        let report = ops::check_file(&path, OnWriter::Fail);
        assert!(report.is_valid(), "{}: {report:?}", path.display());
        let chain = Chain::open(&path, &FolderResolver::default()).unwrap();
        assert_eq!(digest::of_pages(&chain), image["read"]["pages_sha256"].as_str().unwrap());

        // In memory the same, with a power failure at every point.
        let world = CrashWorld::new(Images::from([(NAME.into(), dirty)]));
        ops::replay(world.storage(NAME)).unwrap();
        let rest = |file: &SparseImage| without_headers_and_log(file, before.header());
        let expected = rest(&SparseImage::read_from(&path).unwrap());
        assert_eq!(rest(&world.images()[&PathBuf::from(NAME)]), expected);
        let swept = world.recording().crash(&Sweep { samples: 50, ..Sweep::default() }, |image| {
            let file = image.file(NAME).unwrap();
            assert_eq!(rest(&replayed(file)), expected);
        });
        assert!(swept.images > 5, "{swept:?}");
    }
}

/// The fingerprint of a file without its headers, which have random GUIDs, and its log.
fn without_headers_and_log(file: &SparseImage, header: &Header) -> u64 {
    let mut rest = file.clone();
    OFFSETS.iter().for_each(|at| rest.zero(at.get(), PAGE));
    rest.zero(header.log_offset.get(), header.log_length.into());
    rest.fingerprint()
}
