//! Opens a VHDX: validates the identifier, headers, log, region tables and metadata.
//!
//! Each structure depends on those before it, so the order is fixed.

use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use super::Vhdx;
use super::layout::Layout;
use super::metadata::Metadata;
use crate::error::{Error, Result, Times};
use crate::format::file_identifier::{self, FileTypeIdentifier};
use crate::format::header::{self, Header};
use crate::format::region_table::{self, RegionTable, Regions};
use crate::geometry::Geometry;
use crate::log;
use crate::rules::Rule;
use crate::storage::{Measured, ReadAt, ReadGuard, ensure_end, read_structure};
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

impl Vhdx {
    /// Opens a VHDX in a storage, and adds every violation that it finds to `violations`.
    ///
    /// Tolerated violations are worked around. The first one that is not tolerated is also returned as an error.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Unsupported`].
    pub(crate) fn load(storage: Arc<dyn ReadAt>, violations: &mut Violations) -> Result<Self> {
        // The caller may have collected violations of other files, which must not make this one fail.
        let mut found = Violations::new();
        let result = load(storage, &mut found);
        if let Err(error) = &result
            && let Some(violation) = error.violation()
            && !found.as_slice().contains(violation)
        {
            found.report(violation.clone());
        }
        violations.append(found);
        result
    }

    /// Checks both region tables; opening does not read the second one if the first one is sound.
    ///
    /// Violations that are already in `violations` are not added again.
    ///
    /// # Errors
    /// [`Error::Io`] if neither can be read; [`Error::Corrupt`] if the file ends inside one.
    pub(crate) fn validate_region_tables(&self, violations: &mut Violations) -> Result<()> {
        validate_region_tables(&*self.storage, violations)
    }

    /// Reads the region tables and the metadata again after they were changed. Keeps the header.
    pub(super) fn reload(&mut self) -> Result<()> {
        let found = Structures::load(&*self.storage, &self.header, &mut Violations::new())?;
        (self.regions, self.metadata) = (found.regions, found.metadata);
        (self.geometry, self.layout) = (found.geometry, found.layout);
        Ok(())
    }
}

fn load(storage: Arc<dyn ReadAt>, violations: &mut Violations) -> Result<Vhdx> {
    let (raw, guard) = (Arc::clone(&storage), Arc::new(ReadGuard::new(&*storage)?));
    let (measured, file_len) = (guard.measured(&*storage), guard.len());
    let creator = load_identifier(&measured, violations)?;
    let (header_number, header) = load_header(&measured, violations)?;
    validate_log_place(&header, file_len, violations)?;
    let log::Replayed { storage, overlay, state } = log::replay(storage, &header, violations)?;
    let found = Structures::load(&*storage, &header, violations);
    if found.is_err() {
        // Opening fails, so report the second region table too: if it differs, it may be the sound one. An error here
        // is ignored, because `Structures::load` has returned it already.
        let _ = validate_region_tables(&*storage, violations);
    }
    let Structures { regions, metadata, geometry, layout } = found?;
    let tolerated = violations.as_slice().to_vec();
    Ok(Vhdx {
        storage,
        raw,
        guard,
        path: None,
        identity: None,
        creator,
        header,
        header_number,
        log: state,
        overlay,
        regions,
        layout,
        metadata,
        geometry,
        tolerated,
        tolerated_bat_rules: OnceLock::new(),
    })
}

/// Adds the violations of both region tables to `violations`, without duplicates.
fn validate_region_tables(storage: &dyn ReadAt, violations: &mut Violations) -> Result<()> {
    let mut found = Violations::new();
    let [first, second] = region_tables().load(&Measured::new(storage)?, Second::Always, &mut found)?;
    region_table::choose(first, second, &mut found);
    let is_new = |violation: &&Violation| !violations.as_slice().contains(violation);
    let new: Vec<Violation> = found.as_slice().iter().filter(is_new).cloned().collect();
    new.into_iter().for_each(|violation| violations.report(violation));
    Ok(())
}

/// The structures that depend on the headers and the log.
pub(super) struct Structures {
    pub(super) regions: Regions,
    pub(super) metadata: Metadata,
    pub(super) geometry: Geometry,
    pub(super) layout: Layout,
}

impl Structures {
    pub(super) fn load(storage: &dyn ReadAt, header: &Header, violations: &mut Violations) -> Result<Self> {
        let storage = Measured::new(storage)?;
        let file_len = storage.size();
        let regions = load_regions(&storage, header, file_len, violations)?;
        let metadata = Metadata::load(&storage, &regions.metadata, violations)?;
        let geometry = load_geometry(&metadata, &regions, violations)?;
        let mut by_offset = regions.all.clone();
        by_offset.sort_by_key(|region| region.offset);
        let log = header.log_place();
        let layout = Layout { log, regions: by_offset, file_len };
        Ok(Self { regions, metadata, geometry, layout })
    }
}

/// Returns the value of a validator, or the violation because of which there is none.
fn valid<T>(value: Option<T>, violations: &Violations, structure: Structure, at: FileOffset) -> Result<T> {
    violations.ensure_none_fatal()?;
    value.ok_or_else(|| Violation::new(structure, at, Rule::Truncated).into())
}

fn load_identifier(storage: &dyn ReadAt, violations: &mut Violations) -> Result<String> {
    let (structure, at) = (Structure::FileTypeIdentifier, FileOffset::new(0));
    let bytes = read_structure(storage, structure, at, file_identifier::DATA_SIZE)?;
    let identifier = FileTypeIdentifier::validate(&bytes, violations);
    Ok(valid(identifier, violations, structure, at)?.creator)
}

