//! Checks the images in this repository against their provenance.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use vhdx::{Chain, DiskOffset, DiskType, FolderResolver, OnWriter, OpenOptions, Vhdx, ops};
use vhdx_testkit::gunzip;

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(chain: &Chain) -> Vec<u8> {
    let mut disk = vec![0; usize::try_from(chain.virtual_size()).unwrap()];
    chain.read_exact_at(&mut disk, DiskOffset::new(0)).unwrap();
    disk
}

#[test]
fn images_of_qemu_have_the_content_in_their_provenance() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/qemu");
    let provenance = std::fs::read_to_string(folder.join("PROVENANCE.md")).unwrap();
    let rows = provenance.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), cells[3].to_owned(), cells[4].to_owned()))
    });
    let mut names = Vec::new();
    for (name, size, expected) in rows {
        let vhdx = Vhdx::open_with(gunzip(&folder.join(&name)).unwrap(), &OpenOptions::default()).unwrap();
        assert!(vhdx.creator().starts_with("QEMU"), "{name}: {}", vhdx.creator());
        let is_fixed = vhdx.disk_type() == DiskType::Fixed;
        assert_eq!(is_fixed, name.starts_with("fixed"), "{name}");
        assert_eq!(vhdx.virtual_size().to_string(), size, "{name}");
        let disk = read(&Chain::from_layers(vec![vhdx]).unwrap());
        assert_eq!(digest(&disk), expected, "{name}");
        names.push(name);
    }
    assert_eq!(names, ["dynamic.vhdx.gz", "fixed.vhdx.gz", "killed.vhdx.gz"]);
}

#[test]
fn the_sample_chain_is_what_its_command_makes() {
    let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_make-sample")).arg(made.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sample");
    for name in ["base.vhdx", "checkpoint-1.avhdx", "checkpoint-2.avhdx"] {
        let [a, b] = [kept.as_path(), made.path()].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{name}");
        assert!(ops::check_file(&kept.join(name), OnWriter::Fail).is_valid(), "{name}");
    }
    let open = |name| Chain::open(kept.join(name), &FolderResolver::default()).unwrap();
    let leaf = open("checkpoint-2.avhdx");
    assert_eq!(leaf.layers().len(), 3);
    let disks = [read(&leaf), read(&open("checkpoint-1.avhdx")), read(&open("base.vhdx"))];
    assert!(disks[0] != disks[1] && disks[1] != disks[2], "every layer matters");
}

/// On Windows the child also stores an absolute path.
#[cfg(not(windows))]
#[test]
fn the_golden_child_is_what_its_command_makes() {
    let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_make-golden")).arg(made.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/golden");
    let [a, b] =
        [kept.as_path(), made.path()].map(|folder| std::fs::read(folder.join("child.packed")).unwrap());
    assert!(
        a == b,
        "the bytes of a new child have changed: compare the files, and run make-golden if that is intended"
    );
    let report = ops::check_storage(std::sync::Arc::new(vhdx_testkit::unpack(&a)));
    assert!(report.is_valid(), "{report:?}");
}
