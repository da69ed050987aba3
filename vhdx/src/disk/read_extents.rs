//! Reads many extents at once: those in one file with one call, in the order of the file.

use std::ops::Range;

use crate::error::{Error, Guaranteed, Result, in_memory};
use crate::file::{Extent, Source, Vhdx};
use crate::storage::{ReadAt, ReadRange, for_each_file, read_into};
use crate::units::FileOffset;

/// The most files of a server that are read at the same time.
const FILES_AT_ONCE: usize = 16;

/// Calls `each` with every extent and the part of `buf` for its bytes.
pub(super) fn each_buffer<'b>(
    extents: &[Extent],
    buf: &'b mut [u8],
    mut each: impl FnMut(&Extent, &'b mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut rest = buf;
    for extent in extents {
        let len = in_memory(extent.len)?;
        let (now, later) =
            rest.split_at_mut_checked(len).guaranteed("the buffer has room for the extents")?;
        rest = later;
        each(extent, now)?;
    }
    // Otherwise the rest of the buffer would keep its old bytes.
    rest.is_empty().then_some(()).guaranteed("the extents fill the buffer")
}

/// Fills `buf` with the bytes of extents of a chain, one after the other.
///
/// # Errors
/// [`Error::Io`] with the path of the file: that of the first extent that cannot be read.
pub(crate) fn read_by_layer(layers: &[Vhdx], extents: &[Extent], buf: &mut [u8]) -> Result<()> {
    let files: Vec<&dyn ReadAt> = layers.iter().map(Vhdx::storage).collect();
    read_all(&files, extents, buf, |layer, error| layers[layer].in_file(error))
}

/// As [`read_by_layer`], for files of any kind. `in_file` adds the path of a file to an error.
pub(super) fn read_all(
    files: &[&dyn ReadAt],
    extents: &[Extent],
    buf: &mut [u8],
    in_file: impl Fn(usize, Error) -> Error,
) -> Result<()> {
    let mut ranges: Vec<Vec<ReadRange<'_>>> = files.iter().map(|_| Vec::new()).collect();
    each_buffer(extents, buf, |extent, buf| {
        match extent.source {
            Source::Data { layer, offset } => {
                let ranges = ranges.get_mut(layer).guaranteed("an extent lies in a layer of its chain")?;
                ranges.push(ReadRange { offset, buf });
            }
            Source::Zero { .. } | Source::Unallocated => buf.fill(0),
        }
        Ok(())
    })?;
    let reads = files.iter().copied().zip(&mut ranges).filter(|(_, ranges)| !ranges.is_empty());
    if for_each_file(reads.collect(), FILES_AT_ONCE, |file, ranges| file.read_many(ranges)).is_ok() {
        return Ok(());
    }
    // One by one, to find out which extent is the first that cannot be read.
    each_buffer(extents, buf, |extent, buf| match extent.source {
        Source::Data { layer, offset } => {
            read_into(files[layer], buf, offset).map_err(|error| in_file(layer, error))
        }
        Source::Zero { .. } | Source::Unallocated => Ok(()),
    })
}

/// Announces the reads of extents of a chain.
pub(crate) fn announce_by_layer(layers: &[Vhdx], extents: &[Extent]) {
    let files: Vec<&dyn ReadAt> = layers.iter().map(Vhdx::storage).collect();
    announce_all(&files, extents);
}

/// As [`announce_by_layer`], for files of any kind.
pub(super) fn announce_all(files: &[&dyn ReadAt], extents: &[Extent]) {
    let mut ranges: Vec<Vec<Range<FileOffset>>> = files.iter().map(|_| Vec::new()).collect();
    for extent in extents {
        // Anything else is an error, which the read reports.
        if let Source::Data { layer, offset } = extent.source
            && let (Some(ranges), Some(end)) = (ranges.get_mut(layer), offset.checked_add(extent.len))
        {
            ranges.push(offset..end);
        }
    }
    for (file, ranges) in files.iter().zip(&mut ranges).filter(|(_, ranges)| !ranges.is_empty()) {
        file.announce(ranges);
    }
}
