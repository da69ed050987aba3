//! Files and folders inside a file system, read-only.

mod clusters;
mod exfat;
pub mod ext;
mod fat;
mod fields;
mod file_system;
mod guarded;
mod names;
mod ntfs;
mod source;
mod times;

use std::sync::Arc;

use crate::Window;
use crate::error::{Error, Result};
use guarded::{Budget, Guarded};
use source::Source;

pub use file_system::{Attributes, Entry, FileSystem, Kind, Node, Range};
pub use names::to_utf16;

/// Whether a window begins with a file system that [`open`] can open. The file system may be damaged.
///
/// # Errors
/// [`Error::Disk`].
pub fn can_open(window: Window<'_>) -> Result<bool> {
    Ok(FileSystemKind::of(window)?.is_some())
}

/// The file systems that can be opened.
#[derive(Clone, Copy)]
enum FileSystemKind {
    Ntfs,
    ExFat,
    Fat,
    Ext,
}

impl FileSystemKind {
    /// Recognises a file system. FAT comes last, because it has no signature.
    fn of(window: Window<'_>) -> Result<Option<Self>> {
        const EXT_SIGNATURE: usize = 1080;
        let first = window.read(0, 2048)?;
        Ok(match first.as_slice() {
            first if ntfs::is_ntfs(first) => Some(FileSystemKind::Ntfs),
            first if exfat::is_exfat(first) => Some(FileSystemKind::ExFat),
            first if first.get(EXT_SIGNATURE..EXT_SIGNATURE + 2) == Some(&[0x53, 0xef]) => {
                Some(FileSystemKind::Ext)
            }
            first if fat::is_fat(first) => Some(FileSystemKind::Fat),
            _ => None,
        })
    }
}

/// Opens the file system in a window, which its first bytes tell.
///
/// A panic in its code becomes [`Error::Abandoned`], and so does a search that does not end.
///
/// # Errors
/// [`Error::Unsupported`] if the window has no file system whose files can be read, [`Error::Damaged`] if it has one that
/// is too damaged, and [`Error::Disk`].
pub fn open(window: Window<'_>) -> Result<Box<dyn FileSystem + '_>> {
    let kind = FileSystemKind::of(window)?;
    let kind = kind.ok_or_else(|| {
        Error::Unsupported(
            "there is no file system whose files can be read (NTFS, FAT, exFAT, ext2, ext3, ext4)".to_owned(),
        )
    })?;
    let budget = Budget::new();
    let source = Source::new(window, budget.clone());
    Ok(match kind {
        FileSystemKind::Ntfs => Box::new(Guarded::open(budget, || ntfs::Ntfs::open(source))?),
        FileSystemKind::ExFat => Box::new(Guarded::open(budget, || exfat::ExFat::open(source))?),
        FileSystemKind::Fat => Box::new(Guarded::open(budget, || fat::Fat::open(source))?),
        FileSystemKind::Ext => {
            let counted = Arc::clone(&budget);
            Box::new(Guarded::open(budget, || ext::Ext::open_within(window, Some(counted)))?)
        }
    })
}
