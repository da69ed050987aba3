//! Writes the seeds of the fuzz targets `open` and `sealed` into a folder: small packed images that together use every
//! structure.

use std::path::PathBuf;

use vhdx::format::bat_entry::PayloadBlockState;
use vhdx_testkit::{
    Block, DirtyLog, ExtraItem, ExtraRegion, Headers, Image, Random, RegionTables, SparseImage, pack,
};

const MIB: u64 = 1 << 20;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder for the seeds"));
    std::fs::create_dir_all(&folder)?;
    for (name, image) in seeds() {
        std::fs::write(folder.join(name), pack(&image.sparse()))?;
    }
    std::fs::write(folder.join("empty"), pack(&SparseImage::default()))
}

fn seeds() -> Vec<(&'static str, Image)> {
    let mut random = Random::new(1);
    let mut dynamic = Image { litter: false, ..Image::dynamic(3 * MIB + 512, 1 << 20) };
    dynamic.blocks.insert(1, Block::full(random.bytes(600)));
    dynamic.blocks.insert(2, Block::empty(PayloadBlockState::Unmapped, true));
    dynamic.blocks.insert(3, Block::full(random.bytes(512)));

    let mut child = Image { litter: false, ..Image::child_of(&dynamic, "base.vhdx", 2 << 20) };
    child.blocks.insert(0, Block::partial(random.bytes(1024), vec![true, false, true]));
    child.blocks.insert(1, Block::empty(PayloadBlockState::Zero, false));

    let log = DirtyLog { seed: 3, entries: 3, stale: 1, runs: 6, closed: false };
    let large_sectors = Image { logical_sector_size: 4096, virtual_size: 2 * MIB, ..dynamic.clone() };
    let extras = Image {
        extra_regions: vec![ExtraRegion { id: random.guid(), mib: 1, required: false }],
        extra_items: vec![ExtraItem {
            id: random.guid(),
            is_user: true,
            is_virtual_disk: true,
            is_required: false,
            bytes: random.bytes(40),
        }],
        headers: Headers::FirstIsSound,
        region_tables: RegionTables::SecondIsSound,
        shuffle: Some(7),
        ..dynamic.clone()
    };
    vec![
        ("dirty", Image { log: Some(log), ..dynamic.clone() }),
        ("dirty-child", Image { log: Some(log), ..child.clone() }),
        ("child", child),
        ("large-sectors", large_sectors),
        ("extras", extras),
        ("dynamic", dynamic),
    ]
}
