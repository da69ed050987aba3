//! Decompresses LZNT1, the compression of NTFS ([MS-XCA] 2.5).

/// What a chunk becomes.
const CHUNK: usize = 4096;

/// Decompresses `input` into exactly `len` bytes. Each chunk becomes 4096 bytes; shorter chunks are followed by zeros.
/// Returns `None` if the input is invalid.
pub(super) fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(len);
    while output.len() < len {
        let Some((header, rest)) = input.split_first_chunk::<2>() else { break };
        let header = u16::from_le_bytes(*header);
        if header == 0 {
            break;
        }
        let (chunk, rest) = rest.split_at_checked(usize::from(header & 0xfff) + 1)?;
        if header & 0x7000 != 0x3000 {
            return None;
        }
        let start = output.len();
        match header & 0x8000 {
            0 => output.extend_from_slice(chunk),
            _ => decompress_chunk(chunk, &mut output)?,
        }
        output.resize(start + CHUNK, 0);
        input = rest;
    }
    output.resize(len, 0);
    Some(output)
}

fn decompress_chunk(mut input: &[u8], output: &mut Vec<u8>) -> Option<()> {
    let start = output.len();
    while let Some((flags, rest)) = input.split_first() {
        input = rest;
        for bit in 0..8 {
            if input.is_empty() {
                return Some(());
            }
            let done = output.len() - start;
            if flags & (1 << bit) == 0 {
                let (literal, rest) = input.split_first()?;
                if done >= CHUNK {
                    return None;
                }
                output.push(*literal);
                input = rest;
                continue;
            }
            let (token, rest) = input.split_first_chunk::<2>()?;
            let token = u16::from_le_bytes(*token);
            input = rest;
            let len_bits = len_bits(done);
            let len = usize::from(token & ((1 << len_bits) - 1)) + 3;
            let distance = usize::from(token >> len_bits) + 1;
            if distance > done || done + len > CHUNK {
                return None;
            }
            repeat(output, distance, len)?;
        }
    }
    Some(())
}

/// How many bits of a token are the length. The further the position, the more bits the distance needs.
fn len_bits(position: usize) -> u32 {
    let distance_bits = usize::BITS - position.saturating_sub(1).leading_zeros();
    16 - distance_bits.clamp(4, 12)
}

/// Appends bytes that are `distance` before the end, which may be among those that are appended.
fn repeat(output: &mut Vec<u8>, distance: usize, len: usize) -> Option<()> {
    let from = output.len().checked_sub(distance)?;
    if distance >= len {
        output.extend_from_within(from..from + len);
    } else {
        for at in from..from + len {
            output.push(*output.get(at)?);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_of_each_kind() {
        // A literal `a`, then 11 bytes from one byte before.
        let compressed = [0x03, 0xb0, 0b10, b'a', 8, 0];
        let mut expected = vec![b'a'; 12];
        expected.resize(CHUNK, 0);
        assert_eq!(decompress(&compressed, CHUNK).unwrap(), expected);
        let stored = [0x01, 0x30, b'x', b'y'];
        assert_eq!(decompress(&stored, 4).unwrap(), [b'x', b'y', 0, 0]);
        assert_eq!(decompress(&[0, 0], 3).unwrap(), [0; 3]);
        let both: Vec<u8> = compressed.iter().chain(&stored).copied().collect();
        let both = decompress(&both, 2 * CHUNK).unwrap();
        assert_eq!((both[11], both[12], both[CHUNK], both[CHUNK + 1]), (b'a', 0, b'x', b'y'));
    }

    #[test]
    fn invalid_chunks() {
        assert_eq!(decompress(&[0x03, 0xb0, 0b1, 0, 0, 0], CHUNK), None); // refers to before the start
        assert_eq!(decompress(&[0xff, 0xbf, 0], CHUNK), None); // ends too early
        assert_eq!(decompress(&[0x00, 0x80, 0], CHUNK), None); // wrong signature
        assert_eq!(decompress(&[0x03, 0xb0, 0b10, b'a', 0xff, 0x0f], CHUNK), None); // longer than a chunk
    }

    #[test]
    fn the_length_has_fewer_bits_further_on() {
        assert_eq!([0, 1, 16, 17, 32, 33, 2048, 2049, 4095].map(len_bits), [12, 12, 12, 11, 11, 10, 5, 4, 4]);
    }

    proptest! {
        #[test]
        fn any_input_ends(input: Vec<u8>, len in 0_usize..100_000) {
            if let Some(output) = decompress(&input, len) {
                prop_assert_eq!(output.len(), len);
            }
        }
    }
}
