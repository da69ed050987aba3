//! One VHDX file: opens, validates, creates and writes it, and finds where its blocks lie.

mod bat;
mod bat_window;
mod create;
mod create_child;
mod create_layout;
mod create_parts;
mod cursor;
pub(crate) mod disk_metadata;
mod extents;
mod headers;
mod layout;
mod load;
mod metadata;
mod new_disk;
mod occupancy;
mod on_disk;
mod open_options;
mod placement;
mod raw;
mod read_ahead;
mod replay;
mod survey;
mod unchanged;
mod validate_bat;
mod write;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::header::Header;
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::Regions;
use crate::geometry::Geometry;
use crate::log::{LogState, Overlay};
use crate::rules::Rule;
use crate::storage::{FileIdentity, FileStorage, FilesOfHost, Holes, OpenFiles, ReadAt, ReadGuard};
use crate::units::FileOffset;
use crate::violation::{Violation, Violations};

pub(crate) use bat_window::BatWindow;
pub use create::{VhdxWriter, WriteReport};
pub(crate) use create_child::{ChildWriter, Present};
pub use extents::{Extent, Extents, Source};
use layout::Layout;
pub(crate) use load::read_data_write_guid;
use metadata::Metadata;
pub use new_disk::{NewDisk, NewItem};
pub(crate) use on_disk::{ensure_on_disk, range_on_disk};
pub use open_options::OpenOptions;
pub use replay::{LogContent, replay, replay_file};
pub use survey::{Survey, SurveyedBat, SurveyedLog};
pub(crate) use validate_bat::{ensure_mergeable, validate_bat};
pub use write::VhdxMut;
pub(crate) use write::{Place, ResizePlan, SectorBits, Space};

/// How a file stores its disk ([MS-VHDX] 2.6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DiskType {
    /// Every block is allocated.
    Fixed,
    /// Blocks are allocated as they are written.
    Dynamic,
    /// Only the blocks and sectors that differ from a parent are stored.
    Differencing,
}

impl DiskType {
    /// Returns the name in reports: `fixed`, `dynamic` or `differencing`.
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

/// A VHDX file open for reading.
///
/// Opening reads the headers, a dirty log, a region table and the metadata, but not the BAT: its entries are read and
/// validated when they are used. The second region table is read only if the first one cannot be used;
/// [`check_file`](crate::ops::check_file) checks both.
///
/// A dirty log is replayed in memory. The file itself is never changed.
///
/// A `Vhdx` is one file. Its disk is read through a [`Chain`](crate::Chain), which knows the parents.
///
/// A clone shares the open file and its lock. It copies what opening has read, at most a few KiB for a sound file.
#[derive(Clone)]
pub struct Vhdx {
    /// The file with its log replayed.
    storage: Arc<dyn ReadAt>,
    /// The file as it is, without a replayed log.
    raw: Arc<dyn ReadAt>,
    guard: Arc<ReadGuard>,
    path: Option<PathBuf>,
    identity: Option<FileIdentity>,
    creator: String,
    header: Header,
    /// The number of the current header: 1 or 2.
    header_number: u8,
    log: LogState,
    /// The content of a dirty log.
    overlay: Option<Arc<Overlay>>,
    regions: Regions,
    layout: Layout,
    metadata: Metadata,
    geometry: Geometry,
    tolerated: Vec<Violation>,
    /// The tolerated rules that BAT entries break; set once the whole BAT has been validated.
    tolerated_bat_rules: OnceLock<Vec<(Rule, u64)>>,
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
        Self::load_from(&FilesOfHost, path.as_ref(), &mut Violations::new())
    }

    /// Opens a VHDX in a storage that can be read at any offset.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Unsupported`], with the name of the options.
    ///
    /// # Examples
    /// ```
    /// use vhdx::{OpenOptions, Rule, Vhdx};
    ///
    /// let error = Vhdx::open_with(vec![0; 1 << 20], &OpenOptions::default()).unwrap_err();
    /// assert_eq!(error.violation().unwrap().rule(), Rule::FileSignature);
    /// ```
    pub fn open_with(storage: impl ReadAt + 'static, options: &OpenOptions) -> Result<Self> {
        let loaded = Self::load(Arc::new(storage), &mut Violations::new());
        match options.path() {
            Some(path) => Ok(loaded.map_err(|error| error.in_file(path))?.named(path)),
            None => loaded,
        }
    }

    /// Opens a file like [`open`](Self::open), and adds every violation to `violations`.
    pub(crate) fn load_from(files: &dyn OpenFiles, path: &Path, violations: &mut Violations) -> Result<Self> {
        let load = |violations| {
            let file = files.open(path)?;
            let identity = file.as_file().map(FileIdentity::of).transpose();
            let identity = identity.map_err(|error| Error::io("get its file id", None, error))?;
            Ok(Self::load(file.into(), violations)?.identified(identity))
        };
        load(violations).map_err(|error: Error| error.in_file(path)).map(|vhdx| vhdx.named(path))
    }

