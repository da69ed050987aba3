//! `vhdx cp`: copies files and folders out of a disk.

mod copied;
mod copier;
mod destination;
mod host;
mod names;

use std::io;

use vhdx_contents::files::{FileSystem, Kind};

use self::copied::Copied;
use self::copier::{Copier, Fault};
use self::destination::Destination;
use self::host::{Known, SYNCS_ALL};
use super::files::{self, Tree};
use super::reading::Reading;
use crate::args::{Cp, Location};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;

const STOPPING: &str = "stopping; the incomplete copy is deleted";

pub(super) fn run(output: Output, ask: &Cp) -> Result<Outcome, Failure> {
    let destination = Destination::of(ask)?;
    let mut reading =
        Reading::new(output, &ask.volume.parents.parent_dir).on_writer(ask.volume.share.on_writer());
    // Until files are made, Ctrl-C ends the command at once.
    let mut bar = None;
    let (mut copied, mut known) = (Copied::new(output), Known::default());
    for sources in ask.sources.chunk_by(|one, other| one.file == other.file) {
        let Some(Location { file, .. }) = sources.first() else { continue };
        let disk = files::open(&mut reading, file, &ask.volume)?;
        for path in disk.files_of_host() {
            known
                .add(path)
                .map_err(|error| Failure::io("cannot read the file's attributes", &error).in_file(path))?;
        }
        let fs = disk.file_system(file, output)?;
        let bar = match &bar {
            Some(bar) => bar,
            None => bar.insert(Bar::tidying_up(output, STOPPING)?),
        };
        let mut job = Job { ask, fs: &*fs, bar, copied: &mut copied, known: &mut known };
        let done = sources.iter().try_for_each(|source| job.source(source, &destination));
        done.map_err(|fault| {
            fault.failure(file.to_string_lossy().as_bytes()).unwrap_or_else(|| stopped(&copied))
        })?;
        disk.ensure_unchanged()?;
    }
    if let Some(folder) = destination.folder().filter(|_| !syncs_each(ask)) {
        folder.sync().map_err(|error| Failure::io("cannot make the copies durable", &error))?;
    }
    drop(bar);
    match destination {
        Destination::Stdout => reading.answer_beside_data(|| copied.json()),
        _ => reading.answer(|| copied.json(), |out| copied.print(out))?,
    }
    Ok(copied.outcome())
}

fn stopped(copied: &Copied) -> Failure {
    Failure::interrupted(format!("stopped: {}; no incomplete file was left", copied.text()))
}

/// Whether each file is made durable at its end, instead of all at the end of the command, which is faster for many.
fn syncs_each(ask: &Cp) -> bool {
    !ask.recursive || !SYNCS_ALL
}

/// The copying out of one disk.
struct Job<'a> {
    ask: &'a Cp,
    fs: &'a dyn FileSystem,
    bar: &'a Bar,
    copied: &'a mut Copied,
    known: &'a mut Known,
}

impl Job<'_> {
    /// Copies one of the files and folders that the user has named.
    fn source(&mut self, source: &Location, destination: &Destination) -> Result<(), Fault> {
        let place = match files::find(self.fs, source) {
            Ok(place) => place,
            Err(failure) => return self.refuse(source, failure),
        };
        let is_folder = place.attributes.kind == Kind::Folder;
        if is_folder && (!self.ask.recursive || destination.folder().is_none()) {
            let failure = Failure::usage(format!("{}: it is a folder", files::place(source)));
            let hint = "`--recursive` (`-r`) copies a folder with its content";
            return self.refuse(source, failure.with_hint(hint));
        }
        if matches!(destination, Destination::Stdout) && place.attributes.kind != Kind::File {
            let why =
                format!("{}: it is no file but a link or device, which has no content", files::place(source));
            return self.refuse(source, Failure::unsupported(why));
        }
        let host_name = place.name.as_deref().map(names::of_host).transpose();
        let path = source.path.trim_matches(['/', '\\']).as_bytes();
        match (destination, host_name) {
            (Destination::Stdout, _) => {
                let out = output::stdout()?;
                self.copier().write_to(&mut io::BufWriter::new(out), place.node, &place.attributes)
            }
            (Destination::As(folder, name), _) => self.copier().copy(place.node, (folder, name), path, 0),
            // The root folder has no name: its content is copied.
            (Destination::Into(folder), Ok(None)) => self.copier().content(place.node, folder, path, 0),
            (Destination::Into(folder), Ok(Some(name))) => {
                self.copier().copy(place.node, (folder, &name), path, 0)
            }
            (Destination::Into(_), Err(why)) => {
                let failure = Failure::unsupported(format!("{}: {why}", files::place(source)));
                self.refuse(source, failure.with_hint("name the copy yourself: DEST can be a new name"))
            }
        }
    }

    fn copier(&mut self) -> Copier<'_> {
        Copier {
            fs: self.fs,
            bar: self.bar,
            copied: self.copied,
            known: self.known,
            replace: self.ask.force,
            sync: syncs_each(self.ask),
            tree: Tree::default(),
            total: 0,
        }
    }

    /// Reports that a source is not copied. The others are.
    fn refuse(&mut self, source: &Location, failure: Failure) -> Result<(), Fault> {
        self.copied.fail(source.path.as_bytes(), &failure);
        Ok(())
    }
}
