//! Reads bytes of a disk from the files that hold them.

use crate::error::{Guaranteed, Result};
use crate::file::{Extent, Source, Vhdx};
use crate::storage::read_into;
use crate::units::{FileOffset, at_most};

/// Fills `buf` with the bytes of consecutive extents. `layer` returns the file with a number.
///
/// # Errors
/// The first error of `extents`; [`Error::Io`](crate::Error::Io) with the path of the file.
pub(super) fn read_in_turn<'a>(
    mut buf: &mut [u8],
    extents: impl Iterator<Item = Result<Extent>>,
    layer: impl Fn(usize) -> &'a Vhdx,
) -> Result<()> {
    for extent in extents {
        let extent = extent?;
        let len = at_most(extent.len, buf.len());
        let (now, after) = buf.split_at_mut(len);
        buf = after;
        let data = match extent.source {
            Source::Data { layer: number, offset } => Some((layer(number), offset)),
            Source::Zero { .. } | Source::Unallocated => None,
        };
        fill(now, data)?;
    }
    // Otherwise the rest of the buffer would keep its old bytes.
    buf.is_empty().then_some(()).guaranteed("the extents of a range cover it")
}

/// Fills `buf` from an offset of a file on, or with zeros.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with the path of the file.
pub(super) fn fill(buf: &mut [u8], data: Option<(&Vhdx, FileOffset)>) -> Result<()> {
    match data {
        None => buf.fill(0),
        Some((vhdx, offset)) => read_into(vhdx.storage(), buf, offset).map_err(|e| vhdx.in_file(e))?,
    }
    Ok(())
}
