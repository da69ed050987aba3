//! Opening a disk whatever its format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vhdx::{Chain, Disk, ParentResolver, RawDisk, Result};

use crate::args::Format;

/// An open disk.
pub(super) enum Opened {
    Chain(Chain),
    Raw(RawDisk),
}

impl Opened {
    pub(super) fn disk(&self) -> &dyn Disk {
        match self {
            Opened::Chain(chain) => chain,
            Opened::Raw(raw) => raw,
        }
    }
}

/// The disk in a file, its parents included.
pub(super) fn open(path: &Path, from: Option<Format>, resolver: &dyn ParentResolver) -> Result<Opened> {
    Ok(match from.unwrap_or_else(|| detect(path)) {
        Format::Vhdx => Opened::Chain(Chain::open(path, resolver)?),
        Format::Raw => Opened::Raw(RawDisk::open(path)?),
    })
}

/// A file that begins as a VHDX is one, and so is one that is called so: a damaged VHDX must not pass for a raw disk.
fn detect(path: &Path) -> Format {
    if Format::of_name(path) == Some(Format::Vhdx) || has_signature(path) {
        Format::Vhdx
    } else {
        Format::Raw
    }
}

/// Only regular files are opened, because a pipe would make the open wait.
fn has_signature(path: &Path) -> bool {
    let mut signature = [0; 8];
    let regular = path.metadata().is_ok_and(|metadata| metadata.is_file());
    regular
        && File::open(path).and_then(|mut file| file.read_exact(&mut signature)).is_ok()
        && signature == *b"vhdxfile"
}
