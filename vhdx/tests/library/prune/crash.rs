//! Power fails at every sync of a prune, and leaves every combination of what was not durable.
//!
//! In each set of files that this could leave, every state that stays can be read; and the prune, run again, completes.
//! `VHDX_CRASH_IMAGES` says how many sets are sampled beside the exhaustive ones.

use std::fs;
use std::path::PathBuf;

use vhdx::NoProgress;
use vhdx::ops::PruneOptions;
use vhdx_testkit::crash::{CrashImage, Sweep, Swept};
use vhdx_testkit::estate::{Estate, EstateOptions};

use super::expected::{Expected, Selection};
use super::states::{check_end, check_states, copy, names_at_the_end};
use super::{files, plan, prune};
use crate::common::report;
use crate::doubles::Mirror;

/// A prune of a copy of an estate.
struct Scene {
    estate: Estate,
    options: PruneOptions,
    expected: Expected,
    names: Vec<PathBuf>,
    /// The folder of the copy.
    root: PathBuf,
}

impl Scene {
    /// Replaces the copy by a set of files.
    fn restore(&self, image: &CrashImage) {
        for path in files(&self.root) {
            fs::remove_file(path).unwrap();
        }
        for (path, file) in image.files() {
            file.write_to(path).unwrap();
        }
    }

    /// Prunes the copy as it is, and records what happens to its files.
    fn record(&self) -> Mirror {
        let mirror = Mirror::of(files(&self.root));
        for _ in 0..4 {
            let (forest, plan) = plan(&self.root, &self.options, self.estate.now);
            let report = plan.execute(&forest, &mirror, &NoProgress);
            assert!(report.is_complete(), "{report:#?}");
            if !plan.needs_another() {
                break;
            }
        }
        mirror.assert_faithful(files(&self.root));
        mirror
    }

    fn check(&self, image: &CrashImage) {
        self.restore(image);
        let context = image.to_string();
        check_states(&self.estate, &self.root, &self.expected, &context);
    }

    fn complete(&self, image: &CrashImage) {
        let context = image.to_string();
        let report = prune(&self.root, &self.options, self.estate.now);
        assert!(report.is_complete(), "{context}, then {report:#?}");
        check_end(&self.estate, &self.root, &self.expected, &self.names, &context);
    }
}

/// Lets power fail everywhere, and again in some of the prunes that go on.
fn sweep(seed: u64, keep_last: usize, sweep: &Sweep) -> Swept {
    let folder = tempfile::tempdir().unwrap();
    let estate = Estate::generate(&folder.path().join("estate"), &EstateOptions::sound(seed, 1, 4)).unwrap();
    let mut options = PruneOptions::all();
    options.keep_last = Some(keep_last);
    let expected = Selection { keep_last: Some(keep_last), ..Selection::default() }.expected(&estate);
    let names = names_at_the_end(&estate, &expected);
    let scene = Scene { root: folder.path().join("run"), estate, options, expected, names };
    copy(&scene.estate.root, &scene.root);
    let mirror = scene.record();
    check_end(&scene.estate, &scene.root, &scene.expected, &scene.names, "without a failure");

    let few = Sweep { exhaustive: 1, samples: 4, seed };
    let (mut total, mut number) = (Swept::default(), 0_usize);
    let swept = mirror.world().recording().garbling().crash(sweep, |image| {
        scene.check(image);
        number += 1;
        if !number.is_multiple_of(50) {
            return scene.complete(image);
        }
        let again = scene.record();
        check_end(&scene.estate, &scene.root, &scene.expected, &scene.names, "after the next run");
        total += again.world().recording().garbling().crash(&few, |image| {
            scene.check(image);
            scene.complete(image);
        });
    });
    total += swept;
    report(&format!("a prune that keeps {keep_last}"), &total);
    total
}

/// Each image is written to the host's files, and a prune runs on them: a sample of the usual size takes minutes.
fn few() -> Sweep {
    let usual = Sweep::default();
    Sweep { exhaustive: 2, samples: usual.samples / 8, ..usual }
}

#[test]
fn of_all_checkpoints() {
    let swept = sweep(21, 0, &few());
    assert!(swept.images > 100, "{swept:?}");
}

#[test]
fn of_all_but_the_newest() {
    let swept = sweep(22, 1, &few());
    assert!(swept.images > 300, "{swept:?}");
}
