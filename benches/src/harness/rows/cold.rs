//! Work on files that are not in the page cache.

use std::path::{Path, PathBuf};

use anyhow::Result;
use vhdx_testkit::Random;

use super::cold_ways::{copies, merges, reads, scattered_reads};
use super::merge;
use super::ways::limits;
use super::{GIB, KIB, MIB};
use crate::harness::chain::{Files, Spec, name};
use crate::harness::files::{data_bytes, fresh_copy, verify_chain, verify_raw, write_content};
use crate::harness::measure::{Job, Role, Step};
use crate::harness::peers::{self, Qcow2, qcow2_chain, qcow2_name, sync_data, verify_image};
use crate::harness::plain::{Piece, load, save};
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

/// The forms of the chains of peers.
const FORMS: [Qcow2; 2] = [peers::SUBCLUSTERS, peers::CLUSTERS];
/// This project takes less than this part of the best peer's time.
const AHEAD_BY_HALF: f64 = 1.0 / 1.5;

fn spec(context: &Context, run_max: u64) -> Spec {
    let child_bytes = if run_max == 4 * KIB { 128 * MIB } else { 256 * MIB };
    Spec {
        size: context.scaled(4 * GIB),
        block: 2 * MIB,
        depth: 8,
        base_fill: 50,
        child_bytes: context.scaled(child_bytes),
        run_min: 4 * KIB,
        run_max,
        whole: false,
        same_runs: false,
    }
}

/// Returns a chain, which the cold rows share. Deletes the other one that they share.
///
/// Its flat raw file is written in order, so that it lies on the device in order.
fn chain(context: &Context, spec: &Spec) -> Result<Files> {
    let chain = Files { folder: context.folder.join("cold").join(spec.name()), depth: spec.depth };
    if !chain.folder.exists() {
        let all = context.empty("cold")?;
        context.chain_in(spec, &all)?;
        let ordered = chain.expected().with_extension("ordered");
        fresh_copy(&chain.expected(), &ordered)?;
        std::fs::rename(ordered, chain.expected())?;
    }
    Ok(chain)
}

/// Returns the leaf of the same chain in each form of qcow2, with the form's name.
fn qcow2_leaves(qemu_img: &Path, chain: &Files, forms: &[Qcow2]) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut leaves = Vec::new();
    for form in forms {
        leaves.push((qcow2_chain(qemu_img, chain, *form)?[chain.depth].clone(), form.name));
    }
    // They were only needed to make these chains, and take as much space as one.
    for delta in (0..=chain.depth).map(|layer| chain.delta(layer)).filter(|delta| delta.exists()) {
        std::fs::remove_file(delta)?;
    }
    Ok(leaves)
}

/// Writes a chain with runs of 4 KiB to `run_max` bytes to the standard output.
pub(super) fn stream(context: &Context, run_max: u64, goal: f64) -> Result<Comparison<'_>> {
    const OURS: &str = "vhdx convert LEAF -";
    let chain = chain(context, &spec(context, run_max))?;
    let layers: Vec<PathBuf> = chain.layers().collect();
    let ways = limits(context, &reads(), "pread of the same extents", |way| {
        context.reads(way, Some(&chain.extents()), &layers)
    });
    let limit = |(name, step): (String, Step)| Job::new(Role::Limit, name, vec![step]).cold(vec![]);
    let mut jobs: Vec<Job<'_>> = ways.into_iter().map(limit).collect();
    let (ours, expected) =
        (context.vhdx(["convert", "--quiet"]).arg(chain.leaf()).arg("-"), chain.expected());
    let verified = Job::new(Role::Ours, OURS, vec![ours.clone()]).cold(vec![]);
    jobs.push(verified.verify(move || ours.ensure_prints(&expected)));
    let mut add = |role, name: &str, step: Step, programs: Vec<PathBuf>| {
        jobs.push(Job::new(role, name, vec![step]).cold(programs));
    };
    if let Some(seven) = context.peer("7zz") {
        let extract = Step::new(seven, ["x", "-so", "-bso0", "-bsp0"]).arg(chain.leaf());
        add(Role::Peer, "7zz x -so", extract, vec![]);
    }
    if let Some(qemu_img) = context.peer("qemu-img") {
        // With clusters of 64 KiB, runs of 4 KiB would take sixteen times the space.
        let forms = if run_max == 4 * KIB { &FORMS[..1] } else { &FORMS };
        let size = chain.expected().metadata()?.len();
        let null = format!("driver=null-co,size={size}");
        let nbd = context.peer("nbdcopy").zip(context.peer("qemu-nbd"));
        for (leaf, form) in qcow2_leaves(&qemu_img, &chain, forms)? {
            let convert = Step::new(&qemu_img, ["convert", "-n", "-W", "-m", "16", "-f", "qcow2"]);
            let convert = convert.arg("--target-image-opts").arg(&leaf).arg(&null);
            add(Role::Peer, &format!("qemu-img convert -W -m 16, qcow2 {form}, to null"), convert, vec![]);
            if let Some((nbdcopy, nbd)) = &nbd {
                let server = Step::new(nbdcopy, ["--", "["]).arg(nbd);
                let copy = server.arg("-r").arg("-f").arg("qcow2").arg(&leaf).arg("]").arg("null:");
                add(Role::Peer, &format!("nbdcopy, qemu-nbd, qcow2 {form}"), copy, vec![nbd.clone()]);
            }
        }
    }
    Ok(Comparison {
        bytes: load(&chain.extents())?.iter().map(|piece| piece.len).sum(),
        jobs,
        goals: vec![Goal::limit(OURS, goal), Goal::PeakBytes { job: OURS.into(), at_most: 80 << 20 }],
        quantity: Quantity::Seconds,
        peers_below: AHEAD_BY_HALF,
    })
}

