//! Copies files and folders out of one file system.

use std::ffi::OsStr;
use std::io::{self, Seek, SeekFrom, Write};

use vhdx::Progress;
use vhdx_contents::Error;
use vhdx_contents::files::{Attributes, FileSystem, Kind, Node};

use super::copied::Copied;
use super::host::{Finishing, Folder, Known, Making};
use super::names;
use crate::commands::files::{Tree, failure, shown};
use crate::exit::Failure;
use crate::progress::Bar;

/// How much is read at a time.
const BUFFER: usize = 4 << 20;

/// Copies files and folders out of one file system.
pub(super) struct Copier<'a> {
    pub(super) fs: &'a dyn FileSystem,
    pub(super) bar: &'a Bar,
    pub(super) copied: &'a mut Copied,
    pub(super) known: &'a mut Known,
    pub(super) replace: bool,
    /// Makes each file durable at its end.
    pub(super) sync: bool,
    pub(super) tree: Tree,
    /// The bytes of all files that were found so far.
    pub(super) total: u64,
}

/// Why a file was not copied.
pub(super) enum Fault {
    Source(Error),
    Host(io::Error),
    /// The user has stopped the command.
    Stopped,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Source(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Host(error)
    }
}

impl Fault {
    /// Returns the failure; `None` if the user has stopped the command.
    pub(super) fn failure(self, path: &[u8]) -> Option<Failure> {
        match self {
            Fault::Source(error) => Some(failure(error, &shown(path))),
            Fault::Host(error) => {
                let exists = error.kind() == io::ErrorKind::AlreadyExists;
                let failure = Failure::io(format!("cannot write the copy of {}", shown(path)), &error);
                Some(if exists { failure.with_hint("`--force` replaces files that exist") } else { failure })
            }
            Fault::Stopped => None,
        }
    }

    /// Whether no other file can be copied either.
    fn ends_all(&self) -> bool {
        match self {
            Fault::Host(error) => {
                use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
                matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            }
            Fault::Stopped => true,
            Fault::Source(_) => false,
        }
    }
}

/// Whether the copying goes on.
pub(super) type Flow = Result<(), Fault>;

