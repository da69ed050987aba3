//! Small file systems for the tests of single structures.

use vhdx::RawDisk;

use super::inode::{ContentKind, Inode};
use super::overlay::Overlay;
use super::volume::Volume;
use crate::files::Kind;
use crate::window::Window;

/// The size of a block in these tests.
pub(super) const BLOCK: usize = 1024;
/// How many blocks there are.
pub(super) const BLOCKS: usize = 100;

/// Passes on a volume that has content in some blocks.
pub(super) fn with_volume<T>(blocks: &[(usize, &[u8])], f: impl FnOnce(&Volume<'_>) -> T) -> T {
    let mut bytes = vec![0; BLOCK * BLOCKS];
    for (block, content) in blocks {
        bytes[block * BLOCK..][..content.len()].copy_from_slice(content);
    }
    let disk = RawDisk::open_with(bytes, "test").unwrap();
    f(&Volume::new(Window::whole(&disk), BLOCK as u64, BLOCKS as u64, Overlay::default()))
}

/// Returns an inode with a map, which is filled up with zeros.
pub(super) fn inode(content: ContentKind, map: &[u8]) -> Inode {
    let kind = Kind::File;
    let mut inode = Inode::empty(12, kind, content);
    inode.set_map(map);
    inode
}

/// Returns numbers of 32 bits as bytes.
pub(super) fn pointers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
