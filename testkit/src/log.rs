//! Puts a log into an image: one that must be replayed, or one that must not.

use std::collections::BTreeSet;

use vhdx::format::log_entry::{LogEntryHeader, LogWrite, encode_entry};
use vhdx::{FileOffset, Guid};

use crate::image::{Image, Layout, Part};
use crate::random::Random;
use crate::sparse::SparseImage;

const SECTOR: u64 = 4096;
/// Near the number with which Windows starts.
const FIRST_SEQUENCE_NUMBER: u64 = 1 << 61;
/// A log entry must not write to lower offsets, because the headers are there.
const FIRST_TARGET: u64 = 192 << 10;

/// The content of a log.
///
/// The active sequence contains sectors of region tables, metadata, BAT, bitmaps and payload. Their places in the file
/// hold other bytes. Runs of zeros become zero descriptors. Before the sequence lie stale entries, which are valid and
/// have the same GUID, but must not be replayed. After it lies a torn entry.
#[derive(Clone, Copy, Debug)]
pub struct DirtyLog {
    /// The seed for the sectors, the entries, and their places in the ring.
    pub seed: u64,
    /// The number of active entries, at least 1.
    pub entries: usize,
    /// The number of stale entries just before them.
    pub stale: usize,
    /// The number of runs of sectors in the active entries, at most 32.
    pub runs: usize,
    /// Whether the log was replayed: the header's LogGuid is zero, the file is valid, and every entry is stale.
    pub closed: bool,
}

impl DirtyLog {
    /// Returns the LogGuid of the current header.
    pub(crate) fn header_guid(&self) -> Guid {
        if self.closed { Guid::nil() } else { self.guid() }
    }

    fn guid(&self) -> Guid {
        Random::new(self.seed).guid()
    }

    /// Moves sectors from the valid `file` into the log.
    pub(crate) fn put(&self, image: &Image, layout: &Layout, file: &mut SparseImage) {
        let mut random = Random::new(self.seed ^ 0x10f);
        let mut taken = BTreeSet::new();
        let runs = 0..self.runs.min(32);
        let sound: Vec<LogWrite> =
            runs.filter_map(|_| take_run(layout, file, &mut taken, &mut random)).collect();

        let mut entries = vec![Vec::new(); self.stale + self.entries.max(1) + 1];
        let (torn, valid) = entries.split_last_mut().expect("there is a torn entry");
        for write in sound {
            let (offset, len) = target(&write);
            let garbage = || data(offset, garbage_sector(image, &mut Random::new(offset)));
            let last = self.stale + random.below(self.entries.max(1));
            for earlier in &mut valid[..last] {
                if random.below(2) == 0 {
                    earlier.push(garbage());
                }
            }
            if self.closed {
                valid[last].push(garbage());
            } else {
                for at in (offset..offset + len).step_by(SECTOR as usize) {
                    file.write(at, &garbage_sector(image, &mut random));
                }
                valid[last].push(write);
            }
        }
        for unwanted in valid[..self.stale].iter_mut().chain([torn]) {
            unwanted.extend(garbage_elsewhere(image, layout, &taken, &mut random));
        }
        self.put_entries(&entries, image, layout, file);
    }

    /// Writes the entries back to back, the torn one last.
    fn put_entries(&self, entries: &[Vec<LogWrite>], image: &Image, layout: &Layout, file: &mut SparseImage) {
        let (start, len) = (layout.offset(Part::Log), u64::from(image.log_length));
        let mut at = self.seed % (len / SECTOR) * SECTOR;
        let mut tail = at;
        for (number, writes) in entries.iter().enumerate() {
            if number == self.stale {
                tail = at;
            }
            let header = LogEntryHeader {
                entry_length: 0,
                tail: u32::try_from(tail).expect("a log is short"),
                sequence_number: FIRST_SEQUENCE_NUMBER + number as u64,
                descriptor_count: 0,
                log_guid: self.guid(),
                flushed_file_offset: layout.len,
                last_file_offset: layout.len,
            };
            let mut entry = encode_entry(&header, writes).unwrap();
            if number + 1 == entries.len() {
                tear(&mut entry, self.seed);
            }
            for sector in entry.chunks(SECTOR as usize) {
                file.write(start + at, sector);
                at = (at + SECTOR) % len;
            }
        }
    }
}

/// Changes one sector of 512 bytes of an entry; not the first one, which makes it an entry.
fn tear(entry: &mut [u8], seed: u64) {
    let mut random = Random::new(seed ^ 0x7ea2);
    let sector = 1 + random.below(entry.len() / 512 - 1);
    let fill = 1 + random.below(255) as u8;
    entry[sector * 512..][..512].iter_mut().for_each(|byte| *byte ^= fill);
}

