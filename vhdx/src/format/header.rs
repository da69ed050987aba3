//! Reads and writes the two headers, which identify the content of the file and locate its log ([MS-VHDX] 2.2.2).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature "head"              | checksum                      |
//!   8 | sequence number                                               |
//!  16 | FileWriteGuid                                                 |
//!     |                                                               |
//!  32 | DataWriteGuid                                                 |
//!     |                                                               |
//!  48 | LogGuid                                                       |
//!     |                                                               |
//!  64 | log version   | version       | log length                    |
//!  72 | log offset                                                    |
//!  80 | reserved, up to 4096                                          |
//! ```

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u16, le_u32, le_u64};
use uuid::Uuid;

use super::bytes::{self, Encoder, Parsed};
use super::validator::Validator;
use crate::rules::Rule;
use crate::units::{FileOffset, KIB, MIB};
use crate::violation::{Structure, Violation, Violations};

/// The size of a header in bytes.
pub const SIZE: usize = 4096;
/// The offsets of header 1 and header 2 in the file.
pub const OFFSETS: [FileOffset; 2] = [FileOffset::new(64 * KIB), FileOffset::new(128 * KIB)];

const SIGNATURE: &[u8; 4] = b"head";
const FIELDS_SIZE: usize = 80;

/// A header ([MS-VHDX] 2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of this version: of two valid headers, the one with the higher number is current.
    pub sequence_number: u64,
    /// A GUID that changes whenever the file is opened for writing.
    pub file_write_guid: Uuid,
    /// A GUID that changes whenever guest-visible content changes. A child's parent linkage names it.
    pub data_write_guid: Uuid,
    /// The GUID in the log entries that must be replayed; zero if the log is empty.
    pub log_guid: Uuid,
    /// The version of the log: 0.
    pub log_version: u16,
    /// The version of the format: 1.
    pub version: u16,
    /// The size of the log in bytes.
    pub log_length: u32,
    /// The offset of the log in the file.
    pub log_offset: FileOffset,
}

impl Header {
    /// Parses the fields; `None` if the signature or the length is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        fields(bytes).ok().map(|(_, header)| header)
    }

    /// Returns the offset of the log and its length in bytes.
    ///
    /// The length is 0 if the header describes a place that a log cannot have, which is permitted for an empty log.
    pub fn log_place(&self) -> (FileOffset, u64) {
        match self.log_offset_is_valid() && self.log_length_is_valid() {
            true => (self.log_offset, self.log_length.into()),
            false => (FileOffset::new(0), 0),
        }
    }

    fn log_offset_is_valid(&self) -> bool {
        let offset = self.log_offset.get();
        offset >= MIB && offset.is_multiple_of(MIB)
    }

    fn log_length_is_valid(&self) -> bool {
        u64::from(self.log_length).is_multiple_of(MIB)
    }

    /// Returns the [`SIZE`] bytes of the header, with their checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.put(SIGNATURE).u32(0).u64(self.sequence_number);
        encoder.guid(self.file_write_guid).guid(self.data_write_guid).guid(self.log_guid);
        encoder.u16(self.log_version).u16(self.version).u32(self.log_length);
        encoder.u64(self.log_offset.get()).pad_to(SIZE);
        let mut bytes = encoder.into_vec();
        bytes::seal(&mut bytes);
        bytes
    }
}

fn fields(input: &[u8]) -> Parsed<'_, Header> {
    let (input, (_, _, sequence_number)) = (tag(SIGNATURE.as_slice()), le_u32, le_u64).parse(input)?;
    let (input, (file_write_guid, data_write_guid, log_guid)) =
        (bytes::guid, bytes::guid, bytes::guid).parse(input)?;
    let (input, (log_version, version, log_length, log_offset)) =
        (le_u16, le_u16, le_u32, le_u64).parse(input)?;
    let log_offset = FileOffset::new(log_offset);
    let header = Header {
        sequence_number,
        file_write_guid,
        data_write_guid,
        log_guid,
        log_version,
        version,
        log_length,
        log_offset,
    };
    Ok((input, header))
}

fn broken(number: u8, rule: Rule) -> Violation {
    let [first, second] = OFFSETS;
    Violation::new(Structure::Header(number), if number == 2 { second } else { first }, rule)
}