    /// Loads a file that has already been opened by `path`, like [`load_from`](Self::load_from).
    pub(crate) fn load_file(file: FileStorage, path: &Path, violations: &mut Violations) -> Result<Self> {
        let load = |violations| {
            let identity = file.identity()?;
            Ok((Self::load(Arc::new(file), violations)?, identity))
        };
        let (vhdx, identity) = load(violations).map_err(|error: Error| error.in_file(path))?;
        Ok(Self { path: Some(path.to_owned()), identity: Some(identity), ..vhdx })
    }

    /// Sets the path that names this file in messages and plans.
    #[must_use]
    pub(crate) fn named(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    pub(crate) fn identified(self, identity: Option<FileIdentity>) -> Self {
        Self { identity, ..self }
    }

    /// Returns the length in bytes that the file has once its log is replayed.
    pub(crate) fn replayed_len(&self) -> u64 {
        self.layout.file_len
    }

    /// Locates the holes of the file: ranges without allocated space on the host.
    pub(crate) fn holes(&self) -> Holes<'_> {
        Holes::new(&*self.storage, FileOffset::new(self.replayed_len()))
    }

    /// Returns what the host stores about the file; `None` if it is not a file of the host.
    pub(crate) fn host_metadata(&self) -> Option<fs::Metadata> {
        self.raw.as_file()?.metadata().ok()
    }

    /// Returns the path by which the file was opened.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the path for a message.
    pub(crate) fn shown_path(&self) -> PathBuf {
        // A file that was opened from a storage may have no name.
        self.path().unwrap_or("a file without a name".as_ref()).to_owned()
    }

    /// Returns the file's identity on this machine; `None` if the storage is no file.
    pub fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    /// Returns whether both are the same file, whatever its name, possibly opened twice.
    ///
    /// Without identities, files are the same if they share a storage, or have the same path.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        match (self.identity, other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => {
                Arc::ptr_eq(&self.raw, &other.raw) || self.path.is_some() && self.path == other.path
            }
            _ => false,
        }
    }

    /// Returns the length of the file in bytes when it was opened, without a replayed log.
    pub fn file_len(&self) -> u64 {
        self.guard.len()
    }

    /// Returns the name of the program that created the file ([MS-VHDX] 2.2.1).
    ///
    /// The file itself stores this name, which is for diagnosis only.
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// Returns the DataWriteGuid, which identifies the content of the disk ([MS-VHDX] 2.2.2).
    ///
    /// The parent locator of a child names its parent by this GUID.
    pub fn data_write_guid(&self) -> Uuid {
        self.header.data_write_guid
    }

    /// Returns the FileWriteGuid, which identifies the content of the file ([MS-VHDX] 2.2.2).
    pub fn file_write_guid(&self) -> Uuid {
        self.header.file_write_guid
    }

    /// Returns whether the log had to be replayed in memory.
    pub fn log(&self) -> LogState {
        self.log
    }

    /// Returns the paths of the parent and its required DataWriteGuid ([MS-VHDX] 2.6.2.6).
    ///
    /// Every differencing file has a parent locator, and no other file has one.
    pub fn parent_locator(&self) -> Option<&ParentLocator> {
        self.metadata.parent_locator.as_ref()
    }

    /// Returns the violation because of which the parent locator may lack a second linkage.
    pub(crate) fn lost_linkage(&self) -> Option<&Violation> {
        self.metadata.lost_linkage.as_ref()
    }

    /// Returns how the file stores its disk.
    pub fn disk_type(&self) -> DiskType {
        match (self.geometry.has_parent(), self.metadata.parameters.leave_blocks_allocated) {
            (true, _) => DiskType::Differencing,
            (false, true) => DiskType::Fixed,
            (false, false) => DiskType::Dynamic,
        }
    }

    /// Returns the sizes and counts of blocks and sectors.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns the size of the disk in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.geometry.virtual_size()
    }

    /// Returns the size of a payload block in bytes.
    pub fn block_size(&self) -> u64 {
        self.geometry.block_size()
    }

    /// Returns the logical sector size in bytes: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.metadata.logical_sector_size
    }

    /// Returns the physical sector size in bytes, as stored in the file.
    pub fn physical_sector_size(&self) -> u32 {
        self.metadata.physical_sector_size
    }

    /// Returns the SCSI page 83 identity of the disk ([MS-VHDX] 2.6.2.3).
    ///
    /// It is the same in all files of a family.
    pub fn virtual_disk_id(&self) -> Option<Uuid> {
        self.metadata.virtual_disk_id
    }

    /// Returns the violations that opening noted or worked around.
    pub fn tolerated(&self) -> &[Violation] {
        &self.tolerated
    }

    /// Returns the tolerated rules that BAT entries break, and how many entries break each.
    ///
    /// The list is empty until the whole BAT has been validated. [`validate_placement`](Self::validate_placement) does
    /// that, and so does every operation that reads or writes a whole disk.
    pub fn tolerated_bat_rules(&self) -> &[(Rule, u64)] {
        self.tolerated_bat_rules.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn storage(&self) -> &dyn ReadAt {
        &*self.storage
    }

    /// Adds this file's path to the error, if the file has one.
    pub(crate) fn in_file(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => error.in_file(path),
            None => error,
        }
    }
}
