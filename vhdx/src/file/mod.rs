//! One VHDX file: what it says of itself, and where its blocks lie.

mod bat;
mod bat_window;
mod create;
mod create_layout;
mod cursor;
pub(crate) mod disk_metadata;
mod extents;
mod headers;
mod load;
mod metadata;
mod occupancy;
mod placement;
mod read_ahead;
mod replay;
mod survey;
mod unchanged;
mod validate_bat;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::header::Header;
use crate::format::metadata_table::MetadataEntry;
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::{Region, Regions};
use crate::geometry::Geometry;
use crate::log::{LogState, Overlay};
use crate::rules::Rule;
use crate::storage::{FileIdentity, FileStorage, Holes, ReadAt, ReadGuard};
use crate::units::{DiskOffset, FileOffset};
use crate::violation::{Violation, Violations};

pub(crate) use bat_window::BatWindow;
pub use create::{NewDisk, NewItem, VhdxWriter, Written};
pub use extents::{Extent, Extents, Source};
pub(crate) use load::read_data_write_guid;
use metadata::Metadata;
use placement::Layout;
pub use replay::{LogContent, replay, replay_file};
pub use survey::{Survey, SurveyedBat, SurveyedLog};
pub(crate) use validate_bat::{ensure_mergeable, validate_bat};
pub use write::VhdxMut;
pub(crate) use write::{Place, ResizePlan, SectorBits, Space};

/// How a file stores its disk ([MS-VHDX] 2.6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskType {
    /// Every block is allocated.
    Fixed,
    /// Blocks are allocated as they are written.
    Dynamic,
    /// Only what differs from a parent is there.
    Differencing,
}

impl DiskType {
    /// The name in reports: `fixed`, `dynamic` or `differencing`.
    pub const fn name(self) -> &'static str {
        match self {
            DiskType::Fixed => "fixed",
            DiskType::Dynamic => "dynamic",
            DiskType::Differencing => "differencing",
        }
    }
}

impl fmt::Display for DiskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An open VHDX file that is only read. Opening reads the headers, a dirty log, a region table and the metadata,
/// but no BAT: its entries are read, and judged, as they are used. The second region table is read only if the first one
/// cannot be used; [`check_file`](crate::ops::check_file) references both.
///
/// A dirty log is replayed in memory; no byte of the file ever changes.
///
/// A `Vhdx` is one file. Its disk is read through a [`Chain`](crate::Chain), which knows the parents.
///
/// A clone shares the open file.
#[derive(Clone)]
pub struct Vhdx {
    /// The file with its log replayed.
    storage: Arc<dyn ReadAt>,
    /// The file as it is.
    raw: Arc<dyn ReadAt>,
    guard: Arc<ReadGuard>,
    path: Option<PathBuf>,
    identity: Option<FileIdentity>,
    creator: String,
    header: Header,
    /// Whether header 1 or header 2 is current.
    header_number: u8,
    log: LogState,
    /// What a dirty log holds.
    overlay: Option<Arc<Overlay>>,
    regions: Regions,
    layout: Layout,
    metadata: Metadata,
    geometry: Geometry,
    tolerated: Vec<Violation>,
    /// The tolerated rules that BAT entries break, once the whole BAT has been validated.
    tolerated_entries: OnceLock<Vec<(Rule, u64)>>,
}

impl fmt::Debug for Vhdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vhdx")
            .field("path", &self.path)
            .field("header", &self.header)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

