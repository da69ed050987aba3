//! Pointers to a storage are storages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{ReadAt, ReadHint, ReadRange, Storage};
use crate::units::FileOffset;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn size(&self) -> io::Result<u64> {
                (**self).size()
            }

            fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
                (**self).read_exact_at(buf, offset)
            }

            fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
                (**self).read_many(ranges)
            }

            fn announce(&self, ranges: &mut [Range<FileOffset>]) {
                (**self).announce(ranges);
            }

            fn hint(&self) -> ReadHint {
                (**self).hint()
            }

            fn as_file(&self) -> Option<&File> {
                (**self).as_file()
            }

            fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
                (**self).hole_after(offset)
            }

            fn lock_shared(&self) -> io::Result<()> {
                (**self).lock_shared()
            }
        }

        impl<T: Storage + ?Sized> Storage for $pointer {
            fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
                (**self).write_all_at(buf, offset)
            }

            fn set_len(&self, len: u64) -> io::Result<()> {
                (**self).set_len(len)
            }

            fn sync(&self) -> io::Result<()> {
                (**self).sync()
            }

            fn begin_sync(&self) -> io::Result<()> {
                (**self).begin_sync()
            }

            fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
                (**self).zero_range(offset, len)
            }

            fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
                (**self).punch_hole(offset, len)
            }

            fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
                (**self).copy_from(source, from, to, len)
            }
        }
    )*};
}
forward!(&T, Arc<T>, Box<T>);
