//! Logs that were made to be slow, to overflow, or to write where no log may.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vhdx::format::log_entry::{LogEntryHeader, LogWrite, encode_entry};
use vhdx::{Chain, FileOffset, Guid, LogState, OpenOptions, Rule, Structure, Vhdx, VhdxMut, ops};
use vhdx_testkit::crash::CrashWorld;
use vhdx_testkit::{Image, Part, SparseImage};

use super::{assert_refused, sample};
use crate::common::{MIB, at};

/// Generous: linear work on these logs takes a small part of a second.
const PATIENCE: Duration = Duration::from_secs(30);
const LOG_GUID: Guid = Guid::from_u128(0x10f);

fn entry(number: u64, tail: u32, writes: &[LogWrite]) -> Vec<u8> {
    let header = LogEntryHeader {
        entry_length: 0,
        tail,
        sequence_number: number,
        descriptor_count: 0,
        log_guid: LOG_GUID,
        flushed_file_offset: MIB,
        last_file_offset: MIB,
    };
    encode_entry(&header, writes).unwrap()
}

/// [`sample`] with a log of `len` bytes, and that log's place.
fn with_log(len: u64, log: &[(u64, Vec<u8>)]) -> (SparseImage, u64) {
    let image = Image { log_length: u32::try_from(len).unwrap(), ..sample() };
    let mut file = image.sparse();
    let place = image.layout().offset(Part::Log);
    for (at, bytes) in log {
        file.write(place + at, bytes);
    }
    let mut section = file.read(0, MIB as usize);
    super::patch_headers(&mut section, 48, &LOG_GUID.to_bytes_le());
    file.write(0, &section);
    (file, place)
}

fn zeros(offset: u64, len: u64) -> LogWrite {
    LogWrite::Zero { offset: FileOffset::new(offset), len }
}

#[test]
fn an_empty_entry_is_an_empty_log() {
    let (file, _) = with_log(MIB, &[(8192, entry(7, 8192, &[]))]);
    assert_eq!(Vhdx::open_with(file, &OpenOptions::default()).unwrap().log(), LogState::Dirty { entries: 1 });
}

#[test]
fn entries_that_each_claim_the_whole_log_take_linear_time() {
    let len = 64 * MIB;
    let mut claim = entry(1, 0, &[]);
    claim[8..12].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    let many = u32::try_from(len / 32 - 2).unwrap();
    for descriptors in [0u32, 126, 100_000, many, u32::MAX] {
        claim[24..28].copy_from_slice(&descriptors.to_le_bytes());
        let log: Vec<_> = (0..len).step_by(4096).map(|at| (at, claim.clone())).collect();
        let (file, place) = with_log(len, &log);
        let start = Instant::now();
        assert_refused(file, (Rule::LogNoActiveSequence, Structure::Log, place));
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    }
}

#[test]
fn valid_entries_with_tails_all_over_take_linear_time() {
    let len = 64 * MIB;
    let sectors = len / 4096;
    // Each is numbered after the one before it; the tails of all but the last lie nowhere.
    let tail = |number: u64| if number + 1 == sectors { 0 } else { len - 4096 };
    let log: Vec<_> = (0..sectors)
        .map(|number| (number * 4096, entry(number + 1, u32::try_from(tail(number)).unwrap(), &[])))
        .collect();
    let (file, _) = with_log(len, &log);
    let start = Instant::now();
    let vhdx = Vhdx::open_with(file, &OpenOptions::default()).unwrap();
    assert_eq!(vhdx.log(), LogState::Dirty { entries: sectors as usize });
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());

    // Numbered downwards: each is a sequence of its own, and names a tail that belongs to another.
    let log: Vec<_> = (0..sectors)
        .map(|at| (at * 4096, entry(sectors - at, u32::try_from((at + 1) % sectors * 4096).unwrap(), &[])))
        .collect();
    let (file, place) = with_log(len, &log);
    let start = Instant::now();
    assert_refused(file, (Rule::LogNoActiveSequence, Structure::Log, place));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_sequence_needs_every_number_from_its_tail_on() {
    let gap = [(0, entry(1, 0, &[])), (4096, entry(3, 0, &[]))];
    let (file, _) = with_log(MIB, &gap);
    assert_eq!(Vhdx::open_with(file, &OpenOptions::default()).unwrap().log(), LogState::Dirty { entries: 1 });
    let (file, place) = with_log(MIB, &gap[1..]);
    assert_refused(file, (Rule::LogNoActiveSequence, Structure::Log, place));
}

#[test]
fn writes_that_no_log_may_make() {
    let place = sample().layout().offset(Part::Log);
    let refused = |write: LogWrite, rule| {
        let (file, place) = with_log(MIB, &[(0, entry(1, 0, &[zeros(3 * MIB, 0), write]))]);
        assert_refused(file, (rule, Structure::LogDescriptor(1), place + 64 + 32));
    };
    refused(zeros(0, 4096), Rule::LogDescriptorTarget);
    refused(zeros(188 << 10, 4096), Rule::LogDescriptorTarget);
    refused(zeros(188 << 10, 1 << 50), Rule::LogDescriptorTarget);
    refused(zeros(place, 4096), Rule::LogDescriptorTarget);
    refused(zeros(place - 4096, 8192), Rule::LogDescriptorTarget);
    refused(zeros(320 << 10, !4095), Rule::LogDescriptorFar);
    refused(zeros(!4095, 4096), Rule::LogDescriptorFar);
    let page = Box::new([0; 4096]);
    refused(LogWrite::Data { offset: FileOffset::new(place + MIB - 4096), page }, Rule::LogDescriptorTarget);
}

