//! Gives the errors of mounting their exit codes and hints.

use std::io::ErrorKind;

use vhdx_mount::Error;

use crate::exit::Failure;
use crate::output;

/// Returns the failure of the command.
pub(super) fn of(error: Error) -> Failure {
    let message = error.to_string();
    let failure = match &error {
        Error::Mountpoint { source: None, .. } | Error::Tree(_) => Failure::usage(message),
        _ => Failure::failed_io(message),
    };
    let hint = hint(&error);
    let failure = match error.path() {
        Some(path) => failure.in_file(path),
        None => failure,
    };
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn hint(error: &Error) -> Option<String> {
    let text = match error {
        Error::Mount { source, .. } if source.to_string().contains("user_allow_other") => {
            "add the line `user_allow_other` to /etc/fuse.conf, run the command as root, or leave out `--allow-other`"
        }
        Error::Mount { source, .. } if source.kind() == ErrorKind::NotFound => {
            "the kernel must have FUSE (`modprobe fuse`; in a container, /dev/fuse must be there), and users other \
             than root need `fusermount3` from the package fuse3. `vhdx serve FILE` needs neither"
        }
        Error::Mount { .. } => {
            "root can mount everywhere, other users only with `fusermount3` from the package fuse3, and on folders \
             that they own. A container needs /dev/fuse and the permission to mount. `vhdx serve FILE` needs none of this"
        }
        Error::Unmount { path } => {
            return Some(format!("unmount it with `fusermount3 -uz {}`", output::word(path)));
        }
        Error::Session(_) => "if the folder cannot be used any more, unmount it with `fusermount3 -u`",
        _ => return None,
    };
    Some(text.to_owned())
}
