//! What becomes of one block of the target: the decision table.

use crate::error::Result;
use crate::file::DiskType;
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::units::{BlockIndex, FileOffset};

/// What happens to a block of the target that the merged layers say something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockAction {
    /// The block becomes ZERO. A place that it has is free after the batch.
    Zero,
    /// Data and zeros are written over what the block holds; no metadata changes.
    Overwrite,
    /// As [`Overwrite`](Self::Overwrite), and the bits of the sectors that are written are set.
    Mark,
    /// As [`Overwrite`](Self::Overwrite), and the block, of which now every sector is there, becomes FULLY_PRESENT.
    Promote,
    /// The block gets a place and becomes FULLY_PRESENT: what is not copied is zeros.
    Fill,
    /// The block gets a place and becomes PARTIALLY_PRESENT: what the merged layers do not hold stays with the
    /// target's parent.
    FillPart,
}

impl BlockAction {
    /// The name in reports.
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

/// What happens to the bits of a block in its sector bitmap block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BitChange {
    /// Nothing.
    None,
    /// Those of the sectors that the merged layers answer for are set.
    Set,
    /// All bits of the block are written: set for the sectors that the merged layers answer for, clear for all others.
    Replace,
}

/// One block of the target, and what happens to it. All sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockPlan {
    /// The block.
    pub block: BlockIndex,
    /// What happens to it.
    pub action: BlockAction,
    /// Where its content lies when it is done; 0 if it has none then.
    pub place: FileOffset,
    /// Whether the file was always shorter than the place, which reads as zeros then once the file is long enough. Any
    /// other new place must be filled with zeros first.
    pub is_fresh: bool,
    /// How much is copied.
    pub copied: u64,
    /// How much of it the merged layers say is zero.
    pub zeroed: u64,
}

impl BlockPlan {
    /// The block's new BAT entry, if it changes.
    pub const fn entry(&self) -> Option<BatEntry> {
        let state = match self.action {
            BlockAction::Overwrite | BlockAction::Mark => return None,
            BlockAction::Zero => PayloadBlockState::Zero,
            BlockAction::Promote | BlockAction::Fill => PayloadBlockState::FullyPresent,
            BlockAction::FillPart => PayloadBlockState::PartiallyPresent,
        };
        Some(BatEntry::payload(state, self.place))
    }

    /// Whether its content goes where it had none before. All of the place must read as zeros before it is written to,
    /// up to the end of the block.
    pub const fn is_new_place(&self) -> bool {
        matches!(self.action, BlockAction::Fill | BlockAction::FillPart)
    }

    /// What happens to its bits. Those of a FULLY_PRESENT block mean nothing ([MS-VHDX] 2.5.1.1).
    pub const fn bits(&self) -> BitChange {
        match self.action {
            BlockAction::Mark => BitChange::Set,
            BlockAction::FillPart => BitChange::Replace,
            _ => BitChange::None,
        }
    }
}

/// What the merged layers say of a block of the target. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerCoverage {
    /// They have data.
    pub(super) data: u64,
    /// They say that it is zero.
    pub(super) zeros: u64,
    /// They say nothing.
    pub(super) nothing: u64,
    /// It lies on the target's disk, but past the end of the merged disk, which cuts it off in the end.
    pub(super) cut_off: u64,
}

impl LayerCoverage {
    /// Whether all that will be left of the block is zero.
    fn is_zero(&self) -> bool {
        self.data == 0 && self.nothing == 0
    }

    /// Whether the merged layers answer for every sector of the block that lies on the target's disk.
    fn is_complete(&self) -> bool {
        self.nothing == 0 && self.cut_off == 0
    }
}

/// Which bits a PARTIALLY_PRESENT block has once the sectors that the merged layers answer for are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    /// The same as before.
    Same,
    /// Some more, but not all.
    More,
    /// Those of all sectors on the target's disk.
    All,
}

/// What happens to a block of a target of type `target` which is in `state`; nothing, if it reads as it must already.
///
/// # Errors
/// Those of `bits`, which is asked only about a PARTIALLY_PRESENT block.
pub(super) fn decide(
    target: DiskType,
    state: PayloadBlockState,
    says: &LayerCoverage,
    bits: impl FnOnce() -> Result<Bits>,
) -> Result<Option<BlockAction>> {
    use PayloadBlockState::{FullyPresent, NotPresent, PartiallyPresent};

    if says.data == 0 && says.zeros == 0 {
        return Ok(None);
    }
    Ok(match state {
        FullyPresent | PartiallyPresent if says.is_zero() && target != DiskType::Fixed => {
            Some(BlockAction::Zero)
        }
        FullyPresent => Some(BlockAction::Overwrite),
        PartiallyPresent => Some(match bits()? {
            Bits::Same => BlockAction::Overwrite,
            Bits::More => BlockAction::Mark,
            Bits::All => BlockAction::Promote,
        }),
        _ if says.data == 0 => clear(target, state, says),
        NotPresent if target == DiskType::Differencing && !says.is_complete() => Some(BlockAction::FillPart),
        // Every other state without content reads as zeros, and so does a block that nobody has.
        _ => Some(BlockAction::Fill),
    })
}

/// What happens to a block without content of which the merged layers say zero, at least in part.
fn clear(target: DiskType, state: PayloadBlockState, says: &LayerCoverage) -> Option<BlockAction> {
    use PayloadBlockState::{NotPresent, Undefined, Unmapped, Zero};

    match (state, target) {
        (NotPresent, DiskType::Differencing) if says.is_zero() => Some(BlockAction::Zero),
        (NotPresent, DiskType::Differencing) => Some(BlockAction::FillPart),
        (NotPresent | Zero, _) => None,
        // These are read as zeros here, but another reader may find what lay there before.
        (Undefined | Unmapped, DiskType::Fixed) => Some(BlockAction::Fill),
        (Undefined | Unmapped, _) => Some(BlockAction::Zero),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
