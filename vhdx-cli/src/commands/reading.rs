//! Opens the disks that a command reads, and reports the facts about them in the same way for all commands.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use vhdx::ops::{MergePlan, ensure_not_half_merged, left_over};
use vhdx::{
    Chain, ChainError, ChainErrorKind, Error, FoundBy, InspectedLayer, Link, OnWriter, ParentResolver,
    RawDisk, Relatives, Vhdx, find_relatives, folders_around, inspect_leaf,
};

use super::facts::{Fact, Facts, Found};
use super::several::Answer;
use super::source::{self, Opened};
use crate::args::Format;
use crate::disks;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::remote;

/// Opens disks for a command and collects the facts about them.
pub(super) struct Reading<'a> {
    output: Output,
    /// Whether a disk is read although a writer holds one of its files.
    on_writer: OnWriter,
    /// The folders of `--parent-dir`. Files in them can tell something about a disk.
    folders: &'a [PathBuf],
    facts: Facts,
    /// The folders that were searched last, and the disks in them, so that several files of a folder search it once.
    neighbours: Option<(Vec<PathBuf>, Relatives)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(output: Output, folders: &'a [PathBuf]) -> Self {
        Self { output, on_writer: OnWriter::Fail, folders, facts: Facts::default(), neighbours: None }
    }

    /// Sets what happens to files that a writer has open, for commands that read whole disks.
    pub(super) fn on_writer(self, on_writer: OnWriter) -> Self {
        Self { on_writer, ..self }
    }

    /// Opens a disk in any format to read its whole content. `from` is the option that gives the format, and its value.
    pub(super) fn open_disk(
        &mut self,
        path: &Path,
        from: (&'static str, Option<Format>),
        resolver: &dyn ParentResolver,
    ) -> Result<Opened, Failure> {
        let format = source::format_of(path, from)?;
        match format {
            Format::Vhdx => Ok(Opened::Chain(self.open_chain(path, resolver)?)),
            Format::Raw => {
                let raw = match remote::is_url(path) {
                    true => RawDisk::open_with(remote::open(path)?, path)?,
                    false => RawDisk::open(path)?,
                };
                if raw.lock_shared(self.on_writer).map_err(or_force_share)? {
                    self.report_writer(path);
                }
                if from.1.is_none() {
                    self.output.note(path, "is read as raw");
                }
                Ok(Opened::Raw(raw))
            }
        }
    }

    /// Opens a chain to read its whole content. Locks its files against writers until the chain is closed, and
    /// validates the places of its blocks.
    pub(super) fn open_chain(
        &mut self,
        path: &Path,
        resolver: &dyn ParentResolver,
    ) -> Result<Chain, Failure> {
        let chain = self.lock_chain(path, resolver)?;
        chain.validate_placement()?;
        self.report_entries(&chain);
        self.report_chain(path, &chain)?;
        Ok(chain)
    }

    /// Opens a chain, and locks its files against writers until the chain is closed.
    pub(super) fn lock_chain(
        &mut self,
        path: &Path,
        resolver: &dyn ParentResolver,
    ) -> Result<Chain, Failure> {
        let chain = disks::open_chain(path, resolver)?;
        for layer in chain.lock_shared(self.on_writer).map_err(or_force_share)? {
            self.report_writer(chain.layers().get(layer).and_then(Vhdx::path).unwrap_or(path));
        }
        Ok(chain)
    }

    /// Reports the facts about an open disk, and whether it is left over from a merge.
    pub(super) fn report_chain(&mut self, path: &Path, chain: &Chain) -> vhdx::Result<()> {
        self.report(path, chain)?;
        self.report_left_over(path, chain.layers())
    }

    /// Reports the tolerated rules that BAT entries of a chain break. The whole BATs must have been validated before.
    pub(super) fn report_entries(&mut self, chain: &Chain) {
        for layer in chain.layers() {
            for &(rule, count) in layer.tolerated_bat_rules() {
                let path = layer.path().unwrap_or(Path::new("")).to_owned();
                self.facts.report(self.output, Fact::Entries { path, rule, count });
            }
        }
    }

    /// Reports a file that is read although a writer holds it.
    pub(super) fn report_writer(&mut self, path: &Path) {
        self.facts.report(self.output, Fact::Writer(path.to_owned()));
    }

    /// Reports the facts about the disk at `path`, for commands that read only metadata. If the chain does not open,
    /// only a left-over layer is reported.
    pub(super) fn report_file(&mut self, path: &Path, resolver: &dyn ParentResolver) -> vhdx::Result<()> {
        if let Ok(chain) = disks::open_chain(path, resolver) {
            self.report(path, &chain)?;
            return self.report_left_over(path, chain.layers());
        }
        // A layer between a merge target and the merged disk cannot be opened on its own.
        let layers = disks::open(path).and_then(|leaf| inspect_leaf(leaf, resolver));
        let Ok(layers) = layers else { return Ok(()) };
        match layers.first() {
            Some(InspectedLayer { link: Link::Mismatch(_), .. }) => {
                let layers: Vec<Vhdx> = layers.into_iter().take(2).map(|layer| layer.vhdx).collect();
                self.report_left_over(path, &layers)
            }
            _ => Ok(()),
        }
    }

    /// Reports the first of these layers if it is left over from a completed merge.
    fn report_left_over(&mut self, path: &Path, layers: &[Vhdx]) -> vhdx::Result<()> {
        if let Some(found) = left_over(layers, self.neighbours(path)?) {
            self.facts.report(self.output, Fact::LeftOver(found));
        }
        Ok(())
    }

    /// Returns an error if the disk itself says that a merge into it is incomplete.
    pub(super) fn ensure_complete(&mut self, path: &Path, leaf: &Vhdx) -> vhdx::Result<()> {
        let is_certain = |error: &Error| error.chain_error().is_some_and(ChainError::is_certain);
        match ensure_not_half_merged(leaf, self.neighbours(path)?) {
            Err(error) if is_certain(&error) => Err(error),
            _ => Ok(()), // a merge that only may be incomplete is reported as a fact
        }
    }

    /// Reports incomplete merges into a child that gets another parent, but not how its parents were found.
    pub(super) fn report_child(&mut self, path: &Path, resolver: &dyn ParentResolver) -> vhdx::Result<()> {
        match disks::open_chain(path, resolver) {
            Ok(chain) => self.report_merges(path, &chain),
            Err(_) => Ok(()),
        }
    }

    /// Reports the facts about an open disk, whose leaf is the file at `path`.
    pub(super) fn report(&mut self, path: &Path, chain: &Chain) -> vhdx::Result<()> {
        self.report_links(chain);
        self.report_merges(path, chain)
    }

    /// Reports the merges into a disk that are or may be incomplete.
    fn report_merges(&mut self, path: &Path, chain: &Chain) -> vhdx::Result<()> {
        match ensure_not_half_merged(chain.leaf(), self.neighbours(path)?) {
            Ok(()) => Ok(()),
            Err(error) => self.add(error),
        }
    }

    /// Reports the facts about the chain of a merge.
    pub(super) fn report_plan(&mut self, plan: &MergePlan) {
        for (path, rule, count) in plan.tolerated_bat_rules() {
            let (path, rule, count) = (path.clone(), *rule, *count);
            self.facts.report(self.output, Fact::Entries { path, rule, count });
        }
        self.report_found(plan.found_by_guid().to_vec());
        if let Some(fact) = plan.possible_merge().and_then(unfinished) {
            self.facts.report(self.output, fact);
        }
    }

    /// Reports the parents that were found by GUID, because no stored path leads to them.
    fn report_links(&mut self, chain: &Chain) {
        let paths = chain.layers().iter().map(|layer| layer.path().unwrap_or(Path::new("")).to_owned());
        let paths: Vec<PathBuf> = paths.collect();
        let pairs = (1..).zip(paths.windows(2));
        let by_guid = pairs.filter(|(parent, _)| chain.found_by(*parent) == Some(FoundBy::Guid));
        let found = by_guid.filter_map(|(_, pair)| match pair {
            [child, parent] => Some((child.clone(), parent.clone())),
            _ => None,
        });
        self.report_found(found.collect());
    }

    /// Reports links, as child and parent, whose parent was found by GUID.
    fn report_found(&mut self, links: Vec<(PathBuf, PathBuf)>) {
        let found: Vec<Found> = links.into_iter().map(|(child, parent)| Found { child, parent }).collect();
        if !found.is_empty() {
            self.facts.report(self.output, Fact::FoundByGuid(found));
        }
    }

    fn add(&mut self, error: Error) -> vhdx::Result<()> {
        let fact = unfinished(&error).ok_or(error)?;
        self.facts.report(self.output, fact);
        Ok(())
    }

    /// Returns an error if a merge into the disk is or may be incomplete: such a disk must not become a parent.
    pub(super) fn ensure_may_have_children(&mut self, path: &Path, chain: &Chain) -> vhdx::Result<()> {
        self.report_links(chain);
        ensure_not_half_merged(chain.leaf(), self.neighbours(path)?)
    }

    /// Returns the disks in the folder of `path` and in each `--parent-dir`.
    fn neighbours(&mut self, path: &Path) -> vhdx::Result<&Relatives> {
        let around = around(path, self.folders);
        let known = self.neighbours.take().filter(|(searched, _)| *searched == around);
        let relatives = match known {
            Some((_, relatives)) => relatives,
            None => relatives(&around, self.output)?,
        };
        Ok(&self.neighbours.insert((around, relatives)).1)
    }

    /// Whether a merge into the disk was reported that is or may be incomplete.
    pub(super) fn has_unfinished(&self) -> bool {
        self.facts.has_unfinished()
    }

    /// Returns the answer about one of several files, and forgets its facts: the next file has its own.
    pub(super) fn answer_for_one(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Answer, Failure> {
        let facts = std::mem::take(&mut self.facts);
        Answer::new(self.output, || facts.in_json(json()), text)
    }

    /// Prints the answer on stdout: `json` with the facts, or `text`. The text needs no facts: they were printed as
    /// warnings.
    pub(super) fn answer(
        &self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.output.answer(|| self.facts.in_json(json()), text)
    }

    /// Prints the JSON answer on stderr, for a command that writes the disk to stdout.
    pub(super) fn answer_beside_data(&self, json: impl FnOnce() -> Value) {
        if self.output.json {
            output::json_on_stderr(&self.facts.in_json(json()));
        }
    }

    /// Prints the facts as JSON on stderr, for a command whose JSON on stdout cannot contain them.
    pub(super) fn facts_beside_answer(&self) {
        if self.output.json && !self.facts.is_empty() {
            output::json_on_stderr(&self.facts.json());
        }
    }
}

/// The most disks of a prefix that are opened to find merges that concern a disk.
const MAX_NEIGHBOURS: usize = 200;

/// Returns the folders or prefixes around a file, and those of `more` on the same side: on the host, or on servers.
fn around(path: &Path, more: &[PathBuf]) -> Vec<PathBuf> {
    let is_remote = remote::is_url(path);
    let more: Vec<PathBuf> =
        more.iter().filter(|folder| remote::is_url(folder) == is_remote).cloned().collect();
    match is_remote {
        true => remote::folder_of(path).into_iter().chain(more).collect(),
        false => folders_around([path], &more),
    }
}

/// Returns the disks in folders, or in prefixes.
///
/// A prefix that cannot be listed is noted only: a web server never can.
fn relatives(around: &[PathBuf], output: Output) -> vhdx::Result<Relatives> {
    if !around.iter().any(|folder| remote::is_url(folder)) {
        return find_relatives(around, &Bar::new(output.quiet));
    }
    let (mut folders, mut disks) = (Vec::new(), Vec::new());
    for folder in around {
        match remote::disks_in(folder, false, MAX_NEIGHBOURS) {
            Ok(found) => {
                folders.push(folder.clone());
                disks.extend(found);
            }
            Err(error) => {
                output.note(folder, &format!("is not searched for incomplete merges: {error}"));
            }
        }
    }
    Ok(Relatives::of_opened(folders, disks))
}

/// Adds a hint to the error of a command that has `--force-share`, if a file is in use.
pub(super) fn or_force_share(error: Error) -> Failure {
    let is_busy = error.io_error().is_some_and(|source| source.kind() == ErrorKind::ResourceBusy);
    let failure = Failure::from(error);
    match is_busy {
        true => failure.with_hint(
            "turn off the virtual machine, or end the program that writes to the file, and try again. `--force-share` \
             reads the file anyway: the result may be a mix of old and new data, and is not a reliable backup",
        ),
        false => failure,
    }
}

/// Returns the fact in an error about an incomplete merge; `None` for any other error.
fn unfinished(error: &Error) -> Option<Fact> {
    let chain = error.chain_error().filter(|chain| chain.kind() == ChainErrorKind::HalfMerged)?;
    Some(Fact::Unfinished { message: error.to_string(), merges: chain.unfinished().to_vec() })
}