/// Parses and validates one header from its [`SIZE`] bytes (fewer if the file ends there). `number` is 1 or 2.
///
/// A damaged header is reported and returned as `None`. [`current`] decides whether the other one is enough.
pub fn validate_copy(bytes: &[u8], number: u8, violations: &mut Violations) -> Option<Header> {
    let Some(bytes) = bytes.get(..SIZE) else {
        violations.report(broken(number, Rule::Truncated));
        return None;
    };
    let Some(header) = Header::parse(bytes) else {
        violations.report(broken(number, Rule::HeaderSignature));
        return None;
    };
    if !bytes::checksum_matches(bytes) {
        violations.report(broken(number, Rule::HeaderChecksum));
        return None;
    }
    if !bytes.get(FIELDS_SIZE..).is_some_and(bytes::is_zero) {
        violations.report(broken(number, Rule::HeaderReserved));
    }
    Some(header)
}

/// Returns the current header and its number: of the valid headers, the one with the higher sequence number.
///
/// Some valid files have two equal headers; then the first one is returned.
pub fn current(
    first: Option<Header>,
    second: Option<Header>,
    violations: &mut Violations,
) -> Option<(u8, Header)> {
    let (number, header) = match (first, second) {
        (None, None) => {
            violations.report(broken(1, Rule::NoCurrentHeader));
            return None;
        }
        (Some(header), None) => (1, header),
        (None, Some(header)) => (2, header),
        (Some(first), Some(second)) if first.sequence_number == second.sequence_number => {
            if first != second {
                violations.report(broken(1, Rule::HeadersAmbiguous).number(first.sequence_number));
                return None;
            }
            (1, first)
        }
        (Some(first), Some(second)) if first.sequence_number > second.sequence_number => (1, first),
        (Some(_), Some(second)) => (2, second),
    };
    let mut validator = Validator::new(violations);
    let log_version_matters = !header.log_guid.is_nil();
    validator.require(header.version == 1, broken(number, Rule::HeaderVersion).number(header.version));
    validator.require(
        header.log_version == 0 || !log_version_matters,
        broken(number, Rule::LogVersion).number(header.log_version),
    );
    validator.require(
        header.log_version == 0 || log_version_matters,
        broken(number, Rule::LogVersionUnused).number(header.log_version),
    );
    validate_log_place(&header, number, &mut validator);
    validator.finish((number, header))
}

