//! The settings that all rows share, and the files that they make.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::chain::{Files, Spec};
use super::files;
use super::measure::Step;
use super::peers;
use super::plain::Way;

/// The folder for the chains of a row.
const CHAINS: &str = "chains";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
    Quick,
    Full,
}

/// The settings that all rows share.
pub(crate) struct Context {
    /// The folder for all files.
    pub(crate) folder: PathBuf,
    /// The measured command.
    pub(crate) vhdx: PathBuf,
    /// This program.
    pub(crate) this: PathBuf,
    pub(crate) size: Size,
    /// Whether only a check is wanted, without peers.
    pub(crate) check: bool,
}

impl Context {
    /// Returns a process of the measured command.
    pub(crate) fn vhdx<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Step {
        Step::new(&self.vhdx, args)
    }

    /// Returns a process of this program.
    pub(crate) fn worker<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Step {
        Step::new(&self.this, args)
    }

    /// Returns a process that reads the pieces in a list, or else the data of a file.
    pub(crate) fn reads(
        &self,
        way: &Way,
        list: Option<&Path>,
        sources: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Step {
        let step = self.worker(["read-plain"]).args(way.args().into_iter().map(Into::into));
        let step = list.into_iter().fold(step, |step, list| step.arg("--list").arg(list));
        sources.into_iter().fold(step, |step, source| step.arg(source.as_ref()))
    }

    /// Returns a process that copies the pieces in a list, or else the data of a file, and syncs the target.
    pub(crate) fn copies(
        &self,
        way: &Way,
        list: Option<&Path>,
        sources: impl IntoIterator<Item = impl AsRef<Path>>,
        target: &Path,
    ) -> Step {
        let step = self.worker(["copy-plain"]).args(way.args().into_iter().map(Into::into));
        let step = list.into_iter().fold(step, |step, list| step.arg("--list").arg(list)).arg(target);
        sources.into_iter().fold(step, |step, source| step.arg(source.as_ref()))
    }

    /// Scales a number of bytes from the full size to the chosen size.
    pub(crate) fn scaled(&self, bytes: u64) -> u64 {
        if self.size == Size::Full { bytes } else { bytes / 4 }
    }

    /// Makes an empty folder.
    pub(crate) fn empty(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Returns a folder that rows share. It is made once.
    pub(crate) fn made(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if !folder.exists() {
            make(&folder)?;
        }
        Ok(folder)
    }

    /// Returns a chain. It is made and verified once for each row.
    pub(crate) fn chain(&self, spec: &Spec) -> Result<Files> {
        self.chain_in(spec, &self.folder.join(CHAINS))
    }

    /// Deletes the chains, because those of all rows would take too much space.
    pub(crate) fn delete_chains(&self) -> Result<()> {
        let folder = self.folder.join(CHAINS);
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    /// As [`chain`](Self::chain), on another file system.
    pub(crate) fn chain_in(&self, spec: &Spec, folder: &Path) -> Result<Files> {
        let folder = folder.join(spec.name());
        let files = Files { folder: folder.clone(), depth: spec.depth };
        if !folder.exists() {
            self.worker(["make-chain"]).arg(&folder).args(spec.args()).run()?;
            files::verify_chain(&files.leaf(), &files.expected())?;
        }
        Ok(files)
    }

    /// Returns whether the measured program has a command.
    pub(crate) fn has_command(&self, name: &str) -> bool {
        Step::new(&self.vhdx, [name, "--help"]).run().is_ok()
    }

    /// Returns the path of a peer, unless peers are not measured.
    ///
    /// Prints a message if it is missing.
    pub(crate) fn peer(&self, name: &str) -> Option<PathBuf> {
        self.found(name, peers::program)
    }

    pub(crate) fn python_with(&self, module: &str) -> Option<PathBuf> {
        self.found(module, peers::python_with)
    }

    fn found(&self, name: &str, find: impl FnOnce(&str) -> Option<PathBuf>) -> Option<PathBuf> {
        if self.check {
            return None;
        }
        let found = find(name);
        if found.is_none() {
            println!("**MISSING: {name} is not installed, so it is not compared.**\n");
        }
        found
    }
}
