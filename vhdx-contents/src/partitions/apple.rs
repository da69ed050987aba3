//! Reads an Apple Partition Map. All its numbers are big-endian.

use super::bytes::{be16, be32, text};
use super::ends::Ends;
use super::finding::TableFinding;
use super::partition::{Partition, Place, Table, TableKind, TypeId};

/// The most entries that are read: those at the start of the disk. Maps usually have fewer than ten.
const MAX_ENTRIES: u32 = 62;

/// Returns the map of a disk, if it has one.
pub(super) fn find(ends: &Ends<'_>) -> Option<Table> {
    let head = ends.head();
    if !head.starts_with(b"ER") {
        return None;
    }
    let sector_size = u32::from(be16(head, 2)?);
    if !matches!(sector_size, 512 | 1024 | 2048 | 4096) {
        return None;
    }
    let block = |number: u32| {
        let at = usize::try_from(number.checked_mul(sector_size)?).ok()?;
        head.get(at..).filter(|block| block.starts_with(b"PM"))
    };
    let count = be32(block(1)?, 4)?.min(MAX_ENTRIES);
    let mut map = Table::new(TableKind::Apple, sector_size, None);
    for number in 1..=count {
        let Some(entry) = block(number).and_then(Entry::parse) else { break };
        match Place::of(entry.first, entry.sectors, sector_size, ends.len()) {
            // The map itself and free space are entries, too.
            _ if entry.type_text == "Apple_Free" || entry.sectors == 0 => {}
            None => map.findings.push(TableFinding::StartsPastEnd { number }),
            Some(place) => {
                let mut partition = Partition::new(number, place, TypeId::Text(entry.type_text), None);
                partition.name = Some(entry.name).filter(|name| !name.is_empty());
                map.partitions.push(partition);
            }
        }
    }
    Some(map)
}

struct Entry {
    first: u64,
    sectors: u64,
    name: String,
    type_text: String,
}

impl Entry {
    fn parse(entry: &[u8]) -> Option<Self> {
        Some(Self {
            first: be32(entry, 8)?.into(),
            sectors: be32(entry, 12)?.into(),
            name: text(entry.get(16..48)?),
            type_text: text(entry.get(48..80)?),
        })
    }
}
