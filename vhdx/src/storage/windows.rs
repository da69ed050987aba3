//! What only Windows offers to files.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::MetadataExt;
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

/// The way the file was opened keeps everybody else out.
pub(super) fn lock(_: &File) -> io::Result<()> {
    Ok(())
}

/// The way the file was opened keeps those out that write.
pub(super) fn lock_shared(_: &File) -> io::Result<()> {
    Ok(())
}

/// Opens a file again without sharing it with writers, which fails while one has it open. `None` where the file system
/// cannot open a file again: it has no locks then, and readers compare the file at the end.
pub(super) fn hold_shared(file: &File) -> io::Result<Option<File>> {
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

/// What is not inherited ends with the file.
pub(super) fn unlock(_: &File) {}

pub(super) fn is_sharing_violation(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(code, Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

/// `false` when the zeros must be written: in a sparse or compressed file, zeroing would give the space back.
pub(super) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if metadata.file_attributes() & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED) != 0 {
        return Ok(false);
    }
    let end = offset.saturating_add(len);
    if end > metadata.len() {
        file.set_len(end)?; // space is reserved for the whole length of a file that is not sparse
    }
    Ok(set_zero_data(file, offset, end))
}

/// `false` when the file may have no holes. The sparse attribute is never set here: Hyper-V refuses such files.
pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let is_sparse = file.metadata()?.file_attributes() & FILE_ATTRIBUTE_SPARSE_FILE != 0;
    Ok(is_sparse && set_zero_data(file, offset, offset.saturating_add(len)))
}

/// Whatever it is, nothing is shared.
pub(super) const SHARED_UNIT: u64 = 1;

/// Always 0: the bytes are to be copied.
pub(super) fn share(_: &File, _: u64, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Ok(0)
}

/// Only what lies past the end, if the file may have no holes, and has space for all its bytes.
pub(super) fn hole_after(file: &File, offset: u64) -> io::Result<Option<Range<u64>>> {
    let metadata = file.metadata()?;
    let has_holes =
        metadata.file_attributes() & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED) != 0;
    Ok(if has_holes { None } else { Some(metadata.len().max(offset)..u64::MAX) })
}

/// Whether an extension must be written instead.
pub(super) fn set_len_makes_sparse(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Whether the file system zeroed the range. Why it did not does not matter: the zeros will be written, which finds the
/// same reason if it is a real one.
fn set_zero_data(file: &File, start: u64, end: u64) -> bool {
    let (Ok(start), Ok(end)) = (i64::try_from(start), i64::try_from(end)) else { return false };
    let range = FILE_ZERO_DATA_INFORMATION { FileOffset: start, BeyondFinalZero: end };
    let mut returned = 0;
    // SAFETY: the handle is open for as long as `file` is borrowed, and it is synchronous, so the call may go without an
    // OVERLAPPED and is over when it returns. It reads `range`, whose size is given, and writes only `returned`; there
    // is no output buffer.
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

/// How many bytes a file of this user may still take on the volume of a folder.
pub(super) fn free_space(folder: &Path) -> io::Result<u64> {
    // The verbatim form of the path has no limit of length; the call wants a backslash behind a share's name.
    let folder = folder.canonicalize()?.join("");
    let folder: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    let mut available = 0;
    // SAFETY: `folder` ends with a zero and lives as long as the call, which writes one number, `available`; it leaves
    // out the other two, whose pointers are null.
    let done =
        unsafe { GetDiskFreeSpaceExW(folder.as_ptr(), &mut available, ptr::null_mut(), ptr::null_mut()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(available) }
}
