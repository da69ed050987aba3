//! Partition tables that other programs make are read as those programs read them.
#![cfg(target_os = "linux")]

mod made;
mod other_programs;

use std::path::Path;

use made::{Sectors, fdisk, raw, run, sfdisk};
use other_programs::{Listed, by_fdisk, by_mmls, by_sfdisk};
use vhdx::RawDisk;
use vhdx_contents::{Contents, Partition, TableFinding, TableKind, contents};

const MIB: u64 = 1 << 20;

fn read(path: &Path, sector_size: u32) -> Contents {
    contents(&Sectors { disk: RawDisk::open(path).unwrap(), sector_size }).unwrap()
}

fn listed(found: &Contents) -> Vec<Listed> {
    let of = |one: &Partition| Listed {
        number: one.number,
        start: one.start,
        len: one.len,
        type_id: one.type_id.to_string().to_lowercase(),
        name: one.name.clone().unwrap_or_default(),
        guid: one.guid.map(|guid| guid.to_string().to_lowercase()).unwrap_or_default(),
        is_bootable: one.is_bootable,
    };
    let mut listed: Vec<Listed> = found.partitions.iter().map(of).collect();
    listed.sort_by_key(|one| one.number);
    listed
}

/// Compares what is found with what sfdisk and mmls say. The sectors have 512 bytes.
#[track_caller]
fn compare(path: &Path) -> Contents {
    let found = read(path, 512);
    assert_eq!(listed(&found), by_sfdisk(path));
    compare_places(path, 512, &found);
    assert_eq!(found.findings, []);
    assert!(found.partitions.iter().all(|one| one.findings.is_empty()), "{found:?}");
    found
}

#[track_caller]
fn compare_places(path: &Path, sector_size: u32, found: &Contents) {
    let partitions = found.partitions.iter().filter(|one| !one.is_extended);
    let mut places: Vec<(u64, u64)> = partitions.map(|one| (one.start, one.len)).collect();
    places.sort_unstable();
    // mmls takes an MBR without partitions for no table.
    let by_mmls = if places.is_empty() { Vec::new() } else { by_mmls(path, sector_size) };
    assert_eq!(places, by_mmls);
}

#[test]
fn gpts_of_sfdisk() {
    let Some(folder) = made::folder() else { return };
    let scripts = [
        "",
        "start=2048,size=4096,type=U,name=\"EFI\"\nsize=8192,type=L,name=\"root ü 日本\"\ntype=L\n",
        // Numbers with gaps, and not in the order of the places.
        "d9 : start=40960,size=2048,type=L\nd2 : start=2048,size=2048,type=U\nd5 : start=8192,size=1\n",
        "table-length: 256\nd200 : start=10000,size=2000,type=L,name=\"x\"\n",
        "table-length: 4\nfirst-lba: 34\n34,1\n,1\n,1\n,1\n",
        "size=2048,type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE,attrs=\"RequiredPartition,GUID:63\"\n\
         size=2048,type=21686148-6449-6E6F-744E-656564454649,attrs=\"LegacyBIOSBootable\"\n",
    ];
    for script in scripts {
        let path = sfdisk(&folder, 64 * MIB, &format!("label: gpt\n{script}"));
        assert_eq!(compare(&path).table.kind, TableKind::Gpt);
    }
    let all: String = (0..128).map(|number| format!("{},8\n", 2048 + 16 * number)).collect();
    let path = sfdisk(&folder, 64 * MIB, &format!("label: gpt\n{all}"));
    assert_eq!(compare(&path).partitions.len(), 128);
}

#[test]
fn every_type_that_has_a_name() {
    let Some(folder) = made::folder() else { return };
    let types = [
        ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
        ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"),
        ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
        ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux file system"),
        ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"),
        ("aa31e02a-400f-11db-9590-000c2911d1b8", "VMware VMFS"),
        ("7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS"),
    ];
    let script: String = types.iter().map(|(id, _)| format!(",2048,{id}\n")).collect();
    let found = compare(&sfdisk(&folder, 64 * MIB, &format!("label: gpt\n{script}")));
    for (partition, (id, name)) in found.partitions.iter().zip(types) {
        assert_eq!((partition.type_id.to_string().as_str(), partition.type_name), (id, Some(name)));
    }
    let bytes = [("7", "NTFS, exFAT or HPFS"), ("83", "Linux"), ("8e", "Linux LVM"), ("c", "FAT32 (LBA)")];
    let script: String = bytes.iter().map(|(id, _)| format!(",2048,{id}\n")).collect();
    let found = compare(&sfdisk(&folder, 64 * MIB, &format!("label: dos\n{script}")));
    for (partition, (_, name)) in found.partitions.iter().zip(bytes) {
        assert_eq!(partition.type_name, Some(name));
    }
}

