//! Digests of random chains are those of their bytes.

use std::num::NonZero;
use std::ops::ControlFlow;

use proptest::prelude::*;
use sha2::Digest as _;
use vhdx::ops::{DigestRun, HashAlgorithm, hash, hash_blocks};
use vhdx::{Chain, Jobs, NoProgress};
use vhdx_testkit::chains;

use crate::common::{cases, chain};

fn jobs(threads: usize) -> Jobs {
    Jobs::new(NonZero::new(threads).unwrap())
}

fn direct(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
    match algorithm {
        HashAlgorithm::Sha256 => {
            sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        }
        _ => blake3::hash(bytes).to_hex().to_string(),
    }
}

fn each_block(chain: &Chain, algorithm: HashAlgorithm, block_size: u64, threads: usize) -> Vec<String> {
    let mut digests = Vec::new();
    hash_blocks(chain, algorithm, block_size, jobs(threads), &NoProgress, &mut |run| {
        let DigestRun { first, count, digest } = run;
        assert_eq!(first, digests.len() as u64);
        digests.extend((0..count).map(|_| digest.to_string()));
        ControlFlow::Continue(())
    })
    .unwrap();
    digests
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn digests_of_chains_are_those_of_the_model(model in chains(6), power in 12u32..24) {
        let disks = model.disks();
        let (expected, chain) = (disks.last().unwrap(), chain(&model));
        for algorithm in HashAlgorithm::ALL {
            let digest = direct(algorithm, expected);
            let blocks: Vec<String> =
                expected.chunks(1 << power).map(|block| direct(algorithm, block)).collect();
            for threads in [1, 8] {
                let found = hash(&chain, algorithm, jobs(threads), &NoProgress).unwrap();
                prop_assert_eq!(found.to_string(), digest.as_str());
                prop_assert!(each_block(&chain, algorithm, 1 << power, threads) == blocks);
            }
        }
    }
}
