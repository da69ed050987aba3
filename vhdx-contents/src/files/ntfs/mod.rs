//! Reads NTFS, versions 1.2 to 3.1.
//!
//! The journal is not replayed. Files whose content cannot be read right, such as encrypted ones, are an error.

mod boot;
mod index;
mod log;
mod lznt1;
mod mft;
mod record;
mod reparse;
mod runs;
mod stream;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use self::boot::Boot;
use self::index::FileName;
use self::mft::{Mft, no_attribute};
use self::record::{Body, Record, Reference, kind};
use self::stream::{By, Stream};
use super::fields::{Fields, units};
use super::file_system::{Attributes, Entry, FileSystem, Kind, Node, Range};
use super::names::{self, UpperCase};
use super::source::Source;
use super::times;
use crate::error::{Error, Result};

pub(super) use boot::is_ntfs;

/// The records of the volume itself and of the table of upper-case letters.
const VOLUME: Reference = Reference(3);
const ROOT: u64 = 5;
const UPPER_CASE: Reference = Reference(10);
/// Files of the file system itself have smaller numbers.
const FIRST_USER_FILE: u64 = 16;

const IS_DIRTY: u16 = 1;
/// File attributes.
const SYSTEM: u32 = 0x4;
const REPARSE_POINT: u32 = 0x400;
const IS_FOLDER: u32 = 0x1000_0000;

const MAX_REPARSE: u64 = 16 * 1024;
/// What a link of Interix, and of ntfs-3g, begins with; its target follows in UTF-16.
const INTERIX_LINK: &[u8] = b"IntxLNK\x01";
/// The longest such file.
const MAX_INTERIX: u64 = 64 * 1024;

/// An open NTFS volume.
pub(super) struct Ntfs<'a> {
    mft: Mft<'a>,
    upper_case: UpperCase,
    notes: Vec<String>,
    /// The file that was read last.
    last: RefCell<Option<(Node, Arc<Stream>)>>,
}

impl<'a> Ntfs<'a> {
    pub(super) fn open(source: Source<'a>) -> Result<Self> {
        let boot = Boot::parse(&source.structure(0, 512)?, source.len())?;
        let mft = Mft::open(source, boot)?;
        let mut notes = Vec::new();
        match must_replay(&mft) {
            Ok(false) => {}
            Ok(true) => notes.push(
                "the NTFS volume was not unmounted cleanly: its journal is not replayed, so the newest changes may be \
                 missing or incomplete"
                    .to_owned(),
            ),
            Err(error) => notes.push(format!("cannot tell whether the NTFS volume was unmounted cleanly: {error}")),
        }
        let upper_case = upper_case(&mft).unwrap_or_else(|error| {
            notes.push(format!("the NTFS volume's table of upper-case letters is not used: {error}"));
            UpperCase::Unicode
        });
        Ok(Self { mft, upper_case, notes, last: RefCell::default() })
    }

    /// Returns the reparse data of a file.
    fn reparse(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        let stream = self.mft.stream(record, kind::REPARSE_POINT, &[])?;
        stream.map(|stream| stream.all(&self.mft.source, MAX_REPARSE, "a reparse point")).transpose()
    }

    fn kind(&self, record: &Record, flags: u32) -> Result<Kind> {
        if flags & REPARSE_POINT != 0
            && let Some(reparse) = self.reparse(record)?
        {
            return Ok(reparse::kind(reparse::tag(&reparse)?, record.is_folder));
        }
        if record.is_folder {
            return Ok(Kind::Folder);
        }
        if flags & SYSTEM != 0
            && let Some(content) = self.interix(record)?
        {
            return Ok(match content {
                content if content.starts_with(INTERIX_LINK) => Kind::Link,
                content if content.starts_with(b"IntxCHR\0") => Kind::Other("character device"),
                content if content.starts_with(b"IntxBLK\0") => Kind::Other("block device"),
                _ => Kind::File,
            });
        }
        Ok(Kind::File)
    }

