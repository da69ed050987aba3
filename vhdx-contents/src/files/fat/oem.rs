//! Short names, in code page 437.

/// The letters of the bytes from 128 on.
const LETTERS: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Returns a short name: eight bytes and an extension of three, padded with spaces.
///
/// `case` says which of the two is shown in lower case.
pub(super) fn name(short: &[u8], case: Option<u8>) -> Vec<u8> {
    let (base, extension) = short.split_at(short.len().min(8));
    let is_lower = |bit: u8| case.is_some_and(|case| case & bit != 0);
    let mut name = part(base, is_lower(0x08));
    let extension = part(extension, is_lower(0x10));
    if !extension.is_empty() {
        name.push('.');
        name += &extension;
    }
    name.into_bytes()
}

fn part(bytes: &[u8], is_lower: bool) -> String {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let letter = |(at, byte): (usize, &u8)| match byte {
        // The first byte of a name cannot be 0xe5, which marks a deleted entry.
        0x05 if at == 0 => letter(0xe5),
        byte => letter(*byte),
    };
    let text: String = bytes.iter().take(end).enumerate().map(letter).collect();
    if is_lower { text.to_ascii_lowercase() } else { text }
}

fn letter(byte: u8) -> char {
    match byte.checked_sub(128) {
        None => byte.into(),
        Some(index) => LETTERS.chars().nth(index.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        assert_eq!(LETTERS.chars().count(), 128);
        assert_eq!(name(b"README  TXT", Some(0)), b"README.TXT");
        assert_eq!(name(b"README  TXT", Some(0x18)), b"readme.txt");
        assert_eq!(name(b"A B        ", None), b"A B");
        assert_eq!(name(b"\x81BER    \x8e  ", None), "üBER.Ä".as_bytes());
        assert_eq!(name(b"\x05          ", None), "σ".as_bytes());
    }
}
