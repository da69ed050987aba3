//! Decides what happens to one block of the target: the decision table.

use crate::error::Result;
use crate::file::DiskType;
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::units::{BlockIndex, FileOffset};

/// An action on a block of the target that the merged layers cover, at least in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum BlockAction {
    /// The block becomes ZERO. Its place, if it has one, is free after the batch.
    Zero,
    /// Data and zeros are written over the block's content; no metadata changes.
    Overwrite,
    /// As [`Overwrite`](Self::Overwrite), and the bits of the written sectors are set.
    Mark,
    /// As [`Overwrite`](Self::Overwrite).
    ///
    /// Every sector is present now, so the block becomes FULLY_PRESENT.
    Promote,
    /// The block gets a place and becomes FULLY_PRESENT. Everything that is not copied is zeros.
    Fill,
    /// The block gets a place and becomes PARTIALLY_PRESENT.
    ///
    /// The target's parent still answers for sectors that the merged layers do not hold.
    FillPart,
}

impl BlockAction {
    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            BlockAction::Zero => "zero",
            BlockAction::Overwrite => "overwrite",
            BlockAction::Mark => "mark",
            BlockAction::Promote => "promote",
            BlockAction::Fill => "fill",
            BlockAction::FillPart => "fill-part",
        }
    }
}

/// A change of the bits of a block in its sector bitmap block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum BitChange {
    /// No bit changes.
    None,
    /// The bits of the sectors that the merged layers answer for are set.
    Set,
    /// All bits of the block are written.
    ///
    /// Those of the sectors that the merged layers answer for are set, all others are cleared.
    Replace,
}

/// A block of the target and the action for it. All sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlockPlan {
    /// The block.
    pub(super) block: BlockIndex,
    /// The action.
    pub(super) action: BlockAction,
    /// Where its content lies afterwards; 0 if it has none.
    pub(super) place: FileOffset,
    /// Whether the file was never long enough to contain the place.
    ///
    /// Then the place reads as zeros once the file is long enough. Any other new place must be filled with zeros first.
    pub(super) is_fresh: bool,
    /// How many bytes are copied.
    pub(super) copied: u64,
    /// How many bytes of the block the merged layers declare to be zero.
    pub(super) zeroed: u64,
}

impl BlockPlan {
    /// Returns the block's new BAT entry, if it changes.
    pub(super) const fn entry(&self) -> Option<BatEntry> {
        let state = match self.action {
            BlockAction::Overwrite | BlockAction::Mark => return None,
            BlockAction::Zero => PayloadBlockState::Zero,
            BlockAction::Promote | BlockAction::Fill => PayloadBlockState::FullyPresent,
            BlockAction::FillPart => PayloadBlockState::PartiallyPresent,
        };
        Some(BatEntry::payload(state, self.place))
    }

    /// Returns whether the content goes to a new place.
    ///
    /// The whole place, up to the end of the block, must read as zeros before anything else is written to it.
    pub(super) const fn is_new_place(&self) -> bool {
        matches!(self.action, BlockAction::Fill | BlockAction::FillPart)
    }

    /// Returns the change of the block's bits.
    ///
    /// Bits of a FULLY_PRESENT block mean nothing ([MS-VHDX] 2.5.1.1).
    pub(super) const fn bits(&self) -> BitChange {
        match self.action {
            BlockAction::Mark => BitChange::Set,
            BlockAction::FillPart => BitChange::Replace,
            _ => BitChange::None,
        }
    }
}

/// How the merged layers cover a block of the target. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerCoverage {
    /// Covered by data.
    pub(super) data: u64,
    /// Declared to be zero.
    pub(super) zeros: u64,
    /// Not covered.
    pub(super) nothing: u64,
    /// On the disk of the target, but past the end of the merged disk.
    ///
    /// Finally, the merge cuts it off.
    pub(super) cut_off: u64,
}

impl LayerCoverage {
    /// Whether everything that remains of the block is zero.
    fn is_zero(&self) -> bool {
        self.data == 0 && self.nothing == 0
    }

    /// Whether the merged layers answer for every sector of the block that lies on the target's disk.
    fn is_complete(&self) -> bool {
        self.nothing == 0 && self.cut_off == 0
    }
}

/// The bits of a PARTIALLY_PRESENT block after the merged layers' sectors were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    /// The same bits as before.
    Same,
    /// More bits than before, but not all.
    More,
    /// The bits of all sectors on the disk of the target.
    All,
}

/// Returns the action for a block in `state`; `None` if it already reads as it must.
///
/// `target` is the type of the target.
///
/// # Errors
/// Those of `bits`, which is only called for a PARTIALLY_PRESENT block.
pub(super) fn decide(
    target: DiskType,
    state: PayloadBlockState,
    coverage: &LayerCoverage,
    bits: impl FnOnce() -> Result<Bits>,
) -> Result<Option<BlockAction>> {
    use PayloadBlockState::{FullyPresent, NotPresent, PartiallyPresent};

    if coverage.data == 0 && coverage.zeros == 0 {
        return Ok(None);
    }
    Ok(match state {
        FullyPresent | PartiallyPresent if coverage.is_zero() && target != DiskType::Fixed => {
            Some(BlockAction::Zero)
        }
        FullyPresent => Some(BlockAction::Overwrite),
        PartiallyPresent => Some(match bits()? {
            Bits::Same => BlockAction::Overwrite,
            Bits::More => BlockAction::Mark,
            Bits::All => BlockAction::Promote,
        }),
        _ if coverage.data == 0 => clear(target, state, coverage),
        NotPresent if target == DiskType::Differencing && !coverage.is_complete() => {
            Some(BlockAction::FillPart)
        }
        // A block in any other state without content reads as zeros. So does a NOT_PRESENT block of a target without a
        // parent.
        _ => Some(BlockAction::Fill),
    })
}

/// Returns the action for a block without content that merged layers cover with zeros only.
///
/// They need not cover all of it.
fn clear(target: DiskType, state: PayloadBlockState, coverage: &LayerCoverage) -> Option<BlockAction> {
    use PayloadBlockState::{NotPresent, Undefined, Unmapped, Zero};

    match (state, target) {
        (NotPresent, DiskType::Differencing) if coverage.is_zero() => Some(BlockAction::Zero),
        (NotPresent, DiskType::Differencing) => Some(BlockAction::FillPart),
        (NotPresent | Zero, _) => None,
        // This library reads these blocks as zeros, but another reader may show what lay there before.
        (Undefined | Unmapped, DiskType::Fixed) => Some(BlockAction::Fill),
        (Undefined | Unmapped, _) => Some(BlockAction::Zero),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
