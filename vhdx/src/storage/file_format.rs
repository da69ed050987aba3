//! Recognises the format of a file by its content.
//!
//! A VHDX whose start was overwritten is still a VHDX: any VHDX signature takes precedence over all other formats.

use std::fmt;
use std::io;

use super::ReadAt;
use crate::error::{Error, Result};
use crate::units::FileOffset;

/// A format that [`FileFormat::of`] recognises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FileFormat {
    /// Microsoft's VHDX, whole or damaged.
    Vhdx,
    /// Microsoft's older VHD.
    Vhd,
    /// QEMU's QCOW and QCOW2.
    Qcow2,
    /// QEMU's older QED.
    Qed,
    /// VMware's VMDK: a sparse extent or a descriptor.
    Vmdk,
    /// VirtualBox's VDI.
    Vdi,
    /// The Expert Witness Format of forensic tools: `.E01`, `.Ex01`.
    Ewf,
    /// A gzip file.
    Gzip,
    /// An xz file.
    Xz,
    /// A bzip2 file.
    Bzip2,
    /// A Zstandard file.
    Zstd,
    /// An LZ4 file.
    Lz4,
    /// A zip archive.
    Zip,
    /// A 7z archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// A tar archive.
    Tar,
}

/// Bytes at an offset from the start of a file or, if that is negative, from its end.
type Part = (i64, &'static [u8]);

const HEADER_1: i64 = 64 << 10;
const HEADER_2: i64 = 128 << 10;
const REGION_TABLE_1: i64 = 192 << 10;
const REGION_TABLE_2: i64 = 256 << 10;
/// Where Windows and QEMU put the log, and Windows the metadata region. They identify a file that has lost its headers.
const USUAL_LOG: i64 = 1 << 20;
const USUAL_METADATA: i64 = 2 << 20;

/// The signatures; a file has a format if it has all parts of a row. The first such row decides.
const SIGNATURES: &[(FileFormat, &[Part])] = &[
    (FileFormat::Vhdx, &[(0, b"vhdxfile")]),
    (FileFormat::Vhdx, &[(HEADER_1, b"head")]),
    (FileFormat::Vhdx, &[(HEADER_2, b"head")]),
    (FileFormat::Vhdx, &[(REGION_TABLE_1, b"regi")]),
    (FileFormat::Vhdx, &[(REGION_TABLE_2, b"regi")]),
    (FileFormat::Vhdx, &[(USUAL_LOG, b"loge")]),
    (FileFormat::Vhdx, &[(USUAL_METADATA, b"metadata")]),
    // A VHD ends with its footer; one that is not fixed begins with a copy of the footer.
    (FileFormat::Vhd, &[(-512, b"conectix")]),
    (FileFormat::Vhd, &[(0, b"conectix")]),
    (FileFormat::Qcow2, &[(0, b"QFI\xfb")]),
    (FileFormat::Qed, &[(0, b"QED\0")]),
    (FileFormat::Vmdk, &[(0, b"KDMV")]),
    (FileFormat::Vmdk, &[(0, b"COWD")]),
    (FileFormat::Vmdk, &[(0, b"# Disk DescriptorFile")]),
    (FileFormat::Vdi, &[(64, b"\x7f\x10\xda\xbe")]),
    (FileFormat::Ewf, &[(0, b"EVF\x09\x0d\x0a\xff\0")]),
    (FileFormat::Ewf, &[(0, b"EVF2\x0d\x0a\x81\0")]),
    (FileFormat::Gzip, &[(0, b"\x1f\x8b\x08")]),
    (FileFormat::Xz, &[(0, b"\xfd7zXZ\0")]),
    (FileFormat::Bzip2, &[(0, b"BZh"), (4, b"1AY&SY")]),
    (FileFormat::Bzip2, &[(0, b"BZh"), (4, b"\x17rE8P\x90")]),
    (FileFormat::Zstd, &[(0, b"\x28\xb5\x2f\xfd")]),
    // A skippable frame; the output of parallel compressors starts with one.
    (FileFormat::Zstd, &[(0, b"\x50\x2a\x4d\x18")]),
    (FileFormat::Lz4, &[(0, b"\x04\x22\x4d\x18")]),
    (FileFormat::Lz4, &[(0, b"\x02\x21\x4c\x18")]),
    (FileFormat::Zip, &[(0, b"PK\x03\x04")]),
    (FileFormat::Zip, &[(0, b"PK\x05\x06")]),
    (FileFormat::Zip, &[(0, b"PK\x07\x08PK\x03\x04")]),
    (FileFormat::SevenZip, &[(0, b"7z\xbc\xaf\x27\x1c")]),
    (FileFormat::Rar, &[(0, b"Rar!\x1a\x07")]),
    (FileFormat::Tar, &[(257, b"ustar")]),
];

impl FileFormat {
    /// Returns the format whose signature `file` has; `None` for all others, raw disks included.
    ///
    /// # Errors
    /// [`Error::Io`] if the places of the signatures cannot be read. A file that ends before them is not an error.
    pub fn of(file: &dyn ReadAt) -> Result<Option<Self>> {
        let places = Places::of(file)?;
        for &(format, parts) in SIGNATURES {
            if places.have_all(parts)? {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }

    /// Returns the name in reports, such as `QCOW2`.
    pub const fn name(self) -> &'static str {
        match self {
            FileFormat::Vhdx => "VHDX",
            FileFormat::Vhd => "VHD",
            FileFormat::Qcow2 => "QCOW2",
            FileFormat::Qed => "QED",
            FileFormat::Vmdk => "VMDK",
            FileFormat::Vdi => "VDI",
            FileFormat::Ewf => "EWF",
            FileFormat::Gzip => "gzip",
            FileFormat::Xz => "xz",
            FileFormat::Bzip2 => "bzip2",
            FileFormat::Zstd => "zstd",
            FileFormat::Lz4 => "lz4",
            FileFormat::Zip => "zip",
            FileFormat::SevenZip => "7z",
            FileFormat::Rar => "rar",
            FileFormat::Tar => "tar",
        }
    }

    /// Returns whether the file is compressed or an archive, so that it must be unpacked first.
    pub const fn is_packed(self) -> bool {
        match self {
            FileFormat::Vhdx | FileFormat::Vhd | FileFormat::Qcow2 | FileFormat::Qed => false,
            FileFormat::Vmdk | FileFormat::Vdi | FileFormat::Ewf => false,
            FileFormat::Gzip | FileFormat::Xz | FileFormat::Bzip2 | FileFormat::Zstd => true,
            FileFormat::Lz4 | FileFormat::Zip | FileFormat::SevenZip => true,
            FileFormat::Rar | FileFormat::Tar => true,
        }
    }
}

/// Formats the name with an article and a noun: `a QCOW2 image`, `a gzip file`.
impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article =
            if matches!(self, FileFormat::Ewf | FileFormat::Xz | FileFormat::Lz4) { "an" } else { "a" };
        let noun = match self {
            FileFormat::Zip | FileFormat::SevenZip | FileFormat::Rar | FileFormat::Tar => "archive",
            packed if packed.is_packed() => "file",
            _ => "image",
        };
        write!(f, "{article} {} {noun}", self.name())
    }
}

