//! Defines the options of `hash`.

use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::{Args as ClapArgs, ValueEnum};
use vhdx::ops::HashAlgorithm;

use super::format::Format;
use super::option_groups::{Parents, Share, Threads};
use crate::sizes;

/// Print the digest of a disk or of each of its blocks, or check a disk against such digests
///
/// The digest is that of all bytes that a guest reads, not of the files: `vhdx convert DISK - | b3sum` prints the same
/// digest. With --blocks, a manifest of block digests is printed instead; blocks that no file holds take no time.
/// Exits with 1 if the disk differs from the manifest of --verify.
#[derive(Debug, ClapArgs)]
pub(crate) struct Hash {
    /// The disk: VHDX, AVHDX or raw
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) disk: PathBuf,
    /// The hash function [default: blake3]
    #[arg(long, value_name = "NAME")]
    pub(crate) algorithm: Option<Algorithm>,
    /// Print a manifest: one digest for each block of this size, a power of two from 4K to 1G
    #[arg(long, value_name = "SIZE", value_parser = sizes::parse)]
    pub(crate) blocks: Option<u64>,
    /// Check the disk against this manifest, and name the first block that differs; `-` reads it from stdin
    #[arg(long, value_name = "MANIFEST", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["algorithm", "blocks"])]
    pub(crate) verify: Option<PathBuf>,
    /// Format of the disk [default: recognized as in `convert`]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<Format>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) share: Share,
    #[command(flatten)]
    pub(crate) parents: Parents,
}

impl Hash {
    /// Returns the hash function of a digest or a new manifest.
    pub(crate) fn algorithm(&self) -> HashAlgorithm {
        match self.algorithm {
            None | Some(Algorithm::Blake3) => HashAlgorithm::Blake3,
            Some(Algorithm::Sha256) => HashAlgorithm::Sha256,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    Blake3,
    Sha256,
}
