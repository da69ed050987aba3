//! `vhdx hash`: prints digests of a disk, and checks a disk against them.

mod disk;
mod line;
mod manifest;
mod verify;

use std::io::{self, BufWriter};
use std::ops::ControlFlow;

use serde_json::json;
use vhdx::ops::{hash, hash_blocks};

use super::reading::Reading;
use crate::args::Hash;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;
use disk::open;
use line::Header;
use manifest::Writer;

pub(super) fn run(output: Output, ask: &Hash) -> Result<Outcome, Failure> {
    let reading = Reading::new(output, &ask.parents.parent_dir).on_writer(ask.share.on_writer());
    match (&ask.verify, ask.blocks) {
        (Some(manifest), _) => verify::run(output, ask, manifest, reading),
        (None, Some(block_size)) => print_manifest(output, ask, block_size, reading),
        (None, None) => print_digest(output, ask, reading),
    }
}

fn print_digest(output: Output, ask: &Hash, mut reading: Reading<'_>) -> Result<Outcome, Failure> {
    let disk = open(&mut reading, ask)?;
    let algorithm = ask.algorithm();
    let digest = hash(disk.disk(), algorithm, ask.threads.jobs(), &Bar::new(output.quiet))?;
    let json = || {
        json!({
            "path": output::path(&ask.disk),
            "algorithm": algorithm.name(),
            "digest": digest.to_string(),
            "virtual_size": disk.disk().virtual_size(),
        })
    };
    reading.answer(json, |out| writeln!(out, "{digest}  {}", output::shown(&ask.disk)))?;
    Ok(Outcome::Done)
}

fn print_manifest(
    output: Output,
    ask: &Hash,
    block_size: u64,
    mut reading: Reading<'_>,
) -> Result<Outcome, Failure> {
    let disk = open(&mut reading, ask)?;
    let (algorithm, virtual_size) = (ask.algorithm(), disk.disk().virtual_size());
    // An invalid block size is refused before anything is printed.
    let header = Header::new(algorithm, block_size, virtual_size)?;
    let out = output::stdout().map_err(|error| not_written(&error))?;
    let mut manifest = Writer::new(BufWriter::new(out), header).map_err(|error| not_written(&error))?;
    let mut written = Ok(());
    let progress = Bar::new(output.quiet);
    hash_blocks(disk.disk(), algorithm, block_size, ask.threads.jobs(), &progress, &mut |run| {
        written = manifest.put(run);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.and_then(|()| manifest.finish()).map_err(|error| not_written(&error))?;
    // The lines on stdout have no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// The failure to write a manifest. A part of it must not be taken for a success.
fn not_written(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::failed_io(
            "stdout was closed before the whole manifest was written: the output is incomplete",
        ),
        _ => Failure::io("cannot write to stdout", error),
    }
}
