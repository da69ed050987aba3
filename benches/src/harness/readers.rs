//! Reads a disk through the library and through other crates, and a plain file with the same bytes.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use vhdx::{Chain, DiskOffset, FolderResolver, Mapped, OpenOptions, Vhdx};
use vhdx_testkit::Random;

use super::files::{buffer, data_runs};

const MIB: usize = 1 << 20;
const RANDOM_READS: u64 = 200_000;
const RANDOM_LEN: usize = 4096;

/// A way to read a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// Through this library, with positioned reads
    File,
    /// Through this library, with memory maps
    Mapped,
    /// Through the crate vhdx-core
    #[cfg(feature = "peers")]
    VhdxCore,
    /// Through the crate rust-img-vhdx
    #[cfg(feature = "peers")]
    RustImgVhdx,
}

/// Reads a file from its first byte to its last. If `data_only`, fills the buffer with zeros where the file has holes.
pub(crate) fn read_file(path: &Path, data_only: bool) -> Result<f64> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if !data_only {
        return sequential(len, |buf, at| Ok(file.read_exact_at(buf, at)?));
    }
    let runs = data_runs(&file)?;
    let mut next = 0;
    sequential(len, |buf, at| {
        let end = at + buf.len() as u64;
        let mut done = at;
        while let Some(&(start, len)) = runs.get(next).filter(|(start, _)| *start < end) {
            let (from, to) = (start.max(at), (start + len).min(end));
            buf[(done - at) as usize..(from - at) as usize].fill(0);
            file.read_exact_at(&mut buf[(from - at) as usize..(to - at) as usize], from)?;
            done = to;
            if start + len > end {
                break;
            }
            next += 1;
        }
        buf[(done - at) as usize..].fill(0);
        Ok(())
    })
}

pub(crate) fn random_file(path: &Path) -> Result<f64> {
    let file = File::open(path)?;
    random(file.metadata()?.len(), |buf, at| Ok(file.read_exact_at(buf, at)?))
}

pub(crate) fn read_disk(way: Way, leaf: &Path, is_random: bool) -> Result<f64> {
    let timed = |size, read: &mut dyn FnMut(&mut [u8], u64) -> Result<()>| match is_random {
        true => random(size, read),
        false => sequential(size, read),
    };
    let chain = match way {
        Way::File => Chain::open(leaf, &FolderResolver::default())?,
        Way::Mapped => mapped(leaf)?,
        #[cfg(feature = "peers")]
        Way::VhdxCore => return super::peer_crates::vhdx_core(leaf, timed),
        #[cfg(feature = "peers")]
        Way::RustImgVhdx => return super::peer_crates::rust_img_vhdx(leaf, timed),
    };
    timed(chain.virtual_size(), &mut |buf, at| Ok(chain.read_exact_at(buf, DiskOffset::new(at))?))
}

/// Opens the chain of a leaf with each file mapped into memory.
fn mapped(leaf: &Path) -> Result<Chain> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let paths: Vec<PathBuf> = chain.layers().iter().filter_map(Vhdx::path).map(Path::to_owned).collect();
    let layers = paths.iter().map(|path| Vhdx::open_with(Mapped::open(path)?, &OpenOptions::default()));
    Ok(Chain::from_layers(layers.collect::<vhdx::Result<_>>()?)?)
}

/// Opens a chain and reads 4 KiB from it, many times. Returns the mean time of one repetition in seconds.
pub(crate) fn open_chain(leaf: &Path) -> Result<f64> {
    const TIMES: u32 = 50;
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, RANDOM_LEN);
    let begin = Instant::now();
    for _ in 0..TIMES {
        let chain = Chain::open(leaf, &FolderResolver::default())?;
        chain.read_exact_at(buf, DiskOffset::new(chain.virtual_size() / 2))?;
        black_box(&buf);
    }
    Ok(begin.elapsed().as_secs_f64() / f64::from(TIMES))
}

fn sequential(size: u64, mut read: impl FnMut(&mut [u8], u64) -> Result<()>) -> Result<f64> {
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, MIB);
    let begin = Instant::now();
    let mut at = 0;
    while at < size {
        let part = usize::try_from(size - at).map_or(MIB, |rest| rest.min(MIB));
        read(&mut buf[..part], at)?;
        black_box(&buf);
        at += part as u64;
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn random(size: u64, mut read: impl FnMut(&mut [u8], u64) -> Result<()>) -> Result<f64> {
    let pages = usize::try_from(size / RANDOM_LEN as u64)?;
    let mut random = Random::new(7);
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, RANDOM_LEN);
    let begin = Instant::now();
    for _ in 0..RANDOM_READS {
        read(buf, (random.below(pages) * RANDOM_LEN) as u64)?;
        black_box(&buf);
    }
    Ok(begin.elapsed().as_secs_f64())
}
