//! Finds the parts of a chain's files that a new file with the content of the chain does not get.

use uuid::Uuid;

use crate::disk::Chain;
use crate::file::disk_metadata;
use crate::format::region_table::{BAT_REGION, METADATA_REGION};

/// A part of a file of the chain that the new file will not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Dropped {
    /// The layer that has the part; 0 is the leaf.
    pub layer: usize,
    /// The part.
    pub part: DroppedPart,
}

/// A part that belongs to the file and not to its disk, or that is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DroppedPart {
    /// An unknown region ([MS-VHDX] 2.2.3.2).
    Region(Uuid),
    /// A metadata item that does not travel with the disk ([MS-VHDX] 2.6.1.2).
    MetadataItem {
        /// The GUID of the item.
        id: Uuid,
        /// Whether it is user metadata.
        is_user: bool,
    },
}

/// Returns the parts of the files of a chain that a new file with its content does not get.
///
/// The leaf describes the new file ([`NewDisk::like`](crate::NewDisk::like)). If the leaf also has an item of one of
/// its ancestors, that item is replaced, not dropped.
pub fn dropped(chain: &Chain) -> Vec<Dropped> {
    let carried: Vec<_> = chain
        .leaf()
        .metadata_entries()
        .iter()
        .filter(|entry| disk_metadata::is_disk_metadata(entry))
        .collect();
    let is_carried = |id, is_user| carried.iter().any(|entry| entry.id == id && entry.is_user == is_user);
    let mut dropped = Vec::new();
    for (layer, vhdx) in chain.layers().iter().enumerate() {
        let unknown =
            vhdx.regions().iter().filter(|region| ![BAT_REGION, METADATA_REGION].contains(&region.id));
        dropped.extend(unknown.map(|region| Dropped { layer, part: DroppedPart::Region(region.id) }));
        for entry in vhdx.metadata_entries() {
            let is_replaced = entry.is_virtual_disk && is_carried(entry.id, entry.is_user);
            if !disk_metadata::is_own(entry) && !is_replaced {
                let part = DroppedPart::MetadataItem { id: entry.id, is_user: entry.is_user };
                dropped.push(Dropped { layer, part });
            }
        }
    }
    dropped
}
