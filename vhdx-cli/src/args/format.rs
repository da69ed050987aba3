//! The formats that vhdx reads and writes.

use std::ffi::OsStr;
use std::path::Path;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Raw,
    Vhdx,
}

impl Format {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Vhdx => "vhdx",
        }
    }

    /// Returns the format that the extension of a file name stands for, if any.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
        match extension.as_str() {
            "vhdx" | "avhdx" => Some(Format::Vhdx),
            "raw" | "img" | "dd" => Some(Format::Raw),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_stand_for_formats() {
        assert_eq!(Format::of_name(Path::new("a/b.AVHDX")), Some(Format::Vhdx));
        assert_eq!(Format::of_name(Path::new("disk.img")), Some(Format::Raw));
        assert_eq!(Format::of_name(Path::new("disk")), None);
        assert_eq!(Format::of_name(Path::new("disk.qcow2")), None);
    }
}
