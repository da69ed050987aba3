//! A folder with disks and configurations, one by one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vhdx::format::parent_locator::{PARENT_LINKAGE, RELATIVE_PATH};
use vhdx::{Forest, Guid, MachineConfiguration, MachineProblem, NoProgress, Problem, discover};
use vhdx_testkit::{ConfiguredMachine, Image};

use crate::common::{Folder, MIB};

/// 2026-11-01 08:00 UTC.
pub(super) const TIME: u64 = 1_793_520_000;

pub(super) fn at_second(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(super) struct Host(pub(super) Folder);

impl Host {
    pub(super) fn new() -> Self {
        Self(Folder::new())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Makes a disk with a number as its GUID, last changed at [`TIME`].
    pub(super) fn base(&self, name: &str, number: u128) -> PathBuf {
        self.put(
            name,
            &Image { data_write_guid: Guid::from_u128(number), ..Image::dynamic(4 * MIB, 1 << 20) },
        )
    }

    /// Makes a child of the disk with the number `parent`, which is at a path relative to the child.
    pub(super) fn child(&self, name: &str, number: u128, parent: u128, path: &str) -> PathBuf {
        let locator = [
            (PARENT_LINKAGE, Guid::from_u128(parent).braced().to_string()),
            (RELATIVE_PATH, path.to_owned()),
        ];
        let locator = locator.map(|(key, value)| (key.to_owned(), value)).into();
        let image = Image::dynamic(4 * MIB, 1 << 20);
        let guid = Guid::from_u128(number);
        self.put(name, &Image { data_write_guid: guid, parent_locator: Some(locator), ..image })
    }

    fn put(&self, name: &str, image: &Image) -> PathBuf {
        let path = self.0.put(name, &Image { litter: false, ..image.clone() });
        set_modified(&path, TIME);
        path
    }

    /// Makes a configuration that names disks at the locations 0, 1, ...
    pub(super) fn configure(&self, name: &str, disks: &[&str]) -> PathBuf {
        self.configure_as(name, &ConfiguredMachine { name: name.to_owned(), ..machine(disks) })
    }

    pub(super) fn configure_as(&self, name: &str, machine: &ConfiguredMachine) -> PathBuf {
        self.write(name, &machine.container().build())
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn forest(&self) -> Forest {
        discover(&[self.0.0.path().to_owned()], &NoProgress).unwrap()
    }
}

pub(super) fn machine(disks: &[&str]) -> ConfiguredMachine {
    let disks = disks.iter().enumerate().map(|(i, path)| (i as u32, (*path).to_owned())).collect();
    ConfiguredMachine { disks, ..ConfiguredMachine::default() }
}

/// Returns a FILETIME.
pub(super) fn filetime(seconds: u64) -> u64 {
    (seconds + 11_644_473_600) * 10_000_000
}

pub(super) fn set_modified(path: &Path, seconds: u64) {
    File::options().append(true).open(path).unwrap().set_modified(at_second(seconds)).unwrap();
}

/// Returns the files of the disks that a configuration names.
pub(super) fn disks<'a>(forest: &'a Forest, configuration: &MachineConfiguration) -> Vec<&'a Path> {
    configuration.disks().map(|i| forest.disks[i].facts.path.as_path()).collect()
}

/// Returns the problems of configurations and their disks.
pub(super) fn problems(forest: &Forest) -> Vec<&MachineProblem> {
    forest
        .all_problems()
        .into_iter()
        .filter_map(|problem| if let Problem::Machine(problem) = problem { Some(problem) } else { None })
        .collect()
}
