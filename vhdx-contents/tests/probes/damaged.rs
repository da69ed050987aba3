//! Superblocks with a changed byte, truncated partitions, and two superblocks in one partition.

use vhdx_contents::probe::{ContentKind, Finding};
use vhdx_testkit::Random;

use crate::cases::CASES;
use crate::compare::blkid;
use crate::disk::{TestDisk, identify_file};
use crate::tools::{TestImage, program};

/// Returns an image of a case whose command contains all of these words.
fn image_of(words: &[&str]) -> Option<TestImage> {
    let case = CASES.iter().find(|case| words.iter().all(|word| case.command.contains(word))).unwrap();
    [case.command[0], "blkid"].into_iter().try_for_each(program)?;
    Some(TestImage::make(case.size, case.command))
}

/// The words of a case, the positions of a byte in each structure with a checksum, and the name of that structure.
const SEALED: &[(&[&str], &[u64], &str)] = &[
    (&["mkfs.exfat", "large"], &[64, 100, 300, 512 + 17, 11 * 512 + 5], "boot region"),
    (&["mke2fs", "root ö"], &[1024 + 4, 1024 + 120, 1024 + 700, 1024 + 1021], "superblock"),
    (&["mkfs.xfs", "xfs root"], &[32, 108, 144, 225, 400], "superblock"),
    (
        &["mkfs.btrfs", "subvolumes and more"],
        &[65536 + 1, 65536 + 40, 65536 + 120, 65536 + 4000],
        "superblock",
    ),
    (&["mkfs.btrfs", "sha256"], &[65536 + 31, 65536 + 40, 65536 + 4000], "superblock"),
    (&["cryptsetup", "secret data"], &[30, 170, 449, 4096 + 10, 16000], "header"),
    (&["mkapfs"], &[3, 75, 2000, 4095], "container superblock"),
    (&["mkfs.f2fs", "sealed"], &[1024 + 110, 1024 + 124, 1024 + 2000], "superblock"),
];

#[test]
fn a_changed_byte_is_found() {
    for (words, positions, structure) in SEALED {
        let Some(image) = image_of(words) else { return };
        assert_eq!(identify_file(&image.path).unwrap().findings, [], "{words:?}");
        for at in *positions {
            image.flip(*at);
            let content = identify_file(&image.path).unwrap();
            let is_found = content.findings.contains(&Finding::BadChecksum { structure });
            assert!(is_found, "{words:?}, byte {at}: {content:?}");
            image.flip(*at);
        }
    }
}

#[test]
fn a_changed_volume_descriptor_of_udf_is_found() {
    let Some(image) = image_of(&["mkudffs", "hard disk"]) else { return };
    let bytes = std::fs::read(&image.path).unwrap();
    let at = bytes.windows(9).position(|window| window == b"hard disk").unwrap();
    image.flip(u64::try_from(at).unwrap() + 2);
    let content = identify_file(&image.path).unwrap();
    assert_eq!(content.findings, [Finding::BadChecksum { structure: "volume descriptor" }]);
}

#[test]
fn damaged_magic_bytes_hide_the_content_as_in_blkid() {
    let magics: &[(&[&str], u64)] = &[
        (&["mkfs.ntfs", "huge"], 4),
        (&["mke2fs", "ext3"], 1024 + 56),
        (&["mkfs.xfs", "version four"], 1),
        (&["mkfs.btrfs", "mixed"], 65536 + 66),
        (&["mkswap", "8192"], 8190),
        (&["cryptsetup", "luks1"], 2),
        (&["hformat"], 1024),
        (&["mksquashfs", "xz"], 0),
        (&["mkapfs"], 33),
    ];
    for (words, at) in magics {
        let Some(image) = image_of(words) else { return };
        image.flip(*at);
        assert_eq!(blkid(&image.path).kind, None, "{words:?}");
        assert_eq!(identify_file(&image.path), None, "{words:?}");
    }
}

/// Changes single bits of the superblocks of every case: the kind is that of `blkid`, or there is a finding.
#[test]
fn changed_bits_are_as_in_blkid_or_a_finding() {
    // A flag of ext4 that says that it is a test version, which `blkid` calls `ext4dev`.
    const TEST_VERSION: usize = 1024 + 0x160;
    let mut random = Random::new(29);
    let Some(()) = program("blkid") else { return };
    for case in CASES {
        let Some(()) = program(case.command[0]) else { return };
        let image = TestImage::make(case.size, case.command);
        let head = image.head(0x1_1000);
        let is_superblock =
            |at: &usize| matches!(at, 0..4096 | 0x8000..0xa000 | 0x1_0000.. if head[*at] != 0);
        let places: Vec<usize> = (0..head.len()).filter(is_superblock).collect();
        for _ in 0..8 {
            let at = places[random.below(places.len())] + random.below(3);
            let changed = image.read::<1>(at as u64).map(|byte| byte ^ 1 << random.below(8));
            if at == TEST_VERSION || at >= head.len() {
                continue;
            }
            image.write(at as u64, &changed);
            let content = TestDisk::open(&image.path, case.sector_size).identify();
            let kind = content.as_ref().map(|content| content.kind.type_name().to_owned());
            let theirs = blkid(&image.path);
            let has_finding = content.as_ref().is_some_and(|content| !content.findings.is_empty());
            assert!(
                theirs.kind == kind || theirs.kind.is_none() && has_finding,
                "{:?}, byte {at}: {theirs:?}, {content:?}",
                case.command
            );
            image.write(at as u64, &head[at..=at]);
        }
    }
}

