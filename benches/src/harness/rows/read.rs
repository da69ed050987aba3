//! Reads through the library. Only the reads are timed, not the opening.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::ways::{cached_reads, limits};
use super::{MIB, deep};
use crate::harness::chain::Files;
use crate::harness::files::verify_chain;
use crate::harness::measure::{Job, Output, Role};
use crate::harness::peers::pyvhdi;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const LIMIT: &str = "pread of the answer";
const DATA_ONLY: &str = "pread of the answer's data, zeros for its holes";
const PARALLEL: &str = "pread of the answer's data";
const FILE: &str = "library, files";
const MAPPED: &str = "library, memory maps";
/// Deep chains are compared with these two, but peers are not: fewer blocks are allocated in the first.
const DEPTH_1: &str = "library, memory maps, depth 1";
const SAME_DISK: &str = "library, memory maps, depth 1, the same disk";

/// Reads 1 MiB at a time. The goal is a rate of at least `rate` times that of one thread that reads the answer.
///
/// The library reads in the thread of its caller, so a limit of several threads is not a goal.
pub(super) fn sequential(context: &Context, depth: usize, run_max: u64, rate: f64) -> Result<Comparison<'_>> {
    let chain = context.chain(&deep(context, depth, run_max))?;
    let mut jobs = vec![
        own(context, Role::Limit, LIMIT, &["read"], chain.expected()),
        own(context, Role::Limit, DATA_ONLY, &["read", "--data-only"], chain.expected()),
        own(context, Role::Ours, FILE, &["read-disk", "file"], chain.leaf()),
        own(context, Role::Ours, MAPPED, &["read-disk", "mapped"], chain.leaf()),
    ];
    for (name, step) in limits(context, &cached_reads(), PARALLEL, |way| {
        context.reads(way, None, [&chain.expected()]).arg("--seconds").output(Output::OwnSeconds)
    }) {
        jobs.push(Job::new(Role::Limit, name, vec![step]));
    }
    add_peers(context, &mut jobs, &chain, false);
    Ok(Comparison {
        jobs,
        bytes: chain.expected().metadata()?.len(),
        goals: vec![Goal::seconds(FILE, LIMIT, 1.0 / rate)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Reads 4 KiB at a time.
///
/// Deeper chains are compared with the one of depth 1, and with their own disk at depth 1.
pub(super) fn random(context: &Context, depth: usize) -> Result<Comparison<'_>> {
    let chain = context.chain(&deep(context, depth, MIB))?;
    let mut jobs = vec![
        own(context, Role::Limit, LIMIT, &["random"], chain.expected()),
        own(context, Role::Ours, FILE, &["read-disk", "file", "--random"], chain.leaf()),
        own(context, Role::Ours, MAPPED, &["read-disk", "mapped", "--random"], chain.leaf()),
    ];
    let mut goals = vec![];
    if depth == 1 {
        goals.push(Goal::seconds(MAPPED, LIMIT, 1.0 / 1.4));
    } else {
        let depth_1 = context.chain(&deep(context, 1, MIB))?.leaf();
        for (name, leaf) in [(DEPTH_1, depth_1), (SAME_DISK, same_disk(context, &chain)?)] {
            jobs.push(own(context, Role::Ours, name, &["read-disk", "mapped", "--random"], leaf));
            goals.push(Goal::seconds(MAPPED, name, 1.0 / 0.8));
        }
    }
    add_peers(context, &mut jobs, &chain, true);
    Ok(Comparison { jobs, bytes: 200_000 * 4096, goals, quantity: Quantity::Seconds, peers_below: 1.0 })
}

/// Returns the disk of a chain at depth 1: all levels are merged into the first.
fn same_disk(context: &Context, chain: &Files) -> Result<PathBuf> {
    let name = format!("merged-{}", chain.depth);
    let make = |folder: &Path| {
        std::fs::create_dir(folder)?;
        let merged = Files { folder: folder.to_owned(), depth: chain.depth };
        for layer in 0..=chain.depth {
            std::fs::copy(chain.layer(layer), merged.layer(layer))?;
        }
        let merge = context.vhdx(["merge", "--quiet", "--delete-merged", "--into"]).arg(merged.layer(1));
        merge.arg(merged.leaf()).run()?;
        verify_chain(&merged.layer(1), &chain.expected())
    };
    let folder = context.made(&name, make)?;
    Ok(Files { folder, depth: 1 }.leaf())
}

fn own<'a>(context: &Context, role: Role, name: &str, way: &[&str], file: PathBuf) -> Job<'a> {
    let step = context.worker(way.iter().copied()).arg(file).output(Output::OwnSeconds);
    Job::new(role, name, vec![step])
}

fn add_peers(context: &Context, jobs: &mut Vec<Job<'_>>, chain: &Files, is_random: bool) {
    if let Some(python) = context.python_with("pyvhdi") {
        let way = if is_random { "rand" } else { "seq" };
        let step = pyvhdi(&python, way, chain).output(Output::OwnSeconds);
        jobs.push(Job::new(Role::Peer, "libvhdi (pyvhdi)", vec![step]));
    }
    if context.check {
        return;
    }
    #[cfg(not(feature = "peers"))]
    println!("**MISSING: vhdx-core and rust-img-vhdx are compared with `--features peers` only.**\n");
    #[cfg(feature = "peers")]
    {
        let random = is_random.then_some("--random");
        let way = |name: &'static str| ["read-disk", name].into_iter().chain(random).collect::<Vec<_>>();
        jobs.push(own(context, Role::Peer, "vhdx-core", &way("vhdx-core"), chain.leaf()));
        if chain.depth == 1 {
            let label = "rust-img-vhdx, the base alone";
            jobs.push(own(context, Role::Peer, label, &way("rust-img-vhdx"), chain.layer(0)));
        }
    }
}
