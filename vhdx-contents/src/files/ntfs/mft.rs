//! The master file table: records by number, and attributes that are spread over several records.

use super::boot::Boot;
use super::record::{Attribute, Body, Record, Reference, kind};
use super::runs::Runs;
use super::stream::{By, Stream};
use crate::error::{Error, Result};
use crate::files::fields::Fields;
use crate::files::source::Source;

/// NTFS's own limit for the list of the attributes of one file.
const MAX_ATTRIBUTE_LIST: u64 = 256 * 1024;

const COMPRESSED: u16 = 0x00ff;
const LZNT1: u16 = 1;
const ENCRYPTED: u16 = 0x4000;

/// The master file table of a volume.
pub(super) struct Mft<'a> {
    pub(super) source: Source<'a>,
    pub(super) boot: Boot,
    stream: Stream,
}

/// A place in a list of attributes.
struct Listed {
    kind: u32,
    name: Vec<u16>,
    first_vcn: u64,
    record: Reference,
    instance: u16,
}

impl<'a> Mft<'a> {
    /// Opens the table, whose first record describes the table itself.
    pub(super) fn open(source: Source<'a>, boot: Boot) -> Result<Self> {
        let bytes = source.structure(boot.mft.saturating_mul(boot.cluster), boot.record)?;
        let table = Record::parse(bytes, Reference(0))?;
        let first = table.find(kind::DATA, &[]).ok_or_else(|| no_attribute(table.reference, kind::DATA))?;
        let Body::Clusters { size, .. } = first.body else {
            return Err(Error::damaged("the master file table", "it has no clusters"));
        };
        // Its first part must be enough to read the records that describe the next parts.
        let mut runs = Runs::default();
        append(&mut runs, first, &boot)?;
        let known = size.min(runs.end().saturating_mul(boot.cluster));
        let mut mft = Self { source, boot, stream: Stream::clusters(runs, &boot, (known, known), None)? };
        for listed in mft.list(&table)?.unwrap_or_default() {
            if listed.kind == kind::DATA && listed.name.is_empty() && listed.first_vcn > 0 {
                let part = mft.part(&table, &listed)?;
                let Some(runs) = mft.stream.runs_mut() else { continue };
                append(runs, &part, &mft.boot)?;
                let runs = runs.clone();
                let known = size.min(runs.end().saturating_mul(boot.cluster));
                mft.stream = Stream::clusters(runs, &boot, (known, known), None)?;
            }
        }
        Ok(mft)
    }

    /// Returns a record.
    pub(super) fn record(&self, reference: Reference) -> Result<Record> {
        let offset = reference.number().checked_mul(self.boot.record as u64);
        let mut bytes = vec![0; self.boot.record];
        let found = match offset {
            Some(offset) => self.stream.read(&self.source, offset, &mut bytes, By::Structure)?,
            None => 0,
        };
        if found < bytes.len() {
            let what = format!("file record {}", reference.number());
            return Err(Error::damaged(what, "it is past the end of the master file table"));
        }
        Record::parse(bytes, reference)
    }

    /// Returns the first part of an attribute, which has its size.
    pub(super) fn first_part(&self, base: &Record, kind: u32, name: &[u16]) -> Result<Option<Attribute>> {
        match self.list(base)? {
            None => Ok(base.find(kind, name).cloned()),
            Some(list) => {
                let mut listed = list.iter().filter(|listed| listed.kind == kind && listed.name == name);
                listed.next().map(|listed| self.part(base, listed)).transpose()
            }
        }
    }

    /// Returns the content of an attribute. `None` if the file has no such attribute.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is encrypted, or compressed in a way that only later versions of NTFS have.
    pub(super) fn stream(&self, base: &Record, kind: u32, name: &[u16]) -> Result<Option<Stream>> {
        let Some(first) = self.first_part(base, kind, name)? else { return Ok(None) };
        if first.flags & ENCRYPTED != 0 {
            return Err(Error::Unsupported("the file is encrypted (EFS)".to_owned()));
        }
        let (size, initialized, unit_shift) = match &first.body {
            Body::Resident(bytes) => return Ok(Some(Stream::resident(bytes.clone()))),
            Body::Clusters { size, initialized, unit_shift, .. } => (*size, *initialized, *unit_shift),
        };
        let unit_shift = match first.flags & COMPRESSED {
            0 => None,
            LZNT1 if unit_shift == 0 => None,
            LZNT1 => Some(unit_shift),
            _ => return Err(Error::Unsupported("the compression of the file is unknown".to_owned())),
        };
        let mut runs = Runs::default();
        append(&mut runs, &first, &self.boot)?;
        for listed in self.list(base)?.unwrap_or_default() {
            if listed.kind == kind && listed.name == name && listed.first_vcn > 0 {
                append(&mut runs, &self.part(base, &listed)?, &self.boot)?;
            }
        }
        Stream::clusters(runs, &self.boot, (size, initialized), unit_shift).map(Some)
    }

    /// Returns the list of all attributes of a file that has several records.
    fn list(&self, base: &Record) -> Result<Option<Vec<Listed>>> {
        let Some(list) = base.find(kind::ATTRIBUTE_LIST, &[]) else { return Ok(None) };
        let stream = match &list.body {
            Body::Resident(bytes) => Stream::resident(bytes.clone()),
            Body::Clusters { size, initialized, .. } => {
                let mut runs = Runs::default();
                append(&mut runs, list, &self.boot)?;
                Stream::clusters(runs, &self.boot, (*size, *initialized), None)?
            }
        };
        let what = format!("the list of attributes of file record {}", base.reference.number());
        let bytes = stream.all(&self.source, MAX_ATTRIBUTE_LIST, &what)?;
        let mut found = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let fields = Fields::new(rest, &what);
            let len = usize::from(fields.u16(4)?);
            found.push(Listed {
                kind: fields.u32(0)?,
                name: fields.units(fields.u8(7)?.into(), fields.u8(6)?.into())?,
                first_vcn: fields.u64(8)?,
                record: Reference(fields.u64(16)?),
                instance: fields.u16(24)?,
            });
            let next = rest.get(len..).filter(|_| len >= 26);
            rest = next.ok_or_else(|| fields.damaged("the length of an entry is invalid"))?;
        }
        Ok(Some(found))
    }

    /// Returns the part of an attribute that is at this place.
    fn part(&self, base: &Record, listed: &Listed) -> Result<Attribute> {
        let is_it = |found: &&Attribute| {
            found.kind == listed.kind
                && found.name == listed.name
                && found.instance == listed.instance
                && found.first_vcn() == listed.first_vcn
        };
        let found = if listed.record.number() == base.reference.number() {
            base.attributes.iter().find(is_it).cloned()
        } else {
            let extension = self.record(listed.record)?;
            if extension.base.number() != base.reference.number() {
                let what = format!("file record {}", listed.record.number());
                return Err(Error::damaged(what, "it belongs to another file"));
            }
            extension.attributes.iter().find(is_it).cloned()
        };
        found.ok_or_else(|| no_attribute(base.reference, listed.kind))
    }
}

fn append(runs: &mut Runs, part: &Attribute, boot: &Boot) -> Result<()> {
    match &part.body {
        Body::Clusters { first_vcn, pairs, .. } => runs.append(*first_vcn, pairs, boot),
        Body::Resident(_) => Err(Error::damaged("the list of clusters of a file", "a part of it is missing")),
    }
}

/// The error that a file has no attribute of this type.
pub(super) fn no_attribute(file: Reference, kind: u32) -> Error {
    Error::damaged(
        format!("file record {}", file.number()),
        format!("its attribute of type {kind:#x} is missing"),
    )
}