/// Converts a chain to a new raw file.
pub(super) fn to_raw(context: &Context) -> Result<Comparison<'_>> {
    convert(context, "new.raw", "raw", verify_raw, 1.15)
}

/// Converts a chain to a new VHDX.
pub(super) fn to_vhdx(context: &Context) -> Result<Comparison<'_>> {
    convert(context, "new.vhdx", "vhdx", verify_chain, 1.2)
}

fn convert<'a>(
    context: &'a Context,
    file: &str,
    format: &str,
    verify: fn(&Path, &Path) -> Result<()>,
    goal: f64,
) -> Result<Comparison<'a>> {
    const OURS: &str = "vhdx convert";
    let chain = chain(context, &spec(context, MIB))?;
    let made = context.empty("cold-convert")?.join(file);
    let job = |role, name: &str, steps| {
        let made = made.clone();
        Job::new(role, name, steps).prepare(move || super::export::remove(&made)).cold(vec![])
    };
    let validated = |job: Job<'static>| {
        let (made, expected) = (made.clone(), chain.expected());
        job.verify(move || verify(&made, &expected))
    };
    let ways = limits(context, &copies(), "sparse copy of the flat raw, fdatasync", |way| {
        context.copies(way, None, [chain.expected()], &made)
    });
    let mut jobs: Vec<Job<'_>> =
        ways.into_iter().map(|(name, step)| job(Role::Limit, &name, vec![step])).collect();
    let ours = context.vhdx(["convert", "--quiet"]).arg(chain.leaf()).arg(&made);
    jobs.push(validated(job(Role::Ours, OURS, vec![ours])));
    if let Some(qemu_img) = context.peer("qemu-img") {
        for (leaf, form) in qcow2_leaves(&qemu_img, &chain, &FORMS)? {
            let convert = ["convert", "-W", "-m", "16", "-f", "qcow2", "-O", format];
            let convert = Step::new(&qemu_img, convert).arg(leaf).arg(&made);
            let label = format!("qemu-img convert -W -m 16, qcow2 {form}, sync");
            jobs.push(validated(job(Role::Peer, &label, vec![convert, sync_data(&made)])));
        }
    }
    Ok(Comparison {
        bytes: data_bytes(&chain.expected())?,
        jobs,
        goals: vec![Goal::limit(OURS, goal)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Merges three levels in place.
pub(super) fn merge(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "vhdx merge --into";
    let spec = Spec { size: context.scaled(2 * GIB), depth: 3, ..spec(context, MIB) };
    let chain = chain(context, &spec)?;
    let run = context.empty("cold-merge")?;
    let limits = merge::limits(context, &chain, &run, &merges())?;
    let mut jobs: Vec<Job<'_>> = limits.into_iter().map(|job| job.cold(vec![])).collect();
    let copied = |job: Job<'static>, names: Vec<String>| {
        let (folder, run) = (chain.folder.clone(), run.clone());
        job.cold(vec![]).prepare(move || merge::copy_files(&folder, &run, names.clone()))
    };
    let (target, expected) = (run.join(name(0)), chain.expected());
    let step = context.vhdx(["merge", "--quiet"]).arg(run.join(name(chain.depth))).arg("--into").arg(&target);
    let names = (0..=chain.depth).map(name).collect();
    let ours = copied(Job::new(Role::Ours, OURS, vec![step]), names);
    jobs.push(ours.verify(move || verify_chain(&target, &expected)));
    if let Some(qemu_img) = context.peer("qemu-img") {
        qcow2_leaves(&qemu_img, &chain, &FORMS)?;
        for form in FORMS {
            let base = run.join(qcow2_name(0, form));
            let commit = Step::new(&qemu_img, ["commit", "-d", "-q", "-b"]).arg(&base);
            let steps = vec![commit.arg(run.join(qcow2_name(chain.depth, form))), sync_data(&base)];
            let label = format!("qemu-img commit, qcow2 {}, sync", form.name);
            let names = (0..=chain.depth).map(|layer| qcow2_name(layer, form)).collect();
            let (qemu_img, expected) = (qemu_img.clone(), chain.expected());
            jobs.push(
                copied(Job::new(Role::Peer, label, steps), names)
                    .verify(move || verify_image(&qemu_img, "qcow2", &base, &expected)),
            );
        }
    }
    Ok(Comparison {
        bytes: load(&chain.merge_extents())?.iter().map(|piece| piece.len).sum(),
        jobs,
        goals: vec![Goal::limit(OURS, 1.2)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Compares ways to read 4 KiB from many places of a file, without a program of this project.
pub(super) fn experiment(context: &Context) -> Result<Comparison<'_>> {
    const LEN: u64 = 4 * KIB;
    let count = context.scaled(100_000);
    let size = context.scaled(4 * GIB);
    let file = context.made("scattered.raw", |file| write_content(file, size))?;
    let list = context.folder.join("scattered.list");
    let mut places: Vec<u64> = (0..size / LEN).collect();
    Random::new(3).shuffle(&mut places);
    let piece =
        |(number, place): (u64, u64)| Piece { source: 0, from: place * LEN, to: number * LEN, len: LEN };
    save(&list, &(0..count).zip(places).map(piece).collect::<Vec<_>>())?;
    let step = |way: &_| context.reads(way, Some(&list), [&file]);
    let ways = limits(context, &scattered_reads(), "4 KiB", step);
    let jobs = ways.into_iter().map(|(name, step)| Job::new(Role::Limit, name, vec![step]).cold(vec![]));
    Ok(Comparison {
        jobs: jobs.collect(),
        bytes: count * LEN,
        goals: vec![],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}
