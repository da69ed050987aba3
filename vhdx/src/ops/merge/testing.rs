//! Helpers of the tests of merges: disks in memory, and reading their content.

use vhdx_testkit::{Block, Image};

use crate::disk::Chain;
use crate::family::{FileFacts, Relatives};
use crate::file::{Extents, OpenOptions, Source, Vhdx};
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::units::{DiskOffset, FileOffset, MIB};

/// The block size of [`base`] and [`child`] in bytes.
pub(super) const BLOCK: usize = 1 << 20;

/// An empty dynamic disk with blocks of 1 MiB.
pub(super) fn base(virtual_size: u64) -> Image {
    Image { litter: false, ..Image::dynamic(virtual_size, BLOCK as u32) }
}

/// An empty child of `parent` with blocks of 1 MiB.
pub(super) fn child(parent: &Image) -> Image {
    Image { litter: false, ..Image::child_of(parent, "parent.vhdx", BLOCK as u32) }
}

/// A block full of one byte.
pub(super) fn full(byte: u8) -> Block {
    Block::full(vec![byte; BLOCK])
}

/// A block with only its first sectors present, full of one byte.
pub(super) fn partial(byte: u8, sectors: usize) -> Block {
    Block::partial(vec![byte; sectors * 512], vec![true; sectors])
}

/// Builds the image and replaces the BAT entries of some blocks: state, and place in MiB.
pub(super) fn with_entries(
    image: &Image,
    entries: impl IntoIterator<Item = (u64, PayloadBlockState, u64)>,
) -> Vec<u8> {
    let (mut file, layout) = (image.build(), image.layout());
    for (block, state, mib) in entries {
        let at = layout.bat_entry(image.bat_index(block)) as usize;
        let entry = BatEntry::payload(state, FileOffset::new(mib * MIB));
        file[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }
    file
}

pub(super) fn open(image: &Image) -> Vhdx {
    Vhdx::open_with(image.build(), &OpenOptions::default()).unwrap()
}

/// The chain of these images, leaf first.
pub(super) fn chain<const N: usize>(images: [&Image; N]) -> Chain {
    Chain::from_layers(images.map(open).into()).unwrap()
}

pub(super) fn relatives(disks: Vec<FileFacts>) -> Relatives {
    Relatives { disks, ..Relatives::default() }
}

/// Returns what these layers, leaf first, read as. Their links are not validated.
pub(super) fn content(layers: &[Vhdx]) -> Vec<u8> {
    let mut bytes = vec![0; layers[0].virtual_size() as usize];
    let all = DiskOffset::new(0)..DiskOffset::new(layers[0].virtual_size());
    for extent in Extents::new(layers, all) {
        let extent = extent.unwrap();
        if let Source::Data { layer, offset } = extent.source {
            let part = &mut bytes[extent.start.get() as usize..][..extent.len as usize];
            layers[layer].storage().read_exact_at(part, offset).unwrap();
        }
    }
    bytes
}