#[test]
fn mbrs_of_sfdisk() {
    let Some(folder) = made::folder() else { return };
    let scripts = [
        "",
        "2048,2048,7,*\n",
        "2048,2048,7\n,2048,83,*\n,2048,82\n,,8e\n",
        "2048,2048,7\n,,E\n,4096,L\n,4096,S\n,4096,L\n",
        "2048,2048,7\n,65536,Ex\n,4096,L\n,4096,L\n,,L\n",
        // The extended partition comes first, and has the last number.
        "d4 : start=2048,size=60000,type=5\nd1 : start=70000,size=2000,type=7\nd5 : start=4096,size=63\n",
        "label-id: 0xdeadbeef\n63,1000,6\n",
    ];
    for script in scripts {
        let path = sfdisk(&folder, 64 * MIB, &format!("label: dos\n{script}"));
        assert_eq!(compare(&path).table.kind, TableKind::Mbr);
    }
    let found = read(&sfdisk(&folder, 64 * MIB, "label: dos\nlabel-id: 0xdeadbeef\n63,1000,6\n"), 512);
    assert_eq!(found.table.id.unwrap().to_string(), "0xdeadbeef");
    let logical: String = (0..55).map(|_| ",1024,L\n").collect();
    let path = sfdisk(&folder, 256 * MIB, &format!("label: dos\n2048,,E\n{logical}"));
    assert_eq!(compare(&path).partitions.len(), 56);
    // A logical partition between others is deleted.
    run("sfdisk", [path.as_os_str(), "--delete".as_ref(), "7".as_ref()]);
    assert_eq!(compare(&path).partitions.len(), 55);
}

#[test]
fn gpts_of_sgdisk() {
    let Some(folder) = made::folder() else { return };
    let variants: [&[&str]; 4] = [
        &[
            "-n1:0:+4M",
            "-t1:ef00",
            "-c1:EFI system partition",
            "-n2:0:+8M",
            "-t2:8e00",
            "-n7:0:0",
            "-A7:set:2",
        ],
        &["-S", "512", "-n400:0:+1M"],
        // The entries are elsewhere.
        &["-j", "100", "-n1:0:+1M", "-c1:moved"],
        &["-a1", "-n1:34:34", "-n2:0:0"],
    ];
    for options in variants {
        let path = raw(&folder, 64 * MIB);
        let path_text = path.to_str().unwrap();
        run("sgdisk", ["-o"].into_iter().chain(options.iter().copied()).chain([path_text]));
        compare(&path);
    }
}

#[test]
fn hybrid_mbrs_are_reported() {
    let Some(folder) = made::folder() else { return };
    let path = raw(&folder, 64 * MIB);
    let options = ["-n1:0:+4M", "-t1:0700", "-n2:0:+4M", "-h1:2", path.to_str().unwrap()];
    run("sgdisk", options);
    let found = read(&path, 512);
    assert_eq!(found.findings, [TableFinding::HybridMbr { partitions: 2 }]);
    assert_eq!(listed(&found), by_sfdisk(&path));
}

#[test]
fn damaged_and_resized_gpts() {
    let Some(folder) = made::folder() else { return };
    let script = "label: gpt\nsize=4096,type=U,name=\"one\"\nsize=8192,type=L,name=\"two\"\n";
    let damages: [(&str, u64, u64); 4] = [
        ("primary header", 512, 512),
        ("primary entries", 1024, 512),
        ("both at the start", 0, 17408),
        ("backup header", 64 * MIB - 512, 512),
    ];
    for (what, at, len) in damages {
        let path = sfdisk(&folder, 64 * MIB, script);
        let sound = by_sfdisk(&path);
        made::zero(&path, at, len);
        let found = read(&path, 512);
        assert_eq!(listed(&found), sound, "{what}");
        assert!(!found.findings.is_empty(), "{what}");
    }
    for (len, is_right) in [(96 * MIB, true), (32 * MIB, true), (64 * MIB, false)] {
        let path = sfdisk(&folder, 64 * MIB, script);
        let sound = by_sfdisk(&path);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        let found = read(&path, 512);
        assert_eq!(listed(&found), sound);
        assert_eq!(!found.findings.is_empty(), is_right, "{len}: {:?}", found.findings);
    }
}

#[test]
fn tables_of_sectors_of_4096_bytes() {
    let Some(folder) = made::folder() else { return };
    let tables = [
        "g\nn\n1\n256\n+16M\nn\n2\n\n+32M\nt\n1\n1\nx\nn\n2\nname ü\nr\nw\n",
        "o\nn\np\n1\n\n+16M\nn\np\n2\n\n+32M\na\n1\nw\n",
        "o\nn\np\n1\n\n+16M\nn\ne\n2\n\n\nn\nl\n\n+8M\nn\nl\n\n+8M\nw\n",
    ];
    for (commands, kind) in tables.into_iter().zip([TableKind::Gpt, TableKind::Mbr, TableKind::Mbr]) {
        let path = fdisk(&folder, 256 * MIB, commands);
        let found = read(&path, 4096);
        assert_eq!((found.table.kind, found.table.sector_size), (kind, 4096));
        assert!(found.partitions.len() >= 2, "{found:?}");
        assert_eq!(listed(&found), by_fdisk(&path, 4096));
        compare_places(&path, 4096, &found);
        assert_eq!(found.findings, []);
        if kind == TableKind::Gpt {
            let moved = read(&path, 512);
            assert_eq!(listed(&moved), listed(&found));
            assert_eq!(moved.findings, [TableFinding::OtherSectorSize { table: 4096, disk: 512 }]);
        }
    }
}
