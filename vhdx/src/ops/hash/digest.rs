//! The hash functions, and the digests that they return.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::content::ZEROS;
use crate::units::at_most;

/// The bytes of a digest.
const LEN: usize = 32;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// BLAKE3, which several threads compute together, even for a single digest.
    Blake3,
    /// SHA-256 (FIPS 180-4). It uses the processor's instructions for it, if there are any.
    Sha256,
}

impl HashAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 2] = [Self::Blake3, Self::Sha256];

    /// Returns the name in lower case: `blake3` or `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }
}

/// A digest of 32 bytes. Its [`Display`](fmt::Display) is 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; LEN]);

impl Digest {
    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// Parses 64 hexadecimal digits in lower case.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect();
        Some(Self(bytes?.try_into().ok()?))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest is serialized as its text.
#[cfg(feature = "serde")]
impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Computes the digest of bytes that are given piece by piece.
///
/// # Examples
/// ```
/// use vhdx::ops::{HashAlgorithm, Hasher};
///
/// let mut hasher = Hasher::new(HashAlgorithm::Sha256);
/// hasher.update(b"a");
/// hasher.update(b"bc");
/// let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(hasher.finish().to_string(), hex);
/// ```
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl Hasher {
    /// Returns a hasher that has no bytes yet.
    pub fn new(algorithm: HashAlgorithm) -> Self {
        Self(match algorithm {
            HashAlgorithm::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
            HashAlgorithm::Sha256 => State::Sha256(Sha256::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
            State::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Adds `len` zeros.
    pub(super) fn update_zeros(&mut self, len: u64) {
        let mut left = len;
        while left > 0 {
            let now = at_most(left, ZEROS.len());
            self.update(&ZEROS[..now]);
            left -= now as u64; // not more than what is left
        }
    }

    /// Returns the digest of all bytes.
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Blake3(hasher) => hasher.finalize().into(),
            State::Sha256(hasher) => hasher.finalize().into(),
        })
    }
}

impl Digest {
    pub(super) const fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_printed_and_parsed_in_lower_case() {
        let hex = "00ff10abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123";
        assert_eq!(Digest::from_hex(hex).unwrap().to_string(), hex);
        let long = format!("{hex}00");
        let upper = hex.to_uppercase();
        for wrong in ["", "0", &hex[1..], &hex[2..], &long, &upper, &hex.replace("00ff", "0 ff")] {
            assert_eq!(Digest::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn known_digests() {
        let digest = |algorithm| Hasher::new(algorithm).finish().to_string();
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let blake3 = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest(HashAlgorithm::Sha256), sha256);
        assert_eq!(digest(HashAlgorithm::Blake3), blake3);
        for algorithm in HashAlgorithm::ALL {
            let (mut zeros, mut bytes) = (Hasher::new(algorithm), Hasher::new(algorithm));
            zeros.update_zeros(200_001);
            bytes.update(&[0; 200_001]);
            assert_eq!(zeros.finish(), bytes.finish());
        }
    }
}
