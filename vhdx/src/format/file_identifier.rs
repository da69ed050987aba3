//! Reads and writes the file type identifier, the first 64 KiB of a file ([MS-VHDX] 2.2.1).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature "vhdxfile"                                          |
//!   8 | creator: 256 UTF-16 code units, up to the first NUL           |
//! 520 | reserved, up to 65536                                         |
//! ```

use nom::Parser;
use nom::bytes::complete::tag;

use super::bytes::{Encoder, Parsed, array};
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

/// The number of bytes that the file reserves for the identifier.
pub const SIZE: usize = 64 << 10;
/// The number of bytes that contain the signature and the creator.
pub const DATA_SIZE: usize = SIGNATURE.len() + CREATOR_SIZE;

const SIGNATURE: &[u8; 8] = b"vhdxfile";
const CREATOR_SIZE: usize = 512;

/// The identifier of a VHDX file, with the name of the program that made it ([MS-VHDX] 2.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTypeIdentifier {
    /// The program that made the file, as information only. At most 256 UTF-16 code units are stored.
    pub creator: String,
}

impl FileTypeIdentifier {
    /// Parses the first [`DATA_SIZE`] bytes. Invalid UTF-16 in the creator is replaced, because no decision depends on
    /// the creator.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fields: Parsed<'_, _> = (tag(SIGNATURE.as_slice()), array::<CREATOR_SIZE>).parse(bytes);
        let (_, (_, creator)) = fields.ok()?;
        let (pairs, _) = creator.as_chunks::<2>();
        let units: Vec<u16> =
            pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|&unit| unit != 0).collect();
        Some(Self { creator: String::from_utf16_lossy(&units) })
    }

    /// Returns the first [`DATA_SIZE`] bytes; the rest are zero. A creator that is too long is cut between characters.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.put(SIGNATURE);
        let mut room = CREATOR_SIZE / 2;
        for character in self.creator.chars() {
            let Some(left) = room.checked_sub(character.len_utf16()) else { break };
            room = left;
            for unit in character.encode_utf16(&mut [0; 2]) {
                encoder.u16(*unit);
            }
        }
        encoder.pad_to(DATA_SIZE);
        encoder.into_vec()
    }

    /// Parses and validates the first bytes of a file: at least [`DATA_SIZE`], or the whole file if it is shorter.
    pub fn validate(bytes: &[u8], violations: &mut Violations) -> Option<Self> {
        let at = |rule| Violation::new(Structure::FileTypeIdentifier, FileOffset::new(0), rule);
        if !bytes.starts_with(SIGNATURE) {
            violations.report(at(Rule::FileSignature));
            return None;
        }
        let identifier = Self::parse(bytes);
        if identifier.is_none() {
            violations.report(at(Rule::Truncated));
        }
        identifier
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::validated;
    use super::*;

    fn validate(bytes: &[u8]) -> (Option<String>, Vec<Rule>) {
        validated(|violations| {
            FileTypeIdentifier::validate(bytes, violations).map(|identifier| identifier.creator)
        })
    }

    #[test]
    fn golden_bytes() {
        let bytes = FileTypeIdentifier { creator: "Vé".into() }.encode();
        assert_eq!(bytes.len(), 520);
        assert_eq!(bytes[..14], *b"vhdxfileV\0\xe9\0\0\0");
        assert!(bytes[14..].iter().all(|&byte| byte == 0));
        assert_eq!(validate(&bytes), (Some("Vé".into()), vec![]));
    }

    #[test]
    fn a_long_creator_is_cut_between_characters() {
        for creator in ["x".repeat(256), "x".repeat(254) + "🖴"] {
            assert_eq!(validate(&FileTypeIdentifier { creator: creator.clone() }.encode()).0, Some(creator));
        }
        let creator = "x".repeat(255) + "🖴y";
        assert_eq!(validate(&FileTypeIdentifier { creator }.encode()).0, Some("x".repeat(255)));
    }

    #[test]
    fn invalid_utf16_in_the_creator_is_replaced() {
        let mut bytes = FileTypeIdentifier::default().encode();
        bytes[8..14].copy_from_slice(&[0x00, 0xd8, b'a', 0, 0, 0]);
        assert_eq!(validate(&bytes), (Some("\u{fffd}a".into()), vec![]));
    }

    #[test]
    fn other_files_and_short_ones_are_rejected() {
        let bytes = FileTypeIdentifier::default().encode();
        for position in 0..8 {
            let mut bytes = bytes.clone();
            bytes[position] ^= 1;
            assert_eq!(validate(&bytes), (None, vec![Rule::FileSignature]), "{position}");
        }
        for len in 0..DATA_SIZE {
            let rule = if len < 8 { Rule::FileSignature } else { Rule::Truncated };
            assert_eq!(validate(&bytes[..len]), (None, vec![rule]), "{len}");
        }
    }
}
