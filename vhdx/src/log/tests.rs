//! Tests with logs made by hand: which entries are replayed, and which damage is detected.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::{LogState, replay};
use crate::error::Error;
use crate::format::header::Header;
use crate::format::log_entry::{LogEntryHeader, LogWrite, encode_entry};
use crate::rules::Rule;
use crate::storage::{Memory, ReadAt};
use crate::testing::torn::{self, Torn};
use crate::units::{FileOffset, MIB};
use crate::violation::Violations;

const SECTOR: u64 = 4096;
const LOG: u64 = MIB;
const GUID: Uuid = Uuid::from_u128(0x6c6f67);
/// The offset to which entries write by default. The fill byte there tells which entry was applied last.
const TARGET: u64 = 3 * MIB;

/// A file that returns other bytes for the sector at `offset` after so many reads of it.
struct Unsteady {
    file: Vec<u8>,
    offset: u64,
    good_reads: usize,
    reads: AtomicUsize,
}

impl ReadAt for Unsteady {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)?;
        let is_unsteady = (offset.get()..offset.get() + buf.len() as u64).contains(&self.offset);
        if is_unsteady && self.reads.fetch_add(1, Ordering::Relaxed) >= self.good_reads {
            buf[(self.offset - offset.get()) as usize..][..SECTOR as usize].fill(0xee);
        }
        Ok(())
    }
}

struct Log {
    file: Vec<u8>,
    flushed: u64,
    last: u64,
}

impl Log {
    fn new() -> Self {
        Self { file: vec![0; 4 * MIB as usize], flushed: 4 * MIB, last: 4 * MIB }
    }

    fn header(&self) -> Header {
        Header {
            sequence_number: 1,
            file_write_guid: Uuid::nil(),
            data_write_guid: Uuid::nil(),
            log_guid: GUID,
            log_version: 0,
            version: 1,
            log_length: MIB as u32,
            log_offset: FileOffset::new(LOG),
        }
    }

