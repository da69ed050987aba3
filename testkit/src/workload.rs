//! Runs operations on a family of disks in any order, and compares the disks with plain arrays.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use vhdx::ops::{MergeOptions, check_storage};
use vhdx::{DiskOffset, ErrorKind, NoProgress, OpenOptions, Vhdx, VhdxMut};

use crate::crash::{CrashImage, CrashWorld, Images, Sweep};
use crate::family::Family;
use crate::model::{ChainModel, LayerModel};

/// The unit in bytes that a medium writes as a whole, for every sector size of the disk.
const MEDIUM_SECTOR: usize = 512;

/// A family of disks, and steps to run on it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The chain.
    pub model: ChainModel,
    /// Further children of its layers.
    pub siblings: Vec<(usize, LayerModel)>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step. The numbers of disks, layers and sectors are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Writes sectors of a disk without children.
    Write {
        /// The number of the disk.
        leaf: usize,
        /// The first sector.
        start: u64,
        /// The number of sectors, cut off at the end of the disk.
        count: u64,
        /// The byte to write.
        fill: u8,
    },
    /// Zeroes sectors of a disk without children.
    Zero {
        /// The number of the disk.
        leaf: usize,
        /// The first sector.
        start: u64,
        /// The number of sectors, cut off at the end of the disk.
        count: u64,
    },
    /// Unmaps sectors of a disk without children.
    Unmap {
        /// The number of the disk.
        leaf: usize,
        /// The first sector.
        start: u64,
        /// The number of sectors, cut off at the end of the disk.
        count: u64,
    },
    /// Flushes the disk that was written to last.
    Flush,
    /// Closes the disk that was written to last.
    Close,
    /// Merges a layer of a disk's chain into one of its ancestors.
    Merge {
        /// The number of the disk.
        leaf: usize,
        /// The number of the merged layer in the chain; the disk itself is 0.
        child: usize,
        /// The number of layers between the merged layer and the target.
        levels: usize,
        /// Whether the merged files are deleted.
        delete: bool,
        /// The seed of a power failure during the merge, if there is one.
        failure: Option<u64>,
    },
    /// Lets power fail, also while a disk is open. The number is a seed.
    PowerFailure(u64),
}

impl Workload {
    /// Runs all steps.
    ///
    /// # Panics
    /// If a disk has the wrong content, or a file is not valid.
    pub fn run(&self) {
        let family = Family::new(&self.model, &self.siblings);
        let leaves = family.leaves.into_iter().map(|leaf| (leaf.path, leaf.expected)).collect();
        let mut run = Run {
            world: CrashWorld::new(family.images),
            leaves,
            open: None,
            seen: BTreeMap::new(),
            sound: HashSet::new(),
        };
        for step in &self.steps {
            run.step(*step);
        }
        run.close();
        run.assert_leaves("at the end");
    }
}

struct Run {
    world: CrashWorld,
    /// The disks without children, and their expected content.
    leaves: BTreeMap<PathBuf, Vec<u8>>,
    open: Option<Open>,
    /// For each disk, the fingerprints of its files when it was last read.
    seen: BTreeMap<PathBuf, Vec<u64>>,
    /// The fingerprints of files that were checked.
    sound: HashSet<u64>,
}

/// A disk that is being written to.
struct Open {
    path: PathBuf,
    disk: VhdxMut,
    /// The content when it was last durable, and after each later change.
    versions: Vec<Vec<u8>>,
}

