//! The answers of `blkid` and `file`, and the comparison with them.

use std::collections::BTreeMap;
use std::path::Path;

use vhdx_contents::probe::{Content, ContentKind};

use crate::tools::{both, command, run, text};

/// The answer of `blkid`: `TYPE`, `LABEL`, `UUID` and `VERSION`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) version: Option<String>,
    /// Several superblocks were found, so there is no answer.
    pub(crate) is_ambiguous: bool,
}

pub(crate) fn blkid(path: &Path) -> Answer {
    let output = command("blkid").args(["-p", "-o", "udev", text(path)]).output().unwrap();
    let values: BTreeMap<String, String> = both(&output)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let value = |key: &str| values.get(key).cloned();
    Answer {
        kind: value("ID_FS_TYPE"),
        label: value("ID_FS_LABEL_ENC")
            .map(|label| label.trim_end().to_owned())
            .filter(|label| !label.is_empty()),
        uuid: value("ID_FS_UUID_ENC"),
        version: value("ID_FS_VERSION"),
        is_ambiguous: output.status.code() == Some(8),
    }
}

/// Replaces `\x20` by a space, and so on.
fn decoded(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the description of `file`.
pub(crate) fn file(path: &Path) -> String {
    run("file", &["-s", "-b", "-k", text(path)])
}

/// Returns the words that `file` prints for a kind. Empty if it does not know the kind, or only some images of it.
fn words_of_file(kind: ContentKind) -> &'static str {
    match kind {
        ContentKind::Ntfs => "NTFS",
        ContentKind::Fat12 => "FAT (12 bit)",
        ContentKind::Fat16 => "FAT (16 bit)",
        ContentKind::Fat32 => "FAT (32 bit)",
        ContentKind::ExFat => "ExFAT Filesystem",
        ContentKind::Ext2 => "ext2 filesystem data",
        ContentKind::Ext3 => "ext3 filesystem data",
        ContentKind::Ext4 => "ext4 filesystem data",
        ContentKind::Xfs => "XFS filesystem data",
        ContentKind::Btrfs => "BTRFS Filesystem",
        ContentKind::Lvm2 => "LVM2 PV",
        ContentKind::Luks1 => "LUKS encrypted file, ver 1",
        ContentKind::Luks2 => "LUKS encrypted file, ver 2",
        ContentKind::Iso9660 => "ISO 9660 CD-ROM filesystem",
        ContentKind::Apfs => "Apple File System",
        ContentKind::Hfs => "Macintosh HFS data",
        ContentKind::F2fs => "F2FS filesystem",
        ContentKind::SquashFs => "Squashfs filesystem",
        ContentKind::Refs => "ReFS filesystem",
        _ => "",
    }
}

/// Compares content with the answers of `blkid` and `file`. Returns how they differ.
pub(crate) fn differences(path: &Path, content: &Content) -> Vec<String> {
    let theirs = blkid(path);
    let is_fat = matches!(content.kind, ContentKind::Fat12 | ContentKind::Fat16 | ContentKind::Fat32);
    let version = if is_fat { Some(content.kind.name().to_owned()) } else { content.version.clone() };
    let mut differences = Vec::new();
    let mut compare = |what: &str, theirs: &Option<String>, ours: Option<String>| {
        if *theirs != ours {
            differences.push(format!("{what}: blkid {theirs:?}, the probe {ours:?}"));
        }
    };
    compare("type", &theirs.kind, Some(content.kind.type_name().to_owned()));
    compare("label", &theirs.label, content.label.clone());
    compare("uuid", &theirs.uuid, content.uuid.clone());
    if theirs.version.is_some() {
        compare("version", &theirs.version, version);
    }
    let described = file(path);
    // It says "ext2" if there is no journal.
    let is_ext4 = content.kind == ContentKind::Ext4 && described.contains("ext2 filesystem data");
    if !(described.contains(words_of_file(content.kind)) || is_ext4 && described.contains("(extents)")) {
        differences.push(format!("file says {described:?}"));
    }
    differences
}
