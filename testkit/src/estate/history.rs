//! Lets the machines of an estate run: disks are written, checkpoints made, and older checkpoints applied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vhdx::Guid;

use super::disk::{BLOCK, CELLS, EstateDisk, EstateFile, EstateLink};
use super::{Estate, EstateCheckpoint, EstateDrive, EstateMachine, EstateOptions, names};
use crate::random::Random;

/// Folders of hosts.
const HOSTS: [&str; 6] = [
    r"D:\Hyper-V",
    r"C:\ClusterStorage\Volume1\vms",
    r"\\fs01\vms$",
    r"\\?\D:\Hyper-V",
    r"\\?\UNC\fs01\vms",
    r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\vms",
];
/// The folder of disks that is beside the folder of configurations.
const DISKS: &str = "Virtual Hard Disks";
const DAY: u64 = 86_400;
const IDE: &str = "83f8638b-8dca-4152-9eda-2ca8b33039b4";

/// An estate while its history happens.
pub(super) struct History<'a> {
    pub(super) estate: Estate,
    pub(super) random: Random,
    options: &'a EstateOptions,
}

/// Where a new disk is.
struct Place {
    path: PathBuf,
    stored_path: String,
}

impl<'a> History<'a> {
    pub(super) fn new(root: &Path, options: &'a EstateOptions) -> Self {
        let estate = Estate {
            root: root.to_owned(),
            now: options.now,
            machines: Vec::new(),
            disks: Vec::new(),
            happened: Vec::new(),
        };
        Self { estate, random: Random::new(options.seed), options }
    }

    pub(super) fn happen(&mut self) {
        let count = self.options.machines;
        let first_clone = count.saturating_sub(self.options.clones);
        let golden = (first_clone < count).then(|| self.golden_base());
        let mut checkpoints = vec![0; count];
        for _ in 0..if count > 0 { self.options.checkpoints } else { 0 } {
            // Some machines have many checkpoints, and some have none.
            checkpoints[self.random.below(count).min(self.random.below(count))] += 1;
        }
        for (number, checkpoints) in checkpoints.into_iter().enumerate() {
            self.machine(number, golden.filter(|_| number >= first_clone));
            self.run(number, checkpoints);
        }
        for number in 0..self.options.ownerless {
            self.ownerless(number);
        }
    }

    pub(super) fn into_estate(mut self) -> Estate {
        let stored: Vec<String> = self.estate.disks.iter().map(|disk| disk.stored_path.clone()).collect();
        for machine in &mut self.estate.machines {
            let drives = machine.checkpoints.iter_mut().flat_map(|checkpoint| &mut checkpoint.drives);
            for drive in drives.chain(&mut machine.drives) {
                drive.stored_path.clone_from(&stored[drive.disk]);
                if machine.id.as_u128() % 5 == 0 {
                    drive.stored_path.make_ascii_uppercase();
                }
            }
        }
        self.estate
    }

    /// Returns a time in the past, by seconds before now.
    fn ago(&self, seconds: u64) -> SystemTime {
        self.options.now - Duration::from_secs(seconds)
    }

    fn golden_base(&mut self) -> usize {
        let place = Place {
            path: self.estate.root.join("Base images").join("golden.vhdx"),
            stored_path: format!(r"{}\Base images\golden.vhdx", HOSTS[0]),
        };
        self.add_base(place, self.ago(500 * DAY))
    }

    fn machine(&mut self, number: usize, golden: Option<usize>) {
        let random = &mut self.random;
        let (name, folder) = names::of_machine(random, number, self.options.hostile_names);
        let id = random.guid();
        let generation = if golden.is_some() { 2 } else { 1 + random.below(3).min(1) as u8 };
        let instance = if generation == 1 { IDE.parse().expect("a GUID") } else { random.guid() };
        let host = if golden.is_some() { HOSTS[0] } else { HOSTS[random.below(HOSTS.len())] };
        let notes = (random.below(4) == 0).then(|| format!("asked for by <b>{number}</b>\nsecond line"));
        let drives = 1 + random.below(2);
        let generic = random.below(3) == 0;
        let age = DAY * (30 + random.below(370) as u64);
        let created = self.ago(age);
        self.estate.machines.push(EstateMachine {
            name,
            id,
            generation,
            version: [(8, 0), (9, 0), (12, 0)][number % 3],
            created: Some(created),
            notes,
            configuration: self.estate.root.join(&folder).join("Virtual Machines").join(vmcx(id)),
            is_unreadable: false,
            drives: Vec::new(),
            checkpoints: Vec::new(),
            host: host.to_owned(),
            instance,
            is_legacy: false,
            folder: folder.clone(),
        });
        for location in 0..drives {
            let name = match (location, generic) {
                (0, true) => "base.vhdx".to_owned(),
                (0, false) => format!("{folder}.vhdx"),
                _ => "data.vhdx".to_owned(),
            };
            let place = self.place(number, &name);
            let disk = match golden.filter(|_| location == 0) {
                Some(golden) => self.add_child(golden, place, created),
                None => self.add_base(place, created),
            };
            let drive = EstateDrive { location: location as u32, stored_path: String::new(), disk };
            self.estate.machines[number].drives.push(drive);
        }
    }

    fn place(&self, machine: usize, name: &str) -> Place {
        let machine = &self.estate.machines[machine];
        Place {
            path: self.estate.root.join(&machine.folder).join(DISKS).join(name),
            stored_path: format!(r"{}\{}\{DISKS}\{name}", machine.host, machine.folder),
        }
    }

