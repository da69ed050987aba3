//! Reads and writes the metadata items of the format, except the parent locator ([MS-VHDX] 2.6.2).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | block size                    | bits: leave allocated, parent | file parameters
//!
//!   0 | virtual disk size                                             |
//!
//!   0 | virtual disk id (a GUID)                                      |
//!     |                                                               |
//!
//!   0 | sector size                   |                                 logical and physical
//! ```

use nom::Parser;
use nom::number::complete::{le_u32, le_u64};
use uuid::Uuid;

use super::bytes::{self, Encoder, Parsed};
use super::validator::Validator;
pub use crate::metadata_id::*;
use crate::rules::Rule;
use crate::units::{FileOffset, MIB};
use crate::violation::{Structure, Violation, Violations};

const MAX_BLOCK_SIZE: u64 = 256 * MIB;
const MAX_VIRTUAL_DISK_SIZE: u64 = 64 << 40;

const LEAVE_BLOCKS_ALLOCATED: u32 = 1;
const HAS_PARENT: u32 = 2;

/// Returns whether a file that requires this item can be opened.
///
/// The item is either read, or does not affect the data of the disk (the CHS parameters). This applies to system items
/// only: a user item is never known, whatever its id.
pub fn is_known(id: Uuid) -> bool {
    is_virtual_disk(id).is_some() || id == CHS_PARAMETERS
}

/// Returns the IsVirtualDisk bit of an item of the specification; `None` for any other item.
///
/// The specification marks all of its items as required.
pub(super) fn is_virtual_disk(id: Uuid) -> Option<bool> {
    match id {
        FILE_PARAMETERS | PARENT_LOCATOR => Some(false),
        VIRTUAL_DISK_SIZE | VIRTUAL_DISK_ID | LOGICAL_SECTOR_SIZE | PHYSICAL_SECTOR_SIZE => Some(true),
        _ => None,
    }
}

/// The file parameters ([MS-VHDX] 2.6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileParameters {
    /// The size of a payload block in bytes: a power of two from 1 MiB to 256 MiB.
    pub block_size: u32,
    /// Whether blocks must stay allocated: a fixed disk.
    pub leave_blocks_allocated: bool,
    /// Whether the disk has a parent: a differencing disk.
    pub has_parent: bool,
}

impl FileParameters {
    /// Parses the fields; `None` if there are too few bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        file_parameters(bytes).ok().map(|(_, (parameters, _))| parameters)
    }

    /// Returns the 8 bytes of the item.
    pub fn encode(&self) -> Vec<u8> {
        let bit = |set, bit| if set { bit } else { 0 };
        let mut encoder = Encoder::new();
        encoder.u32(self.block_size);
        encoder
            .u32(bit(self.leave_blocks_allocated, LEAVE_BLOCKS_ALLOCATED) | bit(self.has_parent, HAS_PARENT));
        encoder.into_vec()
    }

    /// Parses and validates the item, which starts at `at` in the file.
    pub fn validate(bytes: &[u8], at: FileOffset, violations: &mut Violations) -> Option<Self> {
        let (parameters, reserved) = read(bytes, FILE_PARAMETERS, at, violations, file_parameters)?;
        let mut validator = Validator::new(violations);
        let block_size = u64::from(parameters.block_size);
        validator.require(
            block_size.is_power_of_two() && (MIB..=MAX_BLOCK_SIZE).contains(&block_size),
            broken(FILE_PARAMETERS, at, Rule::BlockSize).number(block_size),
        );
        validator.require(!reserved, broken(FILE_PARAMETERS, at, Rule::FileParametersReserved));
        validator.finish(parameters)
    }
}

/// Parses and validates the size of the virtual disk in bytes ([MS-VHDX] 2.6.2.2).
///
/// The item starts at `at` in the file.
pub fn virtual_disk_size(
    bytes: &[u8],
    at: FileOffset,
    logical_sector_size: u32,
    violations: &mut Violations,
) -> Option<u64> {
    let size = read(bytes, VIRTUAL_DISK_SIZE, at, violations, le_u64)?;
    let mut validator = Validator::new(violations);
    let whole_sectors = size.checked_rem(u64::from(logical_sector_size)) == Some(0);
    validator.require(
        (1..=MAX_VIRTUAL_DISK_SIZE).contains(&size) && whole_sectors,
        broken(VIRTUAL_DISK_SIZE, at, Rule::VirtualDiskSize).number(size),
    );
    validator.finish(size)
}

