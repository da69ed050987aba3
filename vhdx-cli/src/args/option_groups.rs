//! Defines groups of options that several commands have.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::builder::ValueHint;
use clap::{Args as ClapArgs, ValueEnum};
use vhdx::{DiskType, FolderIndex, FolderResolver, IfExists, Jobs, OnWriter};

use crate::disks::Resolver;

#[derive(Debug, ClapArgs)]
pub(crate) struct NewVhdx {
    /// Type of the new VHDX: a fixed one has all its space from the start [default: dynamic]
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) disk_type: Option<NewType>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Writing {
    /// Replace the destination if it exists; a file that is read is never replaced
    #[arg(long)]
    pub(crate) force: bool,
    /// Check what can be checked without writing, print the plan, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Start although free space may be too small: useful if the content is sparse and takes less
    #[arg(long)]
    pub(crate) no_space_check: bool,
}

impl Writing {
    /// Returns what happens if the destination exists.
    pub(crate) fn if_exists(&self) -> IfExists {
        if self.force { IfExists::Replace } else { IfExists::Fail }
    }
}

/// Where parents are searched for, in addition to the child's own folder.
#[derive(Debug, ClapArgs)]
pub(crate) struct Parents {
    /// Also search this folder or URL prefix for parents (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Use this file or URL as a parent (once for each level, nearest first)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) parent: Vec<PathBuf>,
    /// The folders that the command has read so far.
    #[arg(skip)]
    pub(crate) index: FolderIndex,
}

impl Parents {
    /// Returns the resolver for the chain of `leaf`, for commands that only read.
    pub(crate) fn resolver_of(&self, leaf: &Path) -> Resolver {
        Resolver::new(leaf, self.resolver())
    }

    /// Returns the files and folders.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.parent_dir.iter_mut().chain(&mut self.parent)
    }

    /// Returns the resolver for commands that change files, which are files of the host.
    pub(crate) fn resolver(&self) -> FolderResolver {
        FolderResolver {
            folders: self.parent_dir.clone(),
            named: self.parent.clone(),
            index: self.index.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewType {
    Dynamic,
    Fixed,
}

impl NewVhdx {
    pub(crate) fn disk_type(&self) -> DiskType {
        match self.disk_type {
            None | Some(NewType::Dynamic) => DiskType::Dynamic,
            Some(NewType::Fixed) => DiskType::Fixed,
        }
    }
}

/// How many threads read and copy.
#[derive(Debug, ClapArgs)]
pub(crate) struct Threads {
    /// Read and copy in this many threads, at most 64 [default: 4; for a URL 16]
    #[arg(long, short, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub(crate) jobs: Option<NonZero<usize>>,
}

fn threads(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| {
        "the number of threads is a whole number of at least 1 (more than 64 counts as 64)".to_owned()
    })
}

impl Threads {
    pub(crate) fn jobs(&self) -> Jobs {
        self.jobs.map_or_else(Jobs::default, Jobs::new)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Share {
    /// Also read files that another program has open for writing: the result may be a mix of old and new data
    #[arg(long)]
    pub(crate) force_share: bool,
}

impl Share {
    pub(crate) fn on_writer(&self) -> OnWriter {
        if self.force_share { OnWriter::ReadAnyway } else { OnWriter::Fail }
    }
}
