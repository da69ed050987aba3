//! The feature flags of a superblock that a reader must know.

use crate::error::{Error, Result};

/// The three sets of feature flags. Every incompatible feature in it is supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    compatible: u32,
    incompatible: u32,
    read_only: u32,
}

const HAS_JOURNAL: u32 = 0x4;
const SPARSE_SUPER_2: u32 = 0x200;

const FILE_TYPE: u32 = 0x2;
const RECOVER: u32 = 0x4;
const META_BG: u32 = 0x10;
const IS_64_BIT: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
const LARGE_FOLDERS: u32 = 0x4000;

/// Features that a reader need not know, because they change only what writers do or what other code here finds in an
/// inode: extents 0x40, mmp 0x100, flex_bg 0x200, ea_inode 0x400, inline_data 0x8000, encrypt 0x1_0000, casefold 0x2_0000.
const IN_INODES_ONLY: u32 = 0x40 | 0x100 | 0x200 | 0x400 | 0x8000 | 0x1_0000 | 0x2_0000;

const SUPPORTED: u32 =
    FILE_TYPE | RECOVER | META_BG | IS_64_BIT | CHECKSUM_SEED | LARGE_FOLDERS | IN_INODES_ONLY;

/// The names of known incompatible features that are not supported.
const UNSUPPORTED: &[(u32, &str)] = &[(0x1, "compression"), (0x8, "journal_dev"), (0x1000, "dirdata")];

const SPARSE_SUPER: u32 = 0x1;
const GROUP_CHECKSUM: u32 = 0x10;
const BIG_ALLOCATION: u32 = 0x200;
const METADATA_CHECKSUM: u32 = 0x400;

impl Features {
    /// # Errors
    /// [`Error::Unsupported`] if an incompatible feature is not supported.
    pub(super) fn new(compatible: u32, incompatible: u32, read_only: u32) -> Result<Self> {
        let unknown = incompatible & !SUPPORTED;
        if unknown == 0 {
            return Ok(Self { compatible, incompatible, read_only });
        }
        let names: Vec<String> = (0..u32::BITS)
            .filter_map(|bit| 1u32.checked_shl(bit).filter(|flag| unknown & flag != 0))
            .map(|flag| {
                let known = UNSUPPORTED.iter().find(|(one, _)| *one == flag);
                known.map_or_else(|| format!("{flag:#x}"), |(_, name)| (*name).to_owned())
            })
            .collect();
        Err(Error::Unsupported(format!(
            "the ext file system cannot be read, because it uses unsupported features: {}",
            names.join(", ")
        )))
    }

    /// Whether the file system was not unmounted, so that its journal may have to be replayed.
    pub(super) fn needs_recovery(self) -> bool {
        self.incompatible & RECOVER != 0
    }

    pub(super) fn has_journal(self) -> bool {
        self.compatible & HAS_JOURNAL != 0
    }

    pub(super) fn has_sparse_super_2(self) -> bool {
        self.compatible & SPARSE_SUPER_2 != 0
    }

    /// Whether an entry of a folder has the type of its file.
    pub(super) fn has_file_type(self) -> bool {
        self.incompatible & FILE_TYPE != 0
    }

    pub(super) fn has_meta_bg(self) -> bool {
        self.incompatible & META_BG != 0
    }

    pub(super) fn is_64_bit(self) -> bool {
        self.incompatible & IS_64_BIT != 0
    }

    pub(super) fn has_checksum_seed(self) -> bool {
        self.incompatible & CHECKSUM_SEED != 0
    }

    pub(super) fn has_large_folders(self) -> bool {
        self.incompatible & LARGE_FOLDERS != 0
    }

    pub(super) fn has_sparse_super(self) -> bool {
        self.read_only & SPARSE_SUPER != 0
    }

    /// Whether group descriptors have a CRC-16. Checksums of all metadata replace it.
    pub(super) fn has_group_checksum(self) -> bool {
        self.read_only & GROUP_CHECKSUM != 0 && !self.has_metadata_checksum()
    }

    pub(super) fn has_big_allocation(self) -> bool {
        self.read_only & BIG_ALLOCATION != 0
    }

    pub(super) fn has_metadata_checksum(self) -> bool {
        self.read_only & METADATA_CHECKSUM != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_features_are_named() {
        let error = Features::new(0, 0x1 | 0x2 | 0x1000 | 0x8000_0000, 0).unwrap_err().to_string();
        assert!(error.ends_with("unsupported features: compression, dirdata, 0x80000000"), "{error}");
    }

    #[test]
    fn unknown_features_of_writers_do_not_matter() {
        assert!(Features::new(!0, SUPPORTED, !0).is_ok());
    }
}
