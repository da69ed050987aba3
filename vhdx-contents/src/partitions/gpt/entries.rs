//! Parses the entries of a GPT (UEFI specification, section 5.3.3).

use super::copy::Copy;
use crate::partitions::bytes::{guid, le64};
use crate::partitions::finding::TableFinding;
use crate::partitions::partition::{Partition, Place, TypeId};
use crate::partitions::types;

/// The bytes of the name. In a longer entry, the rest is reserved.
const NAME: std::ops::Range<usize> = 56..128;
/// The attribute of the partition that a BIOS boots from.
const LEGACY_BOOTABLE: u64 = 1 << 2;

/// Returns the partitions. What keeps an entry from being one is added to `findings`.
pub(super) fn partitions(
    copy: &Copy,
    sector_size: u32,
    disk_len: u64,
    findings: &mut Vec<TableFinding>,
) -> Vec<Partition> {
    let Ok(entry_len) = usize::try_from(copy.header.entry_len) else { return Vec::new() };
    let entries = (1..).zip(copy.entries.chunks_exact(entry_len));
    let partition =
        |(number, entry)| match Entry::parse(entry)?.partition(number, copy, sector_size, disk_len) {
            Ok(partition) => Some(partition),
            Err(finding) => {
                findings.push(finding);
                None
            }
        };
    entries.filter_map(partition).collect()
}

/// An entry that is in use.
struct Entry {
    type_guid: vhdx::Guid,
    guid: vhdx::Guid,
    first: u64,
    last: u64,
    attributes: u64,
    name: String,
}

impl Entry {
    /// Returns `None` for an unused entry.
    fn parse(entry: &[u8]) -> Option<Self> {
        let name: Vec<u16> = entry.get(NAME)?.chunks_exact(2).map_while(le_unit).collect();
        let entry = Self {
            type_guid: guid(entry, 0)?,
            guid: guid(entry, 16)?,
            first: le64(entry, 32)?,
            last: le64(entry, 40)?,
            attributes: le64(entry, 48)?,
            name: String::from_utf16_lossy(&name),
        };
        (!entry.type_guid.is_nil()).then_some(entry)
    }

    fn partition(
        self,
        number: u32,
        copy: &Copy,
        sector_size: u32,
        disk_len: u64,
    ) -> Result<Partition, TableFinding> {
        let more = self.last.checked_sub(self.first).ok_or(TableFinding::Reversed { number })?;
        let place = Place::of(self.first, more.saturating_add(1), sector_size, disk_len)
            .ok_or(TableFinding::StartsPastEnd { number })?;
        let type_name = types::of_gpt(self.type_guid);
        let mut partition = Partition::new(number, place, TypeId::Guid(self.type_guid), type_name);
        let (first_usable, last_usable) = copy.header.usable;
        if self.first < first_usable || self.last > last_usable {
            partition.findings.push(TableFinding::OutsideUsable);
        }
        partition.name = Some(self.name).filter(|name| !name.is_empty());
        partition.guid = Some(self.guid);
        partition.attributes = self.attributes;
        partition.is_bootable = self.attributes & LEGACY_BOOTABLE != 0;
        Ok(partition)
    }
}

/// Returns a unit of UTF-16, or `None` at the end of the name.
fn le_unit(bytes: &[u8]) -> Option<u16> {
    let unit = u16::from_le_bytes(bytes.try_into().ok()?);
    (unit != 0).then_some(unit)
}
