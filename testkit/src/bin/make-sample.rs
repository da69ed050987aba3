//! Writes the sample chain: a base and two checkpoints, like a user's folder of checkpoint files.

use std::path::PathBuf;

use vhdx_testkit::{Block, Image, content};

const MIB: u64 = 1 << 20;
const SEED: u64 = 2012; // the year of the first VHDX

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "testdata/sample".into()));
    std::fs::create_dir_all(&folder)?;
    let mut base = Image::dynamic(64 * MIB, 2 << 20);
    base.blocks.insert(0, whole_block(0, &base));
    let mut first = Image::child_of(&base, "base.vhdx", 1 << 20);
    first.blocks.insert(1, part_of_block(1, 1, &first));
    first.blocks.insert(20, whole_block(1, &first));
    let mut second = Image::child_of(&first, "checkpoint-1.avhdx", 1 << 20);
    second.blocks.insert(1, part_of_block(2, 1, &second));
    second.blocks.insert(9, part_of_block(2, 9, &second));
    for (name, mut image) in
        [("base.vhdx", base), ("checkpoint-1.avhdx", first), ("checkpoint-2.avhdx", second)]
    {
        image.litter = false;
        let path = folder.join(name);
        image.sparse().write_to(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Returns a block with 256 KiB of content and zeros after it.
fn whole_block(layer: usize, image: &Image) -> Block {
    let mut bytes = vec![0; 256 << 10];
    content(SEED, layer, u64::from(image.block_size), &mut bytes);
    Block::full(bytes)
}

/// Returns a block with every other run of 16 sectors of its first 256 KiB.
fn part_of_block(layer: usize, block: u64, image: &Image) -> Block {
    let mut bytes = vec![0; 256 << 10];
    content(SEED, layer, block * u64::from(image.block_size), &mut bytes);
    let sectors = (0..512).map(|sector| sector / 16 % 2 == layer % 2).collect();
    Block::partial(bytes, sectors)
}
