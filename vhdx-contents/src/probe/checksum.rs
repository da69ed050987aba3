//! The checksums of superblocks.

/// Returns the CRC-32C of parts of a structure, one after the other.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Returns a CRC-32 with another initial value than usual, and without the usual inversion at the end.
pub(super) fn plain_crc32(initial: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!initial);
    hasher.update(bytes);
    !hasher.finalize()
}

/// Returns the sum of 32-bit words, with the carries added to it. Less than 4 bytes at the end are one smaller word.
pub(super) fn folded_sum(bytes: &[u8], word: fn([u8; 4]) -> u32) -> u32 {
    let words = bytes.chunks(4).map(|chunk| {
        let mut padded = [0; 4];
        padded.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u64::from(word(padded))
    });
    // Fewer than 2^32 words cannot overflow 64 bits.
    let sum = words.fold(0u64, u64::wrapping_add);
    let carry = sum >> 32;
    let [a, b, c, d, ..] = sum.wrapping_add(carry).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns the sum that rotates right by one bit before each byte is added, in 32 bits. exFAT uses it.
pub(super) fn rotating_sum_32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    bytes.fold(0u32, |sum, byte| sum.rotate_right(1).wrapping_add(u32::from(*byte)))
}

/// Returns the sum that rotates right by one bit before each byte is added, in 16 bits. ReFS uses it.
pub(super) fn rotating_sum_16<'a>(bytes: impl Iterator<Item = &'a u8>) -> u16 {
    bytes.fold(0u16, |sum, byte| sum.rotate_right(1).wrapping_add(u16::from(*byte)))
}

/// Returns the checksum of an APFS object without its first 8 bytes: Fletcher's over 32-bit words, arranged so that
/// both sums over the whole object are 0.
pub(super) fn fletcher_64(bytes: &[u8]) -> u64 {
    const MODULUS: u64 = 0xffff_ffff;
    let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_le_bytes);
    let (low, high) = words.fold((0u64, 0u64), |(low, high), word| {
        let low = low.wrapping_add(u64::from(word)) % MODULUS;
        (low, high.wrapping_add(low) % MODULUS)
    });
    // Each term is smaller than the modulus, so no sum overflows and no difference is negative.
    let first = MODULUS.wrapping_sub(low.wrapping_add(high) % MODULUS);
    let second = MODULUS.wrapping_sub(low.wrapping_add(first) % MODULUS);
    second << 32 | first
}

#[cfg(test)]
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod tests {
    use super::*;

    #[test]
    fn sums_carry_and_rotate() {
        assert_eq!(folded_sum(&[0xff; 8], u32::from_le_bytes), 0xffff_ffff);
        assert_eq!(folded_sum(&[1, 0, 0, 0, 2, 0], u32::from_le_bytes), 3);
        assert_eq!(rotating_sum_16([1, 0].iter()), 0x8000);
        assert_eq!(rotating_sum_32([1, 1].iter()), 0x8000_0001);
    }

    #[test]
    fn a_plain_crc_is_the_usual_one_before_its_inversion() {
        assert_eq!(plain_crc32(!0, b"123456789"), !0xcbf4_3926);
    }

    #[test]
    fn both_fletcher_sums_of_a_sealed_object_are_zero() {
        let body: Vec<u8> = (0..64u32).flat_map(|i| (i.wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect();
        let sealed = [body.as_slice(), &fletcher_64(&body).to_le_bytes()].concat();
        let words = sealed.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        let sums = words.fold((0u64, 0u64), |(low, high), word| {
            let low = (low + u64::from(word)) % 0xffff_ffff;
            (low, (high + low) % 0xffff_ffff)
        });
        assert_eq!(sums, (0, 0));
    }
}
