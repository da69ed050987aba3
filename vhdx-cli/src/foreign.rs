//! Recognizes files of formats that vhdx does not read or write, and tells which program to run instead.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use vhdx::{FileFormat, OpenFiles};

use crate::disks::Files;
use crate::output::word;

/// The kind of a file that is neither a VHDX nor a raw disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A format with a signature.
    Format(FileFormat),
    /// A VHD set. It has no published signature and is recognized only by its name.
    VhdSet,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Format(format) => format.fmt(f),
            Kind::VhdSet => f.write_str("a VHD set"),
        }
    }
}

impl Kind {
    /// Returns the name for JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Format(format) => format.name(),
            Kind::VhdSet => "VHD set",
        }
    }

    /// Returns the kind of a file of another format; `None` for a VHDX, even a damaged one, and for a raw disk.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    pub(crate) fn of_file(path: &Path) -> vhdx::Result<Option<Self>> {
        let found = FileFormat::of(&Files.open(path)?).map_err(|error| error.in_file(path))?;
        Ok(match found {
            Some(FileFormat::Vhdx) => None,
            Some(format) => Some(Kind::Format(format)),
            None => is_called(path, "vhds").then_some(Kind::VhdSet),
        })
    }

    /// Returns the kind that the extension of a file name stands for, if that is neither VHDX nor raw.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let named = EXTENSIONS.iter().find(|(extension, _)| is_called(path, extension));
        named.map(|(_, format)| Kind::Format(*format)).or(is_called(path, "vhds").then_some(Kind::VhdSet))
    }
}

const EXTENSIONS: &[(&str, FileFormat)] = &[
    ("vhd", FileFormat::Vhd),
    ("avhd", FileFormat::Vhd),
    ("qcow2", FileFormat::Qcow2),
    ("qcow", FileFormat::Qcow2),
    ("qed", FileFormat::Qed),
    ("vmdk", FileFormat::Vmdk),
    ("vdi", FileFormat::Vdi),
    ("e01", FileFormat::Ewf),
    ("ex01", FileFormat::Ewf),
    ("gz", FileFormat::Gzip),
    ("xz", FileFormat::Xz),
    ("bz2", FileFormat::Bzip2),
    ("zst", FileFormat::Zstd),
    ("lz4", FileFormat::Lz4),
    ("zip", FileFormat::Zip),
    ("7z", FileFormat::SevenZip),
    ("rar", FileFormat::Rar),
    ("tar", FileFormat::Tar),
];

fn is_called(path: &Path, extension: &str) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// A file that is not damaged as far as is known, but has a format that is not read, or must not be overwritten.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) path: PathBuf,
    /// The kind that the file looks like.
    pub(crate) kind: Kind,
    /// What the command was about to do with the file.
    pub(crate) purpose: Purpose,
}

/// What a command was about to do with a file of another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Read it as a VHDX.
    Read,
    /// Read it as a disk in any format. The option in this field, with the value `raw`, reads the file as raw bytes.
    ReadAny(&'static str),
    /// Overwrite it.
    Overwrite,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "looks like {}", self.kind)?;
        if self.purpose == Purpose::Overwrite {
            return f.write_str(" and may be the only copy of a disk; --to raw overwrites it anyway");
        }
        f.write_str(match self.kind {
            Kind::Format(format) if format.is_packed() => ", which vhdx cannot read: unpack it first",
            Kind::Format(_) => ", which vhdx cannot read: convert it first",
            Kind::VhdSet => ", which vhdx cannot read",
        })
    }
}

impl Foreign {
    /// Returns the command that makes a disk of the file, or unpacks it.
    pub(crate) fn hint(&self) -> Option<Cow<'static, str>> {
        let option = match self.purpose {
            Purpose::Overwrite => return None,
            Purpose::Read => None,
            Purpose::ReadAny(option) => Some(option),
        };
        let how = match self.kind {
            Kind::VhdSet => {
                "a VHD set contains no disk data: use the .avhdx file beside it, which `vhdx tree DIR` shows"
                    .to_owned()
            }
            Kind::Format(format) => how_to_read(&self.path, format),
        };
        Some(match option {
            None => how.into(),
            Some(option) => format!(
                "{how}. If the file is a raw disk that only looks like this format, add `{option} raw`"
            )
            .into(),
        })
    }
}

/// Returns the command that makes a VHDX of a file, or unpacks it. It never names an existing file as its output.
fn how_to_read(path: &Path, format: FileFormat) -> String {
    let file = word(path);
    let unpack =
        |command: &str| format!("unpack it with `{command} {file}`, and use the disk that it contains");
    let unpack_to = |command: &str, to: &str| {
        let new = word(&unused(path, "unpacked"));
        format!("unpack it with `{command} {file} {to}{new}`, and use {new}")
    };
    let qemu_img = |options: &str| {
        let new = word(&unused(path, "vhdx"));
        format!("`qemu-img convert {options}-O vhdx {file} {new}` makes a VHDX of it, `-O raw` a raw image")
    };
    // Such a program refuses a file without its own extension.
    let if_called = |extension: &str, command: &str| match is_called(path, extension) {
        true => unpack(command),
        false => unpack("7zz x"),
    };
    match format {
        FileFormat::Gzip => if_called("gz", "gunzip -k"),
        FileFormat::Xz => if_called("xz", "xz -dk"),
        FileFormat::Bzip2 => if_called("bz2", "bzip2 -dk"),
        FileFormat::Zstd if is_called(path, "zst") => unpack("zstd -d"),
        FileFormat::Zstd => unpack_to("zstd -d", "-o "),
        FileFormat::Lz4 if is_called(path, "lz4") => unpack("lz4 -d"),
        FileFormat::Lz4 => unpack_to("lz4 -d", ""),
        FileFormat::Zip => unpack("unzip"),
        FileFormat::SevenZip | FileFormat::Rar => unpack("7zz x"),
        FileFormat::Tar => unpack("tar -xkf"),
        FileFormat::Ewf => {
            let new = unused(path, "raw").with_extension("");
            format!("`ewfexport -f raw -t {} {file}` makes a raw image of it", word(&new))
        }
        // A fixed VHD begins like a raw disk, so its format must be named.
        FileFormat::Vhd => qemu_img("-f vpc "),
        FileFormat::Qcow2 | FileFormat::Qed | FileFormat::Vmdk | FileFormat::Vdi => qemu_img(""),
        FileFormat::Vhdx => format!("check it: `vhdx check {file}`"),
    }
}

