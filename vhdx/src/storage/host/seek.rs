//! Finds data and holes on hosts whose `lseek` does.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Returns the start of the first data at or past `offset`. All is data if the file system does not report holes.
pub(in crate::storage) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL) => Ok((offset < file.metadata()?.len()).then_some(offset)),
        Err(error) => Err(error.into()),
    }
}

/// Returns the first offset at or past `offset` that is in a hole, or the end of the file.
pub(in crate::storage) fn next_hole(file: &File, offset: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Hole(offset)) {
        Ok(hole) => Ok(hole),
        Err(Errno::NXIO | Errno::INVAL) => Ok(file.metadata()?.len().max(offset)),
        Err(error) => Err(error.into()),
    }
}
