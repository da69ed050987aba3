//! The boot sector of NTFS: where the master file table is, and the sizes of clusters and records.

use crate::error::Result;
use crate::files::fields::Fields;

/// Whether a boot sector is that of NTFS.
pub(crate) fn is_ntfs(boot_sector: &[u8]) -> bool {
    boot_sector.get(3..11) == Some(b"NTFS    ")
}

/// The validated boot sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    /// The bytes of a cluster: a power of two from 256 to 2 MiB.
    pub(super) cluster: u64,
    /// The number of whole clusters.
    pub(super) clusters: u64,
    /// The first cluster of the master file table, which is on the volume.
    pub(super) mft: u64,
    /// The bytes of a record of the master file table: a power of two from 512 to 64 KiB.
    pub(super) record: usize,
}

impl Boot {
    /// Parses the first sector of a volume of `len` bytes.
    pub(super) fn parse(bytes: &[u8], len: u64) -> Result<Self> {
        let fields = Fields::new(bytes, "the boot sector");
        let sector = u64::from(fields.u16(11)?);
        if !sector.is_power_of_two() || !(256..=4096).contains(&sector) {
            return Err(fields.damaged(format!("it says that a sector has {sector} bytes")));
        }
        let cluster = cluster_size(sector, fields.u8(13)?)
            .ok_or_else(|| fields.damaged("the size of a cluster is invalid"))?;
        let size = fields.u64(40)?.checked_mul(sector);
        // The volume may be truncated: files whose clusters are there can be read.
        let size = size.ok_or_else(|| fields.damaged("the size of the volume is invalid"))?.min(len);
        let clusters = size / cluster;
        let mft = fields.u64(48)?;
        if mft == 0 || mft >= clusters {
            return Err(fields.damaged("the master file table is not on the volume"));
        }
        let record = record_size(cluster, fields.u8(64)?)
            .ok_or_else(|| fields.damaged("the size of a file record is invalid"))?;
        Ok(Self { cluster, clusters, mft, record })
    }
}

/// A number above 128 is the negative exponent of the sectors.
fn cluster_size(sector: u64, stored: u8) -> Option<u64> {
    let sectors = match stored {
        0..=128 => u64::from(stored),
        _ => 1_u64.checked_shl(u32::from(stored.wrapping_neg()))?,
    };
    let size = sector.checked_mul(sectors)?;
    (size.is_power_of_two() && size <= 2 << 20).then_some(size)
}

/// A number above 127 is the negative exponent of the bytes.
fn record_size(cluster: u64, stored: u8) -> Option<usize> {
    let size = match stored {
        0..=127 => cluster.checked_mul(u64::from(stored))?,
        _ => 1_u64.checked_shl(u32::from(stored.wrapping_neg()))?,
    };
    let size = usize::try_from(size).ok()?;
    (size.is_power_of_two() && (512..=64 << 10).contains(&size)).then_some(size)
}
