//! Conversion of a VHDX to the standard output.

use anyhow::Result;

use super::ways::{cached_reads, close, limits};
use super::{GIB, MIB};
use crate::harness::chain::Spec;
use crate::harness::files::data_bytes;
use crate::harness::measure::{Job, Role, Step};
use crate::harness::peers::pyvhdi;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const OURS: &str = "vhdx convert IMAGE -";
const LIMIT: &str = "pread of the file's data";

pub(super) fn stream(context: &Context) -> Result<Comparison<'_>> {
    let chain = context.chain(&base(context, 2 * MIB))?;
    let image = chain.leaf();
    let limits = limits(context, &cached_reads(), LIMIT, |way| context.reads(way, None, [&image]));
    let mut jobs: Vec<Job<'_>> =
        limits.into_iter().map(|(name, step)| Job::new(Role::Limit, name, vec![step])).collect();
    let (ours, expected) = (context.vhdx(["convert", "--quiet"]).arg(&image).arg("-"), chain.expected());
    jobs.push(Job::new(Role::Ours, OURS, vec![ours.clone()]).verify(move || ours.ensure_prints(&expected)));
    let mut peer = |name: &str, step: Step| jobs.push(Job::new(Role::Peer, name, vec![step]));
    if let Some(seven) = context.peer("7zz") {
        peer("7zz x -so", Step::new(seven, ["x", "-so", "-bso0", "-bsp0"]).arg(&image));
    }
    if let Some(python) = context.python_with("pyvhdi") {
        peer("libvhdi (pyvhdi), reads of 1 MiB", pyvhdi(&python, "seq", &chain));
    }
    if let (Some(nbdcopy), Some(nbd)) = (context.peer("nbdcopy"), context.peer("qemu-nbd")) {
        let server = Step::new(nbdcopy, ["--", "["]).arg(nbd);
        let server = server.arg("-r").arg("-f").arg("vhdx").arg(&image).arg("]").arg("null:");
        peer("qemu-nbd, nbdcopy", server);
    }
    Ok(Comparison {
        jobs,
        bytes: data_bytes(&chain.expected())?,
        goals: vec![Goal::limit(OURS, close(context))],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Returns a disk without children. Half of its blocks are present.
pub(super) fn base(context: &Context, block: u64) -> Spec {
    Spec {
        size: context.scaled(2 * GIB),
        block,
        depth: 0,
        base_fill: 50,
        child_bytes: 0,
        run_min: MIB,
        run_max: MIB,
        whole: false,
        same_runs: false,
    }
}