/// Parses the id of the virtual disk ([MS-VHDX] 2.6.2.3). A child that Windows makes has the id of its parent.
///
/// The item starts at `at` in the file.
pub fn virtual_disk_id(bytes: &[u8], at: FileOffset, violations: &mut Violations) -> Option<Uuid> {
    read(bytes, VIRTUAL_DISK_ID, at, violations, bytes::guid)
}

/// Parses and validates the logical sector size in bytes ([MS-VHDX] 2.6.2.4).
///
/// The item starts at `at` in the file.
pub fn logical_sector_size(bytes: &[u8], at: FileOffset, violations: &mut Violations) -> Option<u32> {
    sector_size(bytes, LOGICAL_SECTOR_SIZE, at, Rule::LogicalSectorSize, violations)
}

/// Parses and validates the physical sector size in bytes ([MS-VHDX] 2.6.2.5).
///
/// The item starts at `at` in the file. A size other than 512 and 4096 is reported but still returned, because the
/// content of the disk does not depend on it.
pub fn physical_sector_size(bytes: &[u8], at: FileOffset, violations: &mut Violations) -> Option<u32> {
    sector_size(bytes, PHYSICAL_SECTOR_SIZE, at, Rule::PhysicalSectorSize, violations)
}

fn sector_size(
    bytes: &[u8],
    id: Uuid,
    at: FileOffset,
    rule: Rule,
    violations: &mut Violations,
) -> Option<u32> {
    let size = read(bytes, id, at, violations, le_u32)?;
    let mut validator = Validator::new(violations);
    validator.require(matches!(size, 512 | 4096), broken(id, at, rule).number(size));
    validator.finish(size)
}

fn read<'a, T>(
    bytes: &'a [u8],
    id: Uuid,
    at: FileOffset,
    violations: &mut Violations,
    parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
) -> Option<T> {
    let parsed = parser(bytes).ok().map(|(_, value)| value);
    if parsed.is_none() {
        violations.report(broken(id, at, Rule::MetadataItemSize));
    }
    parsed
}

fn broken(id: Uuid, at: FileOffset, rule: Rule) -> Violation {
    Violation::new(Structure::MetadataItem(id), at, rule)
}

