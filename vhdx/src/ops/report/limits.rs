//! The limits that a report compares with.

use std::time::Duration;

use super::volumes::Volume;

/// The limits of a report. A limit that is `None` is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ReportLimits {
    /// Report checkpoints that were made longer ago.
    pub older_than: Option<Duration>,
    /// Report checkpoints whose [size of all disks](crate::Checkpoint::size_of_all_disks) is more bytes.
    pub larger_than: Option<u64>,
    /// Report volumes with less free space.
    pub min_free: Option<MinFree>,
    /// Report families with a chain of more files.
    pub deeper_than: Option<usize>,
}

/// The free space that a volume must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MinFree {
    /// Bytes.
    Bytes(u64),
    /// Percent of the size of the volume.
    Percent(u8),
}

impl MinFree {
    /// Returns the bytes that must be free on a volume; `None` if they depend on a size that is not known.
    pub fn bytes(self, volume: &Volume) -> Option<u64> {
        match self {
            MinFree::Bytes(bytes) => Some(bytes),
            MinFree::Percent(percent) => {
                let bytes = u128::from(volume.size?) * u128::from(percent) / 100;
                Some(u64::try_from(bytes).unwrap_or(u64::MAX)) // More than 100 percent of a very large volume.
            }
        }
    }
}
