//! Records what a program does to files of the host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx::ops::{FileState, HostFiles, MergeFiles, OpenFile, PruneFiles, RevertFiles};
use vhdx::{Error, FileOffset, ReadAt, Relatives, Result, Storage};
use vhdx_testkit::SparseImage;
use vhdx_testkit::crash::{CrashWorld, Images};

/// The files of the host. A world gets the same changes, so that a power failure can be forged from its recording.
pub(crate) struct Mirror(CrashWorld);

impl Mirror {
    /// Mirrors these files, as they are.
    pub(crate) fn of(paths: Vec<PathBuf>) -> Self {
        let images = paths.into_iter().map(|path| {
            let image = SparseImage::read_from(&path).unwrap();
            (path, image)
        });
        Self(CrashWorld::new(images.collect()))
    }

    pub(crate) fn world(&self) -> &CrashWorld {
        &self.0
    }

    /// Checks that the world has the host's files.
    pub(crate) fn assert_faithful(&self, paths: Vec<PathBuf>) {
        let on_host: Images = Self::of(paths).0.images();
        let mirrored = self.0.images();
        assert!(on_host.keys().eq(mirrored.keys()), "{:?}, {:?}", on_host.keys(), mirrored.keys());
        for (path, image) in &on_host {
            assert!(image.to_vec() == mirrored[path].to_vec(), "{} differs", path.display());
        }
    }

    fn put(&self, path: &Path) -> Result<()> {
        let put = SparseImage::read_from(path).and_then(|image| self.0.put(path, image));
        put.map_err(|error| failed(error, path))
    }

    /// Removes a file that the host has deleted.
    fn remove(&self, path: &Path, is_durable: bool) -> Result<()> {
        self.0.remove(path).map_err(|error| failed(error, path))?;
        if is_durable {
            self.0.sync_names().map_err(|error| failed(error, path))?;
        }
        Ok(())
    }
}

fn failed(error: io::Error, path: &Path) -> Error {
    Error::io("mirror", None, error).in_file(path)
}

struct Mirrored {
    host: Arc<dyn Storage>,
    world: Arc<dyn Storage>,
}

impl ReadAt for Mirrored {
    fn size(&self) -> io::Result<u64> {
        self.host.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.host.read_exact_at(buf, offset)
    }
}

impl Storage for Mirrored {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.host.write_all_at(buf, offset)?;
        self.world.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.host.set_len(len)?;
        self.world.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.host.sync()?;
        self.world.sync()
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.host.zero_range(offset, len)?;
        self.world.zero_range(offset, len)
    }

    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.host.punch_hole(offset, len)?;
        self.world.punch_hole(offset, len)
    }
}

impl MergeFiles for Mirror {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let OpenFile { storage: host, identity } = HostFiles.open(path)?;
        let world = self.0.open(path).map_err(|error| failed(error, path))?;
        Ok(OpenFile { storage: Arc::new(Mirrored { host, world }), identity })
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        HostFiles.delete(file)?;
        self.remove(&file.path, true)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }
}

impl PruneFiles for Mirror {
    fn write_journal(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        HostFiles.write_journal(path, bytes)?;
        self.put(path)
    }

    fn read_journal(&self, path: &Path) -> Result<Vec<u8>> {
        HostFiles.read_journal(path)
    }

    /// The journal may come back after a power failure, as the trait says.
    fn delete_journal(&self, path: &Path) -> Result<()> {
        HostFiles.delete_journal(path)?;
        self.remove(path, false)
    }
}

impl RevertFiles for Mirror {
    fn create(&self, path: &Path, write: &mut dyn FnMut(&dyn Storage) -> Result<()>) -> Result<()> {
        HostFiles.create(path, write)?;
        self.put(path)
    }
}