    /// Writes an entry at a sector of the ring, wrapped around its end.
    fn entry(mut self, sector: u64, tail: u64, sequence_number: u64, writes: &[LogWrite]) -> Self {
        let header = LogEntryHeader {
            entry_length: 0,
            tail: (tail * SECTOR) as u32,
            sequence_number,
            descriptor_count: 0,
            log_guid: GUID,
            flushed_file_offset: self.flushed,
            last_file_offset: self.last,
        };
        for (number, bytes) in encode_entry(&header, writes).unwrap().chunks(SECTOR as usize).enumerate() {
            let at = LOG + (sector + number as u64) * SECTOR % MIB;
            self.file[at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        self
    }

    fn fill(self, sector: u64, tail: u64, sequence_number: u64, byte: u8) -> Self {
        self.entry(sector, tail, sequence_number, &[data(TARGET, byte)])
    }

    fn replay(self) -> Result<(Arc<dyn ReadAt>, LogState), Error> {
        let header = self.header();
        let replayed = replay(Arc::new(self.file), &header, &mut Violations::new())?;
        Ok((replayed.storage, replayed.state))
    }

    /// Returns the byte at the target and the number of active entries.
    fn outcome(self) -> (u8, usize) {
        let (storage, state) = self.replay().unwrap();
        let LogState::Dirty { entries } = state else { panic!("{state:?}") };
        let mut byte = [0];
        storage.read_exact_at(&mut byte, FileOffset::new(TARGET)).unwrap();
        (byte[0], entries)
    }

    /// Returns the log as a replay leaves it before it writes pages to their places.
    fn appended_again(self) -> Self {
        let (header, memory) = (self.header(), Arc::new(Memory::new(self.file)));
        let replayed = replay(Arc::clone(&memory) as _, &header, &mut Violations::new()).unwrap();
        replayed.overlay.unwrap().append_again(&*memory).unwrap();
        drop(replayed.storage);
        Self { file: Arc::into_inner(memory).unwrap().into_inner(), ..self }
    }

    fn rule(self) -> Rule {
        self.replay().err().unwrap().violation().unwrap().rule
    }
}

fn data(offset: u64, byte: u8) -> LogWrite {
    LogWrite::Data { offset: FileOffset::new(offset), page: Box::new([byte; 4096]) }
}

#[test]
fn a_sequence_is_applied_from_its_tail_to_its_head() {
    assert_eq!(Log::new().fill(4, 4, 7, 1).fill(6, 4, 8, 2).fill(8, 4, 9, 3).outcome(), (3, 3));
}

#[test]
fn entries_before_the_tail_of_the_head_are_stale() {
    assert_eq!(Log::new().fill(4, 4, 7, 1).fill(6, 4, 8, 2).fill(8, 6, 9, 3).outcome(), (3, 2));
    let empty_head = Log::new().fill(4, 4, 7, 1).entry(6, 6, 8, &[]);
    assert_eq!(empty_head.outcome(), (0, 1));
}

#[test]
fn a_stale_sequence_elsewhere_is_not_applied() {
    assert_eq!(Log::new().fill(20, 20, 3, 9).fill(22, 20, 4, 9).fill(4, 4, 7, 1).outcome(), (1, 1));
}

#[test]
fn an_entry_whose_run_is_broken_is_not_the_head() {
    let gap = Log::new().fill(4, 4, 7, 1).fill(6, 4, 9, 2);
    assert_eq!(gap.outcome(), (1, 1));
    let mut torn = Log::new().fill(4, 4, 7, 1).fill(6, 4, 8, 2).fill(8, 4, 9, 3);
    torn.file[(LOG + 6 * SECTOR + 100) as usize] ^= 1;
    assert_eq!(torn.outcome(), (1, 1));
}

#[test]
fn entries_wrap_around_the_end_of_the_ring() {
    assert_eq!(Log::new().fill(253, 253, 7, 1).fill(255, 253, 8, 2).fill(1, 253, 9, 3).outcome(), (3, 3));
}

#[test]
fn entries_with_more_descriptors_than_one_sector_holds() {
    let writes: Vec<_> = (0..200).map(|n| data(2 * MIB + n * SECTOR, n as u8)).collect();
    let (storage, _) = Log::new().entry(0, 0, 1, &writes).replay().unwrap();
    for n in 0..200 {
        let mut page = [0; 4096];
        storage.read_exact_at(&mut page, FileOffset::new(2 * MIB + n * SECTOR)).unwrap();
        assert_eq!(page, [n as u8; 4096]);
    }
}

#[test]
fn the_file_grows_to_the_last_file_offset() {
    let log = Log { last: 9 * MIB, ..Log::new() };
    assert_eq!(log.fill(0, 0, 1, 1).replay().unwrap().0.size().unwrap(), 9 * MIB);
}

#[test]
fn a_damaged_log_is_rejected() {
    assert_eq!(Log::new().rule(), Rule::LogNoActiveSequence);
    assert_eq!(Log { flushed: 5 * MIB, ..Log::new() }.fill(0, 0, 1, 1).rule(), Rule::LogTruncatedFile);
    assert_eq!(Log { last: 1 << 60, ..Log::new() }.fill(0, 0, 1, 1).rule(), Rule::LogLastFileOffset);
    let target = |offset| Log::new().entry(0, 0, 1, &[data(offset, 1)]).rule();
    assert_eq!(target(0), Rule::LogDescriptorTarget);
    assert_eq!(target(128 * 1024), Rule::LogDescriptorTarget);
    assert_eq!(target(LOG + MIB - SECTOR), Rule::LogDescriptorTarget);
    let zero = LogWrite::Zero { offset: FileOffset::new(2 * MIB), len: u64::MAX - SECTOR + 1 };
    assert_eq!(Log::new().entry(0, 0, 1, &[zero]).rule(), Rule::LogDescriptorFar);
}

#[test]
fn a_change_of_any_byte_of_the_only_entry_is_detected() {
    for at in 0..2 * SECTOR {
        let mut log = Log::new().fill(0, 0, 1, 1);
        log.file[(LOG + at) as usize] ^= 0x40;
        assert_eq!(log.rule(), Rule::LogNoActiveSequence, "byte {at}");
    }
}

#[test]
fn a_clean_log_is_not_read() {
    let log = Log::new().fill(0, 0, 1, 1);
    let header = Header { log_guid: Uuid::nil(), ..log.header() };
    let replayed = replay(Arc::new(log.file), &header, &mut Violations::new()).unwrap();
    assert_eq!(replayed.state, LogState::Clean);
    assert!(replayed.overlay.is_none());
}

#[test]
fn a_page_past_the_maximum_file_length_is_damage() {
    let far = Log::new().entry(0, 0, 1, &[data(1 << 62, 1)]);
    let violation = far.replay().err().unwrap().violation().unwrap().clone();
    assert_eq!(violation.rule, Rule::LogDescriptorFar);
    assert_eq!(violation.offset.get(), LOG + 64);
}

#[test]
fn reserved_bytes_and_unaligned_lengths_are_reported_in_every_active_entry() {
    let mut log = Log::new();
    log.flushed = 123;
    let mut log = log.fill(0, 0, 1, 1);
    log.flushed = 4 * MIB;
    let mut log = log.fill(2, 0, 2, 2);
    log.file[LOG as usize + 28] = 7;
    crate::format::bytes::seal(&mut log.file[LOG as usize..][..2 * SECTOR as usize]);
    let mut violations = Violations::new();
    replay(Arc::new(log.file.clone()), &log.header(), &mut violations).unwrap();
    let found: Vec<_> = violations.as_slice().iter().map(|v| (v.rule, v.offset.get())).collect();
    assert_eq!(found, [(Rule::LogEntryOffsets, LOG), (Rule::LogReserved, LOG)]);
}

/// Returns a log with a sequence of two entries, a torn one, and one behind it: the writer did not sync between them.
fn torn() -> Log {
    Log::new().fill(4, 4, 7, 1).fill(6, 4, 8, 2).fill(10, 4, 10, 4)
}

#[test]
fn all_writes_are_appended_again_as_one_entry() {
    let log = torn();
    let before = log.file.clone();
    let after = log.appended_again();
    let place = (LOG + 8 * SECTOR) as usize..(LOG + 10 * SECTOR) as usize;
    assert!(
        before[..place.start] == after.file[..place.start] && before[place.end..] == after.file[place.end..]
    );
    // The new entry has another number than the torn one, so the entry behind it does not join the sequence.
    assert_eq!(after.outcome(), (2, 1));
    let zeros = LogWrite::Zero { offset: FileOffset::new(TARGET), len: MIB };
    let log = || Log::new().entry(250, 250, 7, &[data(TARGET, 9), zeros.clone(), data(TARGET, 5)]);
    assert_eq!(log().outcome(), (5, 1));
    let twice = log().appended_again().appended_again();
    let entry = (LOG + 250 * SECTOR) as usize..(LOG + 253 * SECTOR) as usize;
    assert!(twice.file[entry.clone()] == log().file[entry], "the source of the new entry was overwritten");
    assert_eq!(twice.outcome(), (5, 1));
}

#[test]
fn a_log_without_room_for_it_stays_as_it_is() {
    let many = |count: u64| (0..count).map(|n| data(2 * MIB + n * SECTOR, 3)).collect::<Vec<_>>();
    for (count, has_room) in [(84, true), (85, false), (120, false)] {
        let log = Log::new().entry(20, 20, 7, &many(count));
        let before = log.file.clone();
        let after = log.appended_again();
        assert_eq!(before != after.file, has_room, "{count} pages");
        assert!(after.replay().is_ok());
    }
    for last in [u64::MAX - 1, u64::MAX] {
        let log = Log::new().fill(0, 0, last, 1);
        let before = log.file.clone();
        assert_eq!(log.appended_again().file != before, last != u64::MAX, "{last}");
    }
}

/// Returns the log of another program, whose active sequence takes `sectors` of its 256 sectors, from `start` on.
///
/// Each entry writes the same page. If `sectors` is odd, the last entry has no writes.
fn sequence(start: u64, sectors: u64) -> Log {
    let mut log = Log::new();
    for number in 0..sectors / 2 {
        log = log.fill((start + 2 * number) % 256, start, 7 + number, number as u8);
    }
    if sectors % 2 == 1 {
        log = log.entry((start + sectors - 1) % 256, start, 7 + sectors / 2, &[]);
    }
    log
}

/// The new entry takes two sectors. The log must also have room for the sequence, and for as many bytes before it.
#[test]
fn an_active_sequence_of_half_the_log_or_more_is_not_appended_again() {
    for start in [0, 40, 200] {
        for (sectors, has_room) in [
            (126, true),
            (127, true),
            (128, false),
            (129, false),
            (170, false),
            (200, false),
            (253, false),
            (254, false),
            (255, false),
            (256, false),
        ] {
            let log = sequence(start, sectors);
            let (before, outcome) = (log.file.clone(), sequence(start, sectors).outcome());
            let after = log.appended_again();
            assert_eq!(after.file != before, has_room, "{sectors} from {start}");
            for sector in (start..start + sectors).map(|sector| (LOG + sector % 256 * SECTOR) as usize) {
                let sector = sector..sector + SECTOR as usize;
                assert!(after.file[sector.clone()] == before[sector], "{sectors} from {start}");
            }
            assert_eq!(after.outcome().0, outcome.0, "{sectors} from {start}");
        }
    }
}

/// The lengths in an entry are multiples of 1 MiB, so an entry for such a file would make it longer.
#[test]
fn the_log_of_a_file_of_unaligned_length_is_not_appended_to() {
    for (extra, has_room) in [(0, true), (1, false), (4096, false), (MIB - 1, false), (MIB, true)] {
        let mut log = torn();
        log.file.resize((4 * MIB + extra) as usize, 0);
        let before = log.file.clone();
        let after = log.appended_again();
        assert_eq!(after.file != before, has_room, "{extra}");
        assert_eq!(after.file.len(), before.len());
    }
}

/// Asserts that the log reads the same after a power failure in any write of `append_again`.
fn assert_nothing_changes(what: &str, header: &Header, file: Torn) {
    let outcome = |file: &[u8]| Log { file: file.to_vec(), ..Log::new() }.outcome();
    let file = Arc::new(file);
    let replayed = replay(Arc::clone(&file) as _, header, &mut Violations::new()).unwrap();
    let overlay = replayed.overlay.unwrap();
    let mut byte = [0];
    overlay.read_exact_at(&mut byte, FileOffset::new(TARGET)).unwrap();
    overlay.append_again(&*file).unwrap();
    let mut images = 0;
    file.for_each_image(|image| {
        assert_eq!(outcome(image).0, byte[0], "{what}");
        images += 1;
    });
    assert!(images > 64, "{what}: {images}");
}

/// Returns the log after a power failure while an entry was appended: it lacks one sector.
fn without(mut log: Log, entry: u64, lost: usize) -> Log {
    log.file[(LOG + entry % 256 * SECTOR) as usize + lost * torn::SECTOR..][..torn::SECTOR].fill(0xee);
    log
}

/// Two entries have mostly zeros in their first sectors, so a torn one could supply the sector that another one lacks.
#[test]
fn a_torn_entry_is_not_completed_by_another_torn_entry_in_its_place() {
    let heads: [&[LogWrite]; 2] = [&[], &[data(TARGET, 1)]];
    for (head, lost) in heads.iter().flat_map(|head| (0..16).map(move |lost| (head, lost))) {
        let end = 5 + head.len() as u64;
        let log = without(Log::new().entry(4, 4, 7, head).fill(end, end, 8, 2), end, lost);
        let what = format!("sector {lost} behind {}", head.len());
        assert_nothing_changes(&what, &log.header(), Torn::new(log.file.clone()));
        // An earlier run cleared the place, but that sync failed and was forgotten: the medium does not have the zeros.
        let mut cleared = log.file.clone();
        cleared[(LOG + end * SECTOR) as usize..][..torn::SECTOR].fill(0);
        assert_nothing_changes(&what, &log.header(), Torn::forgotten(log.file.clone(), cleared));
    }
}

/// Other programs append entries without a sync between them, so a torn entry may begin further on in the place.
#[test]
fn a_torn_entry_that_begins_later_in_the_place_is_not_completed_either() {
    for (start, lost) in
        [4, 251, 252, 253].into_iter().flat_map(|start| (1..8).map(move |lost| (start, lost)))
    {
        let torn = (start + 3) % 256;
        let log = without(Log::new().fill(start, start, 7, 0).fill(torn, torn, 9, 2), torn, lost);
        assert_nothing_changes(
            &format!("{start}, sector {lost}"),
            &log.header(),
            Torn::new(log.file.clone()),
        );
    }
}

/// Such a device must not make a replay skip descriptors of an entry that was valid at first.
#[test]
fn an_entry_that_reads_differently_later_is_an_error() {
    let log = Log::new().fill(4, 4, 7, 1);
    let mut errors = 0;
    for good_reads in 0..16 {
        let file = Unsteady {
            file: log.file.clone(),
            offset: LOG + 4 * SECTOR,
            good_reads,
            reads: AtomicUsize::new(0),
        };
        let replayed = match replay(Arc::new(file), &log.header(), &mut Violations::new()) {
            Ok(replayed) => replayed,
            Err(error) => {
                errors += usize::from(error.violation().unwrap().rule == Rule::LogDescriptor);
                continue;
            }
        };
        let LogState::Dirty { entries } = replayed.state else { panic!("{:?}", replayed.state) };
        let mut byte = [0];
        replayed.storage.read_exact_at(&mut byte, FileOffset::new(TARGET)).unwrap();
        assert_eq!(usize::from(byte[0]), entries, "after {good_reads} reads");
    }
    assert!(errors > 0);
}
