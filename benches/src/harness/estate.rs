//! Work on estates: many families of disks with their machines.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use hyperv_config::Configuration;
use vhdx::ops::DiskMap;
use vhdx::{Chain, FolderResolver, NoProgress, Vhdx};
use vhdx_testkit::Image;
use vhdx_testkit::estate::{BulkOptions, generate_bulk};

/// Makes families of 20 disks with a machine each. One disk in 21 is damaged, so that it is another one in each family.
///
/// In each family, the newest disk is one day old, the one before it two days, and so on.
/// Files beside the folder, with the extensions `disks` and `configurations`, list the files.
pub(crate) fn make(folder: &Path, families: usize) -> Result<()> {
    let mut options = BulkOptions::default();
    (options.families, options.damaged_one_in) = (families, 21);
    let bulk = generate_bulk(folder, &options)?;
    let now = SystemTime::now();
    for (number, path) in (0..).zip(&bulk.images) {
        let days = options.images as u64 - number % options.images as u64;
        File::options().write(true).open(path)?.set_modified(now - Duration::from_secs(days * 86_400))?;
    }
    for (extension, paths) in [("disks", &bulk.images), ("configurations", &bulk.configurations)] {
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        fs::write(folder.with_extension(extension), lines.collect::<String>())?;
    }
    Ok(())
}

/// Opens each disk and each configuration of an estate, one after the other.
pub(crate) fn open_all(folder: &Path) -> Result<f64> {
    let list = |extension| -> Result<Vec<PathBuf>> {
        let text = fs::read_to_string(folder.with_extension(extension))?;
        Ok(text.lines().map(PathBuf::from).collect())
    };
    let (disks, configurations) = (list("disks")?, list("configurations")?);
    let begin = Instant::now();
    let opened = disks.iter().filter(|path| black_box(Vhdx::open(path)).is_ok()).count();
    for path in &configurations {
        black_box(Configuration::open(path)?);
    }
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(opened > disks.len() / 2, "{opened} disks are readable");
    Ok(seconds)
}

/// Makes an empty disk with blocks of 1 MiB, and an empty child of it.
pub(crate) fn make_large(folder: &Path, size: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let base = Image::dynamic(size, 1 << 20);
    base.sparse().write_to(&folder.join("base.vhdx"))?;
    Ok(Image::child_of(&base, "base.vhdx", 1 << 20).sparse().write_to(&folder.join("child.avhdx"))?)
}

pub(crate) fn map(leaf: &Path) -> Result<f64> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let begin = Instant::now();
    black_box(DiskMap::of(&chain, 2000.try_into()?, &NoProgress)?);
    Ok(begin.elapsed().as_secs_f64())
}