/// Validates the place of the log. A wrong place is fatal only if the log may contain entries.
fn validate_log_place(header: &Header, number: u8, validator: &mut Validator<'_>) {
    let offset = header.log_offset.get();
    let (offset_is_valid, length_is_valid) = (header.log_offset_is_valid(), header.log_length_is_valid());
    if header.log_guid.is_nil() {
        let is_valid = header.log_length == 0 || (offset_is_valid && length_is_valid);
        validator.require(is_valid, broken(number, Rule::LogPlaceUnused).number(offset));
        return;
    }
    validator.require(offset_is_valid, broken(number, Rule::LogOffset).number(offset));
    validator.require(length_is_valid, broken(number, Rule::LogLength).number(header.log_length));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{for_each_flip, hex, some_guid, validated};
    use super::*;

    fn header(sequence_number: u64) -> Header {
        Header {
            sequence_number,
            file_write_guid: some_guid(1),
            data_write_guid: some_guid(2),
            log_guid: Uuid::nil(),
            log_version: 0,
            version: 1,
            log_length: 1 << 20,
            log_offset: FileOffset::new(MIB),
        }
    }

    fn current_number(first: Option<Header>, second: Option<Header>) -> (Option<u8>, Vec<Rule>) {
        validated(|violations| current(first, second, violations).map(|(number, _)| number))
    }

    #[test]
    fn golden_bytes_that_windows_wrote() {
        let mut bytes = hex("68656164e2a0c8eb 0a00000000000000 d8d50bd6cdbb3c429dc53aac5851ec70
            99376a9292c79d4f836f938c81f70272 00000000000000000000000000000000
            0000010000001000 0000100000000000");
        bytes.resize(SIZE, 0);
        let expected = Header {
            sequence_number: 10,
            file_write_guid: uuid::uuid!("d60bd5d8-bbcd-423c-9dc5-3aac5851ec70"),
            data_write_guid: uuid::uuid!("926a3799-c792-4f9d-836f-938c81f70272"),
            ..header(10)
        };
        assert_eq!(expected.encode(), bytes);
        assert_eq!(validated(|violations| validate_copy(&bytes, 1, violations)), (Some(expected), vec![]));
    }

    #[test]
    fn every_field_is_read_as_it_was_written() {
        let header =
            Header { log_guid: some_guid(3), log_version: 7, version: 8, log_length: 9, ..header(u64::MAX) };
        assert_eq!(Header::parse(&header.encode()), Some(header));
    }

    #[test]
    fn a_change_of_any_byte_is_detected() {
        for_each_flip(&header(5).encode(), |position, bytes| {
            let rule = if position < 4 { Rule::HeaderSignature } else { Rule::HeaderChecksum };
            assert_eq!(validated(|violations| validate_copy(bytes, 2, violations)), (None, vec![rule]));
        });
    }

    #[test]
    fn a_short_copy_is_rejected_and_reserved_bytes_are_tolerated() {
        let mut bytes = header(5).encode();
        let (value, rules) = validated(|violations| validate_copy(&bytes[..SIZE - 1], 1, violations));
        assert_eq!((value, rules), (None, vec![Rule::Truncated]));
        bytes[SIZE - 1] = 1;
        bytes::seal(&mut bytes);
        let (value, rules) = validated(|violations| validate_copy(&bytes, 1, violations));
        assert_eq!((value, rules), (Some(header(5)), vec![Rule::HeaderReserved]));
    }

    #[test]
    fn a_violation_has_the_offset_of_its_header() {
        for (number, at) in [(1, 0x10000), (2, 0x20000)] {
            let mut violations = Violations::new();
            validate_copy(&[0; SIZE], number, &mut violations);
            let [violation] = violations.as_slice() else { panic!("{violations:?}") };
            assert_eq!(violation.structure, Structure::Header(number));
            assert_eq!(violation.offset.get(), at);
        }
    }

    #[test]
    fn the_higher_sequence_number_wins() {
        assert_eq!(current_number(Some(header(1)), Some(header(2))), (Some(2), vec![]));
        assert_eq!(current_number(Some(header(2)), Some(header(1))), (Some(1), vec![]));
        assert_eq!(current_number(Some(header(0)), Some(header(u64::MAX))), (Some(2), vec![]));
        assert_eq!(current_number(None, Some(header(1))), (Some(2), vec![]));
        assert_eq!(current_number(Some(header(1)), None), (Some(1), vec![]));
        assert_eq!(current_number(None, None), (None, vec![Rule::NoCurrentHeader]));
    }

    #[test]
    fn two_headers_with_one_number_must_be_equal() {
        assert_eq!(current_number(Some(header(1)), Some(header(1))), (Some(1), vec![]));
        let other = Header { data_write_guid: some_guid(9), ..header(1) };
        assert_eq!(current_number(Some(header(1)), Some(other)), (None, vec![Rule::HeadersAmbiguous]));
    }

    #[test]
    fn the_current_header_is_validated() {
        let dirty = Header { log_guid: some_guid(3), ..header(1) };
        let cases = [
            (Header { version: 2, ..header(1) }, vec![Rule::HeaderVersion]),
            (Header { log_version: 1, ..header(1) }, vec![Rule::LogVersionUnused]),
            (Header { log_version: 1, ..dirty.clone() }, vec![Rule::LogVersion]),
            (Header { log_offset: FileOffset::new(MIB + 4096), ..dirty.clone() }, vec![Rule::LogOffset]),
            (Header { log_offset: FileOffset::new(0), ..dirty.clone() }, vec![Rule::LogOffset]),
            (Header { log_length: 4096, ..dirty.clone() }, vec![Rule::LogLength]),
            (Header { log_offset: FileOffset::new(MIB + 4096), ..header(1) }, vec![Rule::LogPlaceUnused]),
            (Header { log_offset: FileOffset::new(0), ..header(1) }, vec![Rule::LogPlaceUnused]),
            (Header { log_length: 4096, ..header(1) }, vec![Rule::LogPlaceUnused]),
            (Header { log_offset: FileOffset::new(0), log_length: 0, ..header(1) }, vec![]),
            (Header { log_length: 0, ..header(1) }, vec![]),
            (dirty, vec![]),
        ];
        for (header, rules) in cases {
            let sound = rules.iter().all(|rule: &Rule| rule.severity() <= crate::rules::Severity::Tolerated);
            let number = sound.then_some(1);
            assert_eq!(current_number(Some(header.clone()), None), (number, rules), "{header:?}");
            // The rules do not apply to a header that is not current.
            let newer = Header { sequence_number: 9, ..self::header(9) };
            assert_eq!(current_number(Some(header), Some(newer)), (Some(2), vec![]));
        }
    }
}
