//! The encodings of an XML file, and offsets in it.

use std::borrow::Cow;

use crate::error::{Damage, Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Returns the encoding, and the length of the byte order mark in bytes.
fn detect(bytes: &[u8]) -> (Encoding, usize) {
    match bytes {
        [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        [b'<' | b' ' | b'\t' | b'\r' | b'\n', 0, ..] => (Encoding::Utf16Le, 0),
        [0, b'<' | b' ' | b'\t' | b'\r' | b'\n', ..] => (Encoding::Utf16Be, 0),
        _ => (Encoding::Utf8, 0),
    }
}

/// Returns whether the first bytes of a file can begin an XML document: white space, then `<`.
pub(crate) fn looks_like_xml(start: &[u8]) -> bool {
    let (encoding, mark) = detect(start);
    let Some(rest) = start.get(mark..) else { return false };
    let (pairs, _) = rest.as_chunks::<2>();
    let mut units: Box<dyn Iterator<Item = u16>> = match encoding {
        Encoding::Utf8 => Box::new(rest.iter().copied().map(u16::from)),
        Encoding::Utf16Le => Box::new(pairs.iter().copied().map(u16::from_le_bytes)),
        Encoding::Utf16Be => Box::new(pairs.iter().copied().map(u16::from_be_bytes)),
    };
    let is_space = |unit: &u16| b" \t\r\n".iter().any(|space| u16::from(*space) == *unit);
    units.find(|unit| !is_space(unit)) == Some(u16::from(b'<'))
}

/// A file as text.
pub(super) struct Decoded<'a> {
    text: Cow<'a, str>,
    encoding: Encoding,
    /// The length of the byte order mark in bytes.
    mark: usize,
}

impl<'a> Decoded<'a> {
    /// Decodes a file.
    ///
    /// # Errors
    /// [`Damage::XmlEncoding`] at the first byte that cannot be decoded.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self> {
        let (encoding, mark) = detect(bytes);
        let broken = |decoded: usize| {
            let offset = mark.checked_add(decoded).and_then(|offset| u64::try_from(offset).ok());
            Error::corrupt(offset.unwrap_or(u64::MAX), Damage::XmlEncoding) // out of range only past all offsets
        };
        let rest = bytes.get(mark..).ok_or_else(|| broken(0))?;
        let text = match encoding {
            Encoding::Utf8 => {
                Cow::Borrowed(std::str::from_utf8(rest).map_err(|error| broken(error.valid_up_to()))?)
            }
            Encoding::Utf16Le => Cow::Owned(of_utf16(rest, u16::from_le_bytes).map_err(broken)?),
            Encoding::Utf16Be => Cow::Owned(of_utf16(rest, u16::from_be_bytes).map_err(broken)?),
        };
        Ok(Self { text, encoding, mark })
    }

    /// Returns the text without a byte order mark.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns a converter of offsets in the text to offsets in the file.
    pub(super) fn offsets(&self) -> Offsets<'_> {
        let in_file = u64::try_from(self.mark).unwrap_or(0); // at most 3
        Offsets { rest: &self.text, is_utf8: self.encoding == Encoding::Utf8, in_text: 0, in_file }
    }
}

/// Decodes UTF-16.
///
/// # Errors
/// The number of bytes before the first unit that cannot be decoded.
fn of_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> std::result::Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    let mut decoded = 0usize;
    for c in char::decode_utf16(pairs.iter().copied().map(unit)) {
        let c = c.map_err(|_| decoded)?;
        text.push(c);
        decoded = decoded.saturating_add(c.len_utf16().saturating_mul(2)); // at most the length of a slice
    }
    if rest.is_empty() { Ok(text) } else { Err(decoded) }
}

/// Converts ascending offsets in the decoded text to offsets in the file. Each character is counted once.
pub(super) struct Offsets<'a> {
    rest: &'a str,
    is_utf8: bool,
    in_text: u64,
    in_file: u64,
}

impl Offsets<'_> {
    /// Returns the offset in the file of an offset in the text. An offset before the last one stands for the last one.
    pub(super) fn of(&mut self, in_text: u64) -> u64 {
        let step = in_text.checked_sub(self.in_text).and_then(|step| usize::try_from(step).ok());
        let Some((passed, rest)) = step.and_then(|step| self.rest.split_at_checked(step)) else {
            return self.in_file;
        };
        let units = match self.is_utf8 {
            true => passed.len(),
            false => passed.chars().map(char::len_utf16).sum::<usize>().saturating_mul(2), // at most the file's length
        };
        self.rest = rest;
        self.in_text = in_text;
        // An offset for warnings only. The file's length fits, so the offset does.
        self.in_file = u64::try_from(units)
            .ok()
            .and_then(|units| self.in_file.checked_add(units))
            .unwrap_or(self.in_file);
        self.in_file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_file() {
        let text = "<ä>\u{1f600}</ä>";
        let utf16: Vec<u16> = text.encode_utf16().collect();
        let le: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(utf16.iter().flat_map(|u| u.to_le_bytes())).collect();
        let be: Vec<u8> = utf16.iter().flat_map(|u| u.to_be_bytes()).collect();
        for (bytes, expected) in [(le, [2, 8, 12]), (be, [0, 6, 10]), (text.into(), [0, 4, 8])] {
            assert!(looks_like_xml(&bytes));
            let decoded = Decoded::new(&bytes).unwrap();
            assert_eq!(decoded.text(), text);
            let mut offsets = decoded.offsets();
            assert_eq!([0, 4, 8].map(|at| offsets.of(at)), expected);
        }
    }

    #[test]
    fn broken_encodings_are_found() {
        let offset = |bytes: &[u8]| Decoded::new(bytes).err().and_then(|error| error.offset());
        assert_eq!(offset(b"<a>\xff"), Some(3));
        assert_eq!(offset(b"\xff\xfe<\0a"), Some(4));
        assert_eq!(offset(b"\xff\xfe<\0\x00\xd8a\0"), Some(4));
        assert_eq!(offset(b""), None);
        assert!(
            !looks_like_xml(b"")
                && !looks_like_xml(b"  ")
                && !looks_like_xml(b"\xff\xfe")
                && !looks_like_xml(b"a<")
        );
    }
}
