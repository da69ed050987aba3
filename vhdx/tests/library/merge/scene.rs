//! A merge that is about to begin, and what must hold at every instant of it, and when it is done.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx::format::merge_guid::MergeId;
use vhdx::ops::{MergeOptions, MergeReport, check_storage, earlier_target, left_over};
use vhdx::{ErrorKind, LogState, NoProgress, OpenOptions, Progress, Result, Vhdx};
use vhdx_testkit::crash::{CrashImage, CrashWorld, Images, Sweep, Swept};
use vhdx_testkit::{Expected, Family, SparseImage, find_difference};

use crate::common::report;

/// How often a crash image was checked in which only the target does not say that the merge is complete.
pub(crate) static SEEN_BEFORE_LAST_WRITE: AtomicUsize = AtomicUsize::new(0);

/// Files, and which of them is merged into which.
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) images: Images,
    /// The layers of the merge, from the target up to the merged child.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) options: MergeOptions,
    pub(crate) leaves: Vec<(PathBuf, Content)>,
    /// The layers between the merged child and the target, with their content before the merge.
    pub(crate) between: Vec<(PathBuf, Content)>,
    /// The content of the merged child, and of the target when the merge is done.
    pub(crate) content: Content,
    /// Checks anything else about the target when the merge is done.
    pub(crate) then: fn(&Vhdx, &SparseImage),
}

/// The content of a disk: all of it, or a few parts of a disk that is too large.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) parts: Vec<(u64, Expected)>,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, parts: Expected::parts(&bytes) }
    }
}

impl Content {
    fn assert(&self, world: &CrashWorld, disk: &Path, when: &str) {
        let name = disk.display();
        let chain = world.chain(disk).unwrap_or_else(|e| panic!("{when}: {name}: {e}"));
        assert_eq!(chain.virtual_size(), self.size, "{when}: the size of {name}");
        for (start, expected) in &self.parts {
            let found = find_difference(&chain, *start, expected);
            let found = found.unwrap_or_else(|e| panic!("{when}: {name}: {e}"));
            assert_eq!(found, None, "{when}: {name} reads otherwise there");
        }
    }
}

impl Scene {
    /// The merge of layer `child` of a family's chain into layer `target`.
    pub(crate) fn of(family: Family, child: usize, target: usize, options: MergeOptions) -> Self {
        let leaves = family.leaves.into_iter().map(|leaf| (leaf.path, leaf.expected.into()));
        Self {
            name: "a random merge".into(),
            images: family.images,
            layers: family.chain[target..=child].to_vec(),
            options,
            leaves: leaves.collect(),
            between: (target + 1..child)
                .map(|layer| (family.chain[layer].clone(), family.disks[layer].clone().into()))
                .collect(),
            content: family.disks[child].clone().into(),
            then: |_, _| (),
        }
    }

    pub(crate) fn child(&self) -> &PathBuf {
        &self.layers[self.layers.len() - 1]
    }

    pub(crate) fn target(&self) -> &PathBuf {
        &self.layers[0]
    }

    pub(crate) fn world(&self) -> CrashWorld {
        CrashWorld::new(self.images.clone())
    }

    /// Runs the merge.
    pub(crate) fn merge(&self, world: &CrashWorld, progress: &dyn Progress) -> Result<Option<MergeReport>> {
        world.merge(self.child(), self.target(), &self.options, progress)
    }

    /// Checks that every disk without children opens and reads the same, as it must at every instant.
    pub(crate) fn check(&self, world: &CrashWorld, when: &str) {
        for (leaf, content) in &self.leaves {
            if leaf == self.child() && self.options.delete_merged && !world.contains(leaf) {
                content.assert(world, self.target(), when); // its child is gone, so it must be complete
            } else {
                content.assert(world, leaf, when);
            }
        }
        if world.contains(self.child()) {
            self.check_last_write(world, when);
        }
    }

    /// The lowest layer says that the merge is complete, and the target does not yet: nothing is left over, and a merge of
    /// the child goes into the same target again.
    fn check_last_write(&self, world: &CrashWorld, when: &str) {
        let Ok(chain) = world.chain(self.child()) else { return };
        let levels = self.layers.len() - 1;
        let [.., lowest, target] = &chain.layers()[..=levels.min(chain.layers().len() - 1)] else { return };
        let merge = MergeId::from_guid(target.data_write_guid());
        let second = lowest.parent_locator().and_then(|locator| locator.parent_linkage2());
        if merge.is_none() || second != merge.map(MergeId::complete_guid) {
            return;
        }
        let found = left_over(chain.layers(), &world.relatives().unwrap());
        assert!(found.is_none(), "{when}: left over from an incomplete merge: {found:?}");
        assert_eq!(earlier_target(&chain), Some(levels), "{when}");
        SEEN_BEFORE_LAST_WRITE.fetch_add(1, Ordering::Relaxed);
    }

