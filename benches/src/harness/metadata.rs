//! Work on metadata only: headers, bitmaps and plans.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use vhdx::ops::{MergeOptions, MergePlan};
use vhdx::{BatIndex, Chain, DiskOffset, FileOffset, FolderResolver, OpenOptions, ReadAt, Relatives, Vhdx};
use vhdx_testkit::{Block, Image, Part, Random, SparseImage, windows_locator};

use super::files::buffer;

const MIB: u64 = 1 << 20;

/// Makes families of `members` disks. The parent of each disk is one of the earlier disks.
///
/// A file beside the folder, with the extension `paths`, lists all disks.
pub(crate) fn make_families(folder: &Path, families: u64, members: u64) -> Result<()> {
    let mut list = String::new();
    for family in 0..families {
        let home = folder.join(format!("family{family:03}"));
        fs::create_dir_all(&home)?;
        let mut random = Random::new(family);
        let mut guids = Vec::new();
        for member in 0..members {
            let mut image = Image::dynamic(64 << 30, 32 << 20);
            (image.data_write_guid, image.file_write_guid) = (random.guid(), random.guid());
            if member > 0 {
                let parent = random.below(member as usize);
                let linkage = windows_locator(guids[parent], vhdx::Guid::nil(), &member_name(parent as u64));
                image.parent_locator = Some(linkage);
            }
            guids.push(image.data_write_guid);
            let path = home.join(member_name(member));
            image.sparse().write_to(&path)?;
            list.push_str(&format!("{}\n", path.display()));
        }
    }
    Ok(fs::write(folder.with_extension("paths"), list)?)
}

fn member_name(member: u64) -> String {
    format!("disk{member:02}.{}", if member == 0 { "vhdx" } else { "avhdx" })
}

/// Opens each file, and reads its headers, region table, metadata table and items.
///
/// Returns the seconds of one pass.
pub(crate) fn read_headers(list: &Path, times: u32) -> Result<f64> {
    let paths: Vec<PathBuf> = fs::read_to_string(list)?.lines().map(PathBuf::from).collect();
    // The places of the metadata regions are found beforehand: a reader gets them from the region table.
    let mut places = Vec::new();
    for path in &paths {
        let vhdx = Vhdx::open(path)?;
        let metadata =
            vhdx.regions().iter().find(|region| region.id == vhdx::format::region_table::METADATA_REGION);
        places.push(metadata.map_or(2 * MIB, |region| region.offset.get()));
    }
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, 64 << 10);
    let begin = Instant::now();
    for _ in 0..times {
        for (path, &metadata) in paths.iter().zip(&places) {
            let file = File::open(path)?;
            file.read_exact_at(&mut buf[..4096], 64 << 10)?;
            file.read_exact_at(&mut buf[..4096], 128 << 10)?;
            file.read_exact_at(buf, 192 << 10)?;
            file.read_exact_at(buf, metadata)?;
            file.read_exact_at(&mut buf[..4096], metadata + (64 << 10))?;
            black_box(&buf);
        }
    }
    Ok(begin.elapsed().as_secs_f64() / f64::from(times))
}

const SCANNED_SIZE: u64 = 64 << 30;
const SCANNED_BLOCK: u32 = 32 << 20;

/// Returns a child of 64 GiB, in which 2 MiB with data alternate with 2 MiB without.
fn long_runs() -> SparseImage {
    let base = Image::dynamic(SCANNED_SIZE, SCANNED_BLOCK);
    let mut child = Image::child_of(&base, "base.vhdx", SCANNED_BLOCK);
    child.litter = false;
    let sectors: Vec<bool> = (0..SCANNED_BLOCK / 512).map(|sector| sector / 4096 % 2 == 0).collect();
    child.blocks =
        (0..child.block_count()).map(|b| (b, Block::partial(Vec::new(), sectors.clone()))).collect();
    child.sparse()
}

pub(crate) fn scan_bitmap() -> Result<f64> {
    let child = Vhdx::open_with(long_runs(), &OpenOptions::default())?;
    let expected = SCANNED_SIZE / (4 * MIB) * 2;
    median_of_runs(|| {
        let extents = child.extents(DiskOffset::new(0)..DiskOffset::new(SCANNED_SIZE));
        let mut count = 0;
        for extent in extents {
            extent?;
            count += 1;
        }
        ensure!(count == expected, "{count} extents");
        Ok(())
    })
}

