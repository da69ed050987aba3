//! File operations of Linux: locks, zeroing, holes and shared blocks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::path::Path;

use nix::errno::Errno as LockError;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FallocateFlags, OFlags, SeekFrom, copy_file_range, fallocate, fstatfs};
use rustix::io::Errno;

use super::unix::open_waiting_for_nothing;
use crate::error::Bounded;
use crate::units::at_most;

/// Opens a file without changing its access time, if this user may.
pub(in crate::storage) fn open_readable(path: &Path) -> io::Result<File> {
    let open = |flags| open_waiting_for_nothing(OpenOptions::new().read(true), path, flags);
    // Only the owner of a file may open it with O_NOATIME.
    match open(OFlags::NOATIME) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => return result,
    }
    open(OFlags::empty())
}

pub(in crate::storage) fn open_unchanging(path: &Path) -> io::Result<File> {
    open_readable(path)
}

/// Locks a file exclusively until [`unlock`].
///
/// `flock` keeps out programs that use it. An open file description lock over the whole file keeps out programs that
/// lock single bytes, such as QEMU. A file system without locks is not an error.
pub(in crate::storage) fn lock(file: &File) -> io::Result<()> {
    flock(file, File::try_lock)?;
    set(file, &range(libc::F_WRLCK, 0, 0))
}

/// Keeps writers out until [`unlock`], and fails if one has the file open.
///
/// QEMU locks single bytes to mark what it does to a file, and others to mark what nobody else may do. This function
/// tests the former for a writer and locks the latter against writers, so QEMU can still read the file.
pub(in crate::storage) fn lock_shared(file: &File) -> io::Result<()> {
    // Each is the first of three bytes: write, write unchanged data, resize.
    const DOES: libc::off_t = 101;
    const NOBODY_ELSE_MAY: libc::off_t = 201;
    set(file, &range(libc::F_RDLCK, NOBODY_ELSE_MAY, 3))?;
    let mut found = range(libc::F_WRLCK, DOES, 3);
    match fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)) {
        Ok(_) if libc::c_int::from(found.l_type) != libc::F_UNLCK => {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Err(error) if !has_no_locks(&error.into()) => return Err(error.into()),
        Err(_) | Ok(_) => {}
    }
    // NFS turns a `flock` into a lock over all bytes, which the next reader would mistake for a writer's.
    if file_system(file)? == NFS {
        return Ok(());
    }
    flock(file, File::try_lock_shared)
}

/// As [`lock_shared`], for a file that is already open.
///
/// No other handle is needed, so it returns `None`.
pub(in crate::storage) fn hold_shared(file: &File) -> io::Result<Option<File>> {
    lock_shared(file).map(|()| None)
}

/// Releases all locks that this module takes.
pub(in crate::storage) fn unlock(file: &File) {
    let _ = set(file, &range(libc::F_UNLCK, 0, 0));
    let _ = file.unlock();
}

/// Takes a `flock`, except on a Windows share.
///
/// Both kinds of locks are the same there, and the one that is held would block the other.
fn flock(file: &File, try_lock: impl Fn(&File) -> Result<(), TryLockError>) -> io::Result<()> {
    if is_windows_share(file)? {
        return Ok(());
    }
    match try_lock(file) {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) if !has_no_locks(&error) => Err(error),
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// Returns a range to lock. A length of 0 means the rest of the file.
fn range(kind: libc::c_int, start: libc::off_t, len: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

fn set(file: &File, range: &libc::flock) -> io::Result<()> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(range)) {
        Err(LockError::EAGAIN | LockError::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) if !has_no_locks(&error.into()) => Err(error.into()),
        Err(_) | Ok(_) => Ok(()),
    }
}

fn has_no_locks(error: &io::Error) -> bool {
    let without = [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::NOLCK];
    without.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Zeroes a range and reserves its space. Returns `false` if the zeros must be written.
///
/// This is the case if the file system has no such call, and on a Windows share, where the call has side effects.
pub(in crate::storage) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    Ok(!is_windows_share(file)? && allocate(file, FallocateFlags::ZERO_RANGE, offset, len)?)
}

