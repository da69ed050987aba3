//! Operations that read only metadata.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use vhdx::NewDisk;

use super::{GIB, MIB, deep};
use crate::harness::chain::{Files, UNIT, name, new_file, touched_blocks};
use crate::harness::measure::{Job, Output, Role, Step};
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const TIB: u64 = 1 << 40;
const LIMIT: &str = "reads of the same bytes";

/// Compares `info` of a large disk with that of a small one.
pub(super) fn info(context: &Context) -> Result<Comparison<'_>> {
    const LARGE: &str = "vhdx info, 64 TiB";
    const SMALL: &str = "vhdx info, 1 GiB";
    const TIMES: usize = 20;
    let folder = context.made("info", |folder| {
        std::fs::create_dir(folder)?;
        let disk = |size| NewDisk { block_size: 1 << 20, ..NewDisk::new(size) };
        new_file(&disk(64 * TIB), &folder.join("large.vhdx"))?;
        new_file(&disk(GIB), &folder.join("small.vhdx"))
    })?;
    let times = |step: Step| vec![step; TIMES];
    let ours = |file: &str| times(context.vhdx(["info", "--quiet"]).arg(folder.join(file)));
    let mut jobs = vec![
        Job::new(Role::Limit, SMALL, ours("small.vhdx")),
        Job::new(Role::Ours, LARGE, ours("large.vhdx")),
    ];
    if let Some(qemu_img) = context.peer("qemu-img") {
        let step = Step::new(qemu_img, ["info", "-f", "vhdx"]).arg(folder.join("large.vhdx"));
        jobs.push(Job::new(Role::Peer, "qemu-img info, 64 TiB", times(step)));
    }
    Ok(Comparison {
        jobs,
        bytes: 0,
        goals: vec![
            Goal::seconds(LARGE, SMALL, 2.0),
            Goal::PeakBytes { job: LARGE.into(), at_most: 32 << 20 },
        ],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    })
}

/// Opens a chain of 32 levels inside the process.
pub(super) fn open(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "library: open 32 levels, read 4 KiB";
    let chain = context.chain(&deep(context, 32, MIB))?;
    let list = chain.folder.join("paths");
    let paths = (0..=chain.depth).map(|layer| format!("{}\n", chain.layer(layer).display()));
    std::fs::write(&list, paths.collect::<String>())?;
    let mut jobs = vec![
        own(context, Role::Limit, LIMIT, context.worker(["read-headers", "--times", "50"]).arg(list)),
        own(context, Role::Ours, OURS, context.worker(["open-chain"]).arg(chain.leaf())),
    ];
    if let Some(seven) = context.peer("7zz") {
        let step = Step::new(seven, ["l"]).arg(chain.leaf());
        jobs.push(Job::new(Role::Peer, "7zz l, as a process", vec![step]));
    }
    if let Some(python) = context.python_with("pyvhdi") {
        let step = crate::harness::peers::pyvhdi(&python, "open", &chain);
        jobs.push(Job::new(Role::Peer, "libvhdi (pyvhdi), as a process", vec![step]));
    }
    Ok(comparison(jobs, OURS, 2.0))
}

/// Scans a bitmap in memory.
pub(super) fn scan(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "library: extents of 64 GiB";
    let jobs = vec![
        own(context, Role::Limit, "reads of the bitmap's bytes", context.worker(["read-bitmap"])),
        own(context, Role::Ours, OURS, context.worker(["scan-bitmap"])),
    ];
    Ok(Comparison { bytes: (64 * GIB) / 512 / 8, ..comparison(jobs, OURS, 2.0) })
}

/// Plans a merge.
pub(super) fn plan(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "library: plan of a merge";
    let make = |folder: &Path| {
        let size = context.scaled(64 * TIB).to_string();
        context.worker(["make-touched"]).arg(folder).arg(size).run()
    };
    let chain = Files { folder: context.made("touched", make)?, depth: 1 };
    let jobs = vec![
        own(context, Role::Limit, LIMIT, context.worker(["read-bitmap-file"]).arg(chain.leaf())),
        own(context, Role::Ours, OURS, context.worker(["make-plan"]).arg(chain.folder.join(name(1)))),
    ];
    Ok(comparison(jobs, OURS, 2.0))
}

