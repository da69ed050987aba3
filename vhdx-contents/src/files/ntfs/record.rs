//! Records of the master file table, and the attributes in them.

use crate::error::{Error, Result};
use crate::files::fields::Fields;

/// The types of the attributes that are read.
pub(super) mod kind {
    pub(in crate::files::ntfs) const STANDARD_INFORMATION: u32 = 0x10;
    pub(in crate::files::ntfs) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(in crate::files::ntfs) const VOLUME_INFORMATION: u32 = 0x70;
    pub(in crate::files::ntfs) const DATA: u32 = 0x80;
    pub(in crate::files::ntfs) const INDEX_ROOT: u32 = 0x90;
    pub(in crate::files::ntfs) const INDEX_ALLOCATION: u32 = 0xa0;
    pub(in crate::files::ntfs) const BITMAP: u32 = 0xb0;
    pub(in crate::files::ntfs) const REPARSE_POINT: u32 = 0xc0;
}

const END: u32 = 0xffff_ffff;
const IN_USE: u16 = 1;
const IS_FOLDER: u16 = 2;

/// The number of a record, and the number of times that it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference(pub(super) u64);

impl Reference {
    pub(super) fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    fn sequence(self) -> u16 {
        (self.0 >> 48) as u16 // the upper 16 bits
    }
}

/// A record that is in use.
pub(super) struct Record {
    pub(super) reference: Reference,
    pub(super) is_folder: bool,
    /// The record to which this one is an extension; 0 if it is none.
    pub(super) base: Reference,
    pub(super) attributes: Vec<Attribute>,
}

/// An attribute, or a part of one.
#[derive(Clone)]
pub(super) struct Attribute {
    pub(super) kind: u32,
    pub(super) name: Vec<u16>,
    pub(super) flags: u16,
    /// Tells attributes of one record apart.
    pub(super) instance: u16,
    pub(super) body: Body,
}

/// Where the content of an attribute is.
#[derive(Clone)]
pub(super) enum Body {
    /// In the record.
    Resident(Vec<u8>),
    /// In clusters.
    Clusters {
        first_vcn: u64,
        /// The clusters, encoded.
        pairs: Vec<u8>,
        /// The binary logarithm of the clusters that are compressed together.
        unit_shift: u8,
        /// The size in bytes; only the first part of an attribute has it.
        size: u64,
        /// Bytes from here on read as zeros.
        initialized: u64,
    },
}

impl Attribute {
    pub(super) fn first_vcn(&self) -> u64 {
        match &self.body {
            Body::Resident(_) => 0,
            Body::Clusters { first_vcn, .. } => *first_vcn,
        }
    }
}

impl Record {
    /// Parses a record. Returns an error if `expected` was deleted and its record belongs to another file.
    pub(super) fn parse(mut bytes: Vec<u8>, expected: Reference) -> Result<Self> {
        let what = format!("file record {}", expected.number());
        restore_sectors(&mut bytes, b"FILE", &what)?;
        let fields = Fields::new(&bytes, &what);
        let sequence = fields.u16(16)?;
        if expected.sequence() != 0 && expected.sequence() != sequence {
            return Err(fields.damaged("it belongs to another file"));
        }
        let flags = fields.u16(22)?;
        if flags & IN_USE == 0 {
            return Err(fields.damaged("it is not in use"));
        }
        let used = usize::try_from(fields.u32(24)?).ok().filter(|used| *used <= bytes.len());
        let used = used.ok_or_else(|| fields.damaged("it says that it is longer than a record"))?;
        let attributes = attributes(bytes.get(..used).unwrap_or(&bytes), fields.u16(20)?, &what)?;
        let reference = Reference(expected.number() | (u64::from(sequence) << 48));
        let base = Reference(fields.u64(32)?);
        Ok(Self { reference, is_folder: flags & IS_FOLDER != 0, base, attributes })
    }

    /// Returns the attribute of this type and name.
    pub(super) fn find(&self, kind: u32, name: &[u16]) -> Option<&Attribute> {
        self.attributes.iter().find(|found| found.kind == kind && found.name == name)
    }
}

fn attributes(bytes: &[u8], start: u16, what: &str) -> Result<Vec<Attribute>> {
    let fields = Fields::new(bytes, what);
    let mut at = usize::from(start);
    let mut found = Vec::new();
    while fields.u32(at)? != END {
        let len = usize::try_from(fields.u32(at.saturating_add(4))?).ok();
        let len = len.filter(|len| *len >= 24 && len.is_multiple_of(8));
        let len = len.ok_or_else(|| fields.damaged("the length of an attribute is invalid"))?;
        found.push(attribute(Fields::new(fields.bytes(at, len)?, what))?);
        at = at.saturating_add(len);
    }
    Ok(found)
}

fn attribute(fields: Fields<'_>) -> Result<Attribute> {
    let name = fields.units(fields.u16(10)?.into(), fields.u8(9)?.into())?;
    let body = match fields.u8(8)? {
        0 => {
            let len =
                usize::try_from(fields.u32(16)?).map_err(|_| fields.damaged("an attribute is too long"))?;
            Body::Resident(fields.bytes(fields.u16(20)?.into(), len)?.to_vec())
        }
        _ => {
            let pairs = usize::from(fields.u16(32)?);
            let len = usize::try_from(fields.u32(4)?).ok().and_then(|len| len.checked_sub(pairs));
            let len = len.ok_or_else(|| fields.damaged("the clusters of an attribute are outside of it"))?;
            Body::Clusters {
                first_vcn: fields.u64(16)?,
                pairs: fields.bytes(pairs, len)?.to_vec(),
                unit_shift: fields.u8(34)?,
                size: fields.u64(48)?,
                initialized: fields.u64(56)?,
            }
        }
    };
    Ok(Attribute { kind: fields.u32(0)?, name, flags: fields.u16(12)?, instance: fields.u16(14)?, body })
}

/// Undoes the protection of a structure against torn writes: the last two bytes of each 512 bytes are elsewhere.
pub(super) fn restore_sectors(bytes: &mut [u8], signature: &[u8; 4], what: &str) -> Result<()> {
    const STRIDE: usize = 512;
    let fields = Fields::new(bytes, what);
    if fields.bytes(0, 4)? != signature {
        return Err(fields.damaged("it has a wrong signature"));
    }
    let (at, count) = (usize::from(fields.u16(4)?), usize::from(fields.u16(6)?));
    let saved = fields.bytes(at, count.saturating_mul(2))?.to_vec();
    let (Some(([low, high], saved)), true) =
        (saved.as_chunks::<2>().0.split_first(), count == bytes.len() / STRIDE + 1)
    else {
        return Err(Error::damaged(what, "its number of protected sectors is invalid"));
    };
    for (sector, saved) in bytes.chunks_exact_mut(STRIDE).zip(saved) {
        let Some(end) = sector.last_chunk_mut::<2>() else { continue };
        if *end != [*low, *high] {
            return Err(Error::damaged(what, "it was written in part only"));
        }
        *end = *saved;
    }
    Ok(())
}
