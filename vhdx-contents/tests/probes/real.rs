//! Partitions in images that Windows and other systems made.

use std::path::Path;
use std::process::{Command, Stdio};

use vhdx::{Chain, FolderResolver};
use vhdx_contents::Window;
use vhdx_contents::probe::{ContentKind, TypeHint, identify};
use vhdx_testkit::shared;

use crate::compare::differences;
use crate::tools::{TestImage, program};

/// The image, where the partition begins in bytes, and what it holds with its label.
const PARTITIONS: &[(&str, u64, ContentKind, Option<&str>)] = &[
    ("dfvfs/ext2.vhdx", 0, ContentKind::Ext2, Some("ext2_test")),
    ("dfvfs/fat-parent.vhdx", 65536, ContentKind::Fat12, Some("TESTVOLUME")),
    ("dfvfs/ntfs-dynamic.vhdx", 65536, ContentKind::Ntfs, Some("TestVolume")),
    ("dfvfs/ntfs-fixed.vhdx", 65536, ContentKind::Ntfs, Some("TestVolume")),
    ("dissect.hypervisor/fixed.vhdx", 65536, ContentKind::Ntfs, Some("New Volume")),
    ("discutils-ltr/btrfs.vhdx", 1 << 20, ContentKind::Btrfs, None),
    ("discutils-ltr/swap.vhdx", 0, ContentKind::Swap, Some("discutils äTES")),
    ("discutils-ltr/xfs.vhdx", 1 << 20, ContentKind::Xfs, None),
    ("discutils-ltr/xfs5.vhdx", 1 << 20, ContentKind::Xfs, None),
];

/// So many bytes at the beginning are compared by `blkid`.
const HEAD: usize = 4 << 20;

#[test]
fn real_partitions_are_recognized() {
    let Some(folder) = shared::folder("fixtures/real") else { return };
    if ["xz", "blkid", "file"].into_iter().any(|name| program(name).is_none()) {
        return;
    }
    for (name, start, kind, label) in PARTITIONS {
        let unpacked = unpack(&folder.join(format!("{name}.xz")));
        let disk = Chain::open(&unpacked.path, &FolderResolver::default()).unwrap();
        let partition = Window::whole(&disk).part(*start, u64::MAX).unwrap();
        let content = identify(&partition, TypeHint::None).unwrap().expect(name);
        assert_eq!((content.kind, content.label.as_deref()), (*kind, *label), "{name}");
        let is_last = content.size.is_some_and(|size| start + size + (4 << 20) >= disk.virtual_size());
        assert!(is_last, "{name}: {content:?}");
        assert_eq!(content.findings, [], "{name}");
        let image = TestImage::with_bytes(0, &[(0, &partition.read(0, HEAD).unwrap())]);
        image.truncate(partition.len());
        assert_eq!(differences(&image.path, &content), [""; 0], "{name}");
    }
}

fn unpack(packed: &Path) -> TestImage {
    let image = TestImage::new(0);
    let output = std::fs::File::create(&image.path).unwrap();
    let status = Command::new("xz").arg("-dc").arg(packed).stdout(Stdio::from(output)).status().unwrap();
    assert!(status.success(), "{}", packed.display());
    image
}
