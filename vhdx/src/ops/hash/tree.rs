//! Joins the parts of a BLAKE3 digest that several workers have computed.
//!
//! BLAKE3 hashes chunks of 1 KiB and joins them in a binary tree. All left subtrees are complete: their size is a power
//! of two. A chunk's number is part of its hash, so equal chunks at different places differ, even chunks of zeros.

use blake3::hazmat::{ChainingValue, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::digest::Digest;
use crate::error::{Bounded, Guaranteed, Result};

/// The subtrees so far, of equally long parts whose length is a power of two. Only the last part may be shorter.
#[derive(Default)]
pub(super) struct Tree {
    /// The roots of the complete subtrees, the largest first.
    roots: Vec<ChainingValue>,
    parts: u64,
}

impl Tree {
    /// Adds the next part.
    pub(super) fn push(&mut self, part: ChainingValue) -> Result<()> {
        // Subtrees are joined only when another part follows: the last join makes the root, and is another function.
        while self.roots.len() > self.parts.count_ones() as usize {
            let right = self.roots.pop().guaranteed("two subtrees are joined")?;
            let left = self.roots.pop().guaranteed("two subtrees are joined")?;
            self.roots.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
        self.roots.push(part);
        self.parts = self.parts.plus(1)?;
        Ok(())
    }

    /// Returns the digest of all parts, of which there must be at least two.
    pub(super) fn finish(mut self) -> Result<Digest> {
        let mut right = self.roots.pop().guaranteed("a tree has two parts")?;
        while self.roots.len() > 1 {
            let left = self.roots.pop().guaranteed("two subtrees are joined")?;
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        let left = self.roots.pop().guaranteed("a tree has two parts")?;
        Ok(Digest::new(merge_subtrees_root(&left, &right, Mode::Hash).into()))
    }
}

#[cfg(test)]
mod tests {
    use blake3::Hasher;
    use blake3::hazmat::HasherExt;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn parts_are_joined_to_the_digest_of_all_bytes() {
        const PART: usize = 2048;
        let bytes: Vec<u8> = (0..70 * PART).map(|at| (at % 251) as u8).collect();
        for parts in 2..70 {
            for last in [1, 1023, 1024, 1025, PART] {
                let bytes = &bytes[..(parts - 1) * PART + last];
                let mut tree = Tree::default();
                for (number, part) in bytes.chunks(PART).enumerate() {
                    let mut hasher = Hasher::new();
                    hasher.set_input_offset((number * PART) as u64);
                    tree.push(hasher.update(part).finalize_non_root()).unwrap();
                }
                assert_eq!(tree.finish().unwrap(), Digest::new(blake3::hash(bytes).into()), "{parts} {last}");
            }
        }
    }

    #[test]
    fn a_single_part_is_no_tree() {
        let mut tree = Tree::default();
        tree.push([0; 32]).unwrap();
        assert_eq!(tree.finish().unwrap_err().kind(), ErrorKind::Internal);
    }
}