    /// Makes the checkpoints of a machine, and applies an older one now and then.
    fn run(&mut self, machine: usize, checkpoints: usize) {
        let created = self.estate.machines[machine].created.expect("the machine is new");
        let age = self.options.now.duration_since(created).expect("the machine exists").as_secs();
        let step = age / (checkpoints as u64 + 1);
        for number in 0..checkpoints {
            if number >= 2 && self.random.below(5) == 0 {
                let older = self.random.below(number - 1);
                self.apply(machine, older);
            }
            let since = (number as u64 + 1) * step + self.random.below(step as usize / 2) as u64;
            self.checkpoint(machine, number, created + Duration::from_secs(since));
        }
        for drive in 0..self.estate.machines[machine].drives.len() {
            let leaf = self.estate.machines[machine].drives[drive].disk;
            self.change(leaf);
            let since = self.estate.disks[leaf].modified;
            let age = self.options.now.duration_since(since).expect("the disk exists").as_secs();
            let last = Duration::from_secs(age - self.random.below(age as usize / 3 + 1) as u64);
            self.estate.disks[leaf].modified += last;
        }
    }

    fn change(&mut self, disk: usize) {
        let count = if self.random.below(8) == 0 { 24 } else { 1 + self.random.below(4) };
        self.estate.disks[disk].change(&mut self.random, count);
    }

    /// Makes a checkpoint: the newest disks are frozen, and each gets a child.
    fn checkpoint(&mut self, machine: usize, number: usize, time: SystemTime) {
        let id = self.random.guid();
        let hostile = self.options.hostile_names;
        let of = &self.estate.machines[machine];
        let name = names::of_checkpoint(&mut self.random, &of.folder, number, hostile);
        let checkpoint = EstateCheckpoint {
            name,
            id,
            time,
            created: Some(time),
            configuration: self.estate.root.join(&of.folder).join("Snapshots").join(vmcx(id)),
            drives: of.drives.clone(),
        };
        for (drive, frozen) in checkpoint.drives.iter().enumerate() {
            self.change(frozen.disk);
            self.estate.disks[frozen.disk].modified =
                time + Duration::from_secs(self.random.below(240) as u64);
            let place = self.place_of_child(machine, drive);
            self.estate.machines[machine].drives[drive].disk = self.add_child(frozen.disk, place, time);
        }
        self.estate.machines[machine].checkpoints.push(checkpoint);
    }

    /// Returns a place with a name as Hyper-V gives it: the name of the base, and a GUID.
    fn place_of_child(&mut self, machine: usize, drive: usize) -> Place {
        let of = &self.estate.machines[machine];
        let first = of.checkpoints.first().map_or(&of.drives, |checkpoint| &checkpoint.drives);
        let base = self.estate.disks[first[drive].disk].path.file_stem().expect("a disk has a name");
        let id = self.random.guid().to_string().to_uppercase();
        self.place(machine, &format!("{}_{id}.avhdx", base.to_string_lossy()))
    }

    /// Applies a checkpoint: new children of its disks replace the newest disks.
    fn apply(&mut self, machine: usize, checkpoint: usize) {
        for drive in 0..self.estate.machines[machine].drives.len() {
            let frozen = self.estate.machines[machine].checkpoints[checkpoint].drives[drive].disk;
            let place = self.place_of_child(machine, drive);
            let child = self.add_child(frozen, place, self.estate.disks[frozen].modified);
            // The discarded disk is the newest of its drive, so no disk depends on it.
            let child_disk = self.estate.disks.remove(child);
            let discarded = self.estate.machines[machine].drives[drive].disk;
            self.estate.disks[discarded] = child_disk;
        }
    }

    /// Makes a disk that no machine uses, sometimes with a child.
    fn ownerless(&mut self, number: usize) {
        let name = format!("template {number}.vhdx");
        let folder = self.estate.root.join("Templates");
        let place =
            |name: &str| Place { path: folder.join(name), stored_path: format!(r"T:\Templates\{name}") };
        let age = DAY * (1 + self.random.below(900) as u64);
        let base = self.add_base(place(&name), self.ago(age));
        if number % 2 == 1 {
            let child =
                self.add_child(base, place(&format!("template {number}_child.avhdx")), self.ago(age / 2));
            self.change(child);
        }
    }

    fn add_base(&mut self, place: Place, time: SystemTime) -> usize {
        let random = &mut self.random;
        let blocks = 3 + random.below(4) as u64;
        let disk = EstateDisk {
            path: place.path,
            parent: None,
            file: EstateFile::Sound,
            link: EstateLink::Base,
            data_write_guid: random.guid(),
            virtual_size: blocks * BLOCK,
            modified: time,
            stored_path: place.stored_path,
            virtual_disk_id: random.guid(),
            logical_sector_size: if random.below(6) == 0 { 4096 } else { 512 },
            own: BTreeMap::new(),
            cells: vec![0; (blocks * CELLS) as usize],
        };
        self.estate.disks.push(disk);
        let base = self.estate.disks.len() - 1;
        let count = 6 + self.random.below(8);
        self.estate.disks[base].change(&mut self.random, count);
        base
    }

    fn add_child(&mut self, parent: usize, place: Place, time: SystemTime) -> usize {
        let of = &self.estate.disks[parent];
        let disk = EstateDisk {
            path: place.path,
            parent: Some(parent),
            link: EstateLink::Ok,
            data_write_guid: self.random.guid(),
            modified: time,
            stored_path: place.stored_path,
            own: BTreeMap::new(),
            ..of.clone()
        };
        self.estate.disks.push(disk);
        self.estate.disks.len() - 1
    }
}

fn vmcx(id: Guid) -> String {
    format!("{}.vmcx", id.to_string().to_uppercase())
}
