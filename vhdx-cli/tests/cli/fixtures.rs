//! Reads real images with the binary, and reads the copies that it makes with QEMU.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};
use vhdx_testkit::shared;

use crate::peers::{qemu, written};
use crate::run;
use crate::run::command;

/// The largest disk that is read here. A test of the library reads larger ones.
const MAX_DISK: u64 = 2 << 30;

#[test]
fn real_images_and_their_copies_read_as_expected() {
    let Some(folder) = shared::folder("fixtures") else { return };
    let (Some(()), Some(())) = (shared::program("xz"), shared::program("qemu-img")) else { return };
    let images = manifest(&folder);
    let scratch = tempfile::tempdir().unwrap();
    for image in &images {
        unpack(&folder, image, scratch.path());
    }
    let mut read = 0;
    for image in &images {
        let expected = image["read"]["sha256"].as_str();
        let Some(expected) = expected.filter(|_| image["virtual_size"].as_u64().unwrap() <= MAX_DISK) else {
            continue;
        };
        let path = scratch.path().join(name(image));
        assert_eq!(disk_digest(&path), expected, "{}", path.display());
        let out = tempfile::tempdir().unwrap();
        let raw = out.path().join("disk.raw");
        run!("convert", path, raw).exits(0);
        for copy in written(&path, out.path()) {
            qemu(&["check", "-f", "vhdx"], &[&copy]);
            qemu(&["compare", "-f", "raw", "-F", "vhdx"], &[&raw, &copy]);
            assert_eq!(disk_digest(&copy), expected, "{} of {}", copy.display(), path.display());
        }
        read += 1;
    }
    assert!(read >= 14, "{read}");
    for image in &images {
        let path = scratch.path().join(name(image));
        let mut digest = Sha256::new();
        feed(&mut File::open(&path).unwrap(), &mut digest);
        assert_eq!(hex(digest), image["sha256"].as_str().unwrap(), "{} was changed", path.display());
    }
}

/// Returns the known facts about each image.
pub(crate) fn manifest(folder: &Path) -> Vec<Value> {
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let Value::Array(images) = serde_json::from_str(&manifest).unwrap() else { panic!("a list of images") };
    images
}

pub(crate) fn name(image: &Value) -> PathBuf {
    Path::new(image["file"].as_str().unwrap()).with_extension("") // .xz
}

pub(crate) fn unpack(folder: &Path, image: &Value, scratch: &Path) {
    let path = scratch.join(name(image));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let packed = folder.join(image["file"].as_str().unwrap());
    let mut xz = Command::new("xz").arg("-dc").arg(packed).stdout(Stdio::piped()).spawn().unwrap();
    let mut file = File::create(&path).unwrap();
    let mut from = xz.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut len = 0;
    loop {
        let count = from.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        if buffer[..count].iter().any(|&byte| byte != 0) {
            file.seek(SeekFrom::Start(len)).unwrap();
            file.write_all(&buffer[..count]).unwrap();
        }
        len += count as u64;
    }
    file.set_len(len).unwrap();
    assert!(xz.wait().unwrap().success());
    assert_eq!(len, image["size"].as_u64().unwrap());
}

/// Returns the digest of the disk that `convert IMAGE -` writes.
pub(crate) fn disk_digest(image: &Path) -> String {
    let mut vhdx = command().arg("convert").arg(image).arg("-").stdout(Stdio::piped()).spawn().unwrap();
    let mut digest = Sha256::new();
    feed(&mut vhdx.stdout.take().unwrap(), &mut digest);
    assert!(vhdx.wait().unwrap().success(), "{}", image.display());
    hex(digest)
}

pub(crate) fn feed(from: &mut impl Read, digest: &mut Sha256) {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => return,
            count => digest.update(&buffer[..count]),
        }
    }
}

pub(crate) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
