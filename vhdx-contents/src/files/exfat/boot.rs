//! The boot sector of exFAT.

use crate::error::Result;
use crate::files::clusters::{Heap, Table, Width};
use crate::files::fields::Fields;

/// Whether a boot sector is that of exFAT.
pub(crate) fn is_exfat(boot_sector: &[u8]) -> bool {
    boot_sector.get(3..11) == Some(b"EXFAT   ")
}

/// The validated boot sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    pub(super) table: Table,
    /// The first cluster of the root folder.
    pub(super) root: u32,
    /// The volume was not unmounted cleanly.
    pub(super) is_dirty: bool,
}

impl Boot {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        const SECOND_TABLE: u16 = 1;
        const IS_DIRTY: u16 = 2;
        let fields = Fields::new(bytes, "the boot sector");
        let (sector_shift, cluster_shift) = (fields.u8(108)?, fields.u8(109)?);
        if !(9..=12).contains(&sector_shift) || cluster_shift > 25 - sector_shift {
            return Err(fields.damaged("the size of a sector or cluster is invalid"));
        }
        if !(1..=2).contains(&fields.u8(110)?) {
            return Err(fields.damaged("the number of its tables is invalid"));
        }
        // Each number has 32 bits, and a sector 12 at most.
        let sectors = |at: usize| -> Result<u64> { Ok(u64::from(fields.u32(at)?) << sector_shift) };
        let flags = fields.u16(106)?;
        let (table, table_len) = (sectors(80)?, sectors(84)?);
        // Only TexFAT has a second table.
        let start = match flags & SECOND_TABLE != 0 && fields.u8(110)? == 2 {
            true => table + table_len,
            false => table,
        };
        let count = fields.u32(92)?;
        // Numbers of clusters begin with 2, and the largest ones have other meanings.
        let is_valid = count <= 0xffff_fff5 && u64::from(count) + 2 <= table_len / 4;
        if !is_valid {
            return Err(fields.damaged("the number of clusters is invalid"));
        }
        let heap = Heap { start: sectors(88)?, cluster: 1 << (sector_shift + cluster_shift), count };
        let table = Table { start, width: Width::Bits32, heap };
        let root = fields.u32(96)?;
        heap.place(root)?;
        Ok(Self { table, root, is_dirty: flags & IS_DIRTY != 0 })
    }
}
