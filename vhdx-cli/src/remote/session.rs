//! The one session with servers that a command has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use vhdx::{Error, ParentResolver, ReadAt, Result, Vhdx};
use vhdx_remote::{Remote, RemoteResolver, Upload};

static SESSION: LazyLock<Remote> = LazyLock::new(Remote::from_env);

/// Adds a URL of the command line, and returns the name by which the other functions know it.
///
/// The error has no part of the URL, which may contain a signature.
pub(crate) fn add(url: &Path) -> io::Result<PathBuf> {
    let not_text = || io::Error::new(io::ErrorKind::InvalidInput, "a URL must be UTF-8");
    SESSION.add(url.to_str().ok_or_else(not_text)?)
}

/// Opens a file.
pub(crate) fn open(name: &Path) -> Result<Box<dyn ReadAt>> {
    let file = SESSION.open(name).map_err(|error| Error::io("open", None, error).in_file(name))?;
    Ok(Box::new(file))
}

/// Returns the prefix in which a file is.
pub(crate) fn folder_of(name: &Path) -> io::Result<PathBuf> {
    SESSION.folder_of(name)
}

/// Opens the disks in a prefix, or also those in all prefixes inside it.
pub(crate) fn disks_in(
    prefix: &Path,
    is_recursive: bool,
    most: usize,
) -> io::Result<Vec<(PathBuf, Result<Vhdx>)>> {
    Ok(SESSION.open_disks(SESSION.disks_in(prefix, is_recursive, most)?))
}

/// Returns the names of the disks in a prefix and in all prefixes inside it. Nothing is opened.
pub(crate) fn names_in(prefix: &Path, most: usize) -> io::Result<Vec<PathBuf>> {
    SESSION.disks_in(prefix, true, most)
}

/// Makes the resolver for the chain of `leaf`, and fetches in parallel what opening the chain needs.
pub(crate) fn resolver(leaf: &Path, folders: Vec<PathBuf>, named: Vec<PathBuf>) -> Box<dyn ParentResolver> {
    let mut resolver = RemoteResolver::new(&SESSION);
    (resolver.folders, resolver.named) = (folders, named);
    if super::is_url(leaf) && !super::is_prefix(leaf) {
        resolver.prepare(leaf);
    }
    Box::new(resolver)
}

/// Returns an error if an upload would fail at its beginning.
pub(crate) fn ensure_uploadable(name: &Path, size: u64, replace: bool) -> io::Result<()> {
    SESSION.ensure_uploadable(name, size, replace)
}

/// Begins the upload of a file of at most `size` bytes.
pub(crate) fn upload(name: &Path, size: u64, replace: bool) -> io::Result<Upload> {
    SESSION.upload(name, size, replace)
}
