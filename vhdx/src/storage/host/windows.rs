//! File operations of Windows: locks, zeroing, holes and free space.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::Path;
use std::{mem, ptr};

use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_FUNCTION, ERROR_LOCK_VIOLATION, ERROR_NOT_SUPPORTED,
    ERROR_SHARING_VIOLATION, GENERIC_READ, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_COMPRESSED, FILE_ATTRIBUTE_SPARSE_FILE, FILE_SHARE_READ, GetDiskFreeSpaceExW, ReOpenFile,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{FILE_ZERO_DATA_INFORMATION, FSCTL_SET_ZERO_DATA};

/// Does nothing: the share mode of the open file keeps everybody else out.
pub(in crate::storage) fn lock(_: &File) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the share mode of the open file keeps writers out.
pub(in crate::storage) fn lock_shared(_: &File) -> io::Result<()> {
    Ok(())
}

/// Opens a file again without sharing it with writers. This fails while a writer has it open.
///
/// Returns `None` if the file system cannot reopen files. Then there is no lock, but readers compare the file at the
/// end.
pub(in crate::storage) fn hold_shared(file: &File) -> io::Result<Option<File>> {
    // SAFETY: the handle is open for as long as `file` is borrowed.
    let handle = unsafe { ReOpenFile(file.as_raw_handle(), GENERIC_READ, FILE_SHARE_READ, 0) };
    if handle == INVALID_HANDLE_VALUE {
        let error = io::Error::last_os_error();
        return if has_no_locks(&error) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the handle was just opened, and nothing else owns it.
    Ok(Some(unsafe { File::from_raw_handle(handle) }))
}

fn has_no_locks(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(code, Some(ERROR_NOT_SUPPORTED | ERROR_INVALID_FUNCTION | ERROR_CALL_NOT_IMPLEMENTED))
}

/// Does nothing: processes do not inherit the handle, so closing it ends the lock.
pub(in crate::storage) fn unlock(_: &File) {}

pub(in crate::storage) fn is_sharing_violation(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(code, Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

/// Zeroes a range and reserves its space. Returns `false` if the zeros must be written.
///
/// This is the case if the call fails, and in a sparse or compressed file, where it would free the space.
pub(in crate::storage) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if metadata.file_attributes() & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED) != 0 {
        return Ok(false);
    }
    let end = offset.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    if end > metadata.len() {
        file.set_len(end)?; // a file that is not sparse has space for its whole length
    }
    Ok(set_zero_data(file, offset, end))
}

/// Punches a hole. Returns `false` if the file is not sparse, or if the call fails.
///
/// The sparse attribute is never set here, because Hyper-V refuses sparse files.
pub(in crate::storage) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let is_sparse = file.metadata()?.file_attributes() & FILE_ATTRIBUTE_SPARSE_FILE != 0;
    let end = offset.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(is_sparse && set_zero_data(file, offset, end))
}

/// Has no effect, because nothing is shared.
pub(in crate::storage) const SHARED_UNIT: u64 = 1;

/// Returns `false`: the bytes must be copied.
pub(in crate::storage) fn shares_blocks(_: &File) -> bool {
    false
}

/// Returns 0: the bytes must be copied.
pub(in crate::storage) fn share(_: &File, _: u64, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Ok(0)
}

/// Returns everything past the end, if the file has space for all its bytes.
///
/// Returns `None` if it may have holes.
pub(in crate::storage) fn hole_after(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let metadata = file.metadata()?;
    let has_holes =
        metadata.file_attributes() & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED) != 0;
    Ok(if has_holes { None } else { Some(metadata.len().max(offset)..u64::MAX) })
}

