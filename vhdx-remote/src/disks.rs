//! Opens disks, many at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder};

use vhdx::{Error, OpenOptions, Result, Vhdx};

use crate::address::Address;
use crate::file::THREADS;
use crate::remote::{Listed, Remote};

impl Remote {
    /// Opens a VHDX by its name.
    ///
    /// # Errors
    /// As [`Vhdx::open`].
    pub fn open_disk(&self, name: &Path) -> Result<Vhdx> {
        let file = self.open(name).map_err(|error| Error::io("open", None, error).in_file(name))?;
        Vhdx::open_with(file, &OpenOptions::default().name(name))
    }

    /// Opens several disks in several threads, and returns them sorted by name. What was read stays in the cache.
    pub fn open_disks(&self, names: Vec<PathBuf>) -> Vec<(PathBuf, Result<Vhdx>)> {
        let opened = Mutex::new(Vec::new());
        in_threads(names, |name| {
            let disk = self.open_disk(&name);
            opened.lock().unwrap_or_else(PoisonError::into_inner).push((name, disk));
        });
        let mut opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
        opened.sort_by(|(a, _), (b, _)| a.cmp(b));
        opened
    }

    /// Returns the objects that are named like disks, directly in a prefix or also in all prefixes inside it.
    ///
    /// # Errors
    /// As [`list`](Self::list), and an error for more than `most` disks.
    pub fn disks_in(&self, prefix: &Path, is_recursive: bool, most: usize) -> io::Result<Vec<PathBuf>> {
        let disks = self.disks_of(&self.address(prefix)?.as_folder(), is_recursive);
        let disks = disks.map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        ensure_few(disks.len(), most)?;
        Ok(disks.iter().map(|disk| disk.name().into()).collect())
    }

    /// Returns the addresses of the objects that are named like disks. A prefix is listed once in a session.
    pub(crate) fn disks_of(&self, folder: &Address, is_recursive: bool) -> Listed {
        let key = (folder.name(), is_recursive);
        if let Some(known) = self.lists().get(&key) {
            return known.clone();
        }
        let listed = self.list_addresses(folder, is_recursive).map_err(Arc::new);
        let disks = listed.map(|list| list.into_iter().map(|(disk, _)| disk).filter(has_disk_name).collect());
        self.lists().insert(key, disks.clone());
        disks
    }

    /// Returns the prefix in which an object is.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the name cannot be used.
    pub fn folder_of(&self, name: &Path) -> io::Result<PathBuf> {
        Ok(self.address(name)?.folder().name().into())
    }
}

/// Calls `work` for each item, in several threads.
pub(crate) fn in_threads<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync) {
    let threads = items.len().min(THREADS);
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // This thread does the work of those that cannot be started.
            let _ = Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
}

/// Returns an error if there are more disks than are read.
pub(crate) fn ensure_few(count: usize, most: usize) -> io::Result<()> {
    match count <= most {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "there are {count} disks with this prefix, and at most {most} are searched"
        ))),
    }
}

/// Returns whether an object is named like a VHDX.
fn has_disk_name(address: &Address) -> bool {
    let extension = address.file_name().rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|one| one.eq_ignore_ascii_case("vhdx") || one.eq_ignore_ascii_case("avhdx"))
}