impl Run {
    fn step(&mut self, step: Step) {
        match step {
            Step::Write { leaf, start, count, fill } => {
                self.change(leaf, start, count, |disk, range, bytes| {
                    let places = range.start as usize..range.end as usize;
                    bytes[places.clone()].fill(fill);
                    disk.write_all_at(&bytes[places], at(range.start)).unwrap();
                })
            }
            Step::Zero { leaf, start, count } => self.change(leaf, start, count, |disk, range, bytes| {
                bytes[range.start as usize..range.end as usize].fill(0);
                disk.write_zeros(at(range.start)..at(range.end)).unwrap();
            }),
            Step::Unmap { leaf, start, count } => self.change(leaf, start, count, |disk, range, bytes| {
                for start in (0..bytes.len() as u64).step_by(disk.block_size() as usize) {
                    let end = (start + disk.block_size()).min(bytes.len() as u64);
                    if range.start <= start && end <= range.end {
                        bytes[start as usize..end as usize].fill(0);
                    }
                }
                disk.unmap(at(range.start)..at(range.end)).unwrap();
            }),
            Step::Flush => {
                if let Some(open) = &mut self.open {
                    open.disk.flush().unwrap();
                    open.versions.drain(..open.versions.len() - 1);
                }
            }
            Step::Close => self.close(),
            Step::Merge { leaf, child, levels, delete, failure } => {
                self.merge(leaf, child, levels, delete, failure);
            }
            Step::PowerFailure(seed) => self.fail(seed),
        }
    }

    fn leaf(&self, number: usize) -> PathBuf {
        self.leaves.keys().nth(number % self.leaves.len()).expect("there always is a disk").clone()
    }

    fn change(
        &mut self,
        leaf: usize,
        start: u64,
        count: u64,
        change: impl FnOnce(&mut VhdxMut, Range<u64>, &mut [u8]),
    ) {
        let path = self.leaf(leaf);
        if self.open.as_ref().is_none_or(|open| open.path != path) {
            self.close();
            let disk = VhdxMut::open_with(self.world.storage(&path), &OpenOptions::default()).unwrap();
            let versions = vec![self.leaves[&path].clone()];
            self.open = Some(Open { path, disk, versions });
        }
        let open = self.open.as_mut().expect("it was just opened");
        let sector = u64::from(open.disk.logical_sector_size());
        let sectors = open.disk.virtual_size() / sector;
        let start = start % sectors;
        let range = start * sector..(start + count.min(sectors - start)) * sector;
        let mut bytes = open.versions.last().expect("there always is a version").clone();
        change(&mut open.disk, range, &mut bytes);
        open.versions.push(bytes);
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.disk.close().unwrap();
        self.seen.remove(&open.path);
        self.leaves.insert(open.path, open.versions.pop().expect("there always is a version"));
        self.assert_leaves("after closing");
    }

    fn merge(&mut self, leaf: usize, child: usize, levels: usize, delete: bool, failure: Option<u64>) {
        self.close();
        let leaf = self.leaf(leaf);
        let layers: Vec<PathBuf> = {
            let chain = self.world.chain(&leaf).unwrap();
            chain.layers().iter().filter_map(|layer| layer.path().map(Into::into)).collect()
        };
        if layers.len() < 2 {
            return;
        }
        let child = child % (layers.len() - 1);
        let target = child + 1 + levels % (layers.len() - child - 1);
        let options = MergeOptions { delete_merged: delete, shrink_target: true, ..MergeOptions::default() };
        let merge = |world: &CrashWorld| world.merge(&layers[child], &layers[target], &options, &NoProgress);

        // A new world, so that power fails only during this merge.
        self.world = CrashWorld::new(self.world.images());
        let left_over = self.left_over(&layers[child], &layers[target], &options);
        match merge(&self.world) {
            Err(error) if error.kind() == ErrorKind::Chain => return self.assert_leaves("after a refusal"),
            result => drop(result.unwrap()),
        }
        // Left-over disks have the content of the disk that they were merged into. This merge may make them unusable.
        let was_left_over = left_over.contains(&leaf).then(|| self.leaves[&leaf].clone());
        self.leaves.retain(|path, _| !left_over.contains(path));
        if let Some(seed) = failure {
            let sweep = Sweep { exhaustive: 0, samples: 6, seed };
            let images = self.images(&sweep, |image, leaves| {
                let gone = leaves.keys().filter(|path| !image.world().contains(path)).count();
                assert!(gone <= usize::from(delete && child == 0), "{gone} files are gone");
            });
            let mut world = CrashWorld::new(images);
            for (path, expected) in self.leaves.iter().filter(|(path, _)| world.contains(path)) {
                assert!(world.read_disk(path).unwrap() == *expected, "{} has changed", path.display());
            }
            if world.contains(&layers[child]) {
                merge(&world).unwrap();
                world = CrashWorld::new(world.images());
            }
            self.world = world;
        }
        if let Some(expected) = was_left_over {
            if self.leaves.is_empty() {
                self.leaves.insert(layers[target].clone(), expected);
            }
        } else if delete && child == 0 {
            let expected = self.leaves.remove(&leaf).expect("it was one of them");
            self.leaves.insert(layers[target].clone(), expected);
        }
        self.assert_leaves("after a merge");
    }

