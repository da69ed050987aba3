//! Finds out which structures of a damaged file are sound.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::Vhdx;
use super::load::{Structures, header_copies, region_tables};
use super::validate_bat::{for_each_entry, validate_bat};
use crate::error::Result;
use crate::format::bat_entry::{PayloadBlockState, SectorBitmapBlockState};
use crate::format::header::{self, Header};
use crate::geometry::BatEntryKind;
use crate::log::{self, LogState};
use crate::rules::{Rule, Severity};
use crate::storage::{FileStorage, ReadAt, ReadGuard};
use crate::units::{FileOffset, MIB};
use crate::violation::Violations;

/// The sound and the damaged structures of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// The length of the file in bytes.
    pub file_len: u64,
    /// Whether header 1 and header 2 are sound.
    pub headers: [bool; 2],
    /// The state of the log.
    pub log: SurveyedLog,
    /// Whether region table 1 and region table 2 are sound.
    pub region_tables: [bool; 2],
    /// Whether the metadata is sound, and the place of the BAT known, according to a sound region table.
    pub metadata: bool,
    /// The state of the BAT, if its place is known and it can be read.
    pub bat: Option<SurveyedBat>,
}

/// The state of the log of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SurveyedLog {
    /// Unknown, because there is no current header.
    Unknown,
    /// The log holds no changes.
    Empty,
    /// The log holds changes that are not in the file yet, and it can be replayed.
    Sound,
    /// The current header says that the log holds changes, but it cannot be replayed.
    Damaged,
}

impl SurveyedLog {
    /// Returns the name in reports: `unknown`, `empty`, `sound` or `damaged`.
    pub const fn name(self) -> &'static str {
        match self {
            SurveyedLog::Unknown => "unknown",
            SurveyedLog::Empty => "empty",
            SurveyedLog::Sound => "sound",
            SurveyedLog::Damaged => "damaged",
        }
    }
}

/// The state of the BAT of a damaged file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SurveyedBat {
    /// Whether its entries break no rule, except tolerated ones and [`Rule::BlockPastEnd`], which `blocks_past_end`
    /// counts.
    pub is_sound: bool,
    /// The number of payload and sector bitmap blocks that are present according to the BAT.
    pub blocks: u64,
    /// The number of these blocks that lie past the end of the file, at least in part.
    pub blocks_past_end: u64,
    /// The number of bytes of these blocks past the end of the file.
    ///
    /// The unused tail of the disk's last block does not count.
    pub bytes_past_end: u64,
}

impl Survey {
    /// Surveys the file at `path`. Nothing is written. Reads the BAT at most three times.
    ///
    /// # Errors
    /// As [`FileStorage::open`], and [`Error::Io`](crate::Error::Io) if the length of the file cannot be read. A
    /// structure that cannot be read is reported as not sound.
    pub fn open(path: &Path) -> Result<Self> {
        let survey = || survey(Arc::new(FileStorage::open(path)?));
        survey().map_err(|error| error.in_file(path))
    }
}

fn survey(storage: Arc<dyn ReadAt>) -> Result<Survey> {
    let (raw, guard) = (Arc::clone(&storage), Arc::new(ReadGuard::new(&*storage)?));
    let file_len = guard.len();
    let copies = header_copies().load_each(&*storage);
    let headers = copies.each_ref().map(Option::is_some);
    let [first, second] = copies;
    let current = header::current(first, second, &mut Violations::new());
    let (log, storage) = replayed(storage, current.as_ref().map(|(_, header)| header));
    let region_tables = region_tables_of(&*storage);
    // Without a current header, the structures of a file with an empty log are surveyed.
    let (header_number, header) = current.unwrap_or((1, NO_HEADER));
    let found = Structures::load(&*storage, &header, &mut Violations::new()).ok();
    let vhdx = found.map(|Structures { regions, metadata, geometry, layout }| Vhdx {
        raw,
        guard,
        storage,
        path: None,
        identity: None,
        creator: String::new(),
        header,
        header_number,
        log: LogState::Clean,
        overlay: None,
        regions,
        layout,
        metadata,
        geometry,
        tolerated: Vec::new(),
        tolerated_bat_rules: OnceLock::new(),
    });
    let bat = vhdx.as_ref().and_then(|vhdx| surveyed_bat(vhdx).ok());
    Ok(Survey { file_len, headers, log, region_tables, metadata: vhdx.is_some(), bat })
}

/// A header without a log, for a file that has no current header.
const NO_HEADER: Header = Header {
    sequence_number: 0,
    file_write_guid: Uuid::nil(),
    data_write_guid: Uuid::nil(),
    log_guid: Uuid::nil(),
    log_version: 0,
    version: 1,
    log_length: 0,
    log_offset: FileOffset::new(0),
};

/// Returns the state of the log, and the file with its log replayed in memory if possible.
fn replayed(storage: Arc<dyn ReadAt>, header: Option<&Header>) -> (SurveyedLog, Arc<dyn ReadAt>) {
    let Some(header) = header else { return (SurveyedLog::Unknown, storage) };
    if header.log_guid.is_nil() {
        return (SurveyedLog::Empty, storage);
    }
    match log::replay(Arc::clone(&storage), header, &mut Violations::new()) {
        Ok(replayed) => (SurveyedLog::Sound, replayed.storage),
        Err(_) => (SurveyedLog::Damaged, storage),
    }
}

fn region_tables_of(storage: &dyn ReadAt) -> [bool; 2] {
    region_tables().load_each(storage).each_ref().map(Option::is_some)
}

fn surveyed_bat(vhdx: &Vhdx) -> Result<SurveyedBat> {
    let mut violations = Violations::new();
    validate_bat(vhdx, &mut violations)?;
    let is_past_end = |rule: Rule| rule == Rule::BlockPastEnd || rule.severity() <= Severity::Tolerated;
    let is_sound = violations.counts().all(|(rule, _)| is_past_end(rule));
    let mut bat = SurveyedBat { is_sound, ..SurveyedBat::default() };
    let geometry = vhdx.geometry();
    for_each_entry(vhdx, |index, entry| {
        let needed = match geometry.entry_kind(index) {
            BatEntryKind::Payload(block) => {
                let is_present = entry.payload_state().is_some_and(PayloadBlockState::is_present);
                let is_used = is_present && block.get() < geometry.block_count();
                is_used.then(|| geometry.block_len(block))
            }
            BatEntryKind::SectorBitmap(_) => {
                let is_present = entry.bitmap_state() == Some(SectorBitmapBlockState::Present);
                (is_present && geometry.has_parent()).then_some(MIB)
            }
        };
        if let Some(needed) = needed {
            let before_end = vhdx.replayed_len().checked_sub(entry.file_offset().get());
            // Nothing of the block lies inside the file if the block begins past its end.
            let past_end = needed - before_end.map_or(0, |bytes| bytes.min(needed));
            // A BAT has less than 2^28 entries for blocks of at most 2^28 bytes.
            bat.blocks += 1;
            bat.blocks_past_end += u64::from(past_end > 0);
            bat.bytes_past_end += past_end;
        }
        ControlFlow::Continue(())
    })?;
    Ok(bat)
}
