//! Defines the options of `ls` and `cp`, and the form FILE:PATH.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use clap::builder::ValueHint;

use super::format::Format;
use super::option_groups::{Parents, Share};
use crate::remote;

/// List the files in a disk: NTFS, FAT, exFAT, ext2, ext3 and ext4
///
/// The disk reads as it was at this checkpoint. Nothing is mounted, and the disk is not changed. Separate PATH with
/// slashes; in file systems of Windows, backslashes work too.
#[derive(Debug, ClapArgs)]
pub(crate) struct Ls {
    /// The disk: VHDX, AVHDX or raw
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// A folder or file in it [default: the root folder]
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) path: String,
    /// Also list the files in all subfolders
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) volume: Volume,
}

/// Copy files and folders out of a disk
///
/// The disk reads as it was at this checkpoint. A new file is complete or absent. Nothing is written outside of DEST:
/// links and devices are not made, only reported. Modification times and holes are kept, and from ext on Unix permission
/// bits; owners, access control lists and named streams are not.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cp {
    /// A file or folder in a disk, such as `disk.avhdx:Users/me/a.txt`
    #[arg(required = true, value_name = "FILE:PATH", value_parser = Location::parse, value_hint = ValueHint::FilePath)]
    pub(crate) sources: Vec<Location>,
    /// An existing folder, or a new name; `-` writes one file to stdout
    #[arg(value_name = "DEST", value_hint = ValueHint::AnyPath)]
    pub(crate) destination: PathBuf,
    /// Also copy folders, with everything in them
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Replace files that exist
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) volume: Volume,
}

/// Which file system of a disk is read, and how the disk is opened.
#[derive(Debug, ClapArgs)]
pub(crate) struct Volume {
    /// The partition: its number, its name, or the label of its file system [default: the only one with files]
    #[arg(long, short, value_name = "N|NAME")]
    pub(crate) partition: Option<String>,
    /// Format of the disk [default: recognized as in `convert`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<Format>,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

/// A place in a disk: FILE:PATH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The disk.
    pub(crate) file: PathBuf,
    /// The path in it, which may be empty: the root folder.
    pub(crate) path: String,
}

impl Location {
    fn parse(text: &str) -> Result<Self, String> {
        Self::split(text, |file| Path::new(file).exists())
    }

    /// Splits FILE:PATH at the last colon before which an existing file is named. A URL is split at its last colon. If
    /// no such file exists, the text is split at the last colon too, and opening the file reports the error.
    fn split(text: &str, exists: impl Fn(&str) -> bool) -> Result<Self, String> {
        let none = || {
            format!(
                "{text:?} names no file in a disk: write DISK:PATH, such as disk.vhdx:folder/file, or disk.vhdx:/"
            )
        };
        let is_url = remote::is_url(Path::new(text));
        let scheme = text.find("://").filter(|_| is_url).map_or(0, |at| at + "://".len());
        let splits = text.rmatch_indices(':').filter(|(at, _)| *at >= scheme);
        let mut splits = splits.map(|(at, _)| text.split_at(at)).filter(|(file, _)| !is_drive(file));
        let last = splits.clone().next();
        let found = match is_url {
            true => last.filter(|(file, _)| file.get(scheme..).is_some_and(|file| file.contains('/'))),
            false => splits.find(|(file, _)| exists(file)).or(last),
        };
        let (file, path) = found.ok_or_else(none)?;
        let path = path.strip_prefix(':').unwrap_or(path);
        Ok(Self { file: file.into(), path: path.to_owned() })
    }
}

/// Whether the text before a colon is a drive letter of Windows.
fn is_drive(file: &str) -> bool {
    let letters = file.strip_prefix(r"\\?\").unwrap_or(file);
    cfg!(windows) && letters.len() == 1 && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, existing: &[&str]) -> Option<(String, String)> {
        let found = Location::split(text, |file| existing.contains(&file)).ok()?;
        Some((found.file.to_str().unwrap().to_owned(), found.path))
    }

    #[test]
    fn places_are_split_after_an_existing_file() {
        let cases = [
            ("a.vhdx:b", &["a.vhdx"][..], "a.vhdx", "b"),
            ("a.vhdx:", &["a.vhdx"], "a.vhdx", ""),
            ("a.vhdx:b:c", &["a.vhdx"], "a.vhdx", "b:c"),
            ("a:b.vhdx:c", &["a:b.vhdx"], "a:b.vhdx", "c"),
            ("a:b.vhdx:c", &["a:b.vhdx", "a"], "a:b.vhdx", "c"),
            ("absent:b", &[], "absent", "b"),
            (r"C:\x.avhdx:docs\a.txt", &[r"C:\x.avhdx"], r"C:\x.avhdx", r"docs\a.txt"),
            ("https://host:8080/x.vhdx:a/b", &[], "https://host:8080/x.vhdx", "a/b"),
            ("s3://bucket/a:b.vhdx:/", &[], "s3://bucket/a:b.vhdx", "/"),
        ];
        for (text, existing, file, path) in cases {
            assert_eq!(split(text, existing), Some((file.to_owned(), path.to_owned())), "{text}");
        }
        for text in ["a.vhdx", "https://host:8080/x.vhdx", "s3://bucket/key"] {
            assert_eq!(split(text, &["a.vhdx"]), None, "{text}");
        }
    }
}