/// Returns whether `set_len` would make the file sparse.
///
/// The extension must then be written instead.
pub(in crate::storage) fn set_len_makes_sparse(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Zeroes a range, and returns whether that succeeded.
///
/// The reason for a failure is not needed: the caller then writes zeros, which reports a real error too.
fn set_zero_data(file: &File, start: u64, end: u64) -> bool {
    let (Ok(start), Ok(end)) = (i64::try_from(start), i64::try_from(end)) else { return false };
    let range = FILE_ZERO_DATA_INFORMATION { FileOffset: start, BeyondFinalZero: end };
    let mut returned = 0;
    // SAFETY: the handle is open for as long as `file` is borrowed. It is synchronous, so the call needs no OVERLAPPED
    // and has finished when it returns. It reads `range`, whose size is given, and writes only `returned`; there is no
    // output buffer.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_ZERO_DATA,
            ptr::from_ref(&range).cast(),
            mem::size_of_val(&range) as u32,
            ptr::null_mut(),
            0,
            &mut returned,
            ptr::null_mut(),
        )
    };
    done != 0
}

/// Returns how many bytes this user may still allocate on the volume of a folder, and how many the user may have there.
pub(in crate::storage) fn volume_space(folder: &Path) -> io::Result<Option<(u64, u64)>> {
    // The verbatim form of a path may have any length. The call needs a backslash after the name of a share.
    let folder = folder.canonicalize()?.join("");
    let folder: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    let (mut available, mut size) = (0, 0);
    // SAFETY: `folder` ends with a zero and outlives the call. The call writes only `available` and `size`; the pointer
    // of the third result is null.
    let done = unsafe { GetDiskFreeSpaceExW(folder.as_ptr(), &mut available, &mut size, ptr::null_mut()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(Some((available, size))) }
}

pub(in crate::storage) fn is_regular(file: &File) -> io::Result<bool> {
    Ok(winapi_util::file::typ(file)?.is_disk() && file.metadata()?.is_file())
}

/// Shares the file for reading, writing and deleting.
pub(in crate::storage) fn open_readable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// Shares the file with nobody: while it is open, Hyper-V and all others fail to open it.
pub(in crate::storage) fn open_writable(path: &Path) -> io::Result<File> {
    const SHARE_NOTHING: u32 = 0;
    OpenOptions::new().read(true).write(true).share_mode(SHARE_NOTHING).open(path)
}

/// Shares the file for reading only. It is synced first: that needs a writable handle, which this one excludes.
pub(in crate::storage) fn open_unchanging(path: &Path) -> io::Result<File> {
    const SHARE_READ: u32 = 1;
    if let Ok(file) = OpenOptions::new().write(true).share_mode(SHARE_READ).open(path) {
        file.sync_all()?;
    }
    OpenOptions::new().read(true).share_mode(SHARE_READ).open(path)
}

/// Does nothing, because [`open_unchanging`] has synced the file.
pub(in crate::storage) fn sync_written(_: &File) -> io::Result<()> {
    Ok(())
}

pub(in crate::storage) fn read_exact_at(file: &File, mut buf: &mut [u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    while !buf.is_empty() {
        match file.seek_read(buf, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(in crate::storage) fn write_all_at(file: &File, mut buf: &[u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    while !buf.is_empty() {
        match file.seek_write(buf, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = &buf[n..];
                at += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Returns the number of a file's volume, and of the file on it.
pub(in crate::storage) fn identity(file: &File) -> io::Result<(u64, u64)> {
    let information = winapi_util::file::information(file)?;
    Ok((information.volume_serial_number(), information.file_index()))
}

pub(in crate::storage) fn allocated_bytes(path: &Path, _: &Metadata) -> io::Result<u64> {
    filesize::file_real_size(path)
}

/// Returns `None`: a new file inherits the permissions of its folder.
pub(in crate::storage) fn permissions_of_new_file() -> Option<Permissions> {
    None
}

/// Does nothing: this host has no call for it.
pub(in crate::storage) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns `true`: the file systems of this host are assumed to overwrite bytes in place.
pub(in crate::storage) fn overwrites_in_place(_: &Path) -> io::Result<bool> {
    Ok(true)
}
