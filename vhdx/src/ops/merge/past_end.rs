//! Counts the data that a merge loses because it lies past the end of the merged disk.

use super::MergePlan;
use crate::error::{Bounded, ChainFault, Guaranteed, Result};
use crate::file::{Extents, Source, Vhdx};
use crate::units::DiskOffset;

/// Returns how many bytes of data lie past the end of the leaf.
///
/// This is the data that layer `target` shows there together with its ancestors, and the data that each layer between
/// has there itself. `chain` is a whole chain, leaf first.
pub(super) fn bytes_past_end(chain: &[Vhdx], target: usize) -> Result<u64> {
    let leaf = chain.first().guaranteed("a chain has a layer")?;
    let between = (1..target).filter_map(|layer| chain.get(layer..=layer));
    let mut bytes = 0_u64;
    for layers in between.chain(chain.get(target..)) {
        bytes = bytes.plus(data_from(layers, leaf.virtual_size())?)?;
    }
    Ok(bytes)
}

/// Returns how many bytes of data these layers, leaf first, have from `end` on.
fn data_from(layers: &[Vhdx], end: u64) -> Result<u64> {
    let size = layers.first().guaranteed("a target is a layer of its chain")?.virtual_size();
    if size <= end {
        return Ok(0);
    }
    let mut bytes = 0_u64;
    for extent in Extents::new(layers, DiskOffset::new(end)..DiskOffset::new(size)) {
        let extent = extent?;
        if matches!(extent.source, Source::Data { .. }) {
            bytes = bytes.plus(extent.len)?;
        }
    }
    Ok(bytes)
}

impl MergePlan {
    /// Checks that no data lies past the end of the merged disk.
    pub(super) fn ensure_nothing_dropped(&self) -> Result<()> {
        match (&*self.layers, self.bytes_dropped) {
            (_, 0) => Ok(()),
            ([leaf, .., target], bytes) => Err(ChainFault::DataPastEnd {
                child: leaf.path.clone(),
                target: target.path.clone(),
                bytes,
                size_before: self.virtual_size_before,
                size: self.virtual_size,
            }
            .into()),
            _ => Err(crate::error::InvalidArgument::NoLayers.into()),
        }
    }
}

#[cfg(test)]
mod tests;
