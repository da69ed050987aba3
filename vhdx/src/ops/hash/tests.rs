use std::num::NonZero;
use std::ops::ControlFlow;

use super::*;
use crate::disk::Disk;
use crate::error::{Error, InvalidArgument, Result};
use crate::ops::testing::{Meter, Plain};
use crate::progress::NoProgress;
use crate::transfer::Jobs;

const MIB: usize = 1 << 20;

fn jobs(threads: usize) -> Jobs {
    Jobs::new(NonZero::new(threads).unwrap())
}

/// Returns the digest of bytes by a direct call of the hash function.
fn direct(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
    use sha2::Digest as _;
    match algorithm {
        HashAlgorithm::Blake3 => blake3::hash(bytes).to_hex().to_string(),
        HashAlgorithm::Sha256 => {
            sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

fn runs(
    disk: &dyn Disk,
    algorithm: HashAlgorithm,
    block_size: u64,
    threads: usize,
) -> Result<Vec<DigestRun>> {
    let mut runs = Vec::new();
    hash_blocks(disk, algorithm, block_size, jobs(threads), &NoProgress, &mut |run| {
        runs.push(run);
        ControlFlow::Continue(())
    })?;
    Ok(runs)
}

/// Returns the digest of each block, and checks that no run could be longer.
fn each_block(runs: &[DigestRun]) -> Vec<String> {
    let mut digests = Vec::new();
    for run in runs {
        assert_eq!(run.first, digests.len() as u64);
        assert!(run.count > 0);
        digests.extend((0..run.count).map(|_| run.digest.to_string()));
    }
    assert!(runs.windows(2).all(|pair| pair[0].digest != pair[1].digest), "{runs:?}");
    digests
}

fn disks() -> Vec<Plain> {
    let sizes =
        [0, 1, 512, 1023, 1024, 1025, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB, 4 * MIB + 512];
    let mut disks = Vec::new();
    for len in sizes.into_iter().chain([8 * MIB - 512, 8 * MIB, 9 * MIB + 1536]) {
        let at = |at: usize| at.min(len);
        disks.push(Plain::new(len, &[]));
        disks.push(Plain::new(len, &[(0, len)]));
        disks.push(Plain::new(len, &[(at(512), at(1024)), (at(MIB - 512), at(MIB + 512))]));
        disks.push(Plain::new(len, &[(at(70_000), at(70_001)), (at(4 * MIB - 1), at(4 * MIB + 1))]));
        // Data that are zeros.
        let mut zeros = Plain::new(len, &[(at(4096), at(8192))]);
        zeros.data.push((at(2 * MIB), at(6 * MIB)));
        disks.push(zeros);
    }
    for disk in &mut disks {
        disk.data.retain(|(start, end)| start < end);
    }
    disks
}

#[test]
fn the_digest_is_that_of_all_bytes() {
    for disk in disks() {
        for algorithm in HashAlgorithm::ALL {
            let expected = direct(algorithm, &disk.bytes);
            for threads in [1, 8] {
                let meter = Meter::new();
                let digest = hash(&disk, algorithm, jobs(threads), &meter).unwrap();
                assert_eq!(digest.to_string(), expected, "{algorithm:?} of {}", disk.bytes.len());
                assert_eq!(meter.total(), disk.virtual_size());
            }
        }
    }
}

#[test]
fn each_block_has_the_digest_of_its_bytes() {
    for disk in disks() {
        for algorithm in HashAlgorithm::ALL {
            for block_size in [4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20] {
                let expected: Vec<String> =
                    disk.bytes.chunks(block_size).map(|block| direct(algorithm, block)).collect();
                let one = runs(&disk, algorithm, block_size as u64, 1).unwrap();
                assert!(each_block(&one) == expected, "{block_size} of {}", disk.bytes.len());
                assert_eq!(one, runs(&disk, algorithm, block_size as u64, 8).unwrap());
            }
        }
    }
}

#[test]
fn the_progress_of_blocks_counts_the_data() {
    let disk = Plain::new(9 * MIB, &[(512, 1024), (2 * MIB, 5 * MIB), (9 * MIB - 1, 9 * MIB)]);
    let meter = Meter::new();
    let each = &mut |_| ControlFlow::Continue(());
    hash_blocks(&disk, HashAlgorithm::Blake3, 64 << 10, jobs(4), &meter, each).unwrap();
    assert_eq!(meter.total(), 512 + 3 * MIB as u64 + 1);
}

#[test]
fn other_block_sizes_are_refused() {
    let disk = Plain::new(MIB, &[]);
    for size in [0, 1, 512, 2048, 4097, 3 << 20, (1 << 30) + 1, 2 << 30, u64::MAX] {
        let refused = runs(&disk, HashAlgorithm::Blake3, size, 1).unwrap_err();
        assert!(
            matches!(refused, Error::InvalidArgument(InvalidArgument::HashBlockSize(of)) if of == size),
            "{refused}"
        );
    }
}

#[test]
fn the_caller_can_end_it_early() {
    let disk = Plain::new(64 * MIB, &[(0, 64 * MIB)]);
    for threads in [1, 8] {
        let (mut seen, meter) = (0, Meter::new());
        hash_blocks(&disk, HashAlgorithm::Blake3, 64 << 10, jobs(threads), &meter, &mut |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        let done = meter.done.load(std::sync::atomic::Ordering::SeqCst);
        assert!(seen == 2 && done < 40 * MIB as u64, "{seen} runs, {done} bytes");
    }
}

#[test]
fn hashing_can_be_cancelled() {
    let disk = Plain::new(8 * MIB, &[(0, 8 * MIB)]);
    for algorithm in HashAlgorithm::ALL {
        for threads in [1, 4] {
            let limit = || Meter::cancelling_at(2 << 20);
            let whole = hash(&disk, algorithm, jobs(threads), &limit());
            assert!(matches!(whole, Err(Error::Cancelled)), "{whole:?}");
            let each = &mut |_| ControlFlow::Continue(());
            let blocks = hash_blocks(&disk, algorithm, 64 << 10, jobs(threads), &limit(), each);
            assert!(matches!(blocks, Err(Error::Cancelled)), "{blocks:?}");
        }
    }
}
