//! Reads the metadata region: the items that describe the disk in a file ([MS-VHDX] 2.6).

use std::borrow::Cow;
use std::ops::Range;

use uuid::Uuid;

use crate::error::{Bounded, Guaranteed, Result, in_memory};
use crate::format::metadata_item::{self, FileParameters};
use crate::format::metadata_table::{self, MetadataEntry, MetadataTable};
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::Region;
use crate::rules::Rule;
use crate::storage::{ReadAt, ensure_end, read_into, read_structure};
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

/// The length in bytes of the first read of the table, and of the longest read of all items.
const PAGE: usize = 4096;

#[derive(Clone)]
pub(super) struct Metadata {
    pub(super) entries: Vec<MetadataEntry>,
    pub(super) parameters: FileParameters,
    pub(super) virtual_size: u64,
    pub(super) virtual_disk_id: Option<Uuid>,
    pub(super) logical_sector_size: u32,
    pub(super) physical_sector_size: u32,
    pub(super) parent_locator: Option<ParentLocator>,
    /// The violation because of which the locator may lack a linkage.
    pub(super) lost_linkage: Option<Violation>,
}

impl Metadata {
    pub(super) fn load(storage: &dyn ReadAt, region: &Region, violations: &mut Violations) -> Result<Self> {
        let table = MetadataTable::validate(&read_table(storage, region)?, region, violations);
        violations.ensure_none_fatal()?;
        // Every reason for a missing table was reported, and is fatal.
        let entries = table.guaranteed("a valid metadata table has a value")?.entries;

        let together = Together::read(storage, region, &entries);
        let mut items = Items { storage, region, entries: &entries, together, violations };
        let parameters = items.required(metadata_item::FILE_PARAMETERS, FileParameters::validate)?;
        let logical =
            items.required(metadata_item::LOGICAL_SECTOR_SIZE, metadata_item::logical_sector_size)?;
        let physical =
            items.required(metadata_item::PHYSICAL_SECTOR_SIZE, metadata_item::physical_sector_size)?;
        let virtual_size = items.required(metadata_item::VIRTUAL_DISK_SIZE, |bytes, at, violations| {
            // A wrong sector size has been reported already.
            metadata_item::virtual_disk_size(bytes, at, logical.unwrap_or(512), violations)
        })?;
        let virtual_disk_id =
            items.optional(metadata_item::VIRTUAL_DISK_ID, metadata_item::virtual_disk_id)?;
        let has_parent = parameters.is_some_and(|parameters: FileParameters| parameters.has_parent);
        let (parent_locator, lost_linkage) = items.parent_locator(has_parent)?;
        if virtual_disk_id.is_none() {
            items.report_missing(metadata_item::VIRTUAL_DISK_ID, Rule::VirtualDiskIdMissing);
        }
        violations.ensure_none_fatal()?;

        let parts = (parameters, virtual_size, logical, physical);
        let (Some(parameters), Some(virtual_size), Some(logical), Some(physical)) = parts else {
            let at = region.offset;
            return Err(Violation::new(Structure::MetadataTable, at, Rule::MetadataItemMissing).into());
        };
        Ok(Self {
            entries,
            parameters,
            virtual_size,
            virtual_disk_id,
            logical_sector_size: logical,
            physical_sector_size: physical,
            parent_locator,
            lost_linkage,
        })
    }
}

/// Reads the metadata table.
///
/// Bytes after its last entry mean nothing, and may be zeros in the result.
fn read_table(storage: &dyn ReadAt, region: &Region) -> Result<Vec<u8>> {
    let (structure, at) = (Structure::MetadataTable, region.offset);
    ensure_end(storage, structure, at, metadata_table::SIZE)?;
    let mut bytes = vec![0; metadata_table::SIZE];
    let (first, rest) = bytes.split_at_mut(PAGE);
    read_into(storage, first, at)?;
    if MetadataTable::parse(first).is_none() {
        read_into(storage, rest, at.plus(PAGE as u64)?)?;
    }
    Ok(bytes)
}

/// All items except user metadata, read at once if they span at most a page.
///
/// In every healthy file they do.
struct Together {
    /// The offset of the first item in the region.
    start: u32,
    bytes: Vec<u8>,
}

impl Together {
    /// Reads the items; the result is empty if they lie farther apart or cannot be read.
    ///
    /// If they cannot be read, reading an item on its own returns the error.
    fn read(storage: &dyn ReadAt, region: &Region, entries: &[MetadataEntry]) -> Self {
        let read = || {
            let Range { start, end } = span_of_items(entries)?;
            let len = usize::try_from(end.checked_sub(start)?).ok().filter(|&len| len <= PAGE)?;
            let mut bytes = vec![0; len];
            read_into(storage, &mut bytes, region.offset.checked_add(start.into())?).ok()?;
            Some(Self { start, bytes })
        };
        read().unwrap_or_else(|| Self { start: 0, bytes: Vec::new() })
    }