#[test]
fn ntfs_with_an_invalid_boot_sector_is_read_by_its_backup() {
    let Some(image) = image_of(&["mkfs.ntfs", "large clusters"]) else { return };
    image.write(11, &[0x80, 2]);
    let content = identify_file(&image.path).unwrap();
    assert_eq!((content.kind, content.label.as_deref()), (ContentKind::Ntfs, Some("large clusters")));
    assert!(
        matches!(content.findings[..], [Finding::Invalid { structure: "boot sector", .. }]),
        "{content:?}"
    );
    image.write((64 << 20) - 512, &[0; 512]);
    let content = identify_file(&image.path).unwrap();
    assert_eq!((content.kind, content.size, content.findings.len()), (ContentKind::Ntfs, None, 1));
}

#[test]
fn second_headers_are_found() {
    let Some(luks) = image_of(&["cryptsetup", "secret data"]) else { return };
    luks.flip(1);
    let content = identify_file(&luks.path).unwrap();
    assert_eq!((content.kind, content.label.as_deref()), (ContentKind::Luks2, Some("secret data")));
    assert!(
        matches!(content.findings[..], [Finding::Invalid { structure: "first header", .. }]),
        "{content:?}"
    );
    assert_eq!(blkid(&luks.path).kind.as_deref(), Some("crypto_LUKS"));
    let Some(f2fs) = image_of(&["mkfs.f2fs", "sealed"]) else { return };
    f2fs.flip(1024);
    let content = identify_file(&f2fs.path).unwrap();
    assert!(
        matches!(content.findings[..], [Finding::Invalid { structure: "first superblock", .. }]),
        "{content:?}"
    );
}

#[test]
fn a_truncated_partition_is_a_finding() {
    for case in CASES.iter().filter(|case| case.size > 1 << 20) {
        if matches!(case.kind, ContentKind::Luks1 | ContentKind::Luks2 | ContentKind::Udf) {
            continue;
        }
        let Some(()) = program(case.command[0]) else { return };
        let image = TestImage::make(case.size, case.command);
        let partition = case.size / 2 + 512;
        image.truncate(partition);
        let content = TestDisk::open(&image.path, case.sector_size).identify();
        let Some(content) = content else { panic!("{:?} is not recognized", case.command) };
        let size = content.size.unwrap();
        let expected = Finding::LargerThanPartition { size, partition };
        assert!(content.findings.contains(&expected), "{:?}: {content:?}", case.command);
    }
}

/// Every length up to some KiB, and lengths around the areas that are read.
#[test]
fn no_length_is_too_short() {
    let Some(image) = image_of(&["mkfs.ntfs", "small clusters"]) else { return };
    let bytes = std::fs::read(&image.path).unwrap();
    let around = [64u64, 128, 256, 288, 320, 416, 1024, 1028].into_iter().flat_map(|kib| {
        let middle = kib * 1024;
        [middle - 1, middle, middle + 1]
    });
    for len in (1..2100).chain(around) {
        let len = usize::try_from(len).unwrap();
        let content = TestDisk::of_bytes(bytes[..len].to_vec()).identify();
        assert_eq!(content.is_some(), len >= 512, "{len}");
    }
}

#[test]
fn two_superblocks_are_a_finding() {
    let Some(ext) = image_of(&["mke2fs", "root ö"]) else { return };
    // XFS uses the first sector, which ext4 leaves free.
    let Some(xfs) = image_of(&["mkfs.xfs", "version four"]) else { return };
    ext.write(0, &xfs.read::<512>(0));
    assert!(blkid(&ext.path).is_ambiguous);
    let content = identify_file(&ext.path).unwrap();
    assert_eq!(content.kind, ContentKind::Xfs);
    assert!(content.findings.contains(&Finding::AlsoFound(ContentKind::Ext4)), "{content:?}");
    // A superblock with a wrong checksum is not preferred to a sound one.
    let Some(sealed) = image_of(&["mkfs.xfs", "xfs root"]) else { return };
    ext.write(0, &sealed.read::<512>(0));
    ext.flip(200);
    let content = identify_file(&ext.path).unwrap();
    assert_eq!((content.kind, content.findings), (ContentKind::Ext4, vec![]));
}
