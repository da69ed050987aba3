//! Validates the folder that shall show the disks.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Returns an error unless `path` is an existing empty folder, which can be mounted over.
///
/// # Errors
/// [`Error::Mountpoint`] with the reason.
pub fn validate_mountpoint(path: &Path) -> Result<()> {
    let failure = |why: &str, source: Option<io::Error>| Error::Mountpoint {
        path: path.to_owned(),
        why: why.to_owned(),
        source,
    };
    let unusable = |error: io::Error| match error.kind() {
        _ if is_dead_mount(&error) => failure(
            "the process that served this mount was killed; unmount it with `fusermount3 -u`",
            Some(error),
        ),
        io::ErrorKind::NotFound => failure("the folder does not exist; create it first", None),
        _ => failure("the folder cannot be used", Some(error)),
    };
    // The kernel may still know the attributes of a dead mount, so that only listing it fails.
    if !fs::metadata(path).map_err(unusable)?.is_dir() {
        return Err(failure("it is not a folder", None));
    }
    match fs::read_dir(path).map_err(unusable)?.next() {
        None => Ok(()),
        Some(Ok(_)) => Err(failure("the folder is not empty; use an empty one", None)),
        Some(Err(error)) => Err(unusable(error)),
    }
}

/// Whether the folder belongs to a mount whose server has ended.
fn is_dead_mount(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOTCONN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(path: &Path) -> String {
        validate_mountpoint(path).unwrap_err().to_string()
    }

    #[test]
    fn only_an_empty_folder_can_be_a_mountpoint() {
        let folder = tempfile::tempdir().unwrap();
        assert!(validate_mountpoint(folder.path()).is_ok());
        let file = folder.path().join("file");
        assert!(reason(&file).contains("does not exist"));
        fs::write(&file, "").unwrap();
        assert!(reason(&file).contains("not a folder"));
        assert!(reason(folder.path()).contains("not empty"));
    }
}
