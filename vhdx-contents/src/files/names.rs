//! Names in UTF-16, and which of them are equal.

/// Returns UTF-16 as UTF-8. An unpaired surrogate becomes the three bytes that UTF-8 would have for its number, so that
/// different names stay different.
pub(super) fn to_utf8(units: &[u16]) -> Vec<u8> {
    let mut name = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(letter) => name.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(unpaired) => name.extend_from_slice(&three_bytes(unpaired.unpaired_surrogate())),
        }
    }
    name
}

fn three_bytes(unit: u16) -> [u8; 3] {
    // Each part has at most six bits, so no bit is lost.
    let part = |shift: u32| ((unit >> shift) & 0x3f) as u8;
    [0xe0 | ((unit >> 12) as u8), 0x80 | part(6), 0x80 | part(0)]
}

/// Returns the name of an [`Entry`](super::Entry) as UTF-16, with unpaired surrogates if NTFS has stored them.
///
/// Returns `None` if the name is not from a file system that stores UTF-16, and is no UTF-8.
pub fn to_utf16(name: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
    }
    if name.utf8_chunks().all(|chunk| chunk.invalid().is_empty()) {
        return Some(units);
    }
    with_surrogates(name)
}

fn with_surrogates(mut name: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(name.len());
    while !name.is_empty() {
        let valid = name.utf8_chunks().next()?.valid();
        units.extend(valid.encode_utf16());
        name = name.get(valid.len()..)?;
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] = name {
            units.push(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f));
            name = rest;
        } else if !name.is_empty() {
            return None;
        }
    }
    Some(units)
}

/// Which letters are equal in names: a table of upper-case letters.
pub(super) enum UpperCase {
    /// The table of the volume: the upper case of each UTF-16 unit.
    Table(Vec<u16>),
    /// That of Unicode, for letters whose upper case is one letter.
    Unicode,
}

impl UpperCase {
    fn of(&self, unit: u16) -> u16 {
        match self {
            // A unit past the end of a short table is its own upper case.
            UpperCase::Table(table) => table.get(usize::from(unit)).copied().unwrap_or(unit),
            UpperCase::Unicode => {
                let Some(letter) = char::from_u32(unit.into()) else { return unit };
                let mut upper = letter.to_uppercase();
                match (upper.next().map(|upper| u16::try_from(u32::from(upper))), upper.next()) {
                    (Some(Ok(upper)), None) => upper,
                    _ => unit,
                }
            }
        }
    }

    /// Whether two names are equal but for the case of their letters.
    pub(super) fn is_same(&self, one: &[u8], other: &[u8]) -> bool {
        if one == other {
            return true;
        }
        let (Some(one), Some(other)) = (to_utf16(one), to_utf16(other)) else { return false };
        one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| self.of(*a) == self.of(*b))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_utf16_survives(units: Vec<u16>) {
            let name = to_utf8(&units);
            prop_assert_eq!(to_utf16(&name), Some(units));
        }

        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            if let Some(units) = to_utf16(&bytes) {
                // Two surrogates that were encoded one by one become one letter.
                prop_assert_eq!(to_utf16(&to_utf8(&units)), Some(units));
            }
        }
    }

    #[test]
    fn letters_and_unpaired_surrogates() {
        assert_eq!(to_utf8(&[0xd83d, 0xde00, 0x41]), "\u{1f600}A".as_bytes());
        assert_eq!(to_utf8(&[0xd800, 0x41]), [0xed, 0xa0, 0x80, 0x41]);
        assert_eq!(to_utf16(b"\xed\xa0\x80A"), Some(vec![0xd800, 0x41]));
        assert_eq!(to_utf16(b"\xff"), None);
    }

    #[test]
    fn names_are_equal_in_any_case() {
        let unicode = UpperCase::Unicode;
        assert!(unicode.is_same("Grüße".as_bytes(), "GRÜßE".as_bytes()));
        assert!(!unicode.is_same(b"a", b"b") && !unicode.is_same(b"a", b"aa"));
        let table = UpperCase::Table((0..128).map(|unit| if unit == 97 { 65 } else { unit }).collect());
        assert!(table.is_same(b"a", b"A") && !table.is_same(b"b", b"B"));
        assert!(table.is_same("é".as_bytes(), "é".as_bytes()));
    }
}
