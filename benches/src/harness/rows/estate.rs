//! Commands that work on estates, and the map in their report.

use std::path::PathBuf;

use anyhow::Result;

use super::merge::{copy_files, spec};
use crate::harness::chain::{Files, Spec, name};
use crate::harness::files::verify_chain;
use crate::harness::measure::{Job, Output, Role, Step};
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const LIMIT: &str = "library: open each disk and configuration";
const MAX_RATIO: f64 = 1.5;

/// Runs a command on an estate.
pub(super) fn command<'a>(context: &'a Context, label: &str, args: &[&str]) -> Result<Comparison<'a>> {
    commands(context, &[(label, args)])
}

/// Plans prunes of an estate.
///
/// A damaged file in a folder refuses the merges of its family, unless undetermined files are ignored.
pub(super) fn prune(context: &Context) -> Result<Comparison<'_>> {
    const DRY_RUN: [&str; 3] = ["prune", "--quiet", "--dry-run"];
    let with = |selection: &[&'static str]| [&DRY_RUN[..], selection].concat();
    let weekly = with(&["--keep-last", "2", "--older-than", "7d"]);
    let (all, ignoring) = (with(&["--all"]), with(&["--all", "--ignore-undetermined"]));
    let jobs = [
        ("vhdx prune --keep-last 2 --older-than 7d", &weekly[..]),
        ("vhdx prune --all", &all[..]),
        ("vhdx prune --all --ignore-undetermined", &ignoring[..]),
    ];
    commands(context, &jobs)
}

fn commands<'a>(context: &'a Context, measured: &[(&str, &[&str])]) -> Result<Comparison<'a>> {
    let families = context.scaled(500).to_string();
    let make = |folder: &std::path::Path| context.worker(["make-estate"]).arg(folder).arg(&families).run();
    let folder: PathBuf = context.made("estate", make)?;
    let limit = context.worker(["open-estate"]).arg(&folder).output(Output::OwnSeconds);
    let mut jobs = vec![Job::new(Role::Limit, LIMIT, vec![limit])];
    let mut goals = Vec::new();
    for (label, args) in measured {
        let step = context.vhdx(args.iter().copied()).arg(&folder).may_find();
        jobs.push(Job::new(Role::Ours, *label, vec![step]));
        goals.push(Goal::seconds(label, LIMIT, MAX_RATIO));
        goals.push(Goal::PeakBytes { job: (*label).to_owned(), at_most: 100 << 20 });
    }
    Ok(Comparison { jobs, bytes: 0, goals, quantity: Quantity::Seconds, peers_below: 1.0 })
}

/// Prunes 8 neighbouring checkpoints, and one, with the same data.
///
/// `rm` shows how long the file system takes to delete the 8 files: some file systems wait until the device has
/// discarded the blocks.
pub(super) fn neighbours(context: &Context) -> Result<Comparison<'_>> {
    const CHECKPOINTS: usize = 8;
    const ONE: &str = "vhdx prune of one checkpoint";
    const OURS: &str = "vhdx prune of 8 neighbouring checkpoints";
    let deep = Spec { depth: CHECKPOINTS, same_runs: true, ..spec(context) };
    let (eight, one) = (context.chain(&deep)?, context.chain(&Spec { depth: 1, ..deep.clone() })?);
    let (all, alone) = (context.empty("prune-8")?, context.empty("prune-1")?);
    let made = [(eight.clone(), all.clone()), (one.clone(), alone.clone())];
    let job = |role, label, step: Step| {
        let made = made.clone();
        Job::new(role, label, vec![step]).prepare(move || {
            // The same files in the same order before each job: see the merge of several levels.
            let copy =
                |(chain, to): &(Files, PathBuf)| copy_files(&chain.folder, to, (0..=chain.depth).map(name));
            made.iter().try_for_each(copy)
        })
    };
    let prune = |role, label, chain: &Files, run: &PathBuf| {
        let (target, expected) = (run.join(name(0)), chain.expected());
        job(role, label, context.vhdx(["prune", "--quiet", "--all", "--yes"]).arg(run))
            .verify(move || verify_chain(&target, &expected))
    };
    let merged = (1..=CHECKPOINTS).map(|level| all.join(name(level)));
    let delete = job(Role::Peer, "rm of the 8 merged files", Step::new("rm", merged));
    Ok(Comparison {
        jobs: vec![prune(Role::Limit, ONE, &one, &alone), prune(Role::Ours, OURS, &eight, &all), delete],
        bytes: deep.child_bytes,
        goals: vec![Goal::seconds(OURS, ONE, 1.3)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Makes the map of a large chain, and of one that is 64 times smaller.
pub(super) fn map(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "library: DiskMap::of, 64 TiB";
    const SMALL: &str = "library: DiskMap::of, 1 TiB";
    let make = |name: &str, size: u64| {
        let folder = context
            .made(name, |folder| context.worker(["make-large"]).arg(folder).arg(size.to_string()).run())?;
        let step = context.worker(["make-map"]).arg(folder.join("child.avhdx"));
        anyhow::Ok(step.output(Output::OwnSeconds))
    };
    let jobs = vec![
        Job::new(Role::Limit, SMALL, vec![make("map-1t", 1 << 40)?]),
        Job::new(Role::Ours, OURS, vec![make("map-64t", 64 << 40)?]),
    ];
    Ok(Comparison {
        jobs,
        bytes: 0,
        goals: vec![
            Goal::Seconds { job: OURS.into(), at_most: 5.0 },
            Goal::PeakBytes { job: OURS.into(), at_most: 64 << 20 },
        ],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}
