//! The state of a file when a merge or a flattening was planned.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::family::FileFacts;
use crate::file::Vhdx;
use crate::storage::FileIdentity;

/// A file and its state when an operation was planned.
///
/// It holds only the facts by which a plan recognises its files. It does not embed [`FileFacts`](crate::FileFacts),
/// because two states are equal if no write session lies between them. Times and allocated space can change without one.
/// All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileState {
    /// The path.
    ///
    /// A layer that was not opened by a path has its position instead: `layer 0` is the leaf.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The identity of the file, whatever its name.
    pub identity: Option<FileIdentity>,
    /// Identifies the content of the file ([MS-VHDX] 2.2.2).
    pub file_write_guid: Uuid,
    /// Identifies the content of the disk ([MS-VHDX] 2.2.2).
    pub data_write_guid: Uuid,
    /// The size of the disk.
    pub virtual_size: u64,
    /// The length of the file; `None` for a disk that is not a layer.
    pub file_len: Option<u64>,
}

impl FileState {
    pub(in crate::ops) fn of_layer(layer: usize, vhdx: &Vhdx) -> Self {
        Self {
            path: vhdx.path().map_or_else(|| format!("layer {layer}").into(), Path::to_owned),
            identity: vhdx.identity(),
            file_write_guid: vhdx.file_write_guid(),
            data_write_guid: vhdx.data_write_guid(),
            virtual_size: vhdx.virtual_size(),
            file_len: Some(vhdx.file_len()),
        }
    }

    pub(in crate::ops) fn of_relative(disk: &FileFacts) -> Self {
        Self {
            path: disk.path.clone(),
            identity: disk.identity,
            file_write_guid: disk.file_write_guid,
            data_write_guid: disk.data_write_guid,
            virtual_size: disk.virtual_size,
            file_len: None,
        }
    }

    /// Returns whether a disk is this file, whatever its name. Without identities, paths are compared.
    pub(super) fn is_file_of(&self, disk: &FileFacts) -> bool {
        match (self.identity, disk.identity) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.path == disk.path,
        }
    }

    /// Returns whether the open file is this one, in this state.
    pub fn matches(&self, vhdx: &Vhdx) -> bool {
        self.identity == vhdx.identity()
            && self.file_write_guid == vhdx.file_write_guid()
            && self.data_write_guid == vhdx.data_write_guid()
            && self.virtual_size == vhdx.virtual_size()
            && self.file_len.is_none_or(|len| len == vhdx.file_len())
    }
}
