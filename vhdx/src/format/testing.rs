//! Helpers for the tests of the structures.

use uuid::Uuid;

use crate::rules::Rule;
use crate::violation::Violations;

/// Decodes hexadecimal digits and ignores white space between them.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// Returns the result of `validate` and the rules that it reports.
pub(super) fn validated<T>(validate: impl FnOnce(&mut Violations) -> T) -> (T, Vec<Rule>) {
    let mut violations = Violations::new();
    let value = validate(&mut violations);
    (value, violations.as_slice().iter().map(|violation| violation.rule).collect())
}

/// Calls `check` once for each byte, with a copy of `bytes` in which one bit of that byte is flipped.
pub(super) fn for_each_flip(bytes: &[u8], mut check: impl FnMut(usize, &[u8])) {
    let mut bytes = bytes.to_vec();
    for position in 0..bytes.len() {
        let flip = 1 << (position % 8);
        bytes[position] ^= flip;
        check(position, &bytes);
        bytes[position] ^= flip;
    }
}

/// Returns a GUID whose bytes all differ.
pub(super) fn some_guid(first: u8) -> Uuid {
    Uuid::from_bytes(std::array::from_fn(|n| first.wrapping_add(n as u8)))
}