    /// Returns the content of a small file that may be a link or device of Interix.
    fn interix(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        match self.mft.stream(record, kind::DATA, &[]) {
            Ok(Some(stream)) if (8..=MAX_INTERIX).contains(&stream.size()) => {
                stream.all(&self.mft.source, MAX_INTERIX, "a link").map(Some)
            }
            Ok(_) | Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the content of a file.
    fn content(&self, file: Node) -> Result<Arc<Stream>> {
        if let Some((_, stream)) = self.last.borrow().as_ref().filter(|(last, _)| *last == file) {
            return Ok(Arc::clone(stream));
        }
        let record = self.mft.record(Reference(file.0))?;
        if record.is_folder {
            return Err(Error::damaged(
                format!("file record {}", record.reference.number()),
                "it is a folder",
            ));
        }
        // By the attribute itself, not by the flag: its absence must not lead to wrong content.
        if let Some(reparse) = self.reparse(&record)? {
            return Err(reparse::content_is_elsewhere(reparse::tag(&reparse)?));
        }
        let stream = self.mft.stream(&record, kind::DATA, &[])?;
        let stream = stream.ok_or_else(|| no_attribute(record.reference, kind::DATA))?;
        let stream = Arc::new(stream);
        *self.last.borrow_mut() = Some((file, Arc::clone(&stream)));
        Ok(stream)
    }

    /// Lists a folder; the files of the file system itself only with `all`.
    fn list_all(
        &self,
        folder: Node,
        all: bool,
        each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let record = self.mft.record(Reference(folder.0))?;
        index::list(&self.mft, &record, &mut |found: FileName| {
            let number = found.file.number();
            if number == ROOT || (number < FIRST_USER_FILE && !all) {
                return Ok(ControlFlow::Continue(()));
            }
            each(entry(&found))
        })
    }
}

fn entry(found: &FileName) -> Entry {
    let is_folder = found.flags & IS_FOLDER != 0;
    let kind = match found.flags & REPARSE_POINT {
        0 if is_folder => Kind::Folder,
        0 => Kind::File,
        _ => reparse::kind(found.reparse_tag, is_folder),
    };
    Entry { name: names::to_utf8(&found.name), node: Node(found.file.0), kind }
}

/// Whether the volume has changes that are only in its journal. A volume that is in use is not flagged as dirty.
fn must_replay(mft: &Mft<'_>) -> Result<bool> {
    Ok(is_dirty(mft)? || !log::is_clean(mft)?)
}

fn is_dirty(mft: &Mft<'_>) -> Result<bool> {
    let volume = mft.record(VOLUME)?;
    let information = mft.stream(&volume, kind::VOLUME_INFORMATION, &[])?;
    let information = information.ok_or_else(|| no_attribute(VOLUME, kind::VOLUME_INFORMATION))?;
    let what = "the information about the volume";
    let bytes = information.all(&mft.source, mft.boot.record as u64, what)?;
    Ok(Fields::new(&bytes, what).u16(10)? & IS_DIRTY != 0)
}

fn upper_case(mft: &Mft<'_>) -> Result<UpperCase> {
    const LEN: u64 = 2 * 65536;
    let table = mft.stream(&mft.record(UPPER_CASE)?, kind::DATA, &[])?;
    let table = table.ok_or_else(|| no_attribute(UPPER_CASE, kind::DATA))?;
    Ok(UpperCase::Table(units(&table.all(&mft.source, LEN, "the table of upper-case letters")?)))
}

impl FileSystem for Ntfs<'_> {
    fn root(&self) -> Node {
        Node(ROOT)
    }

    fn attributes(&self, node: Node) -> Result<Attributes> {
        let record = self.mft.record(Reference(node.0))?;
        let standard = self.mft.stream(&record, kind::STANDARD_INFORMATION, &[])?;
        let standard = standard.ok_or_else(|| no_attribute(record.reference, kind::STANDARD_INFORMATION))?;
        let what = format!("the information about file record {}", record.reference.number());
        let standard = standard.all(&self.mft.source, self.mft.boot.record as u64, &what)?;
        let fields = Fields::new(&standard, &what);
        let kind = self.kind(&record, fields.u32(32)?)?;
        let size = match kind {
            Kind::Folder => 0,
            _ => match self.mft.first_part(&record, kind::DATA, &[])?.map(|data| data.body) {
                Some(Body::Resident(bytes)) => bytes.len() as u64,
                Some(Body::Clusters { size, .. }) => size,
                None => 0, // such as the link that a folder is
            },
        };
        Ok(Attributes { kind, size, modified: times::from_nt(fields.u64(8)?), mode: None })
    }

    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()> {
        self.list_all(folder, false, each)
    }

    fn folder_identity(&self, folder: Node) -> Result<u64> {
        Ok(Reference(folder.0).number())
    }

    fn lookup(&self, folder: Node, name: &[u8]) -> Result<Option<Entry>> {
        let (mut exact, mut same) = (None, None);
        let listed = self.list_all(folder, true, &mut |entry| {
            if entry.name == name {
                exact = Some(entry);
                return Ok(ControlFlow::Break(()));
            }
            if same.is_none() && self.is_same_name(&entry.name, name) {
                same = Some(entry);
            }
            Ok(ControlFlow::Continue(()))
        });
        match exact.or(same) {
            Some(found) => Ok(Some(found)),
            None => listed.map(|()| None),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        self.upper_case.is_same(one, other)
    }

    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>> {
        Ok(self.content(file)?.range_at(offset))
    }

    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.content(file)?.read(&self.mft.source, offset, buf, By::Content)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>> {
        let record = self.mft.record(Reference(link.0))?;
        if let Some(reparse) = self.reparse(&record)? {
            return reparse::target(&reparse);
        }
        let content = self.interix(&record)?;
        let target = content.as_deref().and_then(|content| content.strip_prefix(INTERIX_LINK));
        match target {
            Some(target) => Ok(names::to_utf8(&units(target))),
            None => {
                Err(Error::damaged(format!("file record {}", record.reference.number()), "it is not a link"))
            }
        }
    }
}
