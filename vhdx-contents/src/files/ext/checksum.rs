//! The checksums of ext4 and of its journal.

/// Continues a CRC-32C. Unlike most users of this checksum, ext4 never inverts the result.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Continues the CRC-16 of group descriptors (polynomial 0x8005, lowest bit first).
pub(super) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 })
    })
}

/// Continues the CRC-32 of old journals (polynomial 0x04C1_1DB7, highest bit first, never inverted).
#[allow(clippy::indexing_slicing)] // a byte is always within the 256 entries
pub(super) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |sum, byte| {
        let [top, ..] = sum.to_be_bytes();
        sum << 8 ^ CRC32_BE[usize::from(top ^ byte)]
    })
}

const CRC32_BE: [u32; 256] = crc32_be_table();

#[allow(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)] // evaluated at compile time
const fn crc32_be_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes for which catalogues of checksums give the results.
    const CHECK: &[u8] = b"123456789";

    #[test]
    fn checksums_equal_those_of_the_catalogue() {
        assert_eq!(!crc32c(!0, CHECK), 0xE306_9283);
        assert_eq!(crc16(0, CHECK), 0xBB3D);
        assert_eq!(crc16(!0, CHECK), 0x4B37);
        assert_eq!(crc32_be(!0, CHECK), 0x0376_E6E7);
    }

    #[test]
    fn checksums_can_be_continued() {
        let (one, other) = CHECK.split_at(4);
        assert_eq!(crc32c(crc32c(7, one), other), crc32c(7, CHECK));
        assert_eq!(crc16(crc16(7, one), other), crc16(7, CHECK));
        assert_eq!(crc32_be(crc32_be(7, one), other), crc32_be(7, CHECK));
    }
}
