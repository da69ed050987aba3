//! The exports of `serve`: the disk at each checkpoint of each chain.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx::{Chain, Disk};
use vhdx_serve::SharedDisk;

use super::written::Written;
use crate::args::Serve;
use crate::commands::checkpoint_disks::{CheckpointDisk, checkpoint_disks, name_of};
use crate::commands::reading::Reading;
use crate::exit::Failure;

/// The disk of an export.
pub(super) struct Served {
    /// The name of the export, different from those of all others.
    pub(super) name: String,
    /// The file that holds the disk, with its parents.
    pub(super) path: PathBuf,
    /// The size in bytes.
    pub(super) size: u64,
    pub(super) disk: Arc<SharedDisk>,
}

impl Served {
    /// Returns the text that clients show beside the name: the name of the file.
    pub(super) fn description(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        name.chars().take(1000).collect() // the protocol allows 4096 bytes
    }
}

/// All exports. The first one is the default.
pub(super) struct Disks {
    pub(super) exports: Vec<Served>,
    /// Where writes go, if any are allowed.
    pub(super) written: Option<Written>,
    /// The chains that must stay as they are.
    read: Vec<Arc<Chain>>,
}

impl Disks {
    /// Opens the disks. Makes the child that takes the writes, if there is one.
    pub(super) fn open(reading: &mut Reading<'_>, serve: &Serve) -> Result<Self, Failure> {
        let Some(file) = written_file(serve)? else { return Self::planned(reading, serve) };
        let (written, disk, parents) = Written::open(reading, serve, file)?;
        let mut exports = Exports::default();
        exports.add_writable(written.path(), SharedDisk::writable(disk));
        if let Some(parents) = parents {
            exports.add(parents)?;
        }
        Ok(Self { exports: exports.disks, written: Some(written), read: exports.read })
    }

    /// Opens the disks for reading, and checks what can be checked without writing.
    pub(super) fn planned(reading: &mut Reading<'_>, serve: &Serve) -> Result<Self, Failure> {
        let written = match written_file(serve)? {
            Some(file) => Some(Written::plan(reading, serve, file)?),
            None => None,
        };
        let mut exports = Exports::default();
        for file in &serve.files {
            let chain = reading.open_chain(file, &serve.parents.resolver_of(file))?;
            // It was opened before it was locked.
            chain.ensure_unchanged()?;
            exports.add(chain)?;
        }
        Ok(Self { exports: exports.disks, written, read: exports.read })
    }

    /// Makes all changes durable, closes the disks, and deletes a snapshot.
    ///
    /// # Errors
    /// Also if a file that was only read has changed: clients may have read a mix of old and new data.
    pub(super) fn close(self) -> Result<(), Failure> {
        // All are closed, even if one fails.
        let closed: Vec<vhdx::Result<()>> = self.exports.iter().map(|served| served.disk.close()).collect();
        drop(self.exports);
        let unchanged: vhdx::Result<()> = self.read.iter().try_for_each(|chain| chain.ensure_unchanged());
        let deleted = self.written.map_or(Ok(()), Written::delete_snapshot);
        // The loss of data is reported first.
        closed.into_iter().collect::<vhdx::Result<()>>()?;
        unchanged?;
        deleted
    }

    /// Closes the disks before a client has used them, and deletes a child that was made.
    pub(super) fn abandon(self) -> Result<(), Failure> {
        self.exports.iter().try_for_each(|served| served.disk.close())?;
        drop((self.exports, self.read));
        self.written.map_or(Ok(()), Written::delete_child)
    }
}

/// Returns the only FILE, if the options allow writes.
fn written_file(serve: &Serve) -> Result<Option<&Path>, Failure> {
    if !serve.allows_writes() {
        return Ok(None);
    }
    match serve.files.as_slice() {
        [file] => Ok(Some(file)),
        _ => Err(Failure::usage("--overlay, --snapshot and --writable take exactly one FILE")),
    }
}

/// Collects exports with different names. A file that several chains share is one export.
#[derive(Default)]
struct Exports {
    disks: Vec<Served>,
    read: Vec<Arc<Chain>>,
    names: HashSet<String>,
    paths: HashSet<PathBuf>,
}

impl Exports {
    fn add_writable(&mut self, path: &Path, disk: SharedDisk) {
        let (name, path) = (self.unused(&name_of(path)), path.to_owned());
        self.paths.insert(path.clone());
        self.disks.push(Served { name, path, size: disk.virtual_size(), disk: Arc::new(disk) });
    }

    fn add(&mut self, chain: Chain) -> Result<(), Failure> {
        let disks = checkpoint_disks(chain)?;
        // The first one has all files.
        self.read.extend(disks.first().map(|disk| Arc::clone(&disk.chain)));
        for CheckpointDisk { name, path, chain } in disks {
            if self.paths.insert(path.clone()) {
                let (name, layers) = (self.unused(&name), chain.layers().len());
                let disk = SharedDisk::read_only(chain as Arc<dyn Disk>, layers);
                self.disks.push(Served { name, path, size: disk.virtual_size(), disk: Arc::new(disk) });
            }
        }
        Ok(())
    }

    /// Returns the name, with a number if it is used already.
    fn unused(&mut self, name: &str) -> String {
        let mut unused = name.to_owned();
        let mut number = 2_u64;
        while !self.names.insert(unused.clone()) {
            unused = format!("{name}~{number}");
            number = number.saturating_add(1);
        }
        unused
    }
}
