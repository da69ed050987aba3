//! Small images and their content.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vhdx::format::bat_entry::PayloadBlockState;
use vhdx_testkit::{Block, Image};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const BLOCKS: usize = 6;
pub(crate) const SIZE: u64 = (BLOCKS * MIB) as u64;

/// A base, a checkpoint and a leaf in their own folder.
pub(crate) struct Family {
    pub(crate) folder: TempDir,
    pub(crate) images: Images,
    /// The content of the leaf's disk.
    pub(crate) content: Vec<u8>,
}

pub(crate) struct Images {
    pub(crate) base: Image,
    pub(crate) mid: Image,
    pub(crate) leaf: Image,
}

/// Block 0: base, and two sectors of the leaf. 1: mid. 2: base, zeroed by the leaf. 3: base. 4: nothing. 5: leaf.
pub(crate) fn images() -> Images {
    let mut base = Image::dynamic(SIZE, MIB as u32);
    for block in [0, 2, 3] {
        base.blocks.insert(block, Block::full(vec![b'b'; MIB]));
    }
    let mut mid = Image::child_of(&base, "base.vhdx", MIB as u32);
    mid.blocks.insert(1, Block::full(vec![b'm'; MIB]));
    let mut leaf = Image::child_of(&mid, "mid.avhdx", MIB as u32);
    leaf.blocks.insert(0, Block::partial(vec![b'l'; 2048], vec![false, true, true, false]));
    leaf.blocks.insert(2, Block::empty(PayloadBlockState::Zero, false));
    leaf.blocks.insert(5, Block::full(vec![b'l'; MIB]));
    Images { base, mid, leaf }
}

fn content() -> Vec<u8> {
    let mut content: Vec<u8> =
        [b'b', b'm', 0, b'b', 0, b'l'].iter().flat_map(|byte| vec![*byte; MIB]).collect();
    content[512..1536].fill(b'l');
    content
}

pub(crate) fn family() -> Family {
    let family = Family { folder: tempfile::tempdir().unwrap(), images: images(), content: content() };
    write(&family.images.base, &family.base());
    write(&family.images.mid, &family.mid());
    write(&family.images.leaf, &family.leaf());
    family
}

pub(crate) fn write(image: &Image, path: &Path) {
    image.sparse().write_to(path).unwrap();
}

impl Family {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.path("base.vhdx")
    }

    pub(crate) fn mid(&self) -> PathBuf {
        self.path("mid.avhdx")
    }

    pub(crate) fn leaf(&self) -> PathBuf {
        self.path("leaf.avhdx")
    }

    /// Returns every file with its bytes.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(self.folder.path())
    }
}

/// Returns every file of a folder with its bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Returns the names of all entries of a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
