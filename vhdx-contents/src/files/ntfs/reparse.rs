//! Reparse points: links, and content that is stored elsewhere.

use crate::error::{Error, Result};
use crate::files::fields::Fields;
use crate::files::file_system::Kind;
use crate::files::names;

/// The bit of tags whose files stand for another file.
const NAME_SURROGATE: u32 = 0x2000_0000;
const MOUNT_POINT: u32 = 0xa000_0003;
const SYMLINK: u32 = 0xa000_000c;
const LX_SYMLINK: u32 = 0xa000_001d;
const WOF: u32 = 0x8000_0017;
const DEDUP: u32 = 0x8000_0013;
/// OneDrive and others; bits 12 to 15 tell them apart.
const CLOUD: u32 = 0x9000_001a;

/// Returns the kind of a file with this tag.
pub(super) fn kind(tag: u32, is_folder: bool) -> Kind {
    match tag {
        MOUNT_POINT | SYMLINK | LX_SYMLINK => Kind::Link,
        0x8000_0023 => Kind::Other("socket"),
        0x8000_0024 => Kind::Other("pipe"),
        0x8000_0025 => Kind::Other("character device"),
        0x8000_0026 => Kind::Other("block device"),
        0x8000_001b => Kind::Other("link to an application"),
        _ if tag & NAME_SURROGATE != 0 => Kind::Other("unknown link"),
        _ if is_folder => Kind::Folder,
        _ => Kind::File,
    }
}

/// Returns an error for a file with this tag: the content that NTFS stores is not what Windows shows.
pub(super) fn content_is_elsewhere(tag: u32) -> Error {
    let what = match tag {
        WOF => "the file is compressed by Windows (CompactOS, WOF), which is not supported".to_owned(),
        DEDUP => "the content of the file is deduplicated, which is not supported".to_owned(),
        _ if tag & !0xf000 == CLOUD => "the content of the file may be only in a cloud".to_owned(),
        _ => format!(
            "the content of the file is stored in a way that is not supported (reparse tag {tag:#010x})"
        ),
    };
    Error::Unsupported(what)
}

/// Returns the tag of a reparse point.
pub(super) fn tag(bytes: &[u8]) -> Result<u32> {
    Fields::new(bytes, "a reparse point").u32(0)
}

/// Returns the target of a link, in UTF-8.
pub(super) fn target(bytes: &[u8]) -> Result<Vec<u8>> {
    let fields = Fields::new(bytes, "a reparse point");
    let tag = fields.u32(0)?;
    let names_at = match tag {
        MOUNT_POINT => 16,
        SYMLINK => 20,
        // After the version.
        LX_SYMLINK => {
            let len = usize::from(fields.u16(4)?).checked_sub(4);
            return Ok(fields.bytes(12, len.ok_or_else(|| fields.damaged("it is too short"))?)?.to_vec());
        }
        _ => return Err(Error::Unsupported("the target of the link is stored in an unknown way".to_owned())),
    };
    let name = |at: usize| -> Result<Vec<u8>> {
        let (offset, len) = (usize::from(fields.u16(at)?), usize::from(fields.u16(at + 2)?));
        Ok(names::to_utf8(&fields.units(names_at + offset, len / 2)?))
    };
    let shown = name(12)?;
    if shown.is_empty() { name(8) } else { Ok(shown) }
}
