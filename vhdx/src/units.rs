//! Offsets, indices and the constants that every structure shares, as types that cannot be mixed up.
//!
//! A byte offset in a *file* and a byte offset on the virtual *disk* are different things, and confusing them is the
//! classic way to destroy an image. Neither converts into the other except through the block allocation table.

use std::fmt;

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes: the alignment of everything that a VHDX file allocates ([MS-VHDX] 2.1).
pub const MIB: u64 = 1 << 20;

/// A byte offset in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileOffset(u64);

/// A byte offset on a virtual disk, as its guest sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskOffset(u64);

/// The number of a payload block: block 0 holds the first `block_size` bytes of the disk ([MS-VHDX] 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(u64);

/// The number of a chunk, and of the sector bitmap block that serves it ([MS-VHDX] 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(u64);

/// The number of an entry in the block allocation table, payload and bitmap entries interleaved ([MS-VHDX] 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatIndex(u64);

macro_rules! number {
    ($($name:ident),*) => {$(
        impl $name {
            /// Wraps a plain number.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The plain number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + count`, or `None` past `u64::MAX`.
            pub const fn checked_add(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// `self + count`, stopping at `u64::MAX`.
            pub const fn saturating_add(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// How far `self` lies past `earlier`, or 0 if it does not.
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
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
