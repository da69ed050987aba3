//! Plain work on files: copies, which are the limits of the comparisons, and checks of results.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{SeekFrom, copy_file_range, fdatasync, seek};
use rustix::io::Errno;
use vhdx::ops::compare;
use vhdx::{Chain, FolderResolver, Jobs, NoProgress, RawDisk};

const BUFFER: usize = 1 << 20;

/// A run of bytes to copy from one file into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyRun {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) len: u64,
}

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

/// Copies the data of a file with `pread` and `pwrite` into an existing or a new file.
pub(crate) fn copy_sparse(source: &Path, target: &Path, is_durable: bool) -> Result<()> {
    let from = File::open(source).with_context(|| source.display().to_string())?;
    let to = File::options().write(true).create(true).truncate(false).open(target)?;
    to.set_len(from.metadata()?.len())?;
    let runs = data_runs(&from)?;
    let runs: Vec<CopyRun> = runs.iter().map(|&(at, len)| CopyRun { from: at, to: at, len }).collect();
    copy_runs(&from, &to, &runs)?;
    if is_durable {
        fdatasync(&to)?;
    }
    Ok(())
}

/// Returns a buffer in `bytes` that starts at a cache line, like the library's own buffers.
///
/// Some processors copy half as fast into a buffer that starts anywhere else.
pub(crate) fn buffer(bytes: &mut Vec<u8>, len: usize) -> &mut [u8] {
    const LINE: usize = 64;
    bytes.resize(len + LINE, 0);
    let start = bytes.as_ptr().align_offset(LINE);
    &mut bytes[start..start + len]
}

fn copy_runs(from: &File, to: &File, runs: &[CopyRun]) -> Result<()> {
    let mut bytes = Vec::new();
    let buf = buffer(&mut bytes, BUFFER);
    for run in runs {
        let mut done = 0;
        while done < run.len {
            let part = usize::try_from(run.len - done).map_or(BUFFER, |rest| rest.min(BUFFER));
            from.read_exact_at(&mut buf[..part], run.from + done)?;
            to.write_all_at(&buf[..part], run.to + done)?;
            done += part as u64;
        }
    }
    Ok(())
}

/// Copies runs into an existing file, and syncs it. This is the least that a merge must do.
pub(crate) fn copy_extents(list: &Path, source: &Path, target: &Path, in_kernel: bool) -> Result<()> {
    let runs = read_runs(list)?;
    let (from, to) = (File::open(source)?, File::options().read(true).write(true).open(target)?);
    if in_kernel {
        for run in &runs {
            let (mut at, mut dest, mut rest) = (run.from, run.to, run.len);
            while rest > 0 {
                let len = usize::try_from(rest).unwrap_or(usize::MAX);
                match copy_file_range(&from, Some(&mut at), &to, Some(&mut dest), len)? {
                    0 => bail!("{} ends too early", source.display()),
                    copied => rest -= copied as u64,
                }
            }
        }
    } else {
        copy_runs(&from, &to, &runs)?;
    }
    Ok(fdatasync(&to)?)
}

/// Makes a new copy that shares no blocks, in the page cache and on the medium.
pub(crate) fn fresh_copy(source: &Path, target: &Path) -> Result<()> {
    if let Err(error) = fs::remove_file(target)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    copy_sparse(source, target, false)?;
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

/// Writes runs for [`read_runs`], one line each.
pub(crate) fn write_runs(list: &Path, runs: &[CopyRun]) -> Result<()> {
    let lines = runs.iter().map(|run| format!("{} {} {}\n", run.from, run.to, run.len));
    Ok(fs::write(list, lines.collect::<String>())?)
}

pub(crate) fn read_runs(list: &Path) -> Result<Vec<CopyRun>> {
    let run = |line: &str| {
        let mut numbers = line.split(' ').map(str::parse);
        let mut next = || numbers.next().context("a run is three numbers")?.context("not a number");
        Ok(CopyRun { from: next()?, to: next()?, len: next()? })
    };
    fs::read_to_string(list)?.lines().map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_back_and_copied() {
        let folder = tempfile::tempdir().unwrap();
        let [list, source, kernel, plain] = ["list", "a", "b", "c"].map(|name| folder.path().join(name));
        let runs = [CopyRun { from: 1, to: 5, len: 3 }, CopyRun { from: 7, to: 0, len: 1 }];
        write_runs(&list, &runs).unwrap();
        assert_eq!(read_runs(&list).unwrap(), runs);
        fs::write(&source, b"01234567").unwrap();
        for (target, in_kernel) in [(&kernel, true), (&plain, false)] {
            fs::write(target, b"........").unwrap();
            copy_extents(&list, &source, target, in_kernel).unwrap();
            assert_eq!(fs::read(target).unwrap(), b"7....123");
        }
        verify_raw(&kernel, &plain).unwrap();
        assert!(verify_raw(&kernel, &source).is_err());
    }

    #[test]
    fn holes_are_not_copied_over_existing_data() {
        let folder = tempfile::tempdir().unwrap();
        let [source, target] = ["a", "b"].map(|name| folder.path().join(name));
        File::create(&source).unwrap().write_all_at(b"x", 1 << 20).unwrap();
        fs::write(&target, b"y").unwrap();
        copy_sparse(&source, &target, true).unwrap();
        let made = fs::read(&target).unwrap();
        assert_eq!((made.len(), made[0], made[1 << 20]), ((1 << 20) + 1, b'y', b'x'));
        fresh_copy(&source, &target).unwrap();
        verify_raw(&target, &source).unwrap();
    }
}