#[test]
fn unaligned_writes_make_no_entry() {
    for write in [zeros(3 * MIB + 512, 4096), zeros(3 * MIB, 512), zeros(3 * MIB, u64::MAX)] {
        let (file, place) = with_log(MIB, &[(0, entry(1, 0, &[write]))]);
        assert_refused(file, (Rule::LogNoActiveSequence, Structure::Log, place));
    }
}

#[test]
fn zeros_past_the_end_of_the_file_take_no_time() {
    let layout = sample().layout();
    let start = Instant::now();
    let past = zeros(layout.len, (1 << 62) - layout.len);
    let writes: Vec<LogWrite> = (0..10_000).map(|_| past.clone()).collect();
    let (file, _) = with_log(MIB, &[(0, entry(1, 0, &writes))]);
    assert_eq!(Vhdx::open_with(file, &OpenOptions::default()).unwrap().log(), LogState::Dirty { entries: 1 });
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// Each separate write takes memory, and a log can hold one in 32 bytes.
#[test]
fn more_separate_writes_than_any_log_of_pages_could_hold() {
    const MOST: u64 = 1 << 19;
    let writes = |count| (0..count).map(|n| zeros((1 << 32) + n * 8192, 4096)).collect::<Vec<_>>();
    let (file, _) = with_log(32 * MIB, &[(0, entry(1, 0, &writes(MOST)))]);
    assert!(Vhdx::open_with(file, &OpenOptions::default()).is_ok());
    let (file, place) = with_log(32 * MIB, &[(0, entry(1, 0, &writes(MOST + 1)))]);
    let number = MOST as u32;
    let at = place + 64 + 32 * MOST;
    assert_refused(file, (Rule::LogTooManyWrites, Structure::LogDescriptor(number), at));
}

#[test]
fn a_file_shorter_than_its_log_knows_was_truncated() {
    let sound = sample().layout().len;
    let entry_with = |flushed: u64, last: u64| {
        let header = LogEntryHeader {
            entry_length: 0,
            tail: 0,
            sequence_number: 1,
            descriptor_count: 0,
            log_guid: LOG_GUID,
            flushed_file_offset: flushed,
            last_file_offset: last,
        };
        with_log(MIB, &[(0, encode_entry(&header, &[]).unwrap())])
    };
    let (file, place) = entry_with(sound + MIB, sound + MIB);
    assert_refused(file, (Rule::LogTruncatedFile, Structure::LogEntry, place));
    let (file, _) = entry_with(sound, sound + MIB);
    Vhdx::open_with(file, &OpenOptions::default()).unwrap();
    let (file, place) = entry_with(sound, 1 << 60);
    assert_refused(file, (Rule::LogLastFileOffset, Structure::LogEntry, place));
}

/// A log that holds nothing may be longer than one that is replayed. What is written to goes on with its first part.
#[test]
fn a_file_with_a_clean_log_that_is_too_long_to_be_replayed() {
    const REPLAYED: u64 = 1 << 30;
    let image = Image { log_length: (REPLAYED + 3 * MIB) as u32, ..sample() };
    let path = Path::new("/disk.vhdx");
    let world = CrashWorld::new([(path.to_owned(), image.sparse())].into());
    let read = |file: SparseImage, block: u64| {
        let chain =
            Chain::from_layers(vec![Vhdx::open_with(file, &OpenOptions::default()).unwrap()]).unwrap();
        let mut bytes = vec![0; 512];
        chain.read_exact_at(&mut bytes, at(block * MIB)).unwrap();
        bytes
    };
    let old = read(image.sparse(), 2);
    for (round, block) in [1, 3].into_iter().enumerate() {
        let mut disk = VhdxMut::open_with(world.storage(path), &OpenOptions::default()).unwrap();
        disk.write_all_at(&[7; 512], at(block * MIB)).unwrap();
        disk.flush().unwrap();
        let dirty = world.images()[path].clone();
        let found = Vhdx::open_with(dirty.clone(), &OpenOptions::default()).unwrap();
        assert_eq!(found.log(), LogState::Dirty { entries: 1 });
        assert_eq!(u64::from(found.header().log_length), REPLAYED);
        assert_eq!((read(dirty.clone(), block), read(dirty, 2)), (vec![7; 512], old.clone()));
        if round == 1 {
            disk.close().unwrap(); // else as after a power failure
        }
    }
    let file = world.images()[path].clone();
    assert_eq!((read(file.clone(), 1), read(file.clone(), 2)), (vec![7; 512], old));
    let report = ops::check_storage(Arc::new(file));
    assert!(report.is_valid() && report.files[0].log == Some(LogState::Clean), "{report:?}");
}
