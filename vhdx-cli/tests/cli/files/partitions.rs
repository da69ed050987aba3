//! The choice of a partition.

use std::fs;
use std::path::Path;

use super::fat;
use crate::run;

/// Writes an MBR with partitions of these numbers of MiB, one after the other, and the file systems in them.
fn with_mbr(disk: &Path, file_systems: &[Vec<u8>]) {
    let mut bytes = vec![0; 1 << 20];
    for (number, file_system) in file_systems.iter().enumerate() {
        let (start, len) = (bytes.len() / 512, file_system.len() / 512);
        let entry = 446 + number * 16;
        bytes[entry + 4] = 6;
        bytes[entry + 8..entry + 12].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
        bytes[entry + 12..entry + 16].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        bytes.extend_from_slice(file_system);
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(disk, bytes).unwrap();
}

#[test]
fn one_of_several_partitions_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let image = |label: &str| {
        let path = folder.path().join(label);
        fat(&path, label, |folder| fs::write(folder.join(format!("in {label}")), label).unwrap())?;
        Some(fs::read(path).unwrap())
    };
    let (Some(first), Some(second)) = (image("FIRST"), image("SECOND")) else { return };
    let disk = folder.path().join("disk.raw");
    with_mbr(&disk, &[first.clone(), second, vec![0; 1 << 20]]);
    let error = run!("ls", "--json", &disk).exits(2).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("FIRST") && message.contains("SECOND"), "{message}");
    for (partition, name) in [("1", "in FIRST"), ("2", "in SECOND"), ("SECOND", "in SECOND")] {
        let files = run!("ls", "--json", &disk, "--partition", partition).exits(0).json();
        assert_eq!(files[0]["name"], name);
    }
    let place = format!("{}:in SECOND", disk.display());
    assert_eq!(run!("cp", "--partition", "2", place, "-").exits(0).stdout, b"SECOND");
    for (partition, code) in [("7", 2), ("absent", 2), ("3", 4)] {
        run!("ls", &disk, "--partition", partition).exits(code);
    }
    with_mbr(&disk, &[vec![0; 1 << 20], first]);
    assert!(!run!("ls", &disk).exits(0).stderr.contains("warning"));
    let mut bytes = fs::read(&disk).unwrap();
    bytes[446 + 32 + 4] = 6;
    bytes[446 + 32 + 8..446 + 32 + 16].copy_from_slice(&[0, 0, 0, 1, 8, 0, 0, 0]);
    fs::write(&disk, bytes).unwrap();
    let warnings = run!("ls", &disk).exits(0).stderr;
    assert!(warnings.contains("partition 3 begins past the end of the disk"), "{warnings}");
    let files = run!("ls", "--json", &disk).exits(0).json();
    assert_eq!(files[0]["name"], "in FIRST");
}