    /// The layers between the merged child and the target are read as they were, or not at all.
    pub(crate) fn check_between(&self, world: &CrashWorld, when: &str) {
        for (layer, content) in self.between.iter().filter(|(layer, _)| world.contains(layer)) {
            match world.chain(layer) {
                Ok(_) => content.assert(world, layer, when),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Chain, "{when}: {error}"),
            }
        }
    }

    /// Runs the merge to its end, from whatever an earlier run has left, and checks the result.
    pub(crate) fn complete(&self, world: &CrashWorld, when: &str) {
        if world.contains(self.child()) {
            self.merge(world, &NoProgress).unwrap_or_else(|e| panic!("{when}: {}: {e}", self.name));
        } else {
            self.merge_what_is_left(world);
        }
        self.assert_done(world, when);
    }

    /// The merged disk is deleted already; nobody may bring back the older content of its ancestors.
    fn merge_what_is_left(&self, world: &CrashWorld) {
        for layer in self.layers[1..].iter().rev().filter(|layer| world.contains(layer)) {
            if let Ok(Some(merged)) = world.merge(layer, self.target(), &self.options, &NoProgress) {
                assert_eq!(merged.bytes_copied, 0, "{}", layer.display());
            }
        }
    }

    /// Checks the files after the merge is done.
    pub(crate) fn assert_done(&self, world: &CrashWorld, when: &str) {
        self.check(world, when);
        self.content.assert(world, self.target(), when);
        let merged = &self.layers[1..];
        for (leaf, _) in self.leaves.iter().filter(|(leaf, _)| leaf != self.child()) {
            let chain = world.chain(leaf).unwrap();
            let mut paths = chain.layers().iter().filter_map(Vhdx::path);
            assert!(
                !paths.any(|path| merged.iter().any(|layer| layer == path)),
                "{when}: {}",
                leaf.display()
            );
        }
        let file = &world.images()[self.target()];
        let target = Vhdx::open_with(file.clone(), &OpenOptions::default()).unwrap();
        assert_eq!(target.log(), LogState::Clean, "{when}");
        (self.then)(&target, file);
    }

    /// No rule is broken in any file.
    pub(crate) fn assert_valid(&self, world: &CrashWorld, when: &str) {
        for (path, image) in world.images() {
            let report = check_storage(std::sync::Arc::new(image));
            assert!(report.is_valid(), "{when}: {}: {:?}", path.display(), report.files[0]);
        }
    }

    /// No log is dirty but those that were before and that nobody had to touch.
    pub(crate) fn assert_clean(&self, world: &CrashWorld, when: &str) {
        let is_dirty = |image: &SparseImage| {
            Vhdx::open_with(image.clone(), &OpenOptions::default()).unwrap().log() != LogState::Clean
        };
        for (path, image) in world.images() {
            assert!(!is_dirty(&image) || is_dirty(&self.images[&path]), "{when}: {}", path.display());
        }
    }

    /// Merges, with power failing everywhere; and again in the runs that go on after some of the failures.
    pub(crate) fn sweep(&self, sweep: &Sweep, mut see: impl FnMut(&CrashImage)) -> Swept {
        let world = self.world();
        self.complete(&world, "without a failure");
        let (mut total, mut number) = (Swept::default(), 0_usize);
        let few = Sweep { exhaustive: 3, samples: (sweep.samples / 20).max(2), seed: 0 };
        let swept = world.recording().garbling().crash(sweep, |image| {
            self.check(&image.world(), "after a power failure");
            self.check_between(&image.world(), "after a power failure");
            see(image);
            let again = image.world();
            self.complete(&again, "after a power failure and another run");
            number += 1;
            if number.is_multiple_of(5) {
                self.assert_valid(&again, "after a power failure and another run");
            }
            if number.is_multiple_of(97) && (number / 97).is_power_of_two() {
                let few = Sweep { seed: number as u64, ..few };
                total += again.recording().garbling().crash(&few, |image| {
                    self.check(&image.world(), "after a second power failure");
                    self.complete(&image.world(), "after a second power failure and a third run");
                });
            }
        });
        total += swept;
        report(&self.name, &total);
        total
    }
}
