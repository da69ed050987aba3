//! ZFS: the first of the four labels of a device.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The configuration of the pool: a list of names and values in XDR.
const CONFIGURATION: u64 = 16 * 1024;
const CONFIGURATION_LEN: usize = 112 * 1024;

/// A ring of uberblocks. Each takes 1 KiB or a multiple of it.
const RING: u64 = 128 * 1024;
const RING_LEN: usize = 128 * 1024;

const MAGIC: u64 = 0x00ba_b10c;

/// So many uberblocks are enough to recognize ZFS without a configuration.
const ENOUGH: usize = 4;

/// The smallest device of a pool is 64 MiB.
const MIN_LEN: u64 = 64 << 20;

const TYPE_U64: u32 = 8;
const TYPE_STRING: u32 = 9;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let ring = areas.at(RING, RING_LEN).filter(|_| areas.partition_len() >= MIN_LEN);
    let Some(ring) = ring else { return Ok(None) };
    let uberblocks: Vec<(u64, u64)> =
        ring.0.chunks_exact(1024).filter_map(|one| uberblock(Fields(one))).collect();
    let Some((_, version)) = uberblocks.iter().max() else { return Ok(None) };
    let mut content = Content::new(ContentKind::Zfs);
    content.version = Some(version.to_string());
    if let Some(list) = areas.at(CONFIGURATION, CONFIGURATION_LEN) {
        read_configuration(list, &mut content);
    }
    let is_sure = content.uuid.is_some() || uberblocks.len() >= ENOUGH;
    Ok(is_sure.then_some(content))
}

/// Returns the number of the transaction, and the version, of an uberblock. Its byte order is that of the host.
fn uberblock(block: Fields<'_>) -> Option<(u64, u64)> {
    if block.le64(0)? == MAGIC {
        return block.le64(16).zip(block.le64(8));
    }
    block.be64(16).zip(block.be64(8)).filter(|_| block.be64(0) == Some(MAGIC))
}

/// Reads the name and the GUID of the pool.
fn read_configuration(list: Fields<'_>, content: &mut Content) {
    // The encoding, the version and the flags come first.
    let mut rest = list.rest(12);
    while let Some(pairs) = rest {
        let len = pairs.be32(0).and_then(|len| usize::try_from(len).ok());
        // A pair of length 0 ends the list. No other one is shorter than its own numbers.
        let Some(len) = len.filter(|len| *len >= 20) else { return };
        match pairs.bytes(0, len).map(Fields).and_then(pair) {
            Some((b"name", TYPE_STRING, value)) => content.label = string(value),
            Some((b"pool_guid", TYPE_U64, value)) => {
                content.uuid = value.be64(0).map(|guid| guid.to_string())
            }
            _ => {}
        }
        rest = pairs.rest(len);
    }
}

/// Returns the name of a pair, the type of its value, and the value.
fn pair(pair: Fields<'_>) -> Option<(&[u8], u32, Fields<'_>)> {
    let len = usize::try_from(pair.be32(8)?).ok()?;
    let value = pair.rest(len.checked_next_multiple_of(4)?.checked_add(12)?)?;
    Some((pair.bytes(12, len)?, value.be32(0)?, value.rest(8)?))
}

fn string(value: Fields<'_>) -> Option<String> {
    text::label(value.bytes(4, usize::try_from(value.be32(0)?).ok()?)?)
}
