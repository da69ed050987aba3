//! Reads a BSD disklabel that covers a whole disk.

use super::bytes::{array, le16, le32};
use super::ends::Ends;
use super::partition::{Partition, Place, Table, TableKind, TypeId};

const MAGIC: u32 = 0x8256_4557;
/// The label is in the second sector of 512 bytes.
const PLACE: usize = 512;
/// The most partitions: OpenBSD has 16, FreeBSD up to 20.
const MAX_PARTITIONS: usize = 22;
const ENTRIES: usize = 148;
const ENTRY_LEN: usize = 16;
/// The index of the partition that stands for the whole disk.
const WHOLE: usize = 2;

/// Returns the label of a disk with its partitions, if it has one. Its checksum must be right.
pub(super) fn find(ends: &Ends<'_>) -> Option<Table> {
    let label = ends.head().get(PLACE..)?;
    let is_label = le32(label, 0)? == MAGIC && le32(label, 132)? == MAGIC;
    let count = usize::from(le16(label, 138)?);
    if !is_label || count > MAX_PARTITIONS || !has_valid_checksum(label, count)? {
        return None;
    }
    let sector_size = le32(label, 40).filter(|size| matches!(size, 512 | 1024 | 2048 | 4096))?;
    let partition = |(index, entry): (usize, &[u8])| {
        let (sectors, first, [kind]) = (le32(entry, 0)?, le32(entry, 4)?, array(entry, 12)?);
        if index == WHOLE || kind == 0 || sectors == 0 {
            return None;
        }
        let number = u32::try_from(index.checked_add(1)?).ok()?;
        let place = Place::of(first.into(), sectors.into(), sector_size, ends.len())?;
        Some(Partition::new(number, place, TypeId::Byte(kind), type_name(kind)))
    };
    let entries = label.get(ENTRIES..)?.chunks_exact(ENTRY_LEN).take(count).enumerate();
    let table = Table::new(TableKind::Bsd, sector_size, None);
    Some(Table { partitions: entries.filter_map(partition).collect(), ..table })
}

/// The exclusive or of all 16-bit words is zero.
fn has_valid_checksum(label: &[u8], count: usize) -> Option<bool> {
    let len = ENTRIES.checked_add(count.checked_mul(ENTRY_LEN)?)?;
    let words = label.get(..len)?.chunks_exact(2).filter_map(|word| word.try_into().ok());
    Some(words.map(u16::from_le_bytes).fold(0, |sum, word| sum ^ word) == 0)
}

fn type_name(kind: u8) -> Option<&'static str> {
    let name = match kind {
        1 => "swap",
        7 => "BSD FFS",
        8 => "FAT",
        14 => "Vinum",
        17 => "ext2",
        27 => "ZFS",
        _ => return None,
    };
    Some(name)
}