    /// Returns the leaves that are read through a file that is left over from a complete merge.
    ///
    /// The merge of `child` into `target` ignores these files.
    fn left_over(&self, child: &Path, target: &Path, options: &MergeOptions) -> Vec<PathBuf> {
        let Ok(plan) = self.world.plan_merge(child, target, options) else { return Vec::new() };
        let is_left_over =
            |layer: &Vhdx| plan.left_over().iter().any(|file| layer.path() == Some(&file.path));
        let is_read_through = |leaf: &&PathBuf| {
            self.world.chain(leaf).is_ok_and(|chain| chain.layers().iter().any(is_left_over))
        };
        self.leaves.keys().filter(is_read_through).cloned().collect()
    }

    /// Checks what power failures could leave, and returns one of the results.
    fn images(&self, sweep: &Sweep, check: impl Fn(&CrashImage, &BTreeMap<PathBuf, Vec<u8>>)) -> Images {
        let mut images = Vec::new();
        self.world.recording().crash(sweep, |image| {
            check(image, &self.leaves);
            images.push(image.files().clone());
        });
        let chosen = sweep.seed as usize % images.len().max(1);
        images.into_iter().nth(chosen).unwrap_or_else(|| self.world.images())
    }

    fn fail(&mut self, seed: u64) {
        let open = self.open.take().map(|Open { path, versions, .. }| (path, versions));
        self.world = CrashWorld::new(self.world.recording().at_the_end(seed));
        if let Some((path, versions)) = open {
            let read = self.world.read_disk(&path).unwrap();
            for (number, bytes) in read.chunks(MEDIUM_SECTOR).enumerate() {
                let place = number * MEDIUM_SECTOR..(number + 1) * MEDIUM_SECTOR;
                let is_one_of_them = versions.iter().any(|version| version[place.clone()] == *bytes);
                assert!(is_one_of_them, "sector {number} of {} never had this content", path.display());
            }
            self.seen.remove(&path);
            self.leaves.insert(path, read);
        }
        self.assert_leaves("after a power failure");
    }

    /// Checks that every disk has the expected content, and that every file is valid.
    ///
    /// Disks and files that have not changed since their last check are skipped.
    fn assert_leaves(&mut self, when: &str) {
        let images = self.world.images();
        let fingerprints: BTreeMap<&PathBuf, u64> =
            images.iter().map(|(path, image)| (path, image.fingerprint())).collect();
        for (path, expected) in &self.leaves {
            let read = || {
                let chain = self.world.chain(path)?;
                let files = chain.layers().iter().filter_map(|layer| layer.path());
                let files: Vec<u64> = files.map(|file| fingerprints[&file.to_owned()]).collect();
                if self.seen.get(path) == Some(&files) {
                    return Ok(None);
                }
                Ok::<_, vhdx::Error>(Some((self.world.read_disk(path)?, files)))
            };
            match read().unwrap_or_else(|e| panic!("{when}: {}: {e}", path.display())) {
                None => {}
                Some((read, files)) => {
                    assert!(read == *expected, "{when}: {} has the wrong content", path.display());
                    self.seen.insert(path.clone(), files);
                }
            }
        }
        for (path, image) in &images {
            if self.sound.insert(fingerprints[path]) {
                let report = check_storage(std::sync::Arc::new(image.clone()));
                assert!(report.is_valid(), "{when}: {}: {:?}", path.display(), report.files[0].violations);
            }
        }
    }
}

fn at(offset: u64) -> DiskOffset {
    DiskOffset::new(offset)
}