    fn item(&self, entry: &MetadataEntry) -> Option<&[u8]> {
        let first = usize::try_from(entry.offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(first..)?.get(..usize::try_from(entry.length).ok()?)
    }
}

/// Returns the part of the region from the first item on to the end of the last one, except user metadata.
fn span_of_items(entries: &[MetadataEntry]) -> Option<Range<u32>> {
    let items = || entries.iter().filter(|entry| !entry.is_user && entry.length != 0);
    let ends = items().map(|item| item.offset.checked_add(item.length)).collect::<Option<Vec<_>>>()?;
    Some(items().map(|item| item.offset).min()?..ends.into_iter().max()?)
}

struct Items<'a> {
    storage: &'a dyn ReadAt,
    region: &'a Region,
    entries: &'a [MetadataEntry],
    together: Together,
    violations: &'a mut Violations,
}

impl Items<'_> {
    fn optional<T>(
        &mut self,
        id: Uuid,
        validate: impl FnOnce(&[u8], FileOffset, &mut Violations) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(entry) = self.entries.iter().find(|entry| entry.is_system(id)) else {
            return Ok(None);
        };
        let bytes = match self.together.item(entry) {
            Some(bytes) => Cow::Borrowed(bytes),
            None => Cow::Owned(read_item(self.storage, self.region, entry)?),
        };
        let at = place_of(self.region, entry)?;
        Ok(validate(&bytes, at, self.violations))
    }

    fn required<T>(
        &mut self,
        id: Uuid,
        validate: impl FnOnce(&[u8], FileOffset, &mut Violations) -> Option<T>,
    ) -> Result<Option<T>> {
        if !self.has(id) {
            self.report_missing(id, Rule::MetadataItemMissing);
        }
        self.optional(id, validate)
    }

    /// Returns the locator, and the violation because of which it may lack a linkage.
    ///
    /// A locator in a file without a parent is not read: either the locator or the file's HasParent bit is wrong.
    fn parent_locator(&mut self, has_parent: bool) -> Result<(Option<ParentLocator>, Option<Violation>)> {
        let id = metadata_item::PARENT_LOCATOR;
        let mut lost_linkage = None;
        let locator = match (has_parent, self.has(id)) {
            (true, true) => self.optional(id, |bytes, at, violations| {
                let mut found = Violations::new();
                let locator = ParentLocator::validate(bytes, at, &mut found);
                let is_lost = |violation: &&Violation| violation.rule == Rule::ParentLinkageLost;
                lost_linkage = found.as_slice().iter().find(is_lost).cloned();
                violations.append(found);
                locator
            }),
            (true, false) => {
                self.report_missing(id, Rule::ParentLocatorMissing);
                Ok(None)
            }
            (false, true) => {
                let entry = self.entries.iter().find(|entry| entry.is_system(id));
                let at = entry.map_or(Ok(self.region.offset), |entry| place_of(self.region, entry))?;
                self.violations.report(Violation::new(
                    Structure::ParentLocator,
                    at,
                    Rule::ParentLocatorUnexpected,
                ));
                Ok(None)
            }
            (false, false) => Ok(None),
        };
        Ok((locator?, lost_linkage))
    }

    fn has(&self, id: Uuid) -> bool {
        self.entries.iter().any(|entry| entry.is_system(id))
    }

    fn report_missing(&mut self, id: Uuid, rule: Rule) {
        self.violations.report(Violation::new(Structure::MetadataItem(id), self.region.offset, rule));
    }
}

/// Returns the offset of an item in the file.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt) if 64 bits are too short for it. The region lies inside the file, but an
/// empty item may have any offset.
fn place_of(region: &Region, entry: &MetadataEntry) -> Result<FileOffset> {
    let broken = || Violation::new(Structure::MetadataItem(entry.id), region.offset, Rule::MetadataItemPlace);
    Ok(region.offset.checked_add(entry.offset.into()).ok_or_else(broken)?)
}

/// Reads the content of an item.
///
/// The rules of the metadata table bound it to 1 MiB inside the region, which lies inside the file.
pub(super) fn read_item(storage: &dyn ReadAt, region: &Region, entry: &MetadataEntry) -> Result<Vec<u8>> {
    let at = place_of(region, entry)?;
    read_structure(storage, Structure::MetadataItem(entry.id), at, in_memory(entry.length.into())?)
}
