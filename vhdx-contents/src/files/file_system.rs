//! The interface of every file system.

use std::ops::ControlFlow;
use std::time::SystemTime;

use crate::error::Result;

/// A file or folder of an open file system: a number that only this file system understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u64);

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, or a reparse point that is one.
    Link,
    /// A device, pipe, socket or unknown reparse point, with its name.
    Other(&'static str),
}

/// A name in a folder. The folder itself (`.`) and its parent (`..`) are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as it is stored; UTF-8 if the file system stores UTF-16, and untrusted.
    pub name: Vec<u8>,
    /// The file that has this name.
    pub node: Node,
    /// The kind of that file as the folder stores it. [`FileSystem::attributes`] returns the kind by the file itself.
    pub kind: Kind,
}

/// The attributes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The kind.
    pub kind: Kind,
    /// The size in bytes; 0 for folders.
    pub size: u64,
    /// When the content last changed, if the file system stores a valid time.
    pub modified: Option<SystemTime>,
    /// The permission bits of Unix, if the file system has them.
    pub mode: Option<u32>,
}

/// A range of a file in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub start: u64,
    /// The length in bytes, at least 1.
    pub len: u64,
    /// Whether the range is a hole, which reads as zeros.
    pub is_hole: bool,
}

/// A file system that is open for reading.
///
/// Its methods never follow a link. They end on any image: a damaged structure is an
/// [`Error::Damaged`](crate::Error::Damaged).
pub trait FileSystem: Send {
    /// Returns the root folder.
    fn root(&self) -> Node;

    /// Returns the attributes of a file or folder.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Disk`](crate::Error::Disk).
    fn attributes(&self, node: Node) -> Result<Attributes>;

    /// Calls `each` with every entry of a folder, in the order of the file system, until it breaks.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes), and those of `each`. If a part of the folder is damaged, the entries of the
    /// other parts may be listed before the error is returned.
    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()>;

    /// Returns what identifies a folder, whatever entry leads to it: equal for two nodes that list the same entries
    /// because they share one folder on the volume. It is no node, and has no meaning for files.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes).
    fn folder_identity(&self, folder: Node) -> Result<u64> {
        Ok(folder.0)
    }

    /// Returns the entry of a folder that has this name. An exact match is preferred to one that
    /// [`is_same_name`](Self::is_same_name) accepts.
    ///
    /// # Errors
    /// As [`list`](Self::list). Damage to other entries is no error if the name is found.
    fn lookup(&self, folder: Node, name: &[u8]) -> Result<Option<Entry>> {
        let (mut exact, mut same) = (None, None);
        let listed = self.list(folder, &mut |entry| {
            if entry.name == name {
                exact = Some(entry);
                return Ok(ControlFlow::Break(()));
            }
            if same.is_none() && self.is_same_name(&entry.name, name) {
                same = Some(entry);
            }
            Ok(ControlFlow::Continue(()))
        });
        match exact.or(same) {
            Some(found) => Ok(Some(found)),
            None => listed.map(|()| None),
        }
    }

    /// Returns facts that a user of the files must know, such as changes in a journal that is not replayed.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether two names are the same name, such as `A` and `a` in NTFS.
    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool;

    /// Returns the range of a file that begins at `offset`: data or a hole, as long as possible but at least 1 byte.
    /// Returns `None` at the end of the file.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes).
    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>>;

    /// Fills `buf` with the bytes of a file from `offset` on, and returns how many bytes there were before its end.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes), and [`Error::Unsupported`](crate::Error::Unsupported) for content that
    /// cannot be read, such as an encrypted file.
    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// Returns the target of a link, as it is stored.
    ///
    /// # Errors
    /// As [`attributes`](Self::attributes).
    fn link_target(&self, link: Node) -> Result<Vec<u8>>;
}
