//! The file that takes the writes of clients: a new child of FILE, or FILE itself.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vhdx::ops::{self, ChildOptions};
use vhdx::{Chain, ChainMut, Conflict, Error, IfExists, NewFile, NoProgress, VhdxMut};

use super::in_place;
use crate::args::{Format, Serve};
use crate::commands::reading::Reading;
use crate::exit::Failure;
use crate::output::{self, shown};

/// The file that takes the writes.
pub(super) struct Written {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// A new child that is kept.
    Overlay,
    /// A new child that is deleted at the end, with its folder. Before it is made, and after it was deleted, there is
    /// no folder.
    Snapshot(Option<TempDir>),
    /// FILE itself.
    InPlace,
}

impl Written {
    /// Checks what can be checked without writing.
    pub(super) fn plan(reading: &mut Reading<'_>, serve: &Serve, file: &Path) -> Result<Self, Failure> {
        let (path, kind) = match &serve.overlay {
            Some(new) => (new.clone(), Kind::Overlay),
            None if serve.snapshot => (std::env::temp_dir(), Kind::Snapshot(None)),
            None => (file.to_owned(), Kind::InPlace),
        };
        match kind {
            Kind::Overlay => {
                ensure_can_make(&path)?;
                ensure_may_be_parent(reading, serve, file)?;
            }
            Kind::Snapshot(_) => ensure_may_be_parent(reading, serve, file)?,
            Kind::InPlace => in_place::ensure_possible(serve, file)?,
        }
        Ok(Self { path, kind })
    }

    /// Opens the disk that takes the writes. Also returns the chain of its parent, if it has one.
    pub(super) fn open(
        reading: &mut Reading<'_>,
        serve: &Serve,
        file: &Path,
    ) -> Result<(Self, ChainMut, Option<Chain>), Failure> {
        let mut written = Self::plan(reading, serve, file)?;
        let chain = reading.open_chain(file, &serve.parents.resolver())?;
        // It was opened before it was locked.
        chain.ensure_unchanged()?;
        match &mut written.kind {
            Kind::InPlace => {
                drop(chain); // its locks would keep out the writer
                let (disk, parents) = in_place::open(serve, file)?;
                Ok((written, disk, parents))
            }
            Kind::Overlay => {
                let disk = open_new_child(&written.path, &chain)?;
                Ok((written, disk, Some(chain)))
            }
            Kind::Snapshot(folder) => {
                let cannot = |error| Failure::io("cannot make a folder for the snapshot", &error);
                let made = tempfile::Builder::new().prefix("vhdx-").tempdir().map_err(cannot)?;
                written.path = made.path().join("snapshot.avhdx");
                let disk = open_new_child(&written.path, &chain)?;
                // On Unix an open file needs no name. So the snapshot is gone even if this process is killed.
                *folder = if cfg!(unix) { None } else { Some(made) };
                Ok((written, disk, Some(chain)))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is a new child that is kept.
    pub(super) fn is_overlay(&self) -> bool {
        matches!(self.kind, Kind::Overlay)
    }

    /// Whether the file is deleted at the end.
    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self.kind, Kind::Snapshot(_))
    }

    /// Deletes a snapshot whose file is closed. Any other file stays.
    pub(super) fn delete_snapshot(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Snapshot(Some(folder)) => folder.close().map_err(|error| {
                Failure::io(format!("cannot delete the snapshot {}", shown(&self.path)), &error)
            }),
            Kind::Snapshot(None) | Kind::Overlay | Kind::InPlace => Ok(()),
        }
    }
}

impl Written {
    /// Deletes a child that was made and that no client has used. Its file must be closed.
    pub(super) fn delete_child(self) -> Result<(), Failure> {
        match self.is_overlay() {
            true => std::fs::remove_file(&self.path)
                .map_err(|error| Failure::io(format!("cannot delete {}", shown(&self.path)), &error)),
            false => self.delete_snapshot(),
        }
    }
}

/// Returns an error if a new child cannot be made at this place.
fn ensure_can_make(new: &Path) -> Result<(), Failure> {
    if Format::of_name(new) != Some(Format::Vhdx) {
        return Err(Failure::usage("--overlay makes a VHDX: its name must end in .vhdx or .avhdx"));
    }
    NewFile::ensure_can_create(new, IfExists::Fail).map_err(|error| match error.without_path() {
        Error::Conflict(Conflict::DestinationExists) => Failure::from(error).with_hint(format!(
            "choose another name, or go on with this file: `vhdx serve {} --writable`",
            output::word(new)
        )),
        _ => error.into(),
    })
}

fn ensure_may_be_parent(reading: &mut Reading<'_>, serve: &Serve, file: &Path) -> Result<(), Failure> {
    let chain = Chain::open(file, &serve.parents.resolver())?;
    Ok(reading.ensure_may_have_children(file, &chain)?)
}

/// Makes a child of a chain whose files are locked, and opens it.
fn open_new_child(path: &Path, chain: &Chain) -> Result<ChainMut, Failure> {
    let child = ops::new_child(chain, path, &ChildOptions::default())?;
    let file = NewFile::create(path, IfExists::Fail)?;
    ops::create(&child.disk, &file, &NoProgress).map_err(|error| error.in_file(path))?;
    file.commit()?;
    Ok(ChainMut::from_layers(VhdxMut::open(path)?, chain.layers().to_vec())?)
}
