//! Files that note what is done to them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use vhdx::{FileOffset, ReadAt, Storage};

use super::fault::{Calls, Fault};
use super::operation::{Operation, SECTOR};
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
    /// A sync failed, and what it was to make durable never will be.
    Lost(usize),
    SyncNames,
}

/// Files in memory. Clones are the same files.
#[derive(Clone, Debug)]
pub struct CrashWorld(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// By number; a removed file keeps its bytes for those who have it open.
    files: Vec<SparseImage>,
    names: BTreeMap<PathBuf, usize>,
    start: Images,
    events: Vec<Event>,
    reads: usize,
    writes: usize,
    fault: Option<Fault>,
    has_failed: bool,
}

impl CrashWorld {
    /// A world with these files, all of them durable.
    pub fn new(files: Images) -> Self {
        let names = files.keys().cloned().zip(0..).collect();
        Self(Arc::new(Mutex::new(State {
            files: files.values().cloned().collect(),
            names,
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

    /// A file, to be read and written. Panics if there is none of this name.
    pub fn storage(&self, path: impl AsRef<Path>) -> Arc<dyn Storage> {
        let path = path.as_ref();
        let number = self.state().names.get(path).copied();
        let number = number.unwrap_or_else(|| panic!("there is no {}", path.display()));
        Arc::new(CrashFile { world: self.clone(), number })
    }

    /// A file, to be read; or, as an error, that there is none of this name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<Arc<dyn Storage>> {
        match self.contains(path.as_ref()) {
            true => Ok(self.storage(path)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether there is a file of this name.
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.state().names.contains_key(path.as_ref())
    }

    /// Removes a file. A power failure may bring it back, whenever it happens.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and that of a [`Fault`].
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.state();
        state.count(Calls::Writes)?;
        let number = state.names.remove(path.as_ref()).ok_or(io::ErrorKind::NotFound)?;
        state.events.push(Event::Operation(number, Arc::new(Operation::Remove)));
        Ok(())
    }

    /// Makes durable which files were removed.
    ///
    /// # Errors
    /// That of a [`Fault`].
    pub fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count(Calls::Writes)?;
        state.events.push(Event::SyncNames);
        Ok(())
    }

    /// The files as programs see them now, whether or not they are durable.
    pub fn images(&self) -> Images {
        let state = self.state();
        state.names.iter().map(|(name, &number)| (name.clone(), state.files[number].clone())).collect()
    }

    /// Everything that has happened so far.
    pub fn recording(&self) -> Recording {
        let state = self.state();
        Recording::new(state.start.clone(), state.events.clone())
    }

    /// How many calls there were.
    pub fn calls(&self, calls: Calls) -> usize {
        let state = self.state();
        match calls {
            Calls::Reads => state.reads,
            Calls::Writes => state.writes,
            Calls::Any => state.reads + state.writes,
        }
    }

    /// Lets a call fail. Calls are counted from the start of the world.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Lets nothing fail from now on.
    pub fn mend(&self) {
        self.state().fault = None;
    }

    /// Whether the fault has come to pass.
    pub fn has_failed(&self) -> bool {
        self.state().has_failed
    }
}

impl State {
    /// Counts a call that is a read or a write, and lets it fail if its turn has come.
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
        operation.apply(&mut self.files[number], super::operation::Fate::Kept);
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

/// `len`, or a little less, so that what begins at `offset` ends with a sector.
fn whole_sectors(offset: u64, len: usize) -> usize {
    let end = (offset + len as u64) / SECTOR * SECTOR;
    end.saturating_sub(offset) as usize
}

impl ReadAt for CrashFile {
    fn len(&self) -> io::Result<u64> {
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