/// The places of a file where signatures are. Most are at the start, which is read once.
struct Places<'a> {
    file: &'a dyn ReadAt,
    len: u64,
    start: [u8; START],
    start_len: usize,
}

const START: usize = 512;

impl<'a> Places<'a> {
    fn of(file: &'a dyn ReadAt) -> Result<Self> {
        let len = file.size().map_err(|source| Error::io("get its size", None, source))?;
        let start_len = usize::try_from(len).map_or(START, |len| len.min(START));
        let mut places = Self { file, len, start: [0; START], start_len };
        // Read at least one byte, so that an unreadable file is an error and not an empty file.
        if !read(file, &mut places.start[..start_len.max(1)], 0)? {
            places.start_len = 0;
        }
        Ok(places)
    }

    fn have_all(&self, parts: &[Part]) -> Result<bool> {
        for &(place, signature) in parts {
            if !self.have(place, signature)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn have(&self, place: i64, signature: &[u8]) -> Result<bool> {
        let from_end = if place < 0 { self.len.checked_sub(place.unsigned_abs()) } else { None };
        // A file that is too short has no bytes at this place.
        let Some(offset) = u64::try_from(place).ok().or(from_end) else { return Ok(false) };
        let Some(end) = offset.checked_add(signature.len() as u64).filter(|&end| end <= self.len) else {
            return Ok(false);
        };
        let known = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        if let Some((offset, end)) = known.filter(|&(_, end)| end <= self.start_len) {
            return Ok(self.start.get(offset..end) == Some(signature));
        }
        let mut found = vec![0; signature.len()];
        Ok(read(self.file, &mut found, offset)? && found == signature)
    }
}

/// Fills `buf` from `offset` on.
///
/// Returns `false` if the file ends earlier: another program may have shortened it.
fn read(file: &dyn ReadAt, buf: &mut [u8], offset: u64) -> Result<bool> {
    match file.read_exact_at(buf, FileOffset::new(offset)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::io("read", FileOffset::new(offset), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, Storage};

    fn file(len: usize, parts: &[Part]) -> Memory {
        let mut bytes = vec![0; len];
        for &(place, signature) in parts {
            let offset = usize::try_from(place).unwrap_or_else(|_| len - place.unsigned_abs() as usize);
            bytes[offset..][..signature.len()].copy_from_slice(signature);
        }
        Memory::new(bytes)
    }

    fn recognised(len: usize, parts: &[Part]) -> Option<FileFormat> {
        FileFormat::of(&file(len, parts)).unwrap()
    }

    const LEN: usize = 3 << 20;

    #[test]
    fn every_signature_is_recognised() {
        for (format, parts) in SIGNATURES {
            assert_eq!(recognised(LEN, parts), Some(*format), "{format}");
        }
    }

    #[test]
    fn a_vhdx_with_another_signature_at_its_start_is_a_damaged_vhdx() {
        for (format, foreign) in SIGNATURES.iter().filter(|(format, _)| *format != FileFormat::Vhdx) {
            for (_, vhdx) in SIGNATURES.iter().filter(|(format, _)| *format == FileFormat::Vhdx).skip(1) {
                let parts = [*foreign, *vhdx].concat();
                assert_eq!(recognised(LEN, &parts), Some(FileFormat::Vhdx), "{format} {vhdx:?}");
            }
        }
    }

    #[test]
    fn short_and_cut_files() {
        for (format, parts) in SIGNATURES.iter().filter(|(_, parts)| parts[0].0 >= 0) {
            let end = parts.iter().map(|(place, bytes)| *place as usize + <[u8]>::len(bytes)).max().unwrap();
            let whole = file(end, parts);
            assert_eq!(FileFormat::of(&whole).unwrap(), Some(*format));
            whole.set_len(end as u64 - 1).unwrap();
            assert_eq!(FileFormat::of(&whole).unwrap(), None, "{format}");
        }
        assert_eq!(recognised(512, &[(-512, b"conectix")]), Some(FileFormat::Vhd));
        for len in [0, 1, 511] {
            assert_eq!(recognised(len, &[]), None);
        }
    }

    #[test]
    fn raw_disks_are_not_mistaken() {
        let mbr: &[Part] = &[(0, b"\x33\xc0\x8e\xd0\xbc\0\x7c"), (510, b"\x55\xaa")];
        let fat: &[Part] = &[(0, b"\xeb\x3c\x90MSDOS5.0"), (510, b"\x55\xaa")];
        let ntfs: &[Part] = &[(0, b"\xebR\x90NTFS    "), (510, b"\x55\xaa")];
        let gpt: &[Part] = &[(510, b"\x55\xaa"), (512, b"EFI PART")];
        let bzip2: &[Part] = &[(0, b"BZh9")];
        for parts in [mbr, fat, ntfs, gpt, bzip2, &[]] {
            assert_eq!(recognised(LEN, parts), None, "{parts:?}");
        }
    }

    struct Unreadable;

    impl ReadAt for Unreadable {
        fn size(&self) -> io::Result<u64> {
            Ok(1 << 20)
        }

        fn read_exact_at(&self, _: &mut [u8], _: FileOffset) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[test]
    fn an_unreadable_file_is_an_error() {
        assert!(matches!(FileFormat::of(&Unreadable), Err(Error::Io { operation: "read", .. })));
    }
}
