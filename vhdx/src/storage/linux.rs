//! What only Linux offers to files.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;

use nix::errno::Errno as LockError;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, fstatfs};
use rustix::io::Errno;

/// Keeps others out until `unlock`: those that use `flock`, and with a lock over the whole file those that,
/// like QEMU, lock single bytes of it. A file system without locks is no reason to refuse.
pub(super) fn lock(file: &File) -> io::Result<()> {
    flock(file, File::try_lock)?;
    set(file, &range(libc::F_WRLCK, 0, 0))
}

/// Keeps those out that write, until `unlock`, and finds those that do. QEMU marks what it does to a file, and
/// what nobody else may do, by locks on single bytes, which are not in the way of its readers here.
pub(super) fn lock_shared(file: &File) -> io::Result<()> {
    // For each of the two: write, write what is there already, resize.
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
    // NFS makes it a lock over all bytes: the next one who shares the file would take this one for a writer.
    if file_system(file)? == NFS {
        return Ok(());
    }
    flock(file, File::try_lock_shared)
}

/// As [`lock_shared`], for a file that is open already.
pub(super) fn hold_shared(file: &File) -> io::Result<Option<File>> {
    lock_shared(file).map(|()| None)
}

/// Gives up what the functions above have taken.
pub(super) fn unlock(file: &File) {
    let _ = set(file, &range(libc::F_UNLCK, 0, 0));
    let _ = file.unlock();
}

/// On a share of Windows both kinds of locks are one and the same, and the second would be refused because of the first.
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

/// A length of 0 is the whole rest of the file.
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

/// `false` when the file system has no such call, or would do more than it should.
pub(super) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    Ok(!is_windows_share(file)? && allocate(file, FallocateFlags::ZERO_RANGE, offset, len)?)
}

/// `false` when the file system has no such call, or would do more than it should.
pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
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

/// What the file system has to say of holes.
pub(super) fn hole_after(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let seek = |to| match rustix::fs::seek(file, to) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None), // nothing but holes, or the end of the file
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

/// File systems share whole blocks of this many bytes, or a part of it.
pub(super) const SHARED_UNIT: u64 = 4096;
/// What is shorter is copied faster than shared: each piece that is shared is a change of the file system's metadata.
const LEAST_SHARED: u64 = 1 << 20;

/// Lets two files share bytes instead of copying them, where their file system can. How many, from the beginning: the
/// rest is left to be copied.
pub(super) fn share(source: &File, from: u64, target: &File, to: u64, len: u64) -> io::Result<u64> {
    let is_aligned = from.is_multiple_of(SHARED_UNIT) && to.is_multiple_of(SHARED_UNIT);
    if !is_aligned || len < LEAST_SHARED || !SHARING.contains(&file_system(target)?) {
        return Ok(0);
    }
    let (whole, mut shared) = (len - len % SHARED_UNIT, 0);
    while shared < whole {
        let (mut from, mut to) = (from.saturating_add(shared), to.saturating_add(shared));
        let left = usize::try_from(whole - shared).unwrap_or(usize::MAX);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            Ok(0) => return Ok(shared), // the source has ended, which reading it says better
            Ok(count) => shared = shared.saturating_add(count as u64),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(shared),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(shared)
}

/// On a share of Windows, Linux gives a file the sparse attribute when it punches a hole or extends the file by more
/// than this, and Hyper-V refuses such files.
const EXTENDED_WITHOUT_HOLE: u64 = 8192;

/// Whether an extension must be written instead.
pub(super) fn set_len_makes_sparse(file: &File, len: u64) -> io::Result<bool> {
    let growth = len.saturating_sub(file.metadata()?.len());
    Ok(growth > EXTENDED_WITHOUT_HOLE && is_windows_share(file)?)
}

const SMB: [u32; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42]; // SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC
const SHARING: [u32; 2] = [0x5846_5342, 0x9123_683e]; // XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC
/// BTRFS_SUPER_MAGIC, those of ZFS and bcachefs, F2FS_SUPER_MAGIC, NILFS_SUPER_MAGIC
const COPY_ON_WRITE: [u32; 5] = [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0xf2f5_2010, 0x3434];
const NFS: u32 = 0x6969; // NFS_SUPER_MAGIC

/// Whether the file system of a file writes over bytes where they are, and takes no new space for them. Blocks that files
/// share are copied on write on any file system.
pub(super) fn overwrites_in_place(file: &File) -> io::Result<bool> {
    Ok(!COPY_ON_WRITE.contains(&file_system(file)?))
}

fn is_windows_share(file: &File) -> io::Result<bool> {
    Ok(SMB.contains(&file_system(file)?))
}

/// The magic number of the file system.
fn file_system(file: &File) -> io::Result<u32> {
    Ok(fstatfs(file)?.f_type as u32) // its type and width depend on the processor
}
