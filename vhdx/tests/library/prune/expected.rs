//! What a prune must do with an estate: computed from its truth, without the library.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vhdx_testkit::estate::{Estate, EstateCheckpoint, EstateDrive, EstateFile, EstateLink};

/// A selection, as a user gives it.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) keep_last: Option<usize>,
    pub(super) older_than: Option<Duration>,
    /// What the names must contain.
    pub(super) name: Option<String>,
    /// The disks whose checkpoints are large.
    pub(super) larger: Option<BTreeSet<usize>>,
}

/// What must happen.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The disks whose state is removed.
    pub(super) deleted: BTreeSet<usize>,
    /// The file that has the state of each disk that stays and can be read.
    pub(super) states: BTreeMap<usize, PathBuf>,
    /// The disks whose files are gone.
    pub(super) gone: BTreeSet<usize>,
    /// The files into which others were merged. Each has a record.
    pub(super) targets: BTreeSet<PathBuf>,
}

impl Expected {
    /// Returns the files of an estate after the prune, sorted by path.
    pub(super) fn files(&self, estate: &Estate) -> Vec<PathBuf> {
        let gone: BTreeSet<&Path> = self.gone.iter().map(|&disk| estate.disks[disk].path.as_path()).collect();
        let left = super::files(&estate.root).into_iter().filter(|path| !gone.contains(path.as_path()));
        let records = self.targets.iter().map(|target| {
            let name = format!("{}.vhdx-pruned", target.file_name().unwrap().to_str().unwrap());
            target.with_file_name(name)
        });
        let mut files: Vec<PathBuf> = left.chain(records).collect();
        files.sort();
        files
    }
}

impl Selection {
    pub(super) fn expected(&self, estate: &Estate) -> Expected {
        let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for disk in (0..estate.disks.len()).filter(|&disk| estate.disks[disk].is_found()) {
            families.entry(estate.root_of(disk)).or_default().push(disk);
        }
        let mut deleted: BTreeSet<usize> =
            families.values().flat_map(|family| self.of_family(estate, family)).collect();
        keep_whole(estate, &mut deleted);
        let mut expected = Expected { deleted, ..Expected::default() };
        for disk in families.into_values().flatten() {
            // The state of a disk moves into the oldest of the neighbours that were deleted below it.
            let below =
                |&disk: &usize| estate.disks[disk].parent.filter(|parent| expected.deleted.contains(parent));
            let target = std::iter::successors(Some(disk), below).last().unwrap();
            if target != disk {
                expected.gone.insert(disk);
                expected.targets.insert(estate.disks[target].path.clone());
            }
            if !expected.deleted.contains(&disk) && estate.is_whole(disk) {
                expected.states.insert(disk, estate.disks[target].path.clone());
            }
        }
        expected
    }

    fn of_family(&self, estate: &Estate, family: &[usize]) -> Vec<usize> {
        let folders: BTreeSet<&Path> = family.iter().map(|&disk| folder(estate, disk)).collect();
        let is_damage_near = (0..estate.disks.len()).any(|disk| {
            estate.disks[disk].file == EstateFile::Damaged && folders.contains(folder(estate, disk))
        });
        let is_whole = family.iter().all(|&disk| estate.is_whole(disk));
        if is_damage_near || !is_whole {
            return Vec::new();
        }
        let times: BTreeMap<usize, SystemTime> = family
            .iter()
            .filter(|&&disk| estate.children(disk).next().is_some())
            .map(|&disk| (disk, time(estate, disk)))
            .collect();
        let mut newest: Vec<(SystemTime, usize, usize)> =
            times.iter().map(|(&disk, &time)| (time, depth(estate, disk), disk)).collect();
        newest.sort();
        let newest: BTreeSet<usize> =
            newest.into_iter().rev().take(self.keep_last.unwrap_or(0)).map(|(.., disk)| disk).collect();
        let fits = |disk: &usize| !newest.contains(disk) && self.fits(estate, *disk, times[disk]);
        times.keys().filter(|disk| fits(disk)).filter(|&&disk| is_possible(estate, disk)).copied().collect()
    }

    fn fits(&self, estate: &Estate, disk: usize, time: SystemTime) -> bool {
        let is_older = |limit| estate.now.duration_since(time).is_ok_and(|age| age > limit);
        let named = estate.checkpoints_of(disk);
        let mut names: Vec<String> =
            named.iter().map(|(_, checkpoint)| checkpoint.name.to_lowercase()).collect();
        if names.is_empty() {
            names.push(estate.disks[disk].path.file_name().unwrap().to_str().unwrap().to_lowercase());
        }
        self.older_than.is_none_or(is_older)
            && self.larger.as_ref().is_none_or(|larger| larger.contains(&disk))
            && self.name.as_ref().is_none_or(|part| names.iter().any(|name| name.contains(part)))
    }
}

