//! Makes folders and files of the host without following a link.

mod making;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub(super) use making::{Finishing, Making};
#[cfg(unix)]
pub(super) use unix::{Folder, Known};
#[cfg(windows)]
pub(super) use windows::{Folder, Known};

/// Whether [`Folder::sync`] makes all files durable that were made before.
pub(super) const SYNCS_ALL: bool = cfg!(target_os = "linux");
