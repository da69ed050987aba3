//! The functions of a build that reads no URLs: [`add`] refuses every URL, so no other function is reached.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vhdx::{Candidates, Error, ParentRequest, ParentResolver, ReadAt, Result, Vhdx};

const REASON: &str = "this build of vhdx cannot read URLs: use a released package, or build with `cargo build --release \
    -p avhdx-cli --features remote`";

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, REASON)
}

/// Refuses a URL.
pub(crate) fn add(_: &Path) -> io::Result<PathBuf> {
    Err(absent())
}

pub(crate) fn open(name: &Path) -> Result<Box<dyn ReadAt>> {
    Err(Error::io("open", None, absent()).in_file(name))
}

pub(crate) fn folder_of(_: &Path) -> io::Result<PathBuf> {
    Err(absent())
}

pub(crate) fn disks_in(_: &Path, _: bool, _: usize) -> io::Result<Vec<(PathBuf, Result<Vhdx>)>> {
    Err(absent())
}

pub(crate) fn names_in(_: &Path, _: usize) -> io::Result<Vec<PathBuf>> {
    Err(absent())
}

pub(crate) fn ensure_uploadable(_: &Path, _: u64, _: bool) -> io::Result<()> {
    Err(absent())
}

struct NoResolver;

impl ParentResolver for NoResolver {
    fn candidates(&self, _: &ParentRequest<'_>) -> Result<Candidates> {
        Ok(Vec::new().into())
    }
}

pub(crate) fn resolver(_: &Path, _: Vec<PathBuf>, _: Vec<PathBuf>) -> Box<dyn ParentResolver> {
    Box::new(NoResolver)
}

/// An upload, which this build cannot make.
pub(crate) struct Upload(Infallible);

impl Upload {
    pub(crate) fn cancel_when(&mut self, _: impl Fn() -> bool + Send + 'static) {
        match self.0 {}
    }

    pub(crate) fn commit(self) -> io::Result<()> {
        match self.0 {}
    }
}

impl Write for Upload {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

pub(crate) fn upload(_: &Path, _: u64, _: bool) -> io::Result<Upload> {
    Err(absent())
}