/// Keeps all disks of a checkpoint of which one disk stays, or was not found.
fn keep_whole(estate: &Estate, deleted: &mut BTreeSet<usize>) {
    let checkpoints: Vec<&EstateCheckpoint> =
        estate.machines.iter().flat_map(|machine| &machine.checkpoints).collect();
    // A disk without children that a machine uses has changed since it was frozen.
    let is_frozen = |disk: &usize| estate.children(*disk).next().is_some() || !is_used(estate, *disk);
    loop {
        let before = deleted.len();
        for checkpoint in &checkpoints {
            let disks = checkpoint.drives.iter().filter_map(|drive| estate.found(drive)).filter(is_frozen);
            let disks: Vec<usize> = disks.collect();
            let is_missing = checkpoint.drives.iter().any(|drive| estate.found(drive).is_none());
            if is_missing && checkpoint.drives.len() > 1 {
                // A disk that was moved is known by its name, or by that which its children store.
                // If its parent were deleted, its file would be gone.
                let moved = checkpoint.drives.iter().map(|drive| drive.disk);
                let moved: Vec<usize> =
                    moved.filter(|&disk| estate.disks[disk].file == EstateFile::Moved).collect();
                let parents = moved.iter().filter_map(|&disk| estate.disks[disk].parent);
                let kept: Vec<usize> = moved.iter().copied().chain(parents).collect();
                deleted.retain(|disk| !kept.contains(disk));
            }
            if is_missing || disks.iter().any(|disk| !deleted.contains(disk)) {
                deleted.retain(|disk| !disks.contains(disk));
            }
        }
        if deleted.len() == before {
            return;
        }
    }
}

fn folder(estate: &Estate, disk: usize) -> &Path {
    estate.disks[disk].path.parent().unwrap()
}

fn depth(estate: &Estate, disk: usize) -> usize {
    std::iter::successors(estate.disks[disk].parent, |&parent| estate.disks[parent].parent).count()
}

/// A checkpoint is not older than one that it depends on.
fn time(estate: &Estate, disk: usize) -> SystemTime {
    let stored = estate.checkpoints_of(disk).iter().filter_map(|(_, checkpoint)| checkpoint.created).max();
    let own = stored.unwrap_or(estate.disks[disk].modified);
    estate.disks[disk].parent.map_or(own, |parent| own.max(time(estate, parent)))
}

fn is_possible(estate: &Estate, disk: usize) -> bool {
    let children: Vec<usize> = estate.children(disk).collect();
    let [child] = children[..] else { return false };
    let is_avhdx = estate.disks[child].path.extension().unwrap() == "avhdx";
    let is_in_use = |disk| is_used(estate, disk) && estate.children(disk).next().is_some();
    let is_needed = [disk, child].iter().any(|disk| is_in_use(*disk) || unseen(estate).contains(disk));
    !is_needed && (is_avhdx || !estate.checkpoints_of(disk).is_empty())
}

fn is_used(estate: &Estate, disk: usize) -> bool {
    let machines = estate.readable_machines();
    machines.iter().any(|machine| machine.drives.iter().any(|drive| estate.found(drive) == Some(disk)))
}

