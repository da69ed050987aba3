//! What a new file is made with, and what both kinds of hosts share.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// What a new file is made with.
#[derive(Clone, Copy)]
pub(in crate::commands::cp) struct Making {
    /// The permission bits, if the disk has them. The host's mask applies.
    #[cfg_attr(windows, allow(dead_code))] // Windows has none
    pub(in crate::commands::cp) mode: Option<u32>,
    /// Replaces an existing file. A file that this command has made, or that it reads, is never replaced.
    pub(in crate::commands::cp) replace: bool,
}

/// What happens at the end of a new file.
#[derive(Clone, Copy)]
pub(in crate::commands::cp) struct Finishing {
    pub(in crate::commands::cp) modified: Option<SystemTime>,
    /// Makes the file durable now.
    pub(in crate::commands::cp) sync: bool,
}

/// Returns the start of the name that a file has until it is complete. It is shortened, because names have at most 255
/// bytes.
pub(super) fn prefix(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    let fits = |&(at, letter): &(usize, char)| at + letter.len_utf8() <= 200;
    let start: String = name.char_indices().take_while(fits).map(|(_, letter)| letter).collect();
    format!(".{start}.")
}

/// Only this error has the kind `AlreadyExists`: it means that `--force` helps.
pub(super) fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "a file of this name exists")
}

pub(super) fn is_known() -> io::Error {
    io::Error::other(
        "this command already copied a file to this name, or it is a file of the disk itself; choose another DEST",
    )
}

pub(super) fn is_no_file() -> io::Error {
    io::Error::other(
        "a folder, device, pipe or socket of this name exists, or a link to one, which is never replaced; choose \
         another DEST",
    )
}

pub(super) fn is_no_folder() -> io::Error {
    io::Error::other(
        "a file or link of this name exists, where a folder should be; remove it, or choose another DEST",
    )
}

/// Returns a path that can be listed: `.` for an empty one.
pub(super) fn listable(path: &Path) -> &Path {
    if path == Path::new("") { Path::new(".") } else { path }
}
