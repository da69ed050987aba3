//! Kinds that no tool here makes. Their superblocks are made by hand. If `blkid` knows the kind, its answer must be the
//! same.

use vhdx_contents::probe::{Content, ContentKind, Finding, TypeHint};

use crate::compare::differences;
use crate::disk::{TestDisk, identify_file};
use crate::tools::{TestImage, program};

const MIB: u64 = 1 << 20;

/// Returns zeros with fields.
fn structure(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

/// Identifies the content, which must be what `blkid` and `file` say, if they are there.
fn compared(image: &TestImage) -> Content {
    let content = identify_file(&image.path).expect("the content is recognized");
    if ["blkid", "file"].iter().all(|name| program(name).is_some()) {
        assert_eq!(differences(&image.path, &content), [""; 0]);
    }
    content
}

const BITLOCKER: [u8; 16] = *b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";

#[test]
fn bitlocker() {
    let at = 0x50_0000u64.to_le_bytes();
    let boot = structure(
        512,
        &[
            (0, b"\xeb\x58\x90-FVE-FS-"),
            (11, &[0, 2, 8]),
            (160, &BITLOCKER),
            (176, &at),
            (510, &[0x55, 0xaa]),
        ],
    );
    let metadata = structure(112, &[(0, b"-FVE-FS-"), (8, &[64, 0]), (10, &[2, 0])]);
    let image = TestImage::with_bytes(8 * MIB, &[(0, &boot), (0x50_0000, &metadata)]);
    let content = compared(&image);
    assert_eq!((content.kind, content.version.as_deref()), (ContentKind::BitLocker, Some("2")));
    assert_eq!(content.findings, []);
    image.write(0x50_0000, b"x");
    let damaged = identify_file(&image.path).unwrap();
    assert!(matches!(damaged.findings[..], [Finding::Invalid { .. }]));
    let vista = structure(512, &[(0, b"\xeb\x52\x90-FVE-FS-"), (510, &[0x55, 0xaa])]);
    assert_eq!(compared(&TestImage::with_bytes(MIB, &[(0, &vista)])).kind, ContentKind::BitLocker);
}

/// Such a volume has a small FAT32 file system with a program that reads it.
#[test]
fn bitlocker_to_go_is_not_fat() {
    if program("mkfs.vfat").is_none() {
        return;
    }
    let image = TestImage::make(64 * MIB, &["mkfs.vfat", "-F", "32", "IMAGE"]);
    image.write(0, b"\xeb\x58\x90MSWIN4.1");
    image.write(424, &BITLOCKER);
    image.write(440, &0x30_0000u64.to_le_bytes());
    image.write(0x30_0000, b"-FVE-FS-\x40\0\x02\0");
    let content = compared(&image);
    assert_eq!((content.kind, content.version.as_deref()), (ContentKind::BitLocker, Some("2")));
    assert_eq!(content.findings, []);
}

#[test]
fn vmfs() {
    let uuid = b"4e26f26a-9fe2664c-c9c7-000c2988e4dd";
    let header =
        structure(1024, &[(0, &0xc001_d00du32.to_le_bytes()), (4, &[5]), (130, &[9; 16]), (532, uuid)]);
    let volume = structure(512, &[(0, &0x2fab_f15eu32.to_le_bytes()), (29, b"datastore1")]);
    let image = TestImage::with_bytes(32 * MIB, &[(MIB, &header), (0x130_0000, &volume)]);
    let mut content = identify_file(&image.path).unwrap();
    assert_eq!((content.kind, content.label.as_deref()), (ContentKind::Vmfs, Some("datastore1")));
    if program("blkid").is_some() {
        // `blkid` does not read the label of the volume.
        content.label = None;
        assert_eq!(differences(&image.path, &content), [""; 0]);
    }
    // What was at the beginning before is still there.
    image.write(0, &structure(512, &[(0, b"hsqs"), (28, &[4]), (40, &[96])]));
    assert_eq!(identify_file(&image.path).unwrap().findings, [Finding::AlsoFound(ContentKind::SquashFs)]);
}

#[test]
fn storage_spaces() {
    let type_guid = *b"\x8f\xaf\x5c\xe7\x80\xf6\xee\x4c\xaf\xa3\xb0\x01\xe5\x6e\xfc\x2d";
    for at in [0, 4096] {
        let image = TestImage::with_bytes(8 * MIB, &[(at, b"SPACEDB ")]);
        let content = identify_file(&image.path).unwrap();
        assert_eq!((content.kind, content.findings), (ContentKind::StorageSpaces, vec![]));
    }
    let empty = TestDisk::of_bytes(vec![0; 1 << 20]);
    assert_eq!(empty.identify(), None);
    let content = empty.identify_with(TypeHint::Gpt(type_guid)).unwrap();
    assert!(content.kind == ContentKind::StorageSpaces && content.findings.len() == 1, "{content:?}");
}

#[test]
fn partitions_without_superblocks_are_not_read() {
    let reserved = *b"\x16\xe3\xc9\xe3\x5c\x0b\xb8\x4d\x81\x7d\xf9\x2d\xf0\x02\x15\xae";
    let disk = TestDisk::of_bytes(vec![0; 1 << 20]);
    let content = disk.identify_with(TypeHint::Gpt(reserved)).unwrap();
    assert_eq!((content.kind, disk.reads()), (ContentKind::MicrosoftReserved, 0));
    let content = disk.identify_with(TypeHint::Gpt(*b"Hah!IdontNeedEFI")).unwrap();
    assert_eq!((content.kind, disk.reads()), (ContentKind::BiosBoot, 0));
}

#[test]
fn dynamic_disks() {
    let id = b"b3f4a1d2-0000-11dd-8d5a-806e6f6e6963";
    let header = structure(512, &[(0, b"PRIVHEAD"), (12, &[0, 2, 0, 12]), (0x30, id), (0xf0, b"Host-Dg0")]);
    for at in [6 * 512, 4 * MIB - 512] {
        let content = identify_file(&TestImage::with_bytes(4 * MIB, &[(at, &header)]).path).unwrap();
        assert_eq!((content.kind, content.label.as_deref()), (ContentKind::Ldm, Some("Host-Dg0")));
        assert_eq!(content.version.as_deref(), Some("2.12"));
    }
}

#[test]
fn refs() {
    let boot = structure(
        512,
        &[
            (3, b"ReFS"),
            (16, b"FSRS\x00\x02\x33\xc2"),
            (24, &0x9e_0000u64.to_le_bytes()),
            (33, &[2]),
            (36, &[128]),
            (40, &[1, 1]),
            (56, &0x34c4_5556_c455_1c04u64.to_le_bytes()),
        ],
    );
    let image = TestImage::with_bytes(0x9e_0000 * 512, &[(0, &boot)]);
    let mut content = identify_file(&image.path).unwrap();
    assert_eq!((content.kind, content.findings.len()), (ContentKind::Refs, 0));
    if program("blkid").is_some() {
        // `blkid` reads nothing but the signature.
        content.uuid = None;
        assert_eq!(differences(&image.path, &content), [""; 0]);
    }
}

/// Returns a pair of a list in XDR: the name, the type, and the value.
fn pair(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let padded = |bytes: &[u8]| structure(bytes.len().next_multiple_of(4), &[(0, bytes)]);
    let rest = [
        &u32::try_from(name.len()).unwrap().to_be_bytes()[..],
        &padded(name.as_bytes()),
        &kind.to_be_bytes(),
        &1u32.to_be_bytes(),
        &padded(value),
    ];
    let rest = rest.concat();
    let len = u32::try_from(rest.len() + 8).unwrap().to_be_bytes();
    [&len[..], &len, &rest].concat()
}

#[test]
fn zfs() {
    let name = [&4u32.to_be_bytes()[..], b"tank"].concat();
    let list = [
        &b"\x01\x01\0\0\0\0\0\0\0\0\0\x01"[..],
        &pair("version", 8, &5000u64.to_be_bytes()),
        &pair("name", 9, &name),
        &pair("pool_guid", 8, &1_234_567_890_123_456_789u64.to_be_bytes()),
        &pair("guid", 8, &42u64.to_be_bytes()),
    ];
    let list = list.concat();
    for big_endian in [false, true] {
        let number = |n: u64| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let image = TestImage::with_bytes(64 * MIB, &[(16 * 1024, &list)]);
        for slot in 0..6u64 {
            let fields = [number(0xba_b10c), number(5000), number(100 + slot)];
            image.write((128 + slot * 4) * 1024, fields.as_flattened());
        }
        let content = compared(&image);
        assert_eq!((content.kind, content.label.as_deref()), (ContentKind::Zfs, Some("tank")));
        assert_eq!(content.uuid.as_deref(), Some("1234567890123456789"));
    }
}

/// Returns the header of HFS+ or HFSX, and a catalogue at block 8 whose first leaf is its second node.
fn hfs_plus(signature: &[u8; 2], version: u8, blocks: u32) -> Vec<(u64, Vec<u8>)> {
    let name: Vec<u8> = "Macintosh HD é".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let len = [0, u8::try_from(name.len() / 2).unwrap()];
    let header = structure(
        512,
        &[
            (0, signature),
            (3, &[version]),
            (4, &0x100u32.to_be_bytes()),
            (40, &4096u32.to_be_bytes()),
            (44, &blocks.to_be_bytes()),
            (48, &100u32.to_be_bytes()),
            (104, b"\x01\x23\x45\x67\x89\xab\xcd\xef"),
            (288, &8u32.to_be_bytes()),
            (292, &4u32.to_be_bytes()),
        ],
    );
    let root =
        structure(512, &[(8, &[1]), (11, &[3]), (20, &[0, 0, 0, 1]), (24, &[0, 0, 0, 1]), (32, &[16, 0])]);
    let leaf = structure(4096, &[(8, &[0xff, 1, 0, 2]), (14, &[0, 34]), (19, &[1]), (20, &len), (22, &name)]);
    vec![(1024, header), (8 * 4096, root), (9 * 4096, leaf)]
}

fn write_all(image: &TestImage, start: u64, writes: &[(u64, Vec<u8>)]) {
    for (at, bytes) in writes {
        image.write(start + at, bytes);
    }
}

#[test]
fn hfs_plus_and_hfsx() {
    for (signature, version, kind) in [(b"H+", 4, ContentKind::HfsPlus), (b"HX", 5, ContentKind::HfsX)] {
        let image = TestImage::new(4 * MIB);
        write_all(&image, 0, &hfs_plus(signature, version, 1024));
        let content = compared(&image);
        assert_eq!((content.kind, content.label.as_deref()), (kind, Some("Macintosh HD é")));
        assert_eq!((content.size, content.used), (Some(4 * MIB), Some(924 * 4096)));
        assert_eq!((content.clean, content.findings), (Some(true), vec![]));
    }
}

/// Discs for several systems also have a partition with HFS+, which xorriso makes.
#[test]
fn hfs_plus_of_a_disc() {
    if program("xorriso").is_none() {
        return;
    }
    let arguments =
        ["xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-V", "MACDISC", "-o", "IMAGE", "FOLDER"];
    let disc = TestImage::make(0, &arguments);
    let bytes = std::fs::read(&disc.path).unwrap();
    let header = bytes.windows(4).position(|window| window == b"H+\0\x04").unwrap();
    let start = header - 1024;
    let number = |at: usize| u32::from_be_bytes(bytes[header + at..header + at + 4].try_into().unwrap());
    let (block_size, blocks, free) = (u64::from(number(40)), u64::from(number(44)), u64::from(number(48)));
    let end = start + usize::try_from(block_size * blocks).unwrap();
    let image = TestImage::with_bytes(0, &[(0, &bytes[start..end])]);
    let content = compared(&image);
    assert_eq!((content.kind, content.label.as_deref()), (ContentKind::HfsPlus, Some("MACDISC")));
    assert_eq!(content.used, Some((blocks - free) * block_size));
    assert_eq!(content.findings, []);
    // All of the disc is that, and nothing else.
    let whole = identify_file(&disc.path).unwrap();
    assert_eq!((whole.kind, whole.label.as_deref()), (ContentKind::Iso9660, Some("MACDISC")));
}

/// Old systems see an HFS volume that contains almost nothing but the HFS+ volume.
#[test]
fn hfs_plus_inside_of_hfs() {
    let wrapper = structure(
        512,
        &[
            (0, b"BD"),
            (18, &[3, 0xe8]),
            (20, &4096u32.to_be_bytes()),
            (28, &[0, 16]),
            (124, b"H+"),
            (126, &[0, 10]),
            (128, &[3, 0]),
        ],
    );
    let image = TestImage::with_bytes(4 * MIB, &[(1024, &wrapper)]);
    write_all(&image, 16 * 512 + 10 * 4096, &hfs_plus(b"H+", 4, 700));
    let content = compared(&image);
    assert_eq!((content.kind, content.label.as_deref()), (ContentKind::HfsPlus, Some("Macintosh HD é")));
}

#[test]
fn hibernated_systems() {
    let header = structure(512, &[(0, &[1]), (4, &[0xff, 7]), (12, &[0x5a; 16]), (28, b"swap")]);
    for (signature, version) in [(b"S1SUSPEND\0", "s1suspend"), (b"ULSUSPEND\0", "ulsuspend")] {
        let image = TestImage::with_bytes(8 * MIB, &[(1024, &header), (4086, signature)]);
        let content = compared(&image);
        assert_eq!((content.kind, content.version.as_deref()), (ContentKind::Hibernation, Some(version)));
    }
    let old = TestImage::with_bytes(8 * MIB, &[(4086, b"SWAP-SPACE")]);
    assert_eq!(compared(&old).version.as_deref(), Some("0"));
}
