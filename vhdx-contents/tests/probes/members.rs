//! Members of volume groups and arrays.

use std::path::Path;

use vhdx_contents::probe::{Content, ContentKind, Finding};

use crate::compare::{blkid, differences};
use crate::disk::identify_file;
use crate::tools::{TestImage, both, command, program, run, text};

/// A loop device, which is detached at the end.
struct Loop(String);

impl Loop {
    /// Returns `None` if there can be none, for example without the rights for it.
    fn attach(image: &Path) -> Option<Self> {
        let output = command("losetup").args(["-f", "--show", text(image)]).output().ok()?;
        if !output.status.success() {
            return vhdx_testkit::shared::skip(&format!("losetup: {}", both(&output)));
        }
        Some(Self(String::from_utf8(output.stdout).unwrap().trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["-d", &self.0]);
    }
}

/// Runs LVM2 so that it sees only one device, and leaves no files.
fn lvm(arguments: &[&str], device: &Loop) {
    let config = format!(
        "devices {{ use_devicesfile=0 hints=\"none\" filter=[\"a|^{}$|\",\"r|.*|\"] }} \
         backup {{ backup=0 archive=0 }} activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}",
        device.0
    );
    run("lvm", &[arguments, &["--config", &config, &device.0]].concat());
}

fn identified(image: &TestImage) -> Content {
    let content = identify_file(&image.path).expect("the content is recognized");
    let mut compared = content.clone();
    if content.kind == ContentKind::Lvm2 {
        // `blkid` does not read the name of the group.
        compared.label = None;
    }
    assert_eq!(differences(&image.path, &compared), [""; 0]);
    content
}

#[test]
fn a_physical_volume_names_its_group() {
    if ["lvm", "losetup", "blkid"].iter().any(|name| program(name).is_none()) {
        return;
    }
    let image = TestImage::new(32 << 20);
    let Some(device) = Loop::attach(&image.path) else { return };
    lvm(&["pvcreate", "-q", "-y"], &device);
    let alone = identified(&image);
    assert_eq!((alone.kind, alone.label, alone.size), (ContentKind::Lvm2, None, Some(32 << 20)));
    lvm(&["vgcreate", "-q", "vg_data-1"], &device);
    // Many changes move the text within the metadata area.
    for number in 0..4 {
        let tag = format!("tag{number}");
        let config = ["vgchange", "-q", "--addtag", &tag];
        let config_of = format!(
            "devices {{ use_devicesfile=0 hints=\"none\" filter=[\"a|^{}$|\",\"r|.*|\"] }} \
             backup {{ backup=0 archive=0 }}",
            device.0
        );
        run("lvm", &[&config[..], &["--config", &config_of, "vg_data-1"]].concat());
    }
    let member = identified(&image);
    assert_eq!(member.label.as_deref(), Some("vg_data-1"));
    assert_eq!(member.findings, []);
    drop(device);
    // The label is in the second sector. `blkid` does not recognize one with a wrong checksum.
    image.flip(512 + 40);
    let damaged = identify_file(&image.path).unwrap();
    assert_eq!(damaged.findings, [Finding::BadChecksum { structure: "label" }]);
    assert_eq!(blkid(&image.path).kind, None);
}

const MIB: u64 = 1 << 20;
const UUID: [u8; 16] = *b"\x10\x32\x54\x76\x98\xba\xdc\xfe\x01\x23\x45\x67\x89\xab\xcd\xef";

/// Returns a superblock of version 1 for a RAID 1 with two devices. `offset` is its position in bytes.
fn raid_1(offset: u64, data: u64, sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &0xa92b_4efcu32.to_le_bytes());
    put(4, &1u32.to_le_bytes());
    put(16, &UUID);
    put(32, b"host:data");
    put(64, &1_700_000_000u64.to_le_bytes());
    put(72, &1u32.to_le_bytes());
    put(80, &sectors.to_le_bytes());
    put(92, &2u32.to_le_bytes());
    put(128, &data.to_le_bytes());
    put(136, &sectors.to_le_bytes());
    put(144, &(offset / 512).to_le_bytes());
    put(168, &[7; 16]);
    put(192, &1_700_000_000u64.to_le_bytes());
    put(200, &3u64.to_le_bytes());
    put(208, &u64::MAX.to_le_bytes());
    put(220, &3u32.to_le_bytes());
    // The roles of three devices: an odd number, so that the sum ends with half a word.
    put(256, &[0, 0, 1, 0, 0xff, 0xff]);
    let words = bytes[..262].chunks(4).map(|word| match *word {
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        _ => u64::from(u32::from_le_bytes(word.try_into().unwrap())),
    });
    let sum: u64 = words.sum();
    let sum = (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32;
    bytes[216..220].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Returns a superblock of version 0.90 for a RAID 1.
fn raid_0_90(kib: u32, big_endian: bool) -> Vec<u8> {
    let mut words = vec![0u32; 1024];
    (words[0], words[2], words[4], words[5]) = (0xa92b_4efc, 90, 0, 0x1032_5476);
    (words[6], words[7], words[8], words[9], words[10]) = (1_700_000_000, 1, kib, 1, 2);
    (words[13], words[14], words[15]) = (0x98ba_dcfe, 0x0123_4567, 0x89ab_cdef);
    (words[32], words[33], words[34], words[35]) = (1_700_000_000, 1, 1, 1);
    (words[39], words[40]) = (0, 5);
    let sum: u64 = words.iter().map(|word| u64::from(*word)).sum();
    words[38] = (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32;
    let to_bytes = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    words.into_iter().flat_map(to_bytes).collect()
}

/// The position of the superblock, and what it is, in a partition of a length that is no multiple of 64 KiB.
fn arrays(len: u64) -> Vec<(&'static str, u64, Vec<u8>)> {
    let sectors = len / 512 - 4096;
    let end = (len - 8192) / 4096 * 4096;
    let old = len / 65536 * 65536 - 65536;
    vec![
        ("1.0", end, raid_1(end, 0, sectors)),
        ("1.1", 0, raid_1(0, 2048, sectors)),
        ("1.2", 4096, raid_1(4096, 2048, sectors)),
        ("0.90.0", old, raid_0_90((old / 1024) as u32, false)),
        ("0.90.0", old, raid_0_90((old / 1024) as u32, true)),
    ]
}

#[test]
fn members_of_linux_raid_are_what_mdadm_and_blkid_say() {
    if ["mdadm", "losetup", "blkid"].iter().any(|name| program(name).is_none()) {
        return;
    }
    let len = 20 * MIB + 24 * 512;
    for (version, at, superblock) in arrays(len) {
        let is_big_endian = superblock[0] == 0xa9;
        let image = TestImage::with_bytes(len, &[(at, &superblock)]);
        let content = identified(&image);
        assert_eq!(content.kind, ContentKind::LinuxRaid);
        assert_eq!((content.version.as_deref(), content.clean), (Some(version), Some(true)));
        assert_eq!(content.label.as_deref(), (version != "0.90.0").then_some("host:data"));
        assert_eq!(content.findings, [], "{version}");
        if let Some(device) = Loop::attach(&image.path).filter(|_| !is_big_endian) {
            let examined = run("mdadm", &["--examine", &device.0]);
            assert!(examined.contains("- correct"), "{examined}");
        }
        image.flip(at + 64);
        let damaged = identify_file(&image.path).unwrap();
        assert_eq!(damaged.findings, [Finding::BadChecksum { structure: "superblock" }], "{version}");
    }
}

/// A member of a RAID 1 whose superblock is at the end looks like the file system in the array.
#[test]
fn an_array_is_found_before_the_file_system_in_it() {
    if ["mke2fs", "blkid", "file"].iter().any(|name| program(name).is_none()) {
        return;
    }
    let len = 20 * MIB;
    for (version, at, superblock) in arrays(len).into_iter().filter(|(_, at, _)| *at > MIB) {
        let image = TestImage::make(len, &["mke2fs", "-q", "-t", "ext4", "IMAGE", "16M"]);
        image.write(at, &superblock);
        let content = identified(&image);
        assert_eq!(content.version.as_deref(), Some(version));
        assert_eq!(content.findings, [Finding::AlsoFound(ContentKind::Ext4)]);
    }
}
