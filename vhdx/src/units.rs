//! Defines a separate type for each kind of offset and index, and the size constants.
//!
//! A byte offset in a *file* and a byte offset on the virtual *disk* have different types, because confusing the two
//! destroys images. Only the block allocation table maps one to the other.

use std::fmt;

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes: the alignment of everything that is allocated in a VHDX file ([MS-VHDX] 2.1).
pub const MIB: u64 = 1 << 20;

/// Returns the smaller of a length and a bound in memory, both in bytes.
pub(crate) fn at_most(len: u64, bound: usize) -> usize {
    usize::try_from(len).map_or(bound, |len| len.min(bound))
}

/// A byte offset in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileOffset(u64);

/// A byte offset on a virtual disk, as its guest sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiskOffset(u64);

/// The index of a payload block: block 0 contains the first `block_size` bytes of the disk ([MS-VHDX] 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BlockIndex(u64);

/// The index of a chunk and of its sector bitmap block ([MS-VHDX] 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ChunkIndex(u64);

/// The index of an entry in the block allocation table, which interleaves payload and bitmap entries ([MS-VHDX] 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BatIndex(u64);

macro_rules! number {
    ($($name:ident),*) => {$(
        impl $name {
            /// Wraps a plain number.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// Returns the plain number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns `self + count`, or `None` on overflow.
            pub const fn checked_add(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Returns `self + count`, or `u64::MAX` on overflow.
            pub const fn saturating_add(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }
    )*};
}
number!(FileOffset, DiskOffset, BlockIndex, ChunkIndex, BatIndex);

macro_rules! display {
    ($format:literal: $($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    )*};
}
display!("{:#x}": FileOffset, DiskOffset);
display!("{}": BlockIndex, ChunkIndex, BatIndex);