/// Lists the changes between the last two levels of a large disk.
pub(super) fn diff(context: &Context) -> Result<Option<Comparison<'_>>> {
    const OURS: &str = "vhdx diff OLD NEW --json";
    if !context.has_command("diff") {
        println!("**NOT AVAILABLE: this vhdx has no command diff, so this row is not measured.**\n");
        return Ok(None);
    }
    let size = context.scaled(64 * TIB);
    let make =
        |folder: &Path| context.worker(["make-touched"]).arg(folder).arg(size.to_string()).arg("2").run();
    let chain = Files { folder: context.made("touched-twice", make)?, depth: 2 };
    let read = context.worker(["read-bitmap-file", "--only-leaf"]).arg(chain.leaf());
    let points = [chain.layer(1).into_os_string(), chain.leaf().into_os_string()];
    let in_lines = context.vhdx(["diff", "--lines"]).args(points.clone()).printed()?;
    let touched = touched_blocks(size, 2).map(|start| format!("{start} {UNIT} data\n"));
    ensure!(in_lines == touched.collect::<String>().into_bytes(), "diff does not find what was written");
    let step = context.vhdx(["diff", "--quiet", "--json"]).args(points);
    let jobs = vec![own(context, Role::Limit, LIMIT, read), Job::new(Role::Ours, OURS, vec![step])];
    let mut made = comparison(jobs, OURS, 2.0);
    made.goals.push(Goal::PeakBytes { job: OURS.into(), at_most: 64 << 20 });
    Ok(Some(made))
}

/// Compares the validation of the places of all blocks with the whole read that includes it.
pub(super) fn placement(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "library: Chain::validate_placement";
    let size = context.scaled(TIB).to_string();
    let disk = context.made("spread", |file| context.worker(["make-spread"]).arg(file).arg(size).run())?;
    let run = context.vhdx(["convert", "--quiet", "--from", "vhdx"]).arg(&disk).arg("-");
    let jobs = vec![
        Job::new(Role::Limit, "vhdx convert IMAGE -", vec![run]),
        own(context, Role::Ours, OURS, context.worker(["validate-placement"]).arg(disk)),
    ];
    Ok(comparison(jobs, OURS, 0.05))
}

/// Runs `tree` on many families.
pub(super) fn tree(context: &Context) -> Result<Comparison<'_>> {
    const OURS: &str = "vhdx tree";
    const MEMBERS: u64 = 20;
    let families = context.scaled(500);
    let folder = context.made("families", |folder| {
        std::fs::create_dir(folder)?;
        context.worker(["make-families"]).arg(folder).arg(families.to_string()).arg(MEMBERS.to_string()).run()
    })?;
    let list: PathBuf = folder.with_extension("paths");
    let jobs = vec![
        Job::new(Role::Limit, LIMIT, vec![context.worker(["read-headers"]).arg(list)]),
        Job::new(Role::Ours, OURS, vec![context.vhdx(["tree", "--quiet"]).arg(folder)]),
    ];
    Ok(comparison(jobs, OURS, 1.5))
}

fn own<'a>(_: &Context, role: Role, name: &str, step: Step) -> Job<'a> {
    Job::new(role, name, vec![step.output(Output::OwnSeconds)])
}

fn comparison<'a>(jobs: Vec<Job<'a>>, ours: &str, goal: f64) -> Comparison<'a> {
    let limit = jobs[0].name.clone();
    Comparison {
        jobs,
        bytes: 0,
        goals: vec![Goal::seconds(ours, &limit, goal)],
        quantity: Quantity::Seconds,
        peers_below: 1.0,
    }
}