/// Reads the DataWriteGuid of a VHDX from its current header.
///
/// Returns `None` if the bytes do not begin with the file type identifier of a VHDX. Opening the file would return the
/// same GUID, because a log does not change headers.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] or [`Error::Unsupported`] if there is no usable header.
pub(crate) fn read_data_write_guid(storage: &dyn ReadAt) -> Result<Option<Uuid>> {
    let measured = Measured::new(storage)?;
    let mut violations = Violations::new();
    match load_identifier(&measured, &mut violations) {
        Err(error) if error.violation().is_some() => return Ok(None),
        result => drop(result?),
    }
    let (_, header) = load_header(&measured, &mut violations)?;
    Ok(Some(header.data_write_guid))
}

/// Returns the number of the current header, 1 or 2, and the header.
pub(super) fn load_header(storage: &dyn ReadAt, violations: &mut Violations) -> Result<(u8, Header)> {
    let [first, second] = header_copies().load(storage, Second::Always, violations)?;
    let current = header::current(first, second, violations);
    valid(current, violations, Structure::Header(1), header::OFFSETS[0])
}

pub(super) fn header_copies() -> Copies<Header> {
    Copies {
        places: header::OFFSETS,
        size: header::SIZE,
        validate: header::validate_copy,
        structure: Structure::Header,
        unreadable: Rule::HeaderUnreadable,
    }
}

/// A structure of which the file has two copies.
pub(super) struct Copies<T> {
    places: [FileOffset; 2],
    size: usize,
    validate: fn(&[u8], u8, &mut Violations) -> Option<T>,
    structure: fn(u8) -> Structure,
    /// The rule that a copy breaks if it cannot be read.
    unreadable: Rule,
}

/// When the second copy is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Second {
    Always,
    /// Only if the first one cannot be used.
    IfNeeded,
}

impl<T> Copies<T> {
    /// Loads the copies; `None` for one that is not valid or was not read.
    ///
    /// A copy that cannot be read counts as damaged. It is an I/O error only if neither can be read.
    fn load(
        &self,
        storage: &dyn ReadAt,
        which: Second,
        violations: &mut Violations,
    ) -> Result<[Option<T>; 2]> {
        let [first, second] = self.places;
        let first_copy = self.load_copy(1, first, storage, violations);
        if which == Second::IfNeeded
            && let Ok(Some(copy)) = first_copy
        {
            ensure_end(storage, (self.structure)(2), second, self.size)?;
            return Ok([Some(copy), None]);
        }
        match (first_copy, self.load_copy(2, second, storage, violations)) {
            (Ok(first), Ok(second)) => Ok([first, second]),
            (Err(Error::Io { .. }), Ok(other)) => {
                violations.report(Violation::new((self.structure)(1), first, self.unreadable));
                Ok([None, other])
            }
            (Ok(other), Err(Error::Io { .. })) => {
                violations.report(Violation::new((self.structure)(2), second, self.unreadable));
                Ok([other, None])
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Loads each copy; `None` for one that cannot be read or is not valid on its own.
    pub(super) fn load_each(&self, storage: &dyn ReadAt) -> [Option<T>; 2] {
        let [first, second] = self.places;
        [(1, first), (2, second)].map(|(number, place)| {
            self.load_copy(number, place, storage, &mut Violations::new()).ok().flatten()
        })
    }

    fn load_copy(
        &self,
        number: u8,
        place: FileOffset,
        storage: &dyn ReadAt,
        violations: &mut Violations,
    ) -> Result<Option<T>> {
        let bytes = read_structure(storage, (self.structure)(number), place, self.size)?;
        Ok((self.validate)(&bytes, number, violations))
    }
}

/// Checks that the log ends inside the file.
///
/// If it does not, that is fatal only if the log must be replayed.
fn validate_log_place(header: &Header, file_len: u64, violations: &mut Violations) -> Result<()> {
    let (place, length) = header.log_place();
    if length != 0 && place.checked_add(length).is_none_or(|end| end.get() > file_len) {
        let rule = if header.log_guid.is_nil() { Rule::LogPastEnd } else { Rule::Truncated };
        violations.report(Violation::new(Structure::Log, header.log_offset, rule).file_length(file_len));
    }
    Ok(violations.ensure_none_fatal()?)
}

pub(super) fn region_tables() -> Copies<RegionTable> {
    Copies {
        places: region_table::OFFSETS,
        size: region_table::SIZE,
        validate: region_table::validate_copy,
        structure: Structure::RegionTable,
        unreadable: Rule::RegionTableUnreadable,
    }
}

fn load_regions(
    storage: &dyn ReadAt,
    header: &Header,
    file_len: u64,
    violations: &mut Violations,
) -> Result<Regions> {
    let [first, second] = region_tables().load(storage, Second::IfNeeded, violations)?;
    let chosen = region_table::choose(first, second, violations);
    let (structure, at) = (Structure::RegionTable(1), region_table::OFFSETS[0]);
    let (number, table) = valid(chosen, violations, structure, at)?;
    let regions = table.validate(number, header.log_place(), file_len, violations);
    valid(regions, violations, structure, at)
}

fn load_geometry(metadata: &Metadata, regions: &Regions, violations: &mut Violations) -> Result<Geometry> {
    let parameters = &metadata.parameters;
    let geometry = Geometry::new(
        parameters.block_size.into(),
        metadata.logical_sector_size,
        metadata.virtual_size,
        parameters.has_parent,
    )?;
    let needed = geometry.bat_entry_count().times(super::bat::ENTRY_SIZE)?;
    if needed > regions.bat.length {
        let violation = Violation::new(Structure::Bat, regions.bat.offset, Rule::BatTooShort);
        violations.report(violation.number(regions.bat.length));
    }
    violations.ensure_none_fatal()?;
    Ok(geometry)
}