/// Takes a run of sectors of one part of the file: up to 16 of zeros, or one of data.
///
/// Returns `None` if the chosen sector was taken before.
fn take_run(
    layout: &Layout,
    file: &SparseImage,
    taken: &mut BTreeSet<u64>,
    random: &mut Random,
) -> Option<LogWrite> {
    let offset = sector_with_meaning(layout, random);
    let is_zero = |offset| file.read(offset, SECTOR as usize).iter().all(|&byte| byte == 0);
    if !taken.insert(offset) {
        return None;
    }
    if !is_zero(offset) {
        return Some(data(offset, file.read(offset, SECTOR as usize)));
    }
    let end = part_end(layout, offset);
    let mut len = SECTOR;
    while len < 16 * SECTOR && offset + len < end && is_zero(offset + len) && taken.insert(offset + len) {
        len += SECTOR;
    }
    Some(LogWrite::Zero { offset: FileOffset::new(offset), len })
}

/// Returns a write of garbage to a place that matters, but that no valid entry writes to.
fn garbage_elsewhere(
    image: &Image,
    layout: &Layout,
    taken: &BTreeSet<u64>,
    random: &mut Random,
) -> Option<LogWrite> {
    let offset = (0..16).map(|_| sector_with_meaning(layout, random)).find(|at| !taken.contains(at))?;
    Some(data(offset, garbage_sector(image, random)))
}

/// Returns a random sector, which differs from a valid one.
///
/// It is mostly zeros if the image has no litter.
fn garbage_sector(image: &Image, random: &mut Random) -> Vec<u8> {
    let mut sector = random.bytes(if image.litter { SECTOR as usize } else { 8 });
    sector.resize(SECTOR as usize, 0);
    sector
}

/// Returns the offset of a sector of a random part.
///
/// The first sectors matter most and are chosen more often.
fn sector_with_meaning(layout: &Layout, random: &mut Random) -> u64 {
    let mut parts: Vec<(u64, u64)> = vec![(FIRST_TARGET, 64 << 10), (FIRST_TARGET + (64 << 10), 64 << 10)];
    let others = layout.parts().filter(|(part, ..)| !matches!(part, Part::Log | Part::Extra(_)));
    parts.extend(others.map(|(_, offset, len)| (offset, len)));
    let (offset, len) = parts[random.below(parts.len())];
    let sectors = (len / SECTOR) as usize;
    let among = [1, 1, 17, sectors][random.below(4)].min(sectors);
    offset + random.below(among) as u64 * SECTOR
}

fn part_end(layout: &Layout, offset: u64) -> u64 {
    let holds = |&(_, start, len): &(Part, u64, u64)| (start..start + len).contains(&offset);
    layout.parts().find(holds).map_or(320 << 10, |(_, start, len)| start + len)
}

fn data(offset: u64, page: Vec<u8>) -> LogWrite {
    let page = page.try_into().expect("a page is a sector long");
    LogWrite::Data { offset: FileOffset::new(offset), page: Box::new(page) }
}

fn target(write: &LogWrite) -> (u64, u64) {
    match write {
        LogWrite::Data { offset, .. } => (offset.get(), SECTOR),
        LogWrite::Zero { offset, len } => (offset.get(), *len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Block, MIB};
    use vhdx::{LogState, OpenOptions, Vhdx};

    /// Counts the sectors outside the log that differ from those of the same image without a log.
    fn differing(log: DirtyLog) -> (usize, LogState) {
        let mut image = Image::dynamic(3 * MIB, 1 << 20);
        image.blocks.insert(1, Block::full(Random::new(1).bytes(MIB as usize)));
        let sound = image.sparse();
        let layout = image.layout();
        image.log = Some(log);
        let file = image.sparse();
        let log = layout.offset(Part::Log)..layout.offset(Part::Log) + MIB;
        let sectors = (FIRST_TARGET..layout.len).step_by(SECTOR as usize).filter(|at| !log.contains(at));
        let differ = |at: &u64| sound.read(*at, SECTOR as usize) != file.read(*at, SECTOR as usize);
        let count = sectors.filter(differ).count();
        (count, Vhdx::open_with(file, &OpenOptions::default()).unwrap().log())
    }

    #[test]
    fn an_active_log_is_needed_and_a_closed_one_is_not() {
        for seed in 0..32 {
            let log = DirtyLog { seed, entries: 2, stale: 2, runs: 16, closed: false };
            let (differing_sectors, state) = differing(log);
            assert!(differing_sectors >= 4, "{differing_sectors} with seed {seed}");
            assert_eq!(state, LogState::Dirty { entries: 2 });
            assert_eq!(differing(DirtyLog { closed: true, ..log }), (0, LogState::Clean));
        }
    }
}
