//! Reads and writes an entry of the block allocation table ([MS-VHDX] 2.5.1).
//!
//! ```text
//!      63                                           20 19       3 2     0
//!   0 | file offset in MiB                            | reserved | state |
//! ```

use super::validator::Validator;
use crate::rules::Rule;
use crate::units::{BatIndex, FileOffset, MIB};
use crate::violation::{Structure, Violation, Violations};

/// The size of an entry in bytes.
pub const SIZE: usize = 8;

const STATE_MASK: u64 = 0x7;
const RESERVED_MASK: u64 = 0x000F_FFF8;
const OFFSET_MASK: u64 = !(STATE_MASK | RESERVED_MASK);
/// 128 TiB: twice the largest disk, which leaves room for its bitmaps and tables. No file is longer.
const FAR: u64 = 1 << 47;
/// The state that an early draft of the format used for unmapped blocks.
const DRAFT_UNMAPPED: u8 = 5;

/// The state of a payload block in its BAT entry ([MS-VHDX] 2.5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PayloadBlockState {
    /// The block is not in this file. It is read from the parent, or as zeros if there is no parent.
    NotPresent = 0,
    /// The content is undefined. It is read as zeros.
    Undefined = 1,
    /// The block reads as zeros.
    Zero = 2,
    /// The guest has unmapped the block. It is read as zeros.
    Unmapped = 3,
    /// The whole block is in this file.
    FullyPresent = 6,
    /// Sectors whose bit in the sector bitmap is set are in this file. The others are read from the parent.
    PartiallyPresent = 7,
}

impl PayloadBlockState {
    /// Returns the name in the specification without its prefix: `FULLY_PRESENT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPresent => "NOT_PRESENT",
            Self::Undefined => "UNDEFINED",
            Self::Zero => "ZERO",
            Self::Unmapped => "UNMAPPED",
            Self::FullyPresent => "FULLY_PRESENT",
            Self::PartiallyPresent => "PARTIALLY_PRESENT",
        }
    }

    /// Returns the number of the state in an entry.
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotPresent => 0,
            Self::Undefined => 1,
            Self::Zero => 2,
            Self::Unmapped => 3,
            Self::FullyPresent => 6,
            Self::PartiallyPresent => 7,
        }
    }

    /// Returns whether the block has data in this file.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::FullyPresent | Self::PartiallyPresent)
    }
}

/// The state of a sector bitmap block in its BAT entry ([MS-VHDX] 2.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SectorBitmapBlockState {
    /// The block is not in this file.
    NotPresent = 0,
    /// The block is in this file.
    Present = 6,
}

impl SectorBitmapBlockState {
    /// Returns the number of the state in an entry.
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotPresent => 0,
            Self::Present => 6,
        }
    }
}

/// A BAT entry as stored in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BatEntry(u64);

