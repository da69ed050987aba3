//! Turns stored labels and identifiers into text.

use uuid::Uuid;

/// Returns a label of 8-bit characters: up to a zero byte, and without white space at its end. Returns `None` if
/// nothing is left.
pub(super) fn label(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next()?;
    trimmed(&String::from_utf8_lossy(bytes))
}

/// Returns a label of little-endian UTF-16, as [`label`] does.
pub(super) fn label_utf16_le(bytes: &[u8]) -> Option<String> {
    label_utf16(bytes, u16::from_le_bytes)
}

/// Returns a label of big-endian UTF-16, as [`label`] does.
pub(super) fn label_utf16_be(bytes: &[u8]) -> Option<String> {
    label_utf16(bytes, u16::from_be_bytes)
}

fn label_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(unit);
    let units = units.take_while(|unit| *unit != 0);
    let text: String =
        char::decode_utf16(units).map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    trimmed(&text)
}

fn trimmed(text: &str) -> Option<String> {
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns a UUID whose bytes are stored in the order in which they are printed. Returns `None` if all are zero.
pub(super) fn uuid(bytes: [u8; 16]) -> Option<String> {
    (bytes != [0; 16]).then(|| Uuid::from_bytes(bytes).hyphenated().to_string())
}

/// Returns a serial number of 32 bits as FAT and exFAT print it, such as `4F2A-77C1`.
pub(super) fn serial_32(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}