pub(crate) fn read_bitmap() -> Result<f64> {
    let base = Image::dynamic(SCANNED_SIZE, SCANNED_BLOCK);
    let mut child = Image::child_of(&base, "base.vhdx", SCANNED_BLOCK);
    let partial = || Block::partial(Vec::new(), vec![true]);
    child.blocks = (0..child.block_count()).map(|b| (b, partial())).collect();
    let layout = child.layout();
    let places = layout.parts().filter(|(part, ..)| matches!(part, Part::Bitmap(_))).map(|(_, at, _)| at);
    let (places, image) = (places.collect::<Vec<_>>(), long_runs());
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, MIB as usize);
    median_of_runs(|| {
        for &place in &places {
            image.read_exact_at(buf, FileOffset::new(place))?;
            black_box(&buf);
        }
        Ok(())
    })
}

/// Returns the median time of `work`, in seconds.
fn median_of_runs(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..21 {
        let begin = Instant::now();
        work()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    Ok(super::table::median(&seconds))
}

/// Makes a disk with a large block allocation table, but little data to read.
pub(crate) fn make_spread(file: &Path, size: u64) -> Result<()> {
    let mut image = Image::dynamic(size, MIB as u32);
    image.litter = false;
    image.blocks = (0..image.block_count()).step_by(64).map(|b| (b, Block::full(Vec::new()))).collect();
    Ok(image.sparse().write_to(file)?)
}

pub(crate) fn validate_placement(leaf: &Path) -> Result<f64> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let begin = Instant::now();
    chain.validate_placement()?;
    Ok(begin.elapsed().as_secs_f64())
}

pub(crate) fn plan(leaf: &Path) -> Result<f64> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let begin = Instant::now();
    let plan = MergePlan::new(&chain, 1, &Relatives::default(), &MergeOptions::default())?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(plan.bytes_to_copy() > 0, "nothing is planned");
    Ok(seconds)
}

/// Reads the block allocation tables, or only the leaf's, and the bits of the leaf's partially present blocks.
///
/// The bits are read block by block.
pub(crate) fn read_bitmap_file(leaf: &Path, only_leaf: bool) -> Result<f64> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let child = chain.leaf();
    let block_count = child.virtual_size().div_ceil(child.block_size());
    let ratio = (1 << 23) * u64::from(child.logical_sector_size()) / child.block_size();
    let bits = child.block_size() / u64::from(child.logical_sector_size()) / 8;
    let mut places = Vec::new();
    for chunk in 0..block_count.div_ceil(ratio) {
        let entries = child.bat_entries(BatIndex::new(chunk * (ratio + 1)), ratio as usize + 1)?;
        let Some((bitmap, payload)) = entries.split_last() else { continue };
        let partial = (0..).zip(payload).filter(|(_, entry)| entry.state_bits() == 7);
        places.extend(partial.map(|(block, _)| bitmap.file_offset().get() + block * bits));
    }
    ensure!(!places.is_empty(), "no block is partially present");
    let read = if only_leaf { 1 } else { chain.layers().len() };
    let tables = chain.layers().iter().take(read).map(bat).collect::<Result<Vec<_>>>()?;
    let file = File::open(leaf)?;
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, MIB as usize);
    let begin = Instant::now();
    for (path, start, len) in &tables {
        let table = File::open(path)?;
        for at in (0..*len).step_by(buf.len()) {
            table.read_exact_at(buf, start + at)?;
            black_box(&buf);
        }
    }
    for place in places {
        file.read_exact_at(&mut buf[..bits as usize], place)?;
        black_box(&buf);
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// Returns the path of a file, and the offset and length of its block allocation table.
///
/// Both are in bytes, and whole MiB.
fn bat(layer: &Vhdx) -> Result<(PathBuf, u64, u64)> {
    let region = layer.regions().iter().find(|region| region.id == vhdx::format::region_table::BAT_REGION);
    let (Some(region), Some(path)) = (region, layer.path()) else { anyhow::bail!("a file without a BAT") };
    Ok((path.to_owned(), region.offset.get(), region.length))
}
