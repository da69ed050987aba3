//! Opening a disk whatever its format.

use std::path::Path;

use vhdx::{Chain, Disk, Error, FileOffset, FileStorage, ParentResolver, RawDisk, ReadAt, Rule};

use crate::args::{Args, Format, Parents};
use crate::exit::{Foreign, Usage};
use crate::output;

/// An open disk.
pub(super) enum Opened {
    Chain(Chain),
    Raw(RawDisk),
}

impl Opened {
    pub(super) fn disk(&self) -> &dyn Disk {
        match self {
            Opened::Chain(chain) => chain,
            Opened::Raw(raw) => raw,
        }
    }
}

/// Refuses parents for a source that has none.
pub(super) fn refuse_parents_of_raw(source: &Opened, parents: &Parents) -> Result<(), Usage> {
    let is_raw = matches!(source, Opened::Raw(_));
    if is_raw && !(parents.parent.is_empty() && parents.parent_dir.is_empty()) {
        return Err(Usage(
            "a raw disk has no parents: --parent and --parent-dir are for VHDX files".to_owned(),
        ));
    }
    Ok(())
}

/// The disk in a file, its parents included. `from` is the option that gives the format, and what it gives.
pub(super) fn open(
    args: &Args,
    path: &Path,
    from: (&'static str, Option<Format>),
    resolver: &dyn ParentResolver,
) -> anyhow::Result<Opened> {
    let (option, asked) = from;
    let format = match asked {
        Some(format) => format,
        None => detect(path, option)?,
    };
    if format == Format::Vhdx {
        return Ok(Opened::Chain(Chain::open(path, resolver)?));
    }
    let raw = RawDisk::open(path)?;
    if asked.is_none() {
        output::note(args, path, "is read as raw");
    }
    Ok(Opened::Raw(raw))
}

/// A file that begins as a VHDX is one, and so is one that is called so or has other parts of one: a damaged VHDX must
/// not pass for a raw disk, and neither must another format.
fn detect(path: &Path, option: &'static str) -> Result<Format, Foreign> {
    if Format::of_name(path) == Some(Format::Vhdx) {
        return Ok(Format::Vhdx);
    }
    // What cannot be opened fails again, with its error, when it is opened as a disk.
    let Ok(file) = FileStorage::open(path) else { return Ok(Format::Raw) };
    match container(&file) {
        Some(VHDX_NAME) => Ok(Format::Vhdx),
        Some(format) => {
            let option = Some((option, "takes its bytes as they are"));
            Err(Foreign { path: path.to_owned(), format, option })
        }
        None => Ok(Format::Raw),
    }
}

/// A file that cannot be read as a VHDX, told by what it is if it is sound for all that is known.
pub(super) fn named_by_format(error: anyhow::Error) -> anyhow::Error {
    let is_no_vhdx = |error: &Error| error.violation().is_some_and(|found| found.rule == Rule::FileSignature);
    let path = error.downcast_ref::<Error>().filter(|error| is_no_vhdx(error)).and_then(Error::path);
    match path.map(refuse_foreign) {
        Some(Err(foreign)) => foreign.into(),
        _ => error,
    }
}

/// Refuses a file that begins as another format does.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), Foreign> {
    match FileStorage::open(path).ok().and_then(|file| container(&file)) {
        None | Some(VHDX_NAME) => Ok(()),
        Some(format) => Err(Foreign { path: path.to_owned(), format, option: None }),
    }
}

/// The format whose signature bytes have, if they have one that is known: they are more than a raw disk then.
pub(super) fn container(file: &dyn ReadAt) -> Option<&'static str> {
    let has = |(offset, signature): &(u64, &[u8])| has(file, *offset, signature);
    if VHDX.iter().any(has) {
        return Some(VHDX_NAME);
    }
    let footer = file.len().ok().and_then(|len| len.checked_sub(VHD_FOOTER));
    match footer {
        Some(footer) if has(&(footer, VHD)) => Some("VHD"),
        _ => OTHERS.iter().find(|(_, place)| has(place)).map(|(format, _)| *format),
    }
}

pub(super) const VHDX_NAME: &str = "VHDX";

/// The signatures of the file, its headers and its region tables ([MS-VHDX] 2.2).
const VHDX: [(u64, &[u8]); 5] =
    [(0, b"vhdxfile"), (64 << 10, b"head"), (128 << 10, b"head"), (192 << 10, b"regi"), (256 << 10, b"regi")];

const VHD: &[u8] = b"conectix";
/// A VHD ends with its footer; one that is not fixed begins with a copy of it.
const VHD_FOOTER: u64 = 512;

const OTHERS: [(&str, (u64, &[u8])); 5] = [
    ("VHD", (0, VHD)),
    ("QCOW2", (0, b"QFI\xfb")),
    ("VMDK", (0, b"KDMV")),
    ("VMDK", (0, b"# Disk DescriptorFile")),
    ("VDI", (64, &0x7f10_dabe_u32.to_le_bytes())),
];

fn has(file: &dyn ReadAt, offset: u64, signature: &[u8]) -> bool {
    let mut found = [0; 32];
    let Some(found) = found.get_mut(..signature.len()) else { return false };
    file.read_exact_at(found, FileOffset::new(offset)).is_ok() && *found == *signature
}
