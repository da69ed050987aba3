//! Kinds that only the partition table tells: such partitions have no superblock.

use super::kind::ContentKind;

/// The type of a partition, as its partition table says. It matters only if the content has no superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeHint {
    /// There is no partition table.
    None,
    /// The type GUID of a GPT entry, in the byte order of the disk.
    Gpt([u8; 16]),
    /// The type of an MBR entry.
    Mbr(u8),
}

const MICROSOFT_RESERVED: [u8; 16] = guid(0xe3c9e316, 0x0b5c, 0x4db8, 0x817df92df00215ae);
const LDM_METADATA: [u8; 16] = guid(0x5808c8aa, 0x7e8f, 0x42e0, 0x85d2e1e90434cfb3);
const STORAGE_SPACES: [u8; 16] = guid(0xe75caf8f, 0xf680, 0x4cee, 0xafa3b001e56efc2d);
const BIOS_BOOT: [u8; 16] = guid(0x21686148, 0x6449, 0x6e6f, 0x744e656564454649);

impl TypeHint {
    /// Returns the kind of content that partitions of this type have, if it has no superblock.
    pub(super) fn kind_without_superblock(self) -> Option<ContentKind> {
        match self {
            TypeHint::Gpt(MICROSOFT_RESERVED) => Some(ContentKind::MicrosoftReserved),
            TypeHint::Gpt(BIOS_BOOT) => Some(ContentKind::BiosBoot),
            TypeHint::Gpt(_) | TypeHint::Mbr(_) | TypeHint::None => None,
        }
    }

    /// Returns the kind of content that partitions of this type have, even if its superblock is not found.
    pub(super) fn kind(self) -> Option<ContentKind> {
        match self {
            TypeHint::Gpt(LDM_METADATA) => Some(ContentKind::Ldm),
            TypeHint::Gpt(STORAGE_SPACES) => Some(ContentKind::StorageSpaces),
            TypeHint::Gpt(_) | TypeHint::Mbr(_) | TypeHint::None => None,
        }
    }
}

/// Returns the bytes of a GUID on disk: the first three parts are little-endian, the rest is as printed.
const fn guid(first: u32, second: u16, third: u16, rest: u64) -> [u8; 16] {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