impl Copier<'_> {
    /// Copies a file or folder to a name in a folder of the host, and reports what fails.
    ///
    /// # Errors
    /// A fault after which nothing else can be copied. It was not reported.
    pub(super) fn copy(&mut self, node: Node, to: (&Folder, &OsStr), path: &[u8], depth: usize) -> Flow {
        let copied = match self.fs.attributes(node) {
            Err(error) => Err(error.into()),
            Ok(attributes) => match attributes.kind {
                Kind::File => self.file(node, &attributes, to),
                Kind::Folder => self.folder(node, &attributes, to, path, depth),
                Kind::Link => {
                    let target = self.fs.link_target(node).map(|target| shown(&target));
                    let target =
                        target.map_or_else(|error| error.to_string(), |target| format!("{target:?}"));
                    self.copied.skip(path, &format!("a link to {target}"));
                    Ok(())
                }
                Kind::Other(what) => {
                    self.copied.skip(path, &format!("a {what}"));
                    Ok(())
                }
            },
        };
        self.passed(copied, path)
    }

    /// Reports a fault that concerns one file only.
    fn passed(&mut self, copied: Flow, path: &[u8]) -> Flow {
        match copied {
            Err(fault) if fault.ends_all() => Err(fault),
            Err(fault) => {
                if let Some(failure) = fault.failure(path) {
                    self.copied.fail(path, &failure);
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn folder(
        &mut self,
        node: Node,
        attributes: &Attributes,
        (folder, name): (&Folder, &OsStr),
        path: &[u8],
        depth: usize,
    ) -> Flow {
        let folder = folder.folder(name, attributes.mode)?;
        self.copied.folders += 1;
        self.content(node, &folder, path, depth)?;
        if let Some(time) = attributes.modified {
            folder.set_modified(time)?;
        }
        Ok(())
    }

    /// Copies everything in a folder into a folder of the host.
    pub(super) fn content(&mut self, node: Node, to: &Folder, path: &[u8], depth: usize) -> Flow {
        let (entries, listed) = self.tree.entries(self.fs, node, depth);
        for entry in entries {
            if self.bar.is_cancelled() {
                return Err(Fault::Stopped);
            }
            let path = if path.is_empty() { entry.name.clone() } else { [path, b"/", &entry.name].concat() };
            match names::of_host(&entry.name) {
                Ok(name) => self.copy(entry.node, (to, &name), &path, depth + 1)?,
                Err(why) => {
                    self.copied.fail(&path, &Failure::unsupported(format!("{}: {why}", shown(&path))));
                }
            }
        }
        self.passed(listed.map_err(Fault::from), path)
    }

    fn file(&mut self, node: Node, attributes: &Attributes, (folder, name): (&Folder, &OsStr)) -> Flow {
        self.total = self.total.saturating_add(attributes.size);
        self.bar.start(self.total);
        let making = Making { mode: attributes.mode, replace: self.replace };
        let mut new = folder.new_file(name, making, self.known)?;
        let file = &mut new.file;
        let size = pieces(self.fs, node, self.bar, |piece| match piece {
            Piece::Hole { .. } => Ok(()),
            Piece::Data { offset, bytes } => {
                file.seek(SeekFrom::Start(offset))?;
                Ok(file.write_all(bytes)?)
            }
        })?;
        file.set_len(size)?;
        new.finish(Finishing { modified: attributes.modified, sync: self.sync }, self.known)?;
        self.copied.files += 1;
        self.copied.bytes = self.copied.bytes.saturating_add(size);
        Ok(())
    }

    /// Writes the content of a file to a stream.
    pub(super) fn write_to(&mut self, out: &mut dyn Write, node: Node, attributes: &Attributes) -> Flow {
        self.bar.start(attributes.size);
        let size = pieces(self.fs, node, self.bar, |piece| match piece {
            Piece::Data { bytes, .. } => Ok(out.write_all(bytes)?),
            Piece::Hole { len } => write_zeros(out, len, self.bar),
        })?;
        out.flush()?;
        self.copied.files += 1;
        self.copied.bytes = self.copied.bytes.saturating_add(size);
        Ok(())
    }
}

/// Writes zeros, in parts between which the user can stop the command: a hole can be longer than any disk.
fn write_zeros(out: &mut dyn Write, len: u64, bar: &Bar) -> Flow {
    let zeros = vec![0; BUFFER];
    let mut left = len;
    while left > 0 {
        if bar.is_cancelled() {
            return Err(Fault::Stopped);
        }
        let part = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        out.write_all(zeros.get(..part).unwrap_or(&zeros))?;
        left = left.saturating_sub(part as u64);
    }
    Ok(())
}

/// A part of a file.
enum Piece<'b> {
    Data { offset: u64, bytes: &'b [u8] },
    Hole { len: u64 },
}

/// Calls `each` with all parts of a file, in order, and returns its size.
fn pieces(
    fs: &dyn FileSystem,
    file: Node,
    bar: &Bar,
    mut each: impl FnMut(Piece<'_>) -> Flow,
) -> Result<u64, Fault> {
    let mut offset = 0_u64;
    let mut buf = Vec::new();
    while let Some(range) = fs.range_at(file, offset)? {
        if bar.is_cancelled() {
            return Err(Fault::Stopped);
        }
        let len = match range.is_hole {
            true => {
                each(Piece::Hole { len: range.len })?;
                range.len
            }
            false => {
                let len = usize::try_from(range.len).map_or(BUFFER, |len| len.min(BUFFER));
                buf.resize(len, 0);
                let found = fs.read(file, offset, &mut buf)?;
                let bytes = buf.get(..found).filter(|bytes| !bytes.is_empty());
                let damaged = || Error::Damaged { what: "the file".into(), why: "it ends too early".into() };
                each(Piece::Data { offset, bytes: bytes.ok_or_else(damaged)? })?;
                found as u64
            }
        };
        bar.advance(len);
        offset = offset.saturating_add(len);
    }
    Ok(offset)
}
