//! The facts about a file that every search and every plan uses.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use crate::disk::mark::Linkages;
use crate::file::{DiskType, Vhdx};
use crate::format::parent_locator::{ParentLocator, guids_of_parent};
use crate::log::LogState;
use crate::storage::{FileIdentity, allocated_by};
use crate::violation::Violation;
use crate::windows_path::StoredPath;

/// The facts about a VHDX file and its link to its parent. All sizes are in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileFacts {
    /// The path at which the file was found first.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// Identifies the file on this host, under any of its names.
    pub identity: Option<FileIdentity>,
    /// How the file stores its disk.
    pub disk_type: DiskType,
    /// The size of the disk.
    pub virtual_size: u64,
    /// The size of a payload block.
    pub block_size: u64,
    /// The logical sector size.
    pub logical_sector_size: u32,
    /// The length of the file.
    pub file_size: u64,
    /// The space that the file takes on the host's file system, if known.
    pub allocated: Option<u64>,
    /// Identifies the disk. Usually all files of a family have the same one ([MS-VHDX] 2.6.2.3).
    pub virtual_disk_id: Option<Uuid>,
    /// Identifies the content ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
    /// Identifies the file: only exact copies share it ([MS-VHDX] 2.2.2).
    pub file_write_guid: Uuid,
    /// The `parent_linkage` of a differencing disk, even if it is zero ([MS-VHDX] 2.6.2.6.3).
    pub linkage: Option<Uuid>,
    /// The `parent_linkage2`, if there is one, even if it is zero.
    pub linkage2: Option<Uuid>,
    /// The stored paths to the parent.
    pub stored_paths: Vec<StoredPath>,
    /// Whether the log must be replayed. It was replayed in memory before these facts were read.
    pub dirty_log: bool,
    /// When the file was created, if known.
    pub created: Option<SystemTime>,
    /// When the file was last changed, if known.
    pub modified: Option<SystemTime>,
    /// The broken rule because of which the locator may lack a linkage.
    ///
    /// Such a disk may depend on any other disk.
    pub lost_linkage: Option<Violation>,
    /// The maximum space in bytes that the file grows by if it gets another parent locator.
    pub(crate) bytes_of_locator: u64,
}

impl FileFacts {
    /// Returns the facts about an open file, which may have been opened by another path.
    pub fn of(path: &Path, vhdx: &Vhdx) -> Self {
        let locator = vhdx.parent_locator();
        let metadata = vhdx.host_metadata();
        Self {
            path: path.to_owned(),
            identity: vhdx.identity(),
            disk_type: vhdx.disk_type(),
            virtual_size: vhdx.virtual_size(),
            block_size: vhdx.block_size(),
            logical_sector_size: vhdx.logical_sector_size(),
            file_size: vhdx.file_len(),
            allocated: metadata.as_ref().and_then(|metadata| allocated_by(path, metadata).ok()),
            virtual_disk_id: vhdx.virtual_disk_id(),
            data_write_guid: vhdx.data_write_guid(),
            file_write_guid: vhdx.file_write_guid(),
            linkage: locator.and_then(ParentLocator::parent_linkage),
            linkage2: locator.and_then(ParentLocator::parent_linkage2),
            // A disk without a parent stores no paths.
            stored_paths: locator.map_or_else(Vec::new, ParentLocator::stored_paths),
            dirty_log: vhdx.log() != LogState::Clean,
            created: metadata.as_ref().and_then(|metadata| metadata.created().ok()),
            modified: metadata.and_then(|metadata| metadata.modified().ok()),
            lost_linkage: vhdx.lost_linkage().cloned(),
            bytes_of_locator: vhdx.bytes_of_locator(),
        }
    }

    /// Returns the DataWriteGuids of which the parent must have one.
    ///
    /// None are returned for a base and for a zero linkage.
    pub fn guids_of_parent(&self) -> Vec<Uuid> {
        guids_of_parent([self.linkage, self.linkage2])
    }

    /// Returns the linkages, which say whether the disk took part in a merge.
    pub(crate) fn linkages(&self) -> Linkages {
        Linkages { first: self.linkage, second: self.linkage2 }
    }

    /// Returns whether a merge has relinked the disk to this parent.
    pub(crate) fn is_relinked_to(&self, parent: &FileFacts) -> bool {
        self.linkages().is_relinked() && self.linkage == Some(parent.data_write_guid)
    }

    /// Returns whether this layer opens only as an ancestor of a disk with a certain mark.
    ///
    /// It is then a layer of a merge of several levels.
    pub fn requires_mark(&self) -> bool {
        self.linkages().required_mark().is_some()
    }

    /// Returns whether the disk requires or carries a mark, which relinking would remove.
    pub(crate) fn has_mark(&self) -> bool {
        self.requires_mark() || self.linkages().carried_mark().is_some()
    }

    /// Returns whether this disk carries the mark that `layer` requires.
    pub fn carries_mark_for(&self, layer: &FileFacts) -> bool {
        let mark = self.linkages().carried_mark();
        layer.linkages().required_mark().is_some_and(|required| mark.is_some_and(|mark| required.is(mark)))
    }

    /// Returns whether a linkage of this disk is this DataWriteGuid. Zero matches nothing.
    pub fn is_child_of(&self, data_write_guid: Uuid) -> bool {
        !data_write_guid.is_nil() && [self.linkage, self.linkage2].contains(&Some(data_write_guid))
    }

    /// Returns whether both are the same file. Paths are compared if a file has no identity.
    pub fn is_same_file(&self, other: &FileFacts) -> bool {
        match (self.identity, other.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.path == other.path,
        }
    }
}
