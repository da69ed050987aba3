//! Conversions of a chain into an existing raw file, which is cached.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::deep;
use super::ways::{close, limits, sparse_copies};
use crate::harness::chain::Files;
use crate::harness::files::{data_bytes, verify_raw, write_zeros};
use crate::harness::measure::{Job, Output, Role, Step};
use crate::harness::peers::{self, Qcow2, qcow2_chain, sync_data};
use crate::harness::plain::Way;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const OURS: &str = "vhdx convert --in-place --target-is-zero";
const LIMIT: &str = "sparse copy of the answer, fdatasync";

/// Converts a chain of `depth` with runs of 4 KiB to `run_max` bytes.
pub(super) fn flatten(context: &Context, depth: usize, run_max: u64) -> Result<Comparison<'_>> {
    let chain = context.chain(&deep(context, depth, run_max))?;
    let target = Target { path: context.empty("flatten")?.join("existing.raw"), expected: chain.expected() };
    target.zero()?;
    let convert = context.vhdx(["convert", "--quiet", "--in-place", "--target-is-zero"]);
    let convert = convert.arg(chain.leaf()).arg(&target.path);
    let copies = |way: &Way| context.copies(way, None, [&target.expected], &target.path);
    let limits = limits(context, &sparse_copies(), LIMIT, copies);
    let mut jobs: Vec<Job<'_>> =
        limits.into_iter().map(|(name, step)| target.job(Role::Limit, &name, vec![step])).collect();
    jobs.push(target.job(Role::Ours, OURS, vec![convert]));
    if let Some(qemu_img) = context.peer("qemu-img") {
        // With clusters of 64 KiB, 32 levels of 4 KiB runs would take sixteen times the space.
        let forms: &[Qcow2] = match depth > 1 && run_max == 4 << 10 {
            true => &[peers::SUBCLUSTERS],
            false => &[peers::CLUSTERS, peers::SUBCLUSTERS],
        };
        for form in forms {
            jobs.push(qemu_convert(&qemu_img, &chain, &target, *form)?);
        }
    }
    if let Some(seven) = context.peer("7zz") {
        let extract = Step::new(seven, ["x", "-so", "-bso0", "-bsp0"]).arg(chain.leaf());
        let extract = extract.output(Output::Over(target.path.clone()));
        jobs.push(target.job(Role::Peer, "7zz x -so, sync", vec![extract, sync_data(&target.path)]));
    }
    Ok(Comparison {
        bytes: data_bytes(&target.expected)?,
        jobs,
        goals: vec![Goal::limit(OURS, close(context))],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

fn qemu_convert(qemu_img: &Path, chain: &Files, target: &Target, form: Qcow2) -> Result<Job<'static>> {
    let made = qcow2_chain(qemu_img, chain, form)?;
    let options = ["convert", "-n", "--target-is-zero", "-W", "-m", "16", "-f", "qcow2", "-O", "raw"];
    let convert = Step::new(qemu_img, options).arg(&made[chain.depth]).arg(&target.path);
    let label = format!("qemu-img convert -n -W -m 16, qcow2 {}, sync", form.name);
    Ok(target.job(Role::Peer, &label, vec![convert, sync_data(&target.path)]))
}

/// The file that all of them write to.
#[derive(Clone)]
struct Target {
    path: PathBuf,
    expected: PathBuf,
}

impl Target {
    /// Fills the file with zeros, so that it has all its space.
    fn zero(&self) -> Result<()> {
        write_zeros(&self.path, self.expected.metadata()?.len())
    }

    /// Returns a job.
    ///
    /// The file is zeroed before the run whose result is checked; later runs overwrite that result.
    fn job(&self, role: Role, name: &str, steps: Vec<Step>) -> Job<'static> {
        let (reset, verify) = (self.clone(), self.clone());
        Job::new(role, name, steps)
            .reset(move || reset.zero())
            .verify(move || verify_raw(&verify.path, &verify.expected))
    }
}
