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
    let first = window.read(0, 512)?;
    Ok(ntfs::is_ntfs(&first) || exfat::is_exfat(&first) || fat::is_fat(&first))
}

/// Opens the file system in a window, which its first bytes tell.
///
/// A panic in its code becomes [`Error::Abandoned`], and so does a search that does not end.
///
/// # Errors
/// [`Error::Unsupported`] if the window has no file system whose files can be read, [`Error::Damaged`] if it has one that
/// is too damaged, and [`Error::Disk`].
pub fn open(window: Window<'_>) -> Result<Box<dyn FileSystem + '_>> {
    let first = window.read(0, 512)?;
    let budget = Budget::new();
    let source = Source::new(window, budget.clone());
    if ntfs::is_ntfs(&first) {
        return Ok(Box::new(Guarded::open(budget, || ntfs::Ntfs::open(source))?));
    }
    if exfat::is_exfat(&first) {
        return Ok(Box::new(Guarded::open(budget, || exfat::ExFat::open(source))?));
    }
    if fat::is_fat(&first) {
        return Ok(Box::new(Guarded::open(budget, || fat::Fat::open(source))?));
    }
    Err(Error::Unsupported("there is no file system whose files can be read".to_owned()))
}