/// Returns the disks on which a disk may depend that is elsewhere.
fn unseen(estate: &Estate) -> BTreeSet<usize> {
    let found = |drives: &[EstateDrive]| -> Vec<usize> {
        drives.iter().filter_map(|drive| estate.found(drive)).collect()
    };
    let machines = estate.readable_machines();
    let used: BTreeSet<usize> = machines.iter().flat_map(|machine| found(&machine.drives)).collect();
    let is_leaf = |disk: &usize| estate.disks[*disk].is_found() && estate.children(*disk).next().is_none();
    let (mut suspects, mut missing_stems) = (BTreeSet::new(), BTreeSet::new());
    let mut missing_folders: BTreeSet<&Path> = BTreeSet::new();
    for machine in &machines {
        let (here, missing): (Vec<&EstateDrive>, Vec<&EstateDrive>) =
            machine.drives.iter().partition(|drive| estate.found(drive).is_some());
        missing_stems.extend(missing.iter().map(|drive| stem(&drive.stored_path)));
        if !missing.is_empty() {
            missing_folders.insert(machine_folder(&machine.configuration));
        }
        let roots: Vec<usize> = here.iter().map(|drive| estate.root_of(drive.disk)).collect();
        let owned = machine.checkpoints.iter().filter(|of| estate.is_owner_known(machine, of));
        for drive in owned.flat_map(|of| &of.drives).filter(|_| !missing.is_empty()) {
            let Some(disk) = estate.found(drive) else { continue };
            let is_in_place = missing.iter().any(|lost| lost.location == drive.location);
            if is_in_place || !roots.contains(&estate.root_of(disk)) {
                suspects.insert(disk);
            }
        }
    }
    let mut named = used.clone();
    for machine in &estate.machines {
        for checkpoint in &machine.checkpoints {
            named.extend(found(&checkpoint.drives));
            if !estate.is_owner_known(machine, checkpoint) {
                suspects.extend(
                    found(&checkpoint.drives).iter().filter(|disk| is_leaf(disk) && !used.contains(disk)),
                );
            }
        }
    }
    suspects.extend(near_missing_links(estate));
    let is_below = |disk: &usize| {
        std::iter::successors(Some(*disk), |&disk| estate.disks[disk].parent)
            .any(|disk| suspects.contains(&disk))
    };
    let mut unseen: BTreeSet<usize> = (0..estate.disks.len()).filter(is_below).collect();
    // The disk that was not found may depend on any ancestor of these.
    let name = |disk: usize| stem(estate.disks[disk].path.file_name().unwrap().to_str().unwrap());
    let is_unnamed = |disk: &usize| is_leaf(disk) && !named.contains(disk);
    let known: BTreeSet<usize> = used.iter().map(|&disk| estate.root_of(disk)).collect();
    for disk in (0..estate.disks.len()).filter(is_unnamed) {
        let folder = machine_folder(&estate.disks[disk].path);
        let is_known = known.contains(&estate.root_of(disk));
        if !is_known && missing_stems.contains(&name(disk)) || missing_folders.contains(folder) {
            unseen.extend(line(estate, disk));
        }
    }
    unseen.extend(of_unreadable_machines(estate, &used));
    unseen
}

/// Returns a disk and its ancestors, as far as they are linked.
fn line(estate: &Estate, disk: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(disk), |&disk| {
        estate.disks[disk].parent.filter(|_| estate.disks[disk].link != EstateLink::Lost)
    })
}

/// Returns the disks on which the missing parent of another disk may depend: all of the same base.
fn near_missing_links(estate: &Estate) -> BTreeSet<usize> {
    let is_orphan =
        |disk: &usize| estate.disks[*disk].link == EstateLink::Lost && estate.disks[*disk].is_found();
    let orphans: BTreeSet<usize> = (0..estate.disks.len()).filter(is_orphan).collect();
    let origins: BTreeSet<usize> = orphans.iter().map(|&disk| origin(estate, disk)).collect();
    let is_near = |disk: &usize| {
        estate.disks[*disk].is_found()
            && origins.contains(&origin(estate, *disk))
            && !orphans.contains(&estate.root_of(*disk))
    };
    (0..estate.disks.len()).filter(is_near).collect()
}

/// Returns the base of a disk, whether the files between can be found or not.
fn origin(estate: &Estate, disk: usize) -> usize {
    std::iter::successors(Some(disk), |&disk| estate.disks[disk].parent).last().unwrap()
}

/// Returns the disks that a machine may use whose configuration cannot be read: those in its folder, and the chains of the
/// disks without children that no machine uses.
fn of_unreadable_machines(estate: &Estate, used: &BTreeSet<usize>) -> BTreeSet<usize> {
    let unreadable = estate.machines.iter().filter(|machine| machine.is_unreadable);
    let folders: BTreeSet<&Path> = unreadable.map(|machine| machine_folder(&machine.configuration)).collect();
    if folders.is_empty() {
        return BTreeSet::new();
    }
    let found = || (0..estate.disks.len()).filter(|&disk| estate.disks[disk].is_found());
    let near = found().filter(|&disk| folders.contains(machine_folder(&estate.disks[disk].path)));
    let is_unused = |disk: &usize| estate.children(*disk).next().is_none() && !used.contains(disk);
    near.chain(found().filter(is_unused).flat_map(|disk| line(estate, disk))).collect()
}

/// Returns the folder in which a machine has its folders.
fn machine_folder(path: &Path) -> &Path {
    let folder = path.parent().unwrap();
    match folder.file_name().unwrap().to_str().unwrap() {
        "Virtual Hard Disks" | "Virtual Machines" | "Snapshots" => folder.parent().unwrap(),
        _ => folder,
    }
}

/// The name of a disk as it was before its first checkpoint.
fn stem(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap().to_lowercase();
    let name = name.trim_end_matches(".avhdx").trim_end_matches(".vhdx").to_owned();
    match name.rsplit_once('_') {
        Some((stem, guid)) if guid.len() == 36 => stem.to_owned(),
        _ => name,
    }
}