/// Returns an unused file name with this extension, in the folder of `path`.
fn unused(path: &Path, extension: &str) -> PathBuf {
    let mut added = path.as_os_str().to_owned();
    added.push(format!(".{extension}"));
    let added = PathBuf::from(added);
    let names = [path.with_extension(extension), added.clone()];
    let later = (2u32..).map(|n| path.with_extension(format!("{n}.{extension}")));
    let is_unused = |name: &PathBuf| name.symlink_metadata().is_err();
    names.into_iter().chain(later).find(is_unused).unwrap_or(added)
}

/// Returns a message that tells how to make a file of a format that vhdx does not write from the disk in `source`.
pub(crate) fn how_to_write(source: &Path, destination: &Path, kind: Kind) -> String {
    let (disk, new) = (word(source), word(destination));
    let with_qemu_img = |format: &str| {
        let raw = word(&unused(destination, "raw"));
        format!(
            "make a raw image, and convert it: `vhdx convert {disk} {raw}`, then \
             `qemu-img convert -f raw -O {format} {raw} {new}`"
        )
    };
    let piped = |program: &str| {
        format!(
            "pipe the raw disk through {program}: `vhdx convert {disk} - | {program} > {new}`. Run `set -o pipefail` \
             before, and delete {new} if the command fails"
        )
    };
    let how = match kind {
        Kind::Format(FileFormat::Vhd) => with_qemu_img("vpc"),
        Kind::Format(FileFormat::Qcow2) => with_qemu_img("qcow2"),
        Kind::Format(FileFormat::Qed) => with_qemu_img("qed"),
        Kind::Format(FileFormat::Vmdk) => with_qemu_img("vmdk"),
        Kind::Format(FileFormat::Vdi) => with_qemu_img("vdi"),
        Kind::Format(format @ (FileFormat::Gzip | FileFormat::Xz | FileFormat::Bzip2)) => {
            piped(format.name())
        }
        Kind::Format(format @ (FileFormat::Zstd | FileFormat::Lz4)) => piped(format.name()),
        Kind::VhdSet => "make a .vhdx file, and convert it with Hyper-V's `Convert-VHD`".to_owned(),
        Kind::Format(_) => "make a .vhdx or a .raw file, and pack it".to_owned(),
    };
    format!("{new} is named like {kind}, but only VHDX and raw are written; {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_never_overwrites_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let image = path("disk.vhdx");
        for name in ["disk.vhdx", "disk.vhdx.vhdx", "disk.2.vhdx"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let hint = how_to_read(&image, FileFormat::Qcow2);
        assert!(hint.contains(&format!("{} {}`", word(&image), word(&path("disk.3.vhdx")))), "{hint}");
    }

    #[test]
    fn hints_name_the_command_for_each_format() {
        let hint = |name, format| how_to_read(Path::new(name), format);
        for (name, format, command) in [
            ("no/d.gz", FileFormat::Gzip, "`gunzip -k no/d.gz`"),
            ("no/d.img", FileFormat::Gzip, "`7zz x no/d.img`"),
            ("no/d.xz", FileFormat::Xz, "`xz -dk no/d.xz`"),
            ("no/d.bz2", FileFormat::Bzip2, "`bzip2 -dk no/d.bz2`"),
            ("no/d.zst", FileFormat::Zstd, "`zstd -d no/d.zst`"),
            ("no/d", FileFormat::Zstd, "`zstd -d no/d -o no/d.unpacked`"),
            ("no/d", FileFormat::Lz4, "`lz4 -d no/d no/d.unpacked`"),
            ("no/d.zip", FileFormat::Zip, "`unzip no/d.zip`"),
            ("no/d.7z", FileFormat::SevenZip, "`7zz x no/d.7z`"),
            ("no/d.tar", FileFormat::Tar, "`tar -xkf no/d.tar`"),
            ("no/d.E01", FileFormat::Ewf, "`ewfexport -f raw -t no/d no/d.E01`"),
            ("no/d.vhd", FileFormat::Vhd, "`qemu-img convert -f vpc -O vhdx no/d.vhd no/d.vhdx`"),
            ("no/d.vmdk", FileFormat::Vmdk, "`qemu-img convert -O vhdx no/d.vmdk no/d.vhdx`"),
        ] {
            assert!(hint(name, format).contains(command), "{}", hint(name, format));
        }
    }
}
