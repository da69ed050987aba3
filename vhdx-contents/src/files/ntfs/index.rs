//! Folders: indexes of file names.

use std::ops::ControlFlow;

use super::mft::{Mft, no_attribute};
use super::record::{Record, Reference, kind, restore_sectors};
use super::stream::{By, Stream};
use crate::error::{Error, Result};
use crate::files::fields::Fields;

const HAS_BLOCKS: u8 = 1;
const LAST: u16 = 2;
/// The name of the index of a folder: `$I30`.
const NAME: [u16; 4] = [0x24, 0x49, 0x33, 0x30];
/// The name space of 8.3 aliases. Every such file has another name too.
const DOS: u8 = 2;

/// An entry of a folder.
pub(super) struct FileName {
    pub(super) file: Reference,
    pub(super) name: Vec<u16>,
    /// The attributes of the file when the entry was written.
    pub(super) flags: u32,
    /// The tag if the file is a reparse point.
    pub(super) reparse_tag: u32,
}

type Each<'e> = dyn FnMut(FileName) -> Result<ControlFlow<()>> + 'e;

/// Calls `each` for each entry of a folder, until it breaks.
///
/// The blocks of the index are read in the order of their places, not as a tree: so each is read once, and a damaged block
/// hides no other. The first damage is returned at the end.
pub(super) fn list(mft: &Mft<'_>, folder: &Record, each: &mut Each<'_>) -> Result<()> {
    let root = mft.stream(folder, kind::INDEX_ROOT, &NAME)?;
    let root = root.ok_or_else(|| no_attribute(folder.reference, kind::INDEX_ROOT))?;
    let what = format!("the folder of file record {}", folder.reference.number());
    let root = root.all(&mft.source, mft.boot.record as u64, &what)?;
    let fields = Fields::new(&root, &what);
    let block_size = usize::try_from(fields.u32(8)?).ok();
    if entries(fields, 16, each)?.is_break() || fields.u8(16 + 12)? & HAS_BLOCKS == 0 {
        return Ok(());
    }
    let is_valid = |size: &usize| size.is_power_of_two() && (512..=64 << 10).contains(size);
    let block_size =
        block_size.filter(is_valid).ok_or_else(|| fields.damaged("its size of blocks is invalid"))?;
    let find =
        |kind: u32| mft.stream(folder, kind, &NAME)?.ok_or_else(|| no_attribute(folder.reference, kind));
    let blocks = Blocks { mft, what: &what, size: block_size, stream: find(kind::INDEX_ALLOCATION)? };
    blocks.list(&find(kind::BITMAP)?, each)
}

/// The blocks of a large index.
struct Blocks<'m, 'a> {
    mft: &'m Mft<'a>,
    what: &'m str,
    size: usize,
    stream: Stream,
}

impl Blocks<'_, '_> {
    fn list(&self, in_use: &Stream, each: &mut Each<'_>) -> Result<()> {
        // Every block is stored, so the volume has room for all of them.
        let boot = &self.mft.boot;
        let room = boot.clusters.saturating_mul(boot.cluster) / self.size as u64;
        let count = self.stream.size() / self.size as u64;
        let why = || format!("its index has {count} blocks, but the volume has only room for {room}");
        let mut damage = (count > room).then(|| Error::damaged(self.what, why()));
        let count = count.min(room);
        let mut bits = vec![0; 4096];
        let (mut first, mut listed) = (0_u64, 0_u64);
        while first < count {
            // No block is in use in a hole of the bitmap.
            let Some(range) = in_use.range_at(first / 8) else { break };
            if range.is_hole {
                first = first.saturating_add(range.len.saturating_mul(8));
                continue;
            }
            self.mft.source.spend()?;
            let found = in_use.read(&self.mft.source, first / 8, &mut bits, By::Structure)?;
            let is_set = |bit: usize| bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
            for bit in (0..found.saturating_mul(8)).filter(|bit| is_set(*bit)) {
                let block = first.saturating_add(bit as u64);
                if block >= count {
                    break;
                }
                // Blocks may be small, and a read of the disk has several of them.
                if listed.is_multiple_of(16) {
                    self.mft.source.spend()?;
                }
                listed = listed.saturating_add(1);
                match self.block(block, each) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(Passed::Damage(error)) => damage = damage.or(Some(error)),
                    Err(Passed::Other(error)) => return Err(error),
                }
            }
            first = first.saturating_add((found as u64).saturating_mul(8));
        }
        damage.map_or(Ok(()), Err)
    }

    fn block(&self, number: u64, each: &mut Each<'_>) -> std::result::Result<ControlFlow<()>, Passed> {
        let mut of_caller = None;
        let mut each = |name: FileName| match each(name) {
            Ok(flow) => Ok(flow),
            Err(error) => {
                of_caller = Some(error);
                Ok(ControlFlow::Break(()))
            }
        };
        let mut read = || {
            let offset = number.saturating_mul(self.size as u64);
            if self.stream.range_at(offset).is_none_or(|range| range.is_hole) {
                return Err(Error::damaged(self.what, "a block of its index is not stored"));
            }
            let mut bytes = vec![0; self.size];
            self.stream.read(&self.mft.source, offset, &mut bytes, By::Structure)?;
            restore_sectors(&mut bytes, b"INDX", self.what)?;
            entries(Fields::new(&bytes, self.what), 24, &mut each)
        };
        let found = read();
        match (of_caller, found) {
            (Some(error), _) => Err(Passed::Other(error)),
            (None, Ok(flow)) => Ok(flow),
            (None, Err(error @ Error::Damaged { .. })) => Err(Passed::Damage(error)),
            (None, Err(error)) => Err(Passed::Other(error)),
        }
    }
}

/// An error in a block: damage, after which the other blocks are read, or another.
enum Passed {
    Damage(Error),
    Other(Error),
}

/// Calls `each` for the entries after the index header at `header`.
fn entries(fields: Fields<'_>, header: usize, each: &mut Each<'_>) -> Result<ControlFlow<()>> {
    let place = |at: usize| -> Result<usize> {
        let value = usize::try_from(fields.u32(at)?).ok().and_then(|value| value.checked_add(header));
        value.ok_or_else(|| fields.damaged("its entries are outside of it"))
    };
    let (mut at, end) = (place(header)?, place(header + 4)?);
    while at < end {
        let len = usize::from(fields.u16(at.saturating_add(8))?);
        if fields.u16(at.saturating_add(12))? & LAST != 0 {
            break;
        }
        if len < 16 || at.saturating_add(len) > end {
            return Err(fields.damaged("the length of an entry is invalid"));
        }
        let key = usize::from(fields.u16(at.saturating_add(10))?);
        let key = Fields::new(fields.bytes(at.saturating_add(16), key)?, "an entry of a folder");
        let file = Reference(fields.u64(at)?);
        if key.u8(65)? != DOS {
            let name = key.units(66, key.u8(64)?.into())?;
            let found = FileName { file, name, flags: key.u32(56)?, reparse_tag: key.u32(60)? };
            if each(found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        at = at.saturating_add(len);
    }
    Ok(ControlFlow::Continue(()))
}
