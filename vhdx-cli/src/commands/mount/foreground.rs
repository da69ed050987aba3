//! Mounts the disks and serves them until the end.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use vhdx_mount::{End, Options, Session};

use super::super::checkpoint_disks::{CheckpointDisk, LATEST, checkpoint_disks};
use super::super::reading::Reading;
use super::{background, mount_failure, tree};
use crate::args::Mount;
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::output::{self, Output};
use crate::remote;

/// How many requests are answered at the same time, unless the user says otherwise.
const THREADS: usize = 4;
/// The same for a disk on a server, whose answers take long.
const THREADS_REMOTE: usize = 16;

/// Where the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Foreground,
    Background,
}

pub(super) fn run(output: Output, ask: &Mount, place: Place) -> Result<Outcome, Failure> {
    let mut reading = Reading::new(output, &ask.parents.parent_dir).on_writer(ask.share.on_writer());
    let chain = reading.open_chain(&ask.file, &ask.parents.resolver_of(&ask.file))?;
    let disks = checkpoint_disks(chain.clone())?;
    let tree = tree::of(output, &disks)?;
    let (options, partitions) = (options(ask), tree::partitions(&tree));
    // A signal ends the process at once while the disk is opened, which can take long, and never while it is mounted.
    let stop = interrupt::watch().map_err(|error| Failure::io("cannot watch for signals", &error))?;
    let session = Session::mount(tree, &ask.dir, &options).map_err(mount_failure::of)?;
    let mountpoint = session.mountpoint().to_owned();
    reading.answer(
        || json_answer(&mountpoint, &disks, &partitions),
        |out| text_answer(&mountpoint, &disks, place, out),
    )?;
    if place == Place::Background {
        background::detach(ask.log.as_deref())
            .map_err(|error| Failure::io("cannot go to the background", &error))?;
    }
    let end = session.wait(&stop).map_err(mount_failure::of)?;
    if end == End::StoppedInUse {
        report(&format!(
            "{} is unmounted although files in it are open: programs that use them get errors from now on",
            output::shown(&mountpoint)
        ));
    }
    if !ask.share.force_share {
        chain.ensure_unchanged()?;
    }
    Ok(Outcome::Done)
}

fn options(ask: &Mount) -> Options {
    let default = if remote::is_url(&ask.file) { THREADS_REMOTE } else { THREADS };
    Options {
        allow_other: ask.allow_other,
        threads: ask.threads.map_or(default, NonZero::get),
        report: Arc::new(report),
    }
}

/// Prints a line on stderr, which is the log in the background.
fn report(line: &str) {
    let _ = writeln!(io::stderr(), "vhdx: {}", output::harmless(line));
}

fn json_answer(mountpoint: &Path, disks: &[CheckpointDisk], partitions: &[Value]) -> Value {
    let checkpoint = |(disk, partitions): (&CheckpointDisk, &Value)| {
        json!({
            "name": disk.name,
            "path": output::path(&disk.path),
            "virtual_size": disk.chain.virtual_size(),
            "partitions": partitions,
        })
    };
    json!({
        "mountpoint": output::path(mountpoint),
        "checkpoints": disks.iter().zip(partitions).map(checkpoint).collect::<Vec<_>>(),
        "pid": std::process::id(),
    })
}

fn text_answer(
    mountpoint: &Path,
    disks: &[CheckpointDisk],
    place: Place,
    out: &mut dyn Write,
) -> io::Result<()> {
    for disk in disks {
        let path = output::shown(&mountpoint.join(&disk.name).join(vhdx_mount::DISK));
        writeln!(out, "{path}: {}", output::shown(&disk.path))?;
    }
    let latest = output::shown(&mountpoint.join(LATEST));
    let names = disks.first().map_or(String::new(), |disk| output::harmless(&disk.name));
    writeln!(out, "{latest} leads to {names}")?;
    let word = output::word(mountpoint);
    match place {
        Place::Foreground => writeln!(out, "to unmount: Ctrl-C, or `fusermount3 -u {word}`"),
        Place::Background => {
            writeln!(out, "to unmount: `fusermount3 -u {word}`, or `kill {}`", std::process::id())
        }
    }
}