fn file_parameters(input: &[u8]) -> Parsed<'_, (FileParameters, bool)> {
    let (input, (block_size, flags)) = (le_u32, le_u32).parse(input)?;
    let parameters = FileParameters {
        block_size,
        leave_blocks_allocated: flags & LEAVE_BLOCKS_ALLOCATED != 0,
        has_parent: flags & HAS_PARENT != 0,
    };
    Ok((input, (parameters, flags & !(LEAVE_BLOCKS_ALLOCATED | HAS_PARENT) != 0)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hex, some_guid, validated};
    use super::*;

    const AT: FileOffset = FileOffset::new(0x21_0000);

    fn parameters(bytes: &[u8]) -> (Option<FileParameters>, Vec<Rule>) {
        validated(|violations| FileParameters::validate(bytes, AT, violations))
    }

    #[test]
    fn golden_bytes_that_windows_wrote() {
        let expected =
            FileParameters { block_size: 2 << 20, leave_blocks_allocated: false, has_parent: true };
        let bytes = hex("0000200002000000");
        assert_eq!(expected.encode(), bytes);
        assert_eq!(parameters(&bytes), (Some(expected), vec![]));

        let (size, rules) =
            validated(|violations| virtual_disk_size(&hex("0000400000000000"), AT, 512, violations));
        assert_eq!((size, rules), (Some(4 << 20), vec![]));
        let (id, rules) =
            validated(|violations| virtual_disk_id(&hex("aa026d6b47890f49aa2d2e81bb5c6b28"), AT, violations));
        assert_eq!((id, rules), (Some(uuid::uuid!("6b6d02aa-8947-490f-aa2d-2e81bb5c6b28")), vec![]));
        let sectors = validated(|violations| {
            let logical = logical_sector_size(&hex("00020000"), AT, violations);
            (logical, physical_sector_size(&hex("00100000"), AT, violations))
        });
        assert_eq!(sectors, ((Some(512), Some(4096)), vec![]));
    }

    #[test]
    fn every_combination_of_bits_is_read_as_it_was_written() {
        for (leave_blocks_allocated, has_parent) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let expected = FileParameters { block_size: 1 << 28, leave_blocks_allocated, has_parent };
            assert_eq!(FileParameters::parse(&expected.encode()), Some(expected));
        }
    }

    #[test]
    fn a_block_size_is_a_power_of_two_from_1_to_256_mib() {
        for block_size in [0, 1, 512 << 10, (1 << 20) + 1, 3 << 20, 512 << 20, u32::MAX] {
            let item = FileParameters { block_size, leave_blocks_allocated: false, has_parent: false };
            assert_eq!(parameters(&item.encode()), (None, vec![Rule::BlockSize]), "{block_size}");
        }
        for shift in 20..=28 {
            let item =
                FileParameters { block_size: 1 << shift, leave_blocks_allocated: true, has_parent: false };
            assert_eq!(parameters(&item.encode()), (Some(item), vec![]));
        }
    }

    #[test]
    fn reserved_bits_are_fatal() {
        let (value, rules) = parameters(&hex("0000200006000000"));
        assert_eq!((value, rules), (None, vec![Rule::FileParametersReserved]));
    }

    #[test]
    fn a_disk_has_whole_sectors_up_to_64_tib() {
        let size = |size: u64, sector| {
            validated(|violations| virtual_disk_size(&size.to_le_bytes(), AT, sector, violations)).0
        };
        assert_eq!(size(0, 512), None);
        assert_eq!(size(512, 512), Some(512));
        assert_eq!(size(513, 512), None);
        assert_eq!(size(512, 4096), None);
        assert_eq!(size(64 << 40, 4096), Some(64 << 40));
        assert_eq!(size((64 << 40) + 512, 512), None);
        assert_eq!(size(512, 0), None);
    }

    #[test]
    fn only_the_logical_sector_size_matters() {
        for bytes in [[0u8; 4], [0, 4, 0, 0], [0xff; 4]] {
            let (size, rules) = validated(|violations| logical_sector_size(&bytes, AT, violations));
            assert_eq!((size, rules), (None, vec![Rule::LogicalSectorSize]));
            let (size, rules) = validated(|violations| physical_sector_size(&bytes, AT, violations));
            assert_eq!((size, rules), (Some(u32::from_le_bytes(bytes)), vec![Rule::PhysicalSectorSize]));
        }
    }

    #[test]
    fn short_items_are_rejected_and_long_ones_are_not() {
        let bytes = [0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        type Read = fn(&[u8], &mut Violations) -> bool;
        let items: [(usize, Read); 4] = [
            (8, |bytes, violations| FileParameters::validate(bytes, AT, violations).is_some()),
            (8, |bytes, violations| virtual_disk_size(bytes, AT, 512, violations).is_some()),
            (16, |bytes, violations| virtual_disk_id(bytes, AT, violations).is_some()),
            (4, |bytes, violations| physical_sector_size(bytes, AT, violations).is_some()),
        ];
        for (len, read) in items {
            let (is_some, rules) = validated(|violations| read(&bytes[..len - 1], violations));
            assert_eq!((is_some, rules), (false, vec![Rule::MetadataItemSize]), "{len}");
            assert!(validated(|violations| read(&bytes, violations)).0, "{len}");
        }
    }

    #[test]
    fn items_of_the_specification_are_known() {
        assert!(is_known(PARENT_LOCATOR) && !is_known(INCOMPLETE_FILE) && !is_known(some_guid(1)));
    }
}