impl BatEntry {
    /// Creates the entry from its stored bytes.
    pub const fn from_le_bytes(bytes: [u8; SIZE]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Creates an entry from 3 state bits and a file offset that is a multiple of 1 MiB. All other bits are dropped.
    pub const fn new(state_bits: u8, file_offset: FileOffset) -> Self {
        let state = u64::from_le_bytes([state_bits, 0, 0, 0, 0, 0, 0, 0]) & STATE_MASK;
        Self(state | (file_offset.get() & OFFSET_MASK))
    }

    /// Creates the entry of a payload block.
    pub const fn payload(state: PayloadBlockState, file_offset: FileOffset) -> Self {
        Self::new(state.bits(), file_offset)
    }

    /// Returns the stored number.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the stored bytes.
    pub const fn to_le_bytes(self) -> [u8; SIZE] {
        self.0.to_le_bytes()
    }

    /// Returns the number of the state, 0 to 7.
    pub const fn state_bits(self) -> u8 {
        let [state, ..] = (self.0 & STATE_MASK).to_le_bytes();
        state
    }

    /// Returns the file offset of the block. Whether it has a meaning depends on the state.
    pub const fn file_offset(self) -> FileOffset {
        FileOffset::new(self.0 & OFFSET_MASK)
    }

    /// Returns the 17 bits that must be zero.
    pub const fn reserved_bits(self) -> u32 {
        let [a, b, c, d, ..] = ((self.0 & RESERVED_MASK) >> 3).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Returns the state of a payload block; `None` if it is reserved. State 5 of an early draft is read as unmapped.
    pub const fn payload_state(self) -> Option<PayloadBlockState> {
        Some(match self.state_bits() {
            0 => PayloadBlockState::NotPresent,
            1 => PayloadBlockState::Undefined,
            2 => PayloadBlockState::Zero,
            3 | DRAFT_UNMAPPED => PayloadBlockState::Unmapped,
            6 => PayloadBlockState::FullyPresent,
            7 => PayloadBlockState::PartiallyPresent,
            _ => return None,
        })
    }

    /// Returns the state of a sector bitmap block; `None` if it is reserved.
    pub const fn bitmap_state(self) -> Option<SectorBitmapBlockState> {
        match self.state_bits() {
            0 => Some(SectorBitmapBlockState::NotPresent),
            6 => Some(SectorBitmapBlockState::Present),
            _ => None,
        }
    }

    /// Validates the entry of a payload block by the rules that need no other structure.
    ///
    /// `at` is the offset of the entry in the file.
    pub fn validate_payload(
        self,
        index: BatIndex,
        at: FileOffset,
        has_parent: bool,
        violations: &mut Violations,
    ) -> Option<PayloadBlockState> {
        let broken = |rule| Violation::new(Structure::BatEntry(index), at, rule);
        let mut validator = Validator::new(violations);
        self.validate_reserved(&broken, &mut validator);
        let Some(state) = self.payload_state() else {
            validator.report(broken(Rule::BatStateReserved).number(self.state_bits()));
            return None;
        };
        validator.require(self.state_bits() != DRAFT_UNMAPPED, broken(Rule::BatStateDraft));
        validator.require(
            state != PayloadBlockState::PartiallyPresent || has_parent,
            broken(Rule::BatPartialWithoutParent),
        );
        self.validate_place(state.is_present(), &broken, &mut validator);
        self.validate_offset_without_data(state, &broken, &mut validator);
        validator.finish(state)
    }

    /// Validates the entry of a sector bitmap block by the rules that need no other structure.
    ///
    /// `at` is the offset of the entry in the file. A disk without a parent does not use the entry, so its block counts
    /// as not present, whatever the entry contains.
    pub fn validate_bitmap(
        self,
        index: BatIndex,
        at: FileOffset,
        has_parent: bool,
        violations: &mut Violations,
    ) -> Option<SectorBitmapBlockState> {
        let broken = |rule| Violation::new(Structure::BatEntry(index), at, rule);
        let mut validator = Validator::new(violations);
        if !has_parent {
            let present = self.state_bits() == SectorBitmapBlockState::Present.bits();
            let rule = if present { Rule::BatBitmapWithoutParent } else { Rule::BatEntryUnused };
            validator.require(self.0 == 0, broken(rule));
            return Some(SectorBitmapBlockState::NotPresent);
        }
        self.validate_reserved(&broken, &mut validator);
        let Some(state) = self.bitmap_state() else {
            validator.report(broken(Rule::BatBitmapState).number(self.state_bits()));
            return None;
        };
        self.validate_place(state == SectorBitmapBlockState::Present, &broken, &mut validator);
        validator.finish(state)
    }

    fn validate_reserved(self, broken: &impl Fn(Rule) -> Violation, validator: &mut Validator<'_>) {
        let reserved = self.reserved_bits();
        validator.require(reserved == 0, broken(Rule::BatEntryReserved).number(reserved));
    }

    /// Validates the offset of a block without data. Nothing is read there, but an offset that no file can have shows
    /// that the entry was overwritten.
    fn validate_offset_without_data(
        self,
        state: PayloadBlockState,
        broken: &impl Fn(Rule) -> Violation,
        validator: &mut Validator<'_>,
    ) {
        let offset = self.file_offset().get();
        if state.is_present() || offset == 0 {
            return;
        }
        let broken = |rule| broken(rule).number(offset);
        validator.require(offset < FAR, broken(Rule::BlockPlaceFar));
        validator.require(state != PayloadBlockState::Zero, broken(Rule::BatZeroOffset));
        validator.require(state != PayloadBlockState::NotPresent, broken(Rule::BatNotPresentOffset));
    }

    fn validate_place(
        self,
        present: bool,
        broken: &impl Fn(Rule) -> Violation,
        validator: &mut Validator<'_>,
    ) {
        let offset = self.file_offset().get();
        validator.require(!present || offset >= MIB, broken(Rule::BlockInHeader).number(offset));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::validated;
    use super::PayloadBlockState::*;
    use super::*;

    const AT: FileOffset = FileOffset::new(0x30_0088);
    const INDEX: BatIndex = BatIndex::new(17);

    fn entry(state_bits: u8, offset_mib: u64) -> BatEntry {
        BatEntry::new(state_bits, FileOffset::new(offset_mib * MIB))
    }

    fn payload(entry: BatEntry, has_parent: bool) -> (Option<PayloadBlockState>, Vec<Rule>) {
        validated(|violations| entry.validate_payload(INDEX, AT, has_parent, violations))
    }

    fn bitmap(entry: BatEntry, has_parent: bool) -> (Option<SectorBitmapBlockState>, Vec<Rule>) {
        validated(|violations| entry.validate_bitmap(INDEX, AT, has_parent, violations))
    }

    #[test]
    fn golden_bytes_that_windows_wrote() {
        let block = BatEntry::from_le_bytes([0x07, 0x00, 0x50, 0, 0, 0, 0, 0]);
        assert_eq!(block, entry(7, 5));
        assert_eq!(payload(block, true), (Some(PartiallyPresent), vec![]));
        assert_eq!(block.file_offset().get(), 5 * MIB);
        let sectors = BatEntry::from_le_bytes([0x06, 0x00, 0x40, 0, 0, 0, 0, 0]);
        assert_eq!(sectors, entry(6, 4));
        assert_eq!(bitmap(sectors, true), (Some(SectorBitmapBlockState::Present), vec![]));
    }

    #[test]
    fn the_parts_of_an_entry_do_not_overlap() {
        let all = BatEntry::from_le_bytes([0xff; 8]);
        assert_eq!((all.state_bits(), all.reserved_bits()), (7, 0x1_ffff));
        assert_eq!(all.file_offset().get(), u64::MAX << 20);
        assert_eq!(BatEntry::new(0xff, FileOffset::new(u64::MAX)).raw(), (u64::MAX << 20) | 7);
        for bit in 0..64 {
            let one = BatEntry::from_le_bytes((1u64 << bit).to_le_bytes());
            let parts =
                [one.state_bits() != 0, one.reserved_bits() != 0, one.file_offset() != FileOffset::new(0)];
            assert_eq!(parts, [bit < 3, (3..20).contains(&bit), bit >= 20], "{bit}");
            assert_eq!(BatEntry::from_le_bytes(one.to_le_bytes()), one);
        }
    }

    #[test]
    fn payload_states() {
        let states = [
            Some(NotPresent),
            Some(Undefined),
            Some(Zero),
            Some(Unmapped),
            None,
            Some(Unmapped),
            Some(FullyPresent),
            Some(PartiallyPresent),
        ];
        for (bits, state) in (0u8..).zip(states) {
            assert_eq!(entry(bits, 1).payload_state(), state);
            if let Some(state) = state.filter(|_| bits != 5) {
                assert_eq!((state.bits(), state as u8), (bits, bits));
            }
        }
        assert_eq!(payload(entry(4, 0), true), (None, vec![Rule::BatStateReserved]));
        assert_eq!(payload(entry(5, 0), true), (Some(Unmapped), vec![Rule::BatStateDraft]));
    }

    #[test]
    fn payload_entries_are_validated() {
        assert_eq!(payload(entry(7, 1), false), (None, vec![Rule::BatPartialWithoutParent]));
        assert_eq!(payload(entry(2, 1), false), (Some(Zero), vec![Rule::BatZeroOffset]));
        assert_eq!(payload(entry(2, 0), false), (Some(Zero), vec![]));
        assert_eq!(payload(entry(6, 0), false), (None, vec![Rule::BlockInHeader]));
        assert_eq!(payload(entry(6, 1), false), (Some(FullyPresent), vec![]));
        assert_eq!(payload(entry(7, 0), true), (None, vec![Rule::BlockInHeader]));
        assert_eq!(payload(entry(0, 9), true), (Some(NotPresent), vec![Rule::BatNotPresentOffset]));
        for bits in [0, 1, 3] {
            assert_eq!(payload(entry(bits, 0), false).1, [], "{bits}");
        }
        for bits in [1, 3] {
            assert_eq!(payload(entry(bits, 9), true).1, [], "{bits} keeps its place");
        }
    }

    #[test]
    fn an_offset_that_no_file_can_have_is_fatal_without_data() {
        let last = (FAR >> 20) - 1;
        for bits in [0, 1, 2, 3, 5] {
            let (state, rules) = payload(entry(bits, last), true);
            assert!(state.is_some() && !rules.contains(&Rule::BlockPlaceFar), "{bits}: {rules:?}");
            for far in [last + 1, (1 << 44) - 1] {
                let (state, rules) = payload(entry(bits, far), true);
                assert!(state.is_none() && rules.contains(&Rule::BlockPlaceFar), "{bits}: {rules:?}");
            }
        }
    }

    #[test]
    fn bitmap_entries_are_validated() {
        use SectorBitmapBlockState::{NotPresent, Present};
        for bits in [1, 2, 3, 4, 5, 7] {
            assert_eq!(bitmap(entry(bits, 1), true), (None, vec![Rule::BatBitmapState]));
        }
        assert_eq!(bitmap(entry(0, 0), true), (Some(NotPresent), vec![]));
        assert_eq!(bitmap(entry(6, 1), true), (Some(Present), vec![]));
        assert_eq!(bitmap(entry(6, 0), true), (None, vec![Rule::BlockInHeader]));
    }

    #[test]
    fn the_bitmap_entries_of_a_disk_without_a_parent_are_not_used() {
        use SectorBitmapBlockState::NotPresent;
        assert_eq!(bitmap(entry(0, 0), false), (Some(NotPresent), vec![]));
        assert_eq!(bitmap(entry(6, 1), false), (Some(NotPresent), vec![Rule::BatBitmapWithoutParent]));
        for raw in [8, 3, 7 << 20, u64::MAX] {
            let entry = BatEntry::from_le_bytes(raw.to_le_bytes());
            assert_eq!(bitmap(entry, false), (Some(NotPresent), vec![Rule::BatEntryUnused]), "{raw:x}");
        }
    }

    #[test]
    fn reserved_bits_are_fatal_in_every_state() {
        for bit in 3..20 {
            for state in [0, 1, 2, 3, 5, 6, 7] {
                let place = if state < 6 { 0 } else { 1 };
                let entry = BatEntry::from_le_bytes((entry(state, place).raw() | 1 << bit).to_le_bytes());
                let (found, rules) = payload(entry, true);
                assert!(found.is_none() && rules.contains(&Rule::BatEntryReserved), "{state} {bit}");
            }
        }
    }

    #[test]
    fn reserved_bits_are_reported_at_the_offset_of_the_entry() {
        let entry = BatEntry::from_le_bytes((entry(6, 1).raw() | 8).to_le_bytes());
        assert_eq!(bitmap(entry, true), (None, vec![Rule::BatEntryReserved]));
        let mut violations = Violations::new();
        assert_eq!(entry.validate_payload(INDEX, AT, false, &mut violations), None);
        let expected = Violation::new(Structure::BatEntry(INDEX), AT, Rule::BatEntryReserved).number(1u32);
        assert_eq!(violations.as_slice(), [expected]);
    }
}
