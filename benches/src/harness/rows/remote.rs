//! Disks on a server that answers each request after 20 ms.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ways::{limits, remote_reads};
use super::{MIB, deep};
use crate::harness::chain::{Files, Spec, name};
use crate::harness::measure::{Job, Role, Step};
use crate::harness::plain::load;
use crate::harness::server::Server;
use crate::harness::table::{Goal, Quantity};
use crate::harness::{Comparison, Context};

const DELAY: Duration = Duration::from_millis(20);
const MIB_F64: f64 = MIB as f64;

/// Opens a chain of 8 levels, with and without the names of its layers.
pub(super) fn open(context: &Context) -> Result<Option<Comparison<'_>>> {
    const NAMED: &str = "vhdx chain URL --parent …";
    let chain = chain(context)?;
    let Some(server) = start(context, &chain)? else { return Ok(None) };
    let open = context.vhdx(["chain", "--quiet"]).arg(server.url(&name(chain.depth)));
    let mut jobs = Vec::new();
    let mut goals = vec![Goal::Seconds { job: NAMED.into(), at_most: 0.1 }];
    let layers = (chain.depth + 1) as f64;
    for (label, step) in [(NAMED, open.clone().args(parents(&server, &chain))), ("vhdx chain URL", open)] {
        let (job, requests, bytes) = counted(&server, Job::new(Role::Ours, label, vec![step]));
        jobs.push(job);
        goals.push(Goal::count(label, "requests", requests, 3.0 * layers));
        goals.push(Goal::count(label, "MiB", bytes, layers));
    }
    Ok(Some(comparison(jobs, 0, goals)))
}

/// Reads scattered data.
pub(super) fn read(context: &Context) -> Result<Option<Comparison<'_>>> {
    const OURS: &str = "vhdx convert URL - --parent …";
    let chain = chain(context)?;
    let Some(server) = start(context, &chain)? else { return Ok(None) };
    let needed: u64 = load(&chain.extents())?.iter().map(|piece| piece.len).sum();
    let address = server.address().to_owned();
    let paths: Vec<String> = (0..=chain.depth).rev().map(|layer| format!("/{}", name(layer))).collect();
    let ways = limits(context, &remote_reads(), "ranges of the same extents, connections", |way| {
        let step = context.worker(["read-http"]).args(way.args().into_iter().map(Into::into));
        paths.iter().fold(step.arg("--list").arg(chain.extents()).arg(&address), Step::arg)
    });
    let mut jobs: Vec<Job<'_>> =
        ways.into_iter().map(|(name, step)| Job::new(Role::Limit, name, vec![step])).collect();
    let step = context.vhdx(["convert", "--quiet"]).arg(server.url(&name(chain.depth))).arg("-");
    let step = step.args(parents(&server, &chain));
    step.ensure_prints(&chain.expected())?;
    let (job, _, bytes) = counted(&server, Job::new(Role::Ours, OURS, vec![step]));
    jobs.push(job);
    if let Some(program) = context.peer("curl") {
        let step = curl(context, program, &server, &chain)?;
        jobs.push(Job::new(Role::Peer, "curl -Z of the flat raw, 16 connections", vec![step]));
    }
    let goals = vec![
        Goal::Seconds { job: OURS.into(), at_most: 1.0 },
        Goal::count(OURS, "MiB", bytes, 1.3 * needed as f64 / MIB_F64),
    ];
    Ok(Some(comparison(jobs, needed, goals)))
}

/// Returns the options that name the parents of the leaf.
fn parents(server: &Server, chain: &Files) -> Vec<OsString> {
    let option = |layer| ["--parent".into(), server.url(&name(layer)).into()];
    (0..chain.depth).rev().flat_map(option).collect()
}

fn comparison(jobs: Vec<Job<'_>>, bytes: u64, goals: Vec<Goal>) -> Comparison<'_> {
    Comparison { jobs, bytes, goals, quantity: Quantity::Seconds, peers_below: 1.0 }
}

/// Returns a chain whose levels hold 256 MiB together.
fn chain(context: &Context) -> Result<Files> {
    context.chain(&Spec { base_fill: 0, ..deep(context, 8, MIB) })
}

/// Starts a server with the files of a chain and its flat raw file.
///
/// Prints a message and returns `None` if the measured program reads no URLs.
fn start(context: &Context, chain: &Files) -> Result<Option<Rc<Server>>> {
    let files: Vec<PathBuf> = chain.layers().chain([chain.expected()]).collect();
    let server = Server::start(&context.this, &files, DELAY)?;
    if context.vhdx(["info", "--quiet"]).arg(server.url(&name(0))).run().is_err() {
        println!("**NOT AVAILABLE: this vhdx is built without the feature remote.**\n");
        return Ok(None);
    }
    Ok(Some(Rc::new(server)))
}

/// A number that is known after the first run.
type Count = Rc<Cell<f64>>;

/// Counts the requests and MiB of a job's first run.
fn counted<'a>(server: &Rc<Server>, job: Job<'a>) -> (Job<'a>, Count, Count) {
    let (requests, mib) = (Count::default(), Count::default());
    let set = |factor: f64| {
        let (server, requests, mib) = (server.clone(), requests.clone(), mib.clone());
        move || {
            let (sent_requests, sent_bytes) = server.counts()?;
            requests.set(sent_requests as f64 + factor * requests.get());
            mib.set(sent_bytes as f64 / MIB_F64 + factor * mib.get());
            Ok(())
        }
    };
    // The count before the run is subtracted from that after it.
    let job = job.reset(set(0.0)).verify(set(-1.0));
    (job, requests, mib)
}

/// Returns a process that reads the flat raw file with curl, 4 MiB at a time with 16 connections.
fn curl(context: &Context, program: PathBuf, server: &Server, chain: &Files) -> Result<Step> {
    const PART: u64 = 4 * MIB;
    let (raw, size) = (chain.expected(), chain.expected().metadata()?.len());
    let file = raw.file_name().context("the raw file has a name")?.display().to_string();
    let part = |at: u64| {
        let last = size.min(at + PART) - 1;
        format!("url={}\nrange={at}-{last}\noutput=/dev/null\nfail\nsilent\n", server.url(&file))
    };
    let parts: Vec<String> = (0..size).step_by(PART as usize).map(part).collect();
    let config = context.folder.join("curl.config");
    std::fs::write(&config, parts.join("next\n"))?;
    Ok(Step::new(program, ["-sZ", "--parallel-max", "16", "-K"]).arg(config))
}
