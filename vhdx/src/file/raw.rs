//! Returns structures of an open file as they are stored. These methods are public with the feature `raw-format`.

#[cfg(feature = "raw-format")]
use std::sync::Arc;

#[cfg(feature = "raw-format")]
use super::VhdxMut;
use super::{Vhdx, metadata};
use crate::error::Result;
use crate::format::bat_entry::BatEntry;
use crate::format::header::Header;
use crate::format::metadata_table::MetadataEntry;
use crate::format::region_table::Region;
#[cfg(feature = "raw-format")]
use crate::storage::ReadAt;
use crate::units::{BatIndex, BlockIndex};
#[cfg(feature = "raw-format")]
use crate::violation::Violations;

/// Declares methods of [`Vhdx`] that are public with the feature `raw-format`, and else only in this crate.
macro_rules! raw_format {
    ($($(#[$meta:meta])* fn $name:ident(&$self:ident $(, $arg:ident: $type:ty)*) -> $returned:ty $body:block)*) => {
        #[cfg(feature = "raw-format")]
        impl Vhdx {
            $($(#[$meta])* pub fn $name(&$self $(, $arg: $type)*) -> $returned $body)*
        }

        #[cfg(not(feature = "raw-format"))]
        impl Vhdx {
            $($(#[$meta])* pub(crate) fn $name(&$self $(, $arg: $type)*) -> $returned $body)*
        }
    };
}

raw_format! {
    /// Returns the current header ([MS-VHDX] 2.2.2).
    fn header(&self) -> &Header {
        &self.header
    }

    /// Returns all regions by ascending offset, also unknown optional ones ([MS-VHDX] 2.2.3).
    fn regions(&self) -> &[Region] {
        &self.layout.regions
    }

    /// Returns all metadata items, also unknown optional and user items ([MS-VHDX] 2.6.1).
    fn metadata_entries(&self) -> &[MetadataEntry] {
        &self.metadata.entries
    }

    /// Reads the content of a metadata item: at most 1 MiB.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and [`Error::Corrupt`](crate::Error::Corrupt) when the file ends inside the item.
    fn read_metadata_item(&self, entry: &MetadataEntry) -> Result<Vec<u8>> {
        metadata::read_item(self.storage(), &self.regions.metadata, entry).map_err(|e| self.in_file(e))
    }

    /// Reads `count` raw BAT entries from `first` on.
    ///
    /// Payload and sector bitmap entries are interleaved.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and
    /// [`InvalidArgument::PastEndOfDisk`](crate::InvalidArgument::PastEndOfDisk) for entries past the last one.
    fn bat_entries(&self, first: BatIndex, count: usize) -> Result<Vec<BatEntry>> {
        let mut entries = Vec::new();
        self.read_bat(first, count as u64, &mut entries)?;
        Ok(entries)
    }

    /// Reads the raw entry of a payload block.
    ///
    /// # Errors
    /// As [`bat_entries`](Self::bat_entries).
    fn payload_entry(&self, block: BlockIndex) -> Result<BatEntry> {
        self.bat_entry(self.geometry.payload_bat_index(block))
    }
}

#[cfg(feature = "raw-format")]
impl Vhdx {
    /// Opens a VHDX like [`open_with`](Self::open_with), and adds every violation that it finds to `violations`.
    ///
    /// Tolerated violations are worked around. The first one that is not tolerated is also returned as an error.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open_collecting(storage: Arc<dyn ReadAt>, violations: &mut Violations) -> Result<Self> {
        Self::load(storage, violations)
    }
}

#[cfg(feature = "raw-format")]
impl VhdxMut {
    /// Returns the file with its staged changes.
    ///
    /// Do not keep a clone of it over a change: the clone has the old sizes, but the new blocks.
    pub fn staged(&self) -> &Vhdx {
        self.vhdx()
    }
}
