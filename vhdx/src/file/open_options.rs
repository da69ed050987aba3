//! Defines [`OpenOptions`].

use std::path::{Path, PathBuf};

/// Options of [`Vhdx::open_with`](super::Vhdx::open_with) and [`VhdxMut::open_with`](super::VhdxMut::open_with).
///
/// # Examples
/// ```
/// use vhdx::{OpenOptions, Vhdx};
///
/// let options = OpenOptions::default().name("s3://backup/disk.vhdx");
/// let error = Vhdx::open_with(vec![0; 1 << 20], &options).unwrap_err();
/// assert!(error.to_string().contains("s3://backup/disk.vhdx"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    name: Option<PathBuf>,
}

impl OpenOptions {
    /// Sets the path that names the storage in errors, messages and plans. Nothing is opened by it.
    #[must_use]
    pub fn name(mut self, name: impl Into<PathBuf>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.name.as_deref()
    }
}
