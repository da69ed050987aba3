//! The failure to read a configuration.

use std::path::Path;

use hyperv_config::{Error, ErrorKind};
use vhdx::{FileFormat, FileStorage};

use crate::exit::Failure;
use crate::output::word;

/// Returns the failure for an error of the reader.
pub(super) fn of(path: &Path, error: &Error) -> Failure {
    let message = error.to_string();
    let failure = match error.kind() {
        ErrorKind::NotARegularFile => Failure::usage(message),
        ErrorKind::Unsupported => Failure::unsupported(message),
        ErrorKind::Corrupt => Failure::corrupt(message),
        _ => Failure::failed_io(message),
    };
    let failure = failure.in_file(path);
    let failure = match error.offset() {
        Some(offset) => failure.with_details([("offset", offset.into())]),
        None => failure,
    };
    match error {
        Error::NotAConfiguration => match hint(path) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        },
        _ => failure,
    }
}

/// Returns what to do with a file that is no configuration.
fn hint(path: &Path) -> Option<String> {
    let found = FileStorage::open(path).ok().and_then(|file| FileFormat::of(&file).ok());
    Some(match found? {
        Some(FileFormat::Vhdx) => {
            format!("the file is a virtual disk: `vhdx info {}` shows the facts about it", word(path))
        }
        Some(format) if format.is_packed() => format!("the file looks like {format}: unpack it first"),
        Some(format) => format!("the file looks like {format}"),
        None => "Hyper-V keeps the configurations of its virtual machines as .vmcx files in folders named \
                 `Virtual Machines`"
            .to_owned(),
    })
}
