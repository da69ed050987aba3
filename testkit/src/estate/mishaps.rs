//! Lets things go wrong in an estate, each with another machine.

use std::time::{Duration, UNIX_EPOCH};

use super::disk::{EstateFile, EstateLink};
use super::history::History;
use super::names::CONTROLS;
use super::{EstateMachine, EstateOptions, Mishap};

/// 2099-01-01.
const FUTURE: Duration = Duration::from_secs(4_070_908_800);

pub(super) fn strike(history: &mut History<'_>, options: &EstateOptions) {
    // Clones share a base: what happens to one would happen to all.
    let mut untouched: Vec<usize> = (0..options.machines.saturating_sub(options.clones)).collect();
    history.random.shuffle(&mut untouched);
    for &mishap in &options.mishaps {
        let place = untouched.iter().position(|&machine| fits(mishap, &history.estate.machines[machine]));
        let Some(machine) = place.map(|place| untouched.remove(place)) else { continue };
        history.strike(mishap, machine, &mut untouched);
        history.estate.happened.push((mishap, machine));
    }
    history.set_links();
}

fn fits(mishap: Mishap, machine: &EstateMachine) -> bool {
    let names = machine.checkpoints.iter().map(|checkpoint| &checkpoint.name).chain([&machine.name]);
    let checkpoints = match mishap {
        Mishap::Missing | Mishap::Shared | Mishap::Unreadable => 0,
        Mishap::Renamed | Mishap::Moved | Mishap::Outdated | Mishap::Future => 1,
        Mishap::Legacy => 2,
        Mishap::Damaged | Mishap::Lost => 3,
    };
    let is_text = mishap != Mishap::Legacy || !names.into_iter().any(|name| name.contains(CONTROLS[0]));
    machine.checkpoints.len() >= checkpoints && is_text
}

impl History<'_> {
    fn strike(&mut self, mishap: Mishap, machine: usize, untouched: &mut Vec<usize>) {
        match mishap {
            Mishap::Damaged => {
                let disk = self.any_disk(machine);
                self.estate.disks[disk].file = EstateFile::Damaged;
            }
            Mishap::Renamed => {
                let disk = self.any_disk(machine);
                let disk = &mut self.estate.disks[disk];
                disk.path.set_file_name(format!("renamed {machine}.vhdx"));
                disk.file = EstateFile::Moved;
            }
            Mishap::Moved => {
                let disk = self.any_disk(machine);
                let disk = &mut self.estate.disks[disk];
                disk.path =
                    self.estate.root.join("Moved").join(disk.path.file_name().expect("it has a name"));
                disk.file = EstateFile::Moved;
            }
            Mishap::Lost => {
                // The disk of a checkpoint that is not the first one, so it has a parent and usually a child.
                let checkpoints = &self.estate.machines[machine].checkpoints;
                let number = 1 + self.random.below(checkpoints.len() - 1);
                let disk = checkpoints[number].drives[0].disk;
                self.estate.disks[disk].file = EstateFile::Gone;
            }
            Mishap::Missing => {
                for disk in self.disks_of(machine) {
                    self.estate.disks[disk].file = EstateFile::Gone;
                }
            }
            Mishap::Shared => self.share(machine, untouched),
            Mishap::Outdated => {
                let disks = &self.estate.disks;
                for drive in &mut self.estate.machines[machine].drives {
                    drive.disk = disks[drive.disk].parent.unwrap_or(drive.disk);
                }
            }
            Mishap::Future => {
                let machine = &mut self.estate.machines[machine];
                machine.created = Some(UNIX_EPOCH + FUTURE);
                let last = machine.checkpoints.last_mut().expect("it has checkpoints");
                last.created = Some(UNIX_EPOCH + FUTURE);
            }
            Mishap::Unreadable => self.estate.machines[machine].is_unreadable = true,
            Mishap::Legacy => self.make_legacy(machine),
        }
    }

    /// Returns a disk of the first drive of a machine: usually one with a parent and children.
    fn any_disk(&mut self, machine: usize) -> usize {
        let machine = &self.estate.machines[machine];
        let disks: Vec<usize> =
            machine.checkpoints.iter().map(|checkpoint| checkpoint.drives[0].disk).collect();
        match self.random.below(4) {
            0 => machine.drives[0].disk,
            1 => disks[0],
            _ => disks[self.random.below(disks.len())],
        }
    }

    /// Returns all disks of a machine. They are in its folder.
    fn disks_of(&self, machine: usize) -> Vec<usize> {
        let folder = self.estate.root.join(&self.estate.machines[machine].folder);
        let is_inside = |disk: &usize| self.estate.disks[*disk].path.starts_with(&folder);
        (0..self.estate.disks.len()).filter(is_inside).collect()
    }

    /// Lets another machine name the newest disks of a machine, at other locations.
    fn share(&mut self, machine: usize, untouched: &mut Vec<usize>) {
        let Some(other) = untouched.pop() else { return };
        let shared = self.estate.machines[machine].drives.clone();
        let more = shared.into_iter().map(|mut drive| {
            drive.location += 8;
            drive
        });
        self.estate.machines[other].drives.extend(more);
    }

    fn make_legacy(&mut self, machine: usize) {
        let machine = &mut self.estate.machines[machine];
        machine.is_legacy = true;
        machine.version = (5, 0);
        machine.created = None;
        machine.configuration.set_extension("xml");
        for checkpoint in &mut machine.checkpoints {
            checkpoint.created = None;
            checkpoint.configuration.set_extension("xml");
        }
    }

    fn set_links(&mut self) {
        for disk in 0..self.estate.disks.len() {
            let Some(parent) = self.estate.disks[disk].parent else { continue };
            let is_beside = self.estate.disks[disk].file == EstateFile::Sound
                || self.estate.disks[disk].path.parent() == self.estate.disks[parent].path.parent();
            self.estate.disks[disk].link = match self.estate.disks[parent].file {
                EstateFile::Sound if is_beside => EstateLink::Ok,
                EstateFile::Sound | EstateFile::Moved => EstateLink::Stale,
                EstateFile::Damaged | EstateFile::Gone => EstateLink::Lost,
            };
        }
    }
}