/// Punches a hole, and returns `true`.
///
/// Returns `false` if the file system has no such call, and on a Windows share, where the call has side effects.
pub(in crate::storage) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(!is_windows_share(file)? && allocate(file, flags, offset, len)?)
}

fn allocate(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<bool> {
    loop {
        match fallocate(file, flags, offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the first hole at or past `offset`.
///
/// Returns `None` if the file system does not report holes.
pub(in crate::storage) fn hole_after(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let seek = |to| match rustix::fs::seek(file, to) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None), // only holes follow, or the file ends
        Err(error) => Err(error),
    };
    let found = || match seek(SeekFrom::Hole(offset))? {
        Some(start) => Ok(start..seek(SeekFrom::Data(start))?.unwrap_or(u64::MAX)),
        None => Ok(offset..u64::MAX),
    };
    match found() {
        Ok(hole) => Ok(Some(hole)),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// In bytes: the block size of file systems that share blocks, or a multiple of it.
pub(in crate::storage) const SHARED_UNIT: u64 = 4096;
/// Shorter runs, in bytes, are faster to copy than to share, because sharing changes the file system's metadata.
const LEAST_SHARED: u64 = 1 << 20;

/// Lets two files share blocks instead of copying them, if their file system can.
///
/// Returns how many bytes are shared, counted from the start. The caller copies the rest.
pub(in crate::storage) fn share(
    source: &File,
    from: u64,
    target: &File,
    to: u64,
    len: u64,
) -> io::Result<u64> {
    let is_aligned = from.is_multiple_of(SHARED_UNIT) && to.is_multiple_of(SHARED_UNIT);
    if !is_aligned || len < LEAST_SHARED || !SHARING.contains(&file_system(target)?) {
        return Ok(0);
    }
    let (whole, mut shared) = (len - len % SHARED_UNIT, 0);
    while shared < whole {
        let (mut from, mut to) = (from.plus(shared)?, to.plus(shared)?);
        let left = at_most(whole - shared, usize::MAX);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            Ok(0) => return Ok(shared), // the source has ended; reading it gives a clearer error
            Ok(count) => shared = shared.plus(count as u64)?,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(shared),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(shared)
}

/// Returns whether [`share`] can share blocks of this file.
pub(in crate::storage) fn shares_blocks(file: &File) -> bool {
    file_system(file).is_ok_and(|kind| SHARING.contains(&kind))
}

/// The longest extension, in bytes, that does not make a file on a Windows share sparse.
///
/// Linux sets the sparse attribute there if it punches a hole or extends a file by more. Hyper-V refuses sparse files.
const EXTENDED_WITHOUT_HOLE: u64 = 8192;

/// Returns whether `set_len` would make the file sparse.
///
/// The extension must then be written instead.
pub(in crate::storage) fn set_len_makes_sparse(file: &File, len: u64) -> io::Result<bool> {
    let growth = len.checked_sub(file.metadata()?.len());
    Ok(growth.is_some_and(|growth| growth > EXTENDED_WITHOUT_HOLE) && is_windows_share(file)?)
}

const SMB: [u32; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42]; // SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC
const SHARING: [u32; 2] = [0x5846_5342, 0x9123_683e]; // XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC
/// BTRFS_SUPER_MAGIC, the numbers of ZFS and bcachefs, F2FS_SUPER_MAGIC, NILFS_SUPER_MAGIC
const COPY_ON_WRITE: [u32; 5] = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0xf2f5_2010, 0x3434];
const NFS: u32 = 0x6969; // NFS_SUPER_MAGIC

/// Returns whether the file system of a file overwrites bytes in place, without new space.
///
/// Blocks that files share are copied on write on every file system.
pub(in crate::storage) fn overwrites_in_place(file: &Path) -> io::Result<bool> {
    Ok(!COPY_ON_WRITE.contains(&file_system(&File::open(file)?)?))
}

fn is_windows_share(file: &File) -> io::Result<bool> {
    Ok(SMB.contains(&file_system(file)?))
}

/// Returns the magic number of a file's file system.
fn file_system(file: &File) -> io::Result<u32> {
    Ok(fstatfs(file)?.f_type as u32) // the type of the field depends on the processor
}
