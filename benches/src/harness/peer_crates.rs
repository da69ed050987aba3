//! Reads disks through other crates.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use peer_img_vhdx::VhdxReader as ImgReader;
use peer_vhdx_core::{Backing, VhdxReader as CoreReader};
use vhdx::{Chain, FolderResolver, Vhdx};

type ReadAt<'a> = &'a mut dyn FnMut(&mut [u8], u64) -> Result<()>;

/// Reads a chain through vhdx-core, which does not find parents itself.
pub(crate) fn vhdx_core(leaf: &Path, timed: impl FnOnce(u64, ReadAt<'_>) -> Result<f64>) -> Result<f64> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let paths: Vec<&Path> = chain.layers().iter().rev().filter_map(Vhdx::path).collect();
    let (base, children) = paths.split_first().context("a chain has a base")?;
    let mut disk = CoreReader::open(base).map_err(|error| anyhow!("{error}"))?;
    for child in children {
        let backing = Backing::File(File::open(child)?);
        disk = CoreReader::from_backing_with_parent(backing, disk).map_err(|error| anyhow!("{error}"))?;
    }
    timed(disk.virtual_disk_size(), &mut |buf, at| {
        disk.seek(SeekFrom::Start(at))?;
        Ok(disk.read_exact(buf)?)
    })
}

/// Reads a file without parents through rust-img-vhdx.
pub(crate) fn rust_img_vhdx(file: &Path, timed: impl FnOnce(u64, ReadAt<'_>) -> Result<f64>) -> Result<f64> {
    let disk = ImgReader::open(file).map_err(|error| anyhow!("{error}"))?;
    timed(disk.virtual_size(), &mut |buf, at| {
        disk.read_at(at, buf).map(drop).map_err(|error| anyhow!("{error}"))
    })
}
