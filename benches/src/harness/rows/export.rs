//! Conversions into new files. Their times vary, so the goals are for the CPU time, as a multiple of that of one thread.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::stream::base;
use super::ways::{limits, sparse_copies};
use crate::harness::files::{data_bytes, verify_chain, verify_raw};
use crate::harness::measure::{Job, Role, Step};
use crate::harness::peers::sync_data;
use crate::harness::plain::Way;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const LIMIT: &str = "sparse copy, fdatasync";
const OURS: &str = "vhdx convert";

/// Converts a dynamic VHDX to raw.
pub(super) fn export(context: &Context, block: u64) -> Result<Comparison<'_>> {
    let chain = context.chain(&base(context, block))?;
    let qemu = ["convert", "-f", "vhdx", "-O", "raw"].map(str::to_owned).to_vec();
    convert(context, &chain.leaf(), chain.expected(), "new.raw", &[], qemu, verify_raw)
}

/// Converts raw to a dynamic VHDX.
pub(super) fn import(context: &Context, block: u64) -> Result<Comparison<'_>> {
    let expected = context.chain(&base(context, block))?.expected();
    let size = ["--block-size".to_owned(), block.to_string()];
    let qemu = ["convert", "-f", "raw", "-O", "vhdx", "-o"].map(str::to_owned).into_iter();
    let qemu = qemu.chain([format!("subformat=dynamic,block_size={block}")]).collect();
    convert(context, &expected.clone(), expected, "new.vhdx", &size, qemu, verify_chain)
}

fn convert<'a>(
    context: &'a Context,
    source: &Path,
    expected: PathBuf,
    name: &str,
    options: &[String],
    qemu: Vec<String>,
    verify: fn(&Path, &Path) -> Result<()>,
) -> Result<Comparison<'a>> {
    let made = context.empty("convert")?.join(name);
    let job = |role, name: &str, steps| {
        let made = made.clone();
        Job::new(role, name, steps).prepare(move || remove(&made))
    };
    let validated = |job: Job<'static>| {
        let (made, expected) = (made.clone(), expected.clone());
        job.verify(move || verify(&made, &expected))
    };
    let ours =
        context.vhdx(["convert", "--quiet"]).args(options.iter().map(Into::into)).arg(source).arg(&made);
    let limits =
        limits(context, &sparse_copies(), LIMIT, |way| context.copies(way, None, [&expected], &made));
    let mut jobs: Vec<Job<'_>> =
        limits.into_iter().map(|(name, step)| job(Role::Limit, &name, vec![step])).collect();
    jobs.push(validated(job(Role::Ours, OURS, vec![ours])));
    if let Some(qemu_img) = context.peer("qemu-img") {
        let convert = Step::new(qemu_img, qemu).arg(source).arg(&made);
        jobs.push(validated(job(Role::Peer, "qemu-img convert, sync", vec![convert, sync_data(&made)])));
    }
    Ok(Comparison {
        jobs,
        bytes: data_bytes(&expected)?,
        goals: vec![Goal::cpu(OURS, &format!("{LIMIT}: {}", Way::threads(1).name()), 1.2)],
        quantity: Quantity::Cpu,
        peers_below: 1.0,
    })
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
