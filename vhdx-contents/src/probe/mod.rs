//! Recognizes file systems and other uses of a partition by their superblocks.
//!
//! A few areas of the partition are read once, and every probe looks at them. A probe validates a superblock into
//! values that are within their limits, and verifies its checksum. No probe trusts the others: if two of them find
//! something, the content has a finding for that.
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod apfs;
mod areas;
mod bitlocker;
mod btrfs;
mod checksum;
mod content;
mod exfat;
mod ext;
mod f2fs;
mod fat;
mod fields;
mod hfs;
mod hint;
mod iso9660;
mod kind;
mod ldm;
mod linux_raid;
mod luks;
mod lvm2;
mod ntfs;
mod refs;
mod squashfs;
mod storage_spaces;
mod swap;
mod text;
mod udf;
mod vmfs;
mod xfs;
mod zfs;

pub use content::{Content, Finding};
pub use hint::TypeHint;
pub use kind::ContentKind;

use crate::error::Result;
use crate::window::Window;
use areas::Areas;

type Probe = fn(&Areas<'_>) -> Result<Option<Content>>;

/// All probes. Members of arrays and pools and encrypted volumes come first: what is visible of a file system inside of
/// them is not a file system of its own.
const PROBES: &[Probe] = &[
    linux_raid::probe,
    lvm2::probe,
    luks::probe,
    vmfs::probe,
    bitlocker::probe,
    storage_spaces::probe,
    ldm::probe,
    zfs::probe,
    fat::probe,
    swap::probe,
    xfs::probe,
    ext::probe,
    udf::probe,
    iso9660::probe,
    hfs::probe,
    ntfs::probe,
    refs::probe,
    squashfs::probe,
    btrfs::probe,
    exfat::probe,
    f2fs::probe,
    apfs::probe,
];

/// Finds what a partition, or a disk without partitions, holds. Returns `None` if nothing is recognized.
///
/// Most partitions need three or four reads, and none more than six. `hint` is the type of the partition in its
/// partition table.
///
/// # Errors
/// [`Error::Disk`](crate::Error::Disk): the disk cannot be read.
pub fn identify(window: &Window<'_>, hint: TypeHint) -> Result<Option<Content>> {
    if let Some(kind) = hint.kind_without_superblock() {
        return Ok(Some(Content::new(kind)));
    }
    let areas = Areas::read(*window)?;
    let mut found = Vec::new();
    for probe in PROBES {
        found.extend(probe(&areas)?);
    }
    let mut content = match first_of(found) {
        Some(content) => content,
        None => return Ok(hint.kind().map(unsigned)),
    };
    if let Some(size) = content.size.filter(|size| *size > window.len()) {
        content.findings.push(Finding::LargerThanPartition { size, partition: window.len() });
    }
    Ok(Some(content))
}

/// Returns the content of a partition whose type tells its kind, but whose superblock was not found.
fn unsigned(kind: ContentKind) -> Content {
    let mut content = Content::new(kind);
    let why = "it was not found, only the partition table tells what this is".to_owned();
    content.findings.push(Finding::Invalid { structure: "signature", why });
    content
}

/// Returns the first content whose superblock is sound, or else the first one, with a finding for each other sound one.
fn first_of(mut found: Vec<Content>) -> Option<Content> {
    let chosen = found.iter().position(is_sound).or(found.first().map(|_| 0))?;
    let mut content = found.remove(chosen);
    let others = found.iter().filter(|other| is_sound(other) && !is_part_of(other.kind, content.kind));
    let others: Vec<Finding> = others.map(|other| Finding::AlsoFound(other.kind)).collect();
    content.findings.extend(others);
    Some(content)
}

/// Whether no checksum is wrong, and no structure is so invalid that not even the size can be read.
fn is_sound(content: &Content) -> bool {
    !content.findings.iter().any(|finding| match finding {
        Finding::BadChecksum { .. } => true,
        Finding::Invalid { .. } => content.size.is_none(),
        _ => false,
    })
}

/// Whether content of kind `whole` normally also looks like content of kind `part`.
fn is_part_of(part: ContentKind, whole: ContentKind) -> bool {
    match whole {
        // "BitLocker To Go" begins with the boot sector of a FAT file system.
        ContentKind::BitLocker => part == ContentKind::Fat32,
        // Discs for old systems have the descriptors of both.
        ContentKind::Udf => part == ContentKind::Iso9660,
        _ => false,
    }
}
