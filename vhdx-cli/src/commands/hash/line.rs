//! The lines of a manifest, and how they are written and parsed.
//!
//! Each line has exactly one form. A line in any other form is refused: it was not written by this program.

use serde_json::{Map, Value};
use vhdx::InvalidArgument;
use vhdx::ops::{Digest, DigestRun, HashAlgorithm, MAX_HASH_BLOCK_SIZE, MIN_HASH_BLOCK_SIZE};

const FORMAT: &str = "vhdx block digests";
const VERSION: u64 = 1;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: HashAlgorithm,
    pub(super) block_size: u64,
    /// The size of the disk in bytes.
    pub(super) virtual_size: u64,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The number of blocks of the disk.
    pub(super) blocks: u64,
    /// The digest of all lines before.
    pub(super) digest: Digest,
}

/// A line after the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Run(DigestRun),
    End(End),
}

/// Why a line is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what this program writes.
    Invalid(String),
    /// It belongs to another version of the format.
    Version(u64),
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}

const NOT_CANONICAL: &str = "the line is not in the form in which `vhdx hash` writes it";

impl Header {
    pub(super) fn new(
        algorithm: HashAlgorithm,
        block_size: u64,
        virtual_size: u64,
    ) -> Result<Self, vhdx::Error> {
        let is_valid =
            block_size.is_power_of_two() && (MIN_HASH_BLOCK_SIZE..=MAX_HASH_BLOCK_SIZE).contains(&block_size);
        if !is_valid {
            return Err(InvalidArgument::HashBlockSize(block_size).into());
        }
        Ok(Self { algorithm, block_size, virtual_size })
    }

    /// Returns the number of blocks of the disk.
    pub(super) fn blocks(&self) -> u64 {
        self.virtual_size.div_ceil(self.block_size)
    }

    pub(super) fn encode(&self) -> String {
        let Self { algorithm, block_size, virtual_size } = self;
        format!(
            "{{\"format\":\"{FORMAT}\",\"version\":{VERSION},\"algorithm\":\"{}\",\"block_size\":{block_size},\
             \"virtual_size\":{virtual_size}}}\n",
            algorithm.name()
        )
    }

    pub(super) fn decode(line: &[u8]) -> Result<Self, Fault> {
        let is_manifest = |keys: &Map<String, Value>| keys.get("format").is_some_and(|name| name == FORMAT);
        let keys = object(line).ok().filter(is_manifest);
        let keys = keys.ok_or("this is not a manifest of `vhdx hash`")?;
        match keys.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) => return Err(Fault::Version(version)),
            None => return Err("the manifest has no version".into()),
        }
        let name = keys.get("algorithm").and_then(Value::as_str);
        let algorithm = HashAlgorithm::ALL.into_iter().find(|algorithm| Some(algorithm.name()) == name);
        let algorithm = algorithm.ok_or("the algorithm is neither blake3 nor sha256")?;
        let (block_size, virtual_size) = (number(&keys, "block_size")?, number(&keys, "virtual_size")?);
        let header = Self::new(algorithm, block_size, virtual_size);
        let header = header.map_err(|error| Fault::Invalid(error.to_string()))?;
        (header.encode().as_bytes() == line).then_some(header).ok_or(NOT_CANONICAL.into())
    }
}

impl Line {
    pub(super) fn encode(&self) -> String {
        match self {
            Self::Run(DigestRun { first, count, digest }) => {
                format!("{{\"block\":{first},\"count\":{count},\"digest\":\"{digest}\"}}\n")
            }
            Self::End(End { blocks, digest }) => {
                format!("{{\"blocks\":{blocks},\"manifest_digest\":\"{digest}\"}}\n")
            }
        }
    }

    pub(super) fn decode(line: &[u8]) -> Result<Self, Fault> {
        let keys = object(line)?;
        let decoded = if keys.contains_key("manifest_digest") {
            Self::End(End { blocks: number(&keys, "blocks")?, digest: digest(&keys, "manifest_digest")? })
        } else {
            let (first, count) = (number(&keys, "block")?, number(&keys, "count")?);
            Self::Run(DigestRun { first, count, digest: digest(&keys, "digest")? })
        };
        (decoded.encode().as_bytes() == line).then_some(decoded).ok_or(NOT_CANONICAL.into())
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, Fault> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(keys)) => Ok(keys),
        _ => Err("the line is not a JSON object".into()),
    }
}

fn number(keys: &Map<String, Value>, key: &str) -> Result<u64, Fault> {
    let number = keys.get(key).and_then(Value::as_u64);
    number.ok_or_else(|| Fault::Invalid(format!("`{key}` is not a whole number")))
}

fn digest(keys: &Map<String, Value>, key: &str) -> Result<Digest, Fault> {
    let digest = keys.get(key).and_then(Value::as_str).and_then(Digest::from_hex);
    digest.ok_or_else(|| {
        Fault::Invalid(format!("`{key}` is not a digest of 64 hexadecimal digits in lower case"))
    })
}
