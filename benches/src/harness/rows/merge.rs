//! Merges in place into a cached copy of the target.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::ways::{self, cached_copies};
use super::{GIB, MIB};
use crate::harness::chain::{Files, Spec, name};
use crate::harness::files::{fresh_copy, sync, verify_chain};
use crate::harness::measure::{Job, Role, Step};
use crate::harness::peers::{self, Qcow2, qcow2_chain, qcow2_name, sync_data};
use crate::harness::plain::{Way, load};
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const OURS: &str = "vhdx merge";
const LIMIT: &str = "pread, pwrite, fdatasync";

pub(super) fn spec(context: &Context) -> Spec {
    Spec {
        size: context.scaled(GIB),
        block: 32 * MIB,
        depth: 1,
        base_fill: 50,
        child_bytes: context.scaled(256 * MIB),
        run_min: 4 << 10,
        run_max: MIB,
        whole: false,
        same_runs: false,
    }
}

/// Merges a child whose runs are between `run_min` and `run_max` bytes long.
pub(super) fn scattered(context: &Context, run_min: u64, run_max: u64, goal: f64) -> Result<Comparison<'_>> {
    one_child(context, &Spec { run_min, run_max, ..spec(context) }, goal)
}

/// Merges a child of whole blocks.
pub(super) fn whole(context: &Context) -> Result<Comparison<'_>> {
    one_child(context, &Spec { whole: true, ..spec(context) }, 1.1)
}

fn one_child<'a>(context: &'a Context, spec: &Spec, goal: f64) -> Result<Comparison<'a>> {
    let chain = context.chain(spec)?;
    let run = context.empty("merge")?;
    let mut jobs = limits(context, &chain, &run, &cached_copies())?;
    jobs.push(ours(context, &chain, &run));
    if let Some(qemu_img) = context.peer("qemu-img") {
        for form in [peers::CLUSTERS, peers::SUBCLUSTERS] {
            jobs.push(commit(&qemu_img, &chain, &run, form)?);
        }
    }
    Ok(Comparison {
        jobs,
        bytes: spec.child_bytes,
        goals: vec![Goal::limit(OURS, goal)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Returns the ways of the limit: copies of the child's data into a target that is already long enough.
pub(super) fn limits<'a>(context: &Context, chain: &Files, run: &Path, all: &[Way]) -> Result<Vec<Job<'a>>> {
    let list = chain.merge_extents();
    let target = run.join(name(0));
    let sources: Vec<PathBuf> = (0..=chain.depth).rev().map(|layer| run.join(name(layer))).collect();
    let end = load(&list)?.iter().map(|piece| piece.to + piece.len).max().unwrap_or(0);
    let steps = ways::limits(context, all, LIMIT, |way| context.copies(way, Some(&list), &sources, &target));
    let job = |(label, step): (String, Step)| {
        let (chain, run, target) = (chain.clone(), run.to_owned(), target.clone());
        Job::new(Role::Limit, label, vec![step]).prepare(move || {
            copy_files(&chain.folder, &run, (0..=chain.depth).map(name))?;
            let file = File::options().write(true).open(&target)?;
            file.set_len(end.max(file.metadata()?.len()))?;
            sync(&target)
        })
    };
    Ok(steps.into_iter().map(job).collect())
}

/// Returns this project's merge.
pub(super) fn ours<'a>(context: &Context, chain: &Files, run: &Path) -> Job<'a> {
    let step = context.vhdx(["merge", "--quiet"]).arg(run.join(name(1)));
    let (target, expected) = (run.join(name(0)), chain.expected());
    let (chain, run) = (chain.clone(), run.to_owned());
    Job::new(Role::Ours, OURS, vec![step])
        .prepare(move || copy_files(&chain.folder, &run, [name(0), name(1)]))
        .verify(move || verify_chain(&target, &expected))
}

fn commit<'a>(qemu_img: &Path, chain: &Files, run: &Path, form: Qcow2) -> Result<Job<'a>> {
    qcow2_chain(qemu_img, chain, form)?;
    let [base, overlay] = [0, 1].map(|layer| run.join(qcow2_name(layer, form)));
    let commit = Step::new(qemu_img, ["commit", "-d", "-q"]).arg(&overlay);
    let label = format!("qemu-img commit, qcow2 {}, sync", form.name);
    let (qemu_img, expected) = (qemu_img.to_owned(), chain.expected());
    let (chain, run) = (chain.clone(), run.to_owned());
    Ok(Job::new(Role::Peer, label, vec![commit, sync_data(&base)])
        .prepare(move || copy_files(&chain.folder, &run, [0, 1].map(|layer| qcow2_name(layer, form))))
        .verify(move || peers::verify_image(&qemu_img, "qcow2", &base, &expected)))
}

/// Empties a folder, and makes new copies of some files in it.
pub(super) fn copy_files(from: &Path, to: &Path, names: impl IntoIterator<Item = String>) -> Result<()> {
    for entry in std::fs::read_dir(to)? {
        std::fs::remove_file(entry?.path())?;
    }
    names.into_iter().try_for_each(|name| fresh_copy(&from.join(&name), &to.join(&name)))
}

/// Merges eight levels with the same runs: in one pass, one by one, and only one of them.
pub(super) fn levels(context: &Context) -> Result<Comparison<'_>> {
    const LEVELS: usize = 8;
    const ONE: &str = "vhdx merge of one such level";
    const PASS: &str = "vhdx merge of 8 levels in one pass";
    const SINGLE: &str = "8 single merges";
    let deep = Spec { depth: LEVELS, same_runs: true, ..spec(context) };
    let (eight, one) = (context.chain(&deep)?, context.chain(&Spec { depth: 1, ..deep.clone() })?);
    let (all, alone) = (context.empty("merge")?, context.empty("alone")?);
    let merge = |child: PathBuf| context.vhdx(["merge", "--quiet"]).arg(child);
    let pass = merge(all.join(name(LEVELS))).arg("--into").arg(all.join(name(0)));
    let singles = (1..=LEVELS).map(|level| merge(all.join(name(level)))).collect();
    // If a host reclaims free memory, a merge is faster after work that has just used memory. So the same files are
    // made in the same order before each job, no matter which of them it merges.
    let made = [(eight.clone(), all.clone()), (one.clone(), alone.clone())];
    let job = |role, label, steps, chain: &Files, run: &Path| {
        let (target, expected, made) = (run.join(name(0)), chain.expected(), made.clone());
        Job::new(role, label, steps)
            .prepare(move || {
                let copy = |(chain, to): &(Files, PathBuf)| {
                    copy_files(&chain.folder, to, (0..=chain.depth).map(name))
                };
                made.iter().try_for_each(copy)
            })
            .verify(move || verify_chain(&target, &expected))
    };
    Ok(Comparison {
        jobs: vec![
            job(Role::Limit, ONE, vec![merge(alone.join(name(1)))], &one, &alone),
            job(Role::Ours, PASS, vec![pass], &eight, &all),
            job(Role::Ours, SINGLE, singles, &eight, &all),
        ],
        bytes: deep.child_bytes,
        goals: vec![Goal::seconds(PASS, ONE, 1.3), Goal::seconds(PASS, SINGLE, 0.2)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}