impl Vhdx {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Unsupported`], with the path;
    /// [`InvalidArgument::NotARegularFile`](crate::InvalidArgument::NotARegularFile) for anything but a regular file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_path(path.as_ref(), &mut Violations::new())
    }

    /// Opens whatever can be read at any offset.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Unsupported`].
    ///
    /// # Examples
    /// ```
    /// use vhdx::{Rule, Vhdx};
    ///
    /// let error = Vhdx::from_storage(vec![0; 1 << 20]).unwrap_err();
    /// assert_eq!(error.violation().unwrap().rule, Rule::FileSignature);
    /// ```
    pub fn from_storage(storage: impl ReadAt + 'static) -> Result<Self> {
        Self::load(Arc::new(storage), &mut Violations::new())
    }

    /// As [`open`](Self::open), with every violation found on the way put into `violations`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn load_path(path: &Path, violations: &mut Violations) -> Result<Self> {
        Self::load_file(FileStorage::open(path)?, path, violations)
    }

    /// As [`load_path`](Self::load_path), for a file that has been opened by that path already.
    pub(crate) fn load_file(file: FileStorage, path: &Path, violations: &mut Violations) -> Result<Self> {
        let load = |violations| {
            let identity = file.identity()?;
            Ok((Self::load(Arc::new(file), violations)?, identity))
        };
        let (vhdx, identity) = load(violations).map_err(|error: Error| error.in_file(path))?;
        Ok(Self { path: Some(path.to_owned()), identity: Some(identity), ..vhdx })
    }

    /// The same file, called by this path in messages and plans.
    #[must_use]
    pub fn named(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    pub(crate) fn identified(self, identity: Option<FileIdentity>) -> Self {
        Self { identity, ..self }
    }

    /// The length in bytes that the file has once its log is replayed.
    pub(crate) fn replayed_len(&self) -> u64 {
        self.layout.file_len
    }

    /// What of the file takes space when it is written to.
    pub(crate) fn holes(&self) -> Holes<'_> {
        Holes::new(&*self.storage, FileOffset::new(self.replayed_len()))
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The file's identity on this machine, if it is a file.
    pub fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// The length of the file in bytes, as it is, without a replayed log.
    pub fn file_len(&self) -> u64 {
        self.guard.len()
    }

    /// What made the file, as it says; for diagnosis only ([MS-VHDX] 2.2.1).
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// The current header ([MS-VHDX] 2.2.2).
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Identifies the content of the disk: what a child's parent locator names ([MS-VHDX] 2.2.2).
    pub fn data_write_guid(&self) -> Uuid {
        self.header.data_write_guid
    }

    /// Identifies the content of the file ([MS-VHDX] 2.2.2).
    pub fn file_write_guid(&self) -> Uuid {
        self.header.file_write_guid
    }

    /// Whether the log had to be replayed in memory.
    pub fn log(&self) -> LogState {
        self.log
    }

    /// The regions of the file, the unknown optional ones too, by ascending offset ([MS-VHDX] 2.2.3).
    pub fn regions(&self) -> &[Region] {
        &self.layout.regions
    }

    /// The metadata items of the file, the unknown optional and the user ones too ([MS-VHDX] 2.6.1).
    pub fn metadata_entries(&self) -> &[MetadataEntry] {
        &self.metadata.entries
    }

    /// The content of a metadata item: at most 1 MiB.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Corrupt`] when the file ends inside the item.
    pub fn read_metadata_item(&self, entry: &MetadataEntry) -> Result<Vec<u8>> {
        metadata::read_item(&*self.storage, &self.regions.metadata, entry).map_err(|e| self.in_file(e))
    }

    /// Where the parent is to be found, and which DataWriteGuid it must have ([MS-VHDX] 2.6.2.6). Always there for a
    /// differencing file, never for another.
    pub fn parent_locator(&self) -> Option<&ParentLocator> {
        self.metadata.parent_locator.as_ref()
    }

    /// The broken rule for which the parent locator may lack the GUID of another parent.
    pub(crate) fn lost_linkage(&self) -> Option<&Violation> {
        self.metadata.lost_linkage.as_ref()
    }

    /// How the file stores its disk.
    pub fn disk_type(&self) -> DiskType {
        match (self.geometry.has_parent(), self.metadata.parameters.leave_blocks_allocated) {
            (true, _) => DiskType::Differencing,
            (false, true) => DiskType::Fixed,
            (false, false) => DiskType::Dynamic,
        }
    }

    /// Sizes and counts of blocks and sectors.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The size of the disk in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.geometry.virtual_size()
    }

    /// The size of a payload block in bytes.
    pub fn block_size(&self) -> u64 {
        self.geometry.block_size()
    }

    /// The logical sector size in bytes: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.metadata.logical_sector_size
    }

    /// The physical sector size in bytes, as the file says.
    pub fn physical_sector_size(&self) -> u32 {
        self.metadata.physical_sector_size
    }

    /// The SCSI page 83 identity of the disk: the same in all files of a family ([MS-VHDX] 2.6.2.3).
    pub fn virtual_disk_id(&self) -> Option<Uuid> {
        self.metadata.virtual_disk_id
    }

    /// The broken rules that opening took note of or worked around.
    pub fn tolerated(&self) -> &[Violation] {
        &self.tolerated
    }

    /// The tolerated rules that entries of the BAT break, and how many entries break each. Nothing before the whole BAT has
    /// been validated, as [`validate_placement`](Self::validate_placement) and every operation that reads or writes a
    /// whole disk do.
    pub fn tolerated_entries(&self) -> &[(Rule, u64)] {
        self.tolerated_entries.get().map_or(&[], Vec::as_slice)
    }

    /// The extents of `range` in this file alone: what it does not hold is [`Source::Unallocated`], whether or not a
    /// parent has it. The layer in each [`Source`] is 0.
    pub fn extents(&self, range: std::ops::Range<DiskOffset>) -> Extents<'_> {
        Extents::new(std::slice::from_ref(self), range)
    }

    pub(crate) fn storage(&self) -> &dyn ReadAt {
        &*self.storage
    }

    /// The error, with this file's path if it has one.
    pub(crate) fn in_file(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => error.in_file(path),
            None => error,
        }
    }
}
