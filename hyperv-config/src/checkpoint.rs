//! What is known about the configurations of checkpoints.

use std::path::Path;

/// The remark for the name and the time of a checkpoint's configuration.
///
/// No configuration of a checkpoint (`Snapshots/<GUID>.vmcx`) was available when this crate was written. Its keys are
/// read like those of a machine, but it is only presumed that the name and the time are those of the checkpoint. A
/// caller that reads a file in a folder named `Snapshots` should show this remark beside
/// [`Machine::name`](crate::Machine::name) and [`Machine::created`](crate::Machine::created).
pub const AS_STORED: &str = "as stored; not verified on a real checkpoint file";

/// Returns whether a file is in a folder named `Snapshots`, in which Hyper-V stores the configurations of checkpoints.
///
/// A relative path is taken from the working folder. Only names are compared, in any case.
pub fn is_in_snapshots(path: &Path) -> bool {
    // Without a working folder, the path itself is all that is known.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(Path::file_name);
    folder.is_some_and(|name| name.eq_ignore_ascii_case("Snapshots"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_of_the_file_counts() {
        assert!(
            is_in_snapshots(Path::new("/vm/Snapshots/a.vmcx"))
                && is_in_snapshots(Path::new("snapshots/a.vmcx"))
        );
        assert!(
            !is_in_snapshots(Path::new("/vm/Snapshots/b/a.vmcx"))
                && !is_in_snapshots(Path::new("/Snapshots"))
        );
    }
}
