//! Folders with machines, checkpoints and problems.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use vhdx_testkit::{Block, ConfiguredMachine, Image};

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Estate(pub(crate) TempDir);

impl Estate {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        // With the separators of the host.
        self.0.path().join(name).components().collect()
    }

    /// Writes a chain with data in different places, base first. Its files have these names and ages in days.
    pub(crate) fn chain(&self, folder: &str, size: u64, files: &[(&str, u32)]) -> Vec<Image> {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let mut images: Vec<Image> = Vec::new();
        let blocks = size / MIB;
        for (layer, (name, days)) in (0_u64..).zip(files) {
            let mut image = match images.last() {
                None => Image::dynamic(size, MIB as u32),
                Some(parent) => Image::child_of(parent, files[layer as usize - 1].0, MIB as u32),
            };
            // No disk of another chain is a copy of this one.
            image.data_write_guid = uuid::Uuid::new_v4();
            if layer == 0 {
                image.virtual_disk_id = uuid::Uuid::new_v4();
            }
            let (start, len) =
                if layer == 0 { (0, blocks / 2) } else { (layer * 37 % blocks, 1 + blocks / 10) };
            for block in start..(start + len).min(blocks) {
                image.blocks.insert(block, Block::full(vec![1 + (layer % 250) as u8; 4096]));
            }
            write(&image, &folder.join(name), *days);
            images.push(image);
        }
        images
    }

    /// Writes another child of an image.
    pub(crate) fn child(&self, parent: &Image, parent_name: &str, path: &str, days: u32) {
        let mut image = Image::child_of(parent, parent_name, MIB as u32);
        image.data_write_guid = uuid::Uuid::new_v4();
        image.blocks.insert(3, Block::full(vec![9; 4096]));
        write(&image, &self.path(path), days);
    }

    /// Writes a configuration that names some disks.
    pub(crate) fn configuration(&self, path: &str, name: &str, days: u32, disks: &[&str]) {
        const FROM_1601_TO_1970: u64 = 11_644_473_600;
        let created = ago(days).duration_since(UNIX_EPOCH).unwrap().as_secs() + FROM_1601_TO_1970;
        let disks = (0..).zip(disks).map(|(place, disk)| (place, format!(r"C:\vm\{disk}"))).collect();
        let machine = ConfiguredMachine {
            name: name.to_owned(),
            id: uuid::Uuid::new_v4().to_string(),
            created: created * 10_000_000,
            disks,
            ..ConfiguredMachine::default()
        };
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, machine.container().build()).unwrap();
    }
}

fn write(image: &Image, path: &Path, days: u32) {
    image.sparse().write_to(path).unwrap();
    File::options().append(true).open(path).unwrap().set_modified(ago(days)).unwrap();
}

fn ago(days: u32) -> SystemTime {
    SystemTime::now() - DAY * days
}

/// A machine with two checkpoints: `Before update` of 40 days ago, and one of 3 days ago without a configuration.
pub(crate) fn machine() -> Estate {
    let estate = Estate::new();
    estate.chain("vm", 64 * MIB, &[("base.vhdx", 40), ("mid.avhdx", 3), ("leaf.avhdx", 0)]);
    estate.configuration("Virtual Machines/1.vmcx", "server", 100, &["leaf.avhdx"]);
    estate.configuration("Snapshots/2.vmcx", "Before update", 40, &["base.vhdx"]);
    estate
}

/// A name that means something in every format.
pub(crate) const EVIL: &str = "=a|b\n<script>alert(1)</script>\"'\\,;\u{202e}txt";

/// As [`machine`], with [`EVIL`] as the name of the machine and of the checkpoint.
pub(crate) fn evil_machine() -> Estate {
    let estate = machine();
    estate.configuration("Virtual Machines/1.vmcx", EVIL, 100, &["leaf.avhdx"]);
    estate.configuration("Snapshots/2.vmcx", EVIL, 40, &["base.vhdx"]);
    estate
}

/// Families of all kinds: with branches, orphans, damaged files and a long chain.
pub(crate) fn large() -> Estate {
    let estate = evil_machine();
    let files = [("web.vhdx", 90), ("web_1.avhdx", 60), ("web_2.avhdx", 20), ("web_3.avhdx", 1)];
    let web = estate.chain("web", 256 * MIB, &files);
    estate.child(&web[1], "web_1.avhdx", "web/web_lab.avhdx", 5);
    estate.child(&web[1], "web_1.avhdx", "web/web_test_with_a_long_name_that_does_not_fit_into_its_box_B90AC31B-C6F8-479F-9B91-07B894A6A3F6_B90AC31B-C6F8-479F.avhdx", 5);
    estate.configuration("web/Virtual Machines/3.vmcx", "web-01", 90, &["web_3.avhdx"]);
    estate.configuration("web/Snapshots/4.vmcx", "Before migration (Ä/日本語)", 60, &["web.vhdx"]);
    estate.configuration("web/Snapshots/5.vmcx", "Nightly", 20, &["web_2.avhdx"]);
    estate.chain("lost", 32 * MIB, &[("mail.vhdx", 9), ("mail_1.avhdx", 8), ("mail_2.avhdx", 7)]);
    fs::remove_file(estate.path("lost/mail.vhdx")).unwrap();
    fs::write(estate.path("lost/broken.vhdx"), "no disk").unwrap();
    let names: Vec<String> = (0..40).map(|layer| format!("deep_{layer:02}.avhdx")).collect();
    let deep: Vec<(&str, u32)> = names.iter().map(String::as_str).zip((1..=40).rev()).collect();
    estate.chain("deep", 512 * MIB, &deep);
    estate
}
