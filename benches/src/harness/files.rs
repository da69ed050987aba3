//! Copies of files, and checks of results.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use vhdx::ops::compare;
use vhdx::{Chain, FolderResolver, Jobs, NoProgress, RawDisk};
use vhdx_testkit::content;

const BUFFER: usize = 1 << 20;

/// Returns the offsets and lengths of the runs of data that the file system reports.
pub(crate) fn data_runs(file: &File) -> Result<Vec<(u64, u64)>> {
    let (mut runs, mut at) = (Vec::new(), 0);
    loop {
        let start = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(runs),
            start => start?,
        };
        at = seek(file, SeekFrom::Hole(start))?;
        runs.push((start, at - start));
    }
}

/// Returns the number of bytes of data in a file.
pub(crate) fn data_bytes(path: &Path) -> Result<u64> {
    Ok(data_runs(&File::open(path)?)?.iter().map(|(_, len)| len).sum())
}

/// Copies the data of a file into an existing or a new file, without a sync.
fn copy_sparse(source: &Path, target: &Path) -> Result<()> {
    let from = File::open(source).with_context(|| source.display().to_string())?;
    let to = File::options().write(true).create(true).truncate(false).open(target)?;
    to.set_len(from.metadata()?.len())?;
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, BUFFER);
    for (start, len) in data_runs(&from)? {
        let mut done = 0;
        while done < len {
            let part = usize::try_from(len - done).map_or(BUFFER, |rest| rest.min(BUFFER));
            from.read_exact_at(&mut buf[..part], start + done)?;
            to.write_all_at(&buf[..part], start + done)?;
            done += part as u64;
        }
    }
    Ok(())
}

/// Returns a buffer in `bytes` that starts at a cache line, like the library's own buffers.
///
/// Some processors copy half as fast into a buffer that starts anywhere else.
pub(crate) fn buffer(bytes: &mut Vec<u8>, len: usize) -> &mut [u8] {
    aligned(bytes, len, 64)
}

/// Returns a buffer in `bytes` that is aligned for direct access.
pub(crate) fn aligned_buffer(bytes: &mut Vec<u8>, len: usize) -> &mut [u8] {
    aligned(bytes, len, 4096)
}

fn aligned(bytes: &mut Vec<u8>, len: usize, align: usize) -> &mut [u8] {
    bytes.resize(len + align, 0);
    let start = bytes.as_ptr().align_offset(align);
    &mut bytes[start..start + len]
}

/// Makes a new copy that shares no blocks, in the page cache and on the medium.
pub(crate) fn fresh_copy(source: &Path, target: &Path) -> Result<()> {
    if let Err(error) = fs::remove_file(target)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    copy_sparse(source, target)?;
    sync(target)
}

pub(crate) fn sync(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}

/// Makes a file of zeros, in the page cache and on the medium, with space for all its bytes.
pub(crate) fn write_zeros(path: &Path, len: u64) -> Result<()> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    let mut bytes = Vec::new();
    let zeros = buffer(&mut bytes, BUFFER);
    let mut at = 0;
    while at < len {
        let part = usize::try_from(len - at).map_or(BUFFER, |rest| rest.min(BUFFER));
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(file.sync_all()?)
}

/// Makes a file without zeros, and syncs it.
pub(crate) fn write_content(path: &Path, len: u64) -> Result<()> {
    let file = File::create_new(path)?;
    let mut bytes = vec![0; BUFFER];
    for at in (0..len).step_by(BUFFER) {
        content(1, 0, at, &mut bytes);
        let part = usize::try_from(len - at).map_or(BUFFER, |rest| rest.min(BUFFER));
        file.write_all_at(&bytes[..part], at)?;
    }
    Ok(file.sync_all()?)
}

/// Checks that a chain of VHDX files has the content of a raw file.
pub(crate) fn verify_chain(leaf: &Path, expected: &Path) -> Result<()> {
    let chain = Chain::open(leaf, &FolderResolver::default())?;
    let found = compare(&chain, &RawDisk::open(expected)?, Jobs::default(), &NoProgress)?;
    match found.first_difference {
        None => Ok(()),
        Some(at) => bail!("{} differs from {} at {at}", leaf.display(), expected.display()),
    }
}

/// Checks that two raw files are equal.
pub(crate) fn verify_raw(made: &Path, expected: &Path) -> Result<()> {
    let found = compare(&RawDisk::open(made)?, &RawDisk::open(expected)?, Jobs::default(), &NoProgress)?;
    match found.first_difference {
        None => Ok(()),
        Some(at) => bail!("{} differs from {} at {at}", made.display(), expected.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_copy_replaces_the_old_file_and_keeps_holes() {
        let folder = tempfile::tempdir().unwrap();
        let [source, target] = ["a", "b"].map(|name| folder.path().join(name));
        File::create(&source).unwrap().write_all_at(b"x", 1 << 20).unwrap();
        fs::write(&target, b"y").unwrap();
        assert!(verify_raw(&target, &source).is_err());
        fresh_copy(&source, &target).unwrap();
        verify_raw(&target, &source).unwrap();
        assert!(data_bytes(&target).unwrap() <= 64 << 10);
    }
}
