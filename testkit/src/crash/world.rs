//! Files in memory that record every operation.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use vhdx::{FileOffset, ReadAt, Storage};

use super::fault::{Calls, Fault};
use super::file_operation::{Operation, SECTOR};
use super::sweep::Recording;
use crate::sparse::{Patch, SparseImage};

/// Files by path, at one moment.
pub type Images = BTreeMap<PathBuf, SparseImage>;

/// Something that happened to a file.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// An operation on the file with this number.
    Operation(usize, Arc<Operation>),
    Sync(usize),
    /// A sync failed, and the writes that it should have made durable are lost.
    Lost(usize),
    SyncNames,
    /// A new file with this number is durable, and has the name of these older ones.
    Put {
        image: SparseImage,
        replaced: Vec<usize>,
    },
}

/// Files in memory that record every operation. A clone refers to the same files.
#[derive(Clone, Debug)]
pub struct CrashWorld(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The files by number. A removed file keeps its bytes for storages that have it open.
    files: Vec<SparseImage>,
    /// The names of the files by number.
    all_names: Vec<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    start: Images,
    events: Vec<Event>,
    reads: usize,
    writes: usize,
    fault: Option<Fault>,
    has_failed: bool,
}

impl CrashWorld {
    /// Returns a world with these files, all of them durable.
    pub fn new(files: Images) -> Self {
        let names = files.keys().cloned().zip(0..).collect();
        Self(Arc::new(Mutex::new(State {
            files: files.values().cloned().collect(),
            names,
            all_names: files.keys().cloned().collect(),
            start: files,
            events: Vec::new(),
            reads: 0,
            writes: 0,
            fault: None,
            has_failed: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic elsewhere")
    }

    /// Opens a file for reading and writing.
    ///
    /// # Panics
    /// If there is no file of this name.
    pub fn storage(&self, path: impl AsRef<Path>) -> Arc<dyn Storage> {
        let path = path.as_ref();
        let number = self.state().names.get(path).copied();
        let number = number.unwrap_or_else(|| panic!("there is no {}", path.display()));
        Arc::new(CrashFile { world: self.clone(), number })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no file of this name.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<Arc<dyn Storage>> {
        match self.contains(path.as_ref()) {
            true => Ok(self.storage(path)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns whether there is a file of this name.
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.state().names.contains_key(path.as_ref())
    }

    /// Removes a file. A power failure may bring it back until [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and the error of a [`Fault`].
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.state();
        state.count(Calls::Writes)?;
        let number = state.names.remove(path.as_ref()).ok_or(io::ErrorKind::NotFound)?;
        state.events.push(Event::Operation(number, Arc::new(Operation::Remove)));
        Ok(())
    }

    /// Creates a file, or replaces one, at once and durably. Nothing that was removed under its name comes back.
    ///
    /// # Errors
    /// The error of a [`Fault`].
    pub fn put(&self, path: impl AsRef<Path>, image: SparseImage) -> io::Result<()> {
        let path = path.as_ref();
        let mut state = self.state();
        state.count(Calls::Writes)?;
        let number = state.files.len();
        let replaced = (0..number).filter(|&file| state.all_names[file] == path).collect();
        state.files.push(image.clone());
        state.all_names.push(path.to_owned());
        state.names.insert(path.to_owned(), number);
        state.events.push(Event::Put { image, replaced });
        Ok(())
    }

    /// Makes removals durable.
    ///
    /// # Errors
    /// The error of a [`Fault`].
    pub fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count(Calls::Writes)?;
        state.events.push(Event::SyncNames);
        Ok(())
    }

    /// Returns the files as programs see them now, durable or not.
    pub fn images(&self) -> Images {
        let state = self.state();
        state.names.iter().map(|(name, &number)| (name.clone(), state.files[number].clone())).collect()
    }

    /// Returns everything that has happened so far.
    pub fn recording(&self) -> Recording {
        let state = self.state();
        Recording::new(state.start.clone(), state.all_names.clone(), state.events.clone())
    }

    /// Returns the number of calls so far.
    pub fn calls(&self, calls: Calls) -> usize {
        let state = self.state();
        match calls {
            Calls::Reads => state.reads,
            Calls::Writes => state.writes,
            Calls::Any => state.reads + state.writes,
        }
    }

    /// Sets the fault. Its call is counted from the start of the world.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Removes the fault.
    pub fn mend(&self) {
        self.state().fault = None;
    }

    /// Returns whether a call has failed.
    pub fn has_failed(&self) -> bool {
        self.state().has_failed
    }
}

impl State {
    /// Counts a call, and returns an error if it must fail. `calls` is `Reads` or `Writes`.
    fn count(&mut self, calls: Calls) -> io::Result<()> {
        let number = |counted: Calls| match counted {
            Calls::Reads => self.reads,
            Calls::Writes => self.writes,
            Calls::Any => self.reads + self.writes,
        };
        let meant = |fault: &Fault| fault.calls == calls || fault.calls == Calls::Any;
        let failing = self.fault.filter(|fault| meant(fault) && fault.hits(number(fault.calls)));
        match calls {
            Calls::Reads => self.reads += 1,
            _ => self.writes += 1,
        }
        match failing {
            Some(fault) => {
                self.has_failed = true;
                Err(fault.reason.into())
            }
            None => Ok(()),
        }
    }

    fn perform(&mut self, number: usize, operation: Operation) {
        operation.apply(&mut self.files[number], super::file_operation::Fate::Kept);
        self.events.push(Event::Operation(number, Arc::new(operation)));
    }
}

/// A file of a world.
struct CrashFile {
    world: CrashWorld,
    number: usize,
}

impl CrashFile {
    fn perform(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.world.state();
        state.count(Calls::Writes)?;
        state.perform(self.number, operation);
        Ok(())
    }
}

/// Returns `len`, reduced so that a range from `offset` on ends with a sector.
fn whole_sectors(offset: u64, len: usize) -> usize {
    let end = (offset + len as u64) / SECTOR * SECTOR;
    end.saturating_sub(offset) as usize
}

impl ReadAt for CrashFile {
    fn size(&self) -> io::Result<u64> {
        let mut state = self.world.state();
        state.count(Calls::Reads)?;
        Ok(state.files[self.number].size())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let mut state = self.world.state();
        state.count(Calls::Reads)?;
        state.files[self.number].read_exact_at(buf, offset)
    }
}

impl Storage for CrashFile {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        let mut state = self.world.state();
        let had_failed = state.has_failed;
        let counted = state.count(Calls::Writes);
        let is_partial = !had_failed && state.fault.is_some_and(|fault| fault.partial);
        let written = match counted {
            Ok(()) => buf,
            Err(_) if is_partial => &buf[..whole_sectors(offset.get(), buf.len() / 2)],
            Err(_) => &[],
        };
        if !written.is_empty() {
            state.perform(self.number, Operation::Write(Patch::new(offset.get(), written)));
        }
        counted
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.perform(Operation::SetLen(len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.world.state();
        let had_failed = state.has_failed;
        let counted = state.count(Calls::Writes);
        match counted {
            Ok(()) => state.events.push(Event::Sync(self.number)),
            Err(_) if !had_failed && state.fault.is_some_and(|fault| fault.loses) => {
                state.events.push(Event::Lost(self.number));
            }
            Err(_) => (),
        }
        counted
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.perform(Operation::Zero { offset: offset.get(), len })
    }

    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.perform(Operation::Punch { offset: offset.get(), len })
    }
}
