//! Random chains of `../shared/oracle/mkchain.py`, an independent generator, read like its oracle; and an independent
//! reader reads our own chains like our model.
//!
//! `VHDX_ORACLE_CHAINS` says how many chains; the default is a sample.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{assert_same, cases, read_all};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sha2::{Digest, Sha256};
use vhdx::{Chain, FolderResolver};
use vhdx_testkit::{Random, chains, shared};

const DEFAULT_CHAINS: u64 = 16;

/// Returns a new folder, in memory where the host offers that: the chains have gigabytes, and are read only once.
fn folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
}

fn wanted_chains() -> u64 {
    let wanted = std::env::var("VHDX_ORACLE_CHAINS");
    wanted.map_or(DEFAULT_CHAINS, |count| count.parse().expect("VHDX_ORACLE_CHAINS is a number"))
}

/// The arguments for chain `number`: block sizes of 1 to 256 MiB in turn, everything else at random.
fn arguments(number: u64) -> Vec<String> {
    let mut random = Random::new(number);
    let block_mib = 1u64 << (number % 9);
    let sector = [512, 4096][random.below(2)];
    // Disks of a few blocks, and never of more than two when they are large: the oracle is a plain file.
    let blocks = 2 + random.below(6) as u64;
    let size_mib = (block_mib * blocks).min((2 * block_mib).max(24));
    let sectors = format!("{sector}");
    let block = format!("{block_mib}M");
    let run = [&sectors, &format!("{sector}-64K"), "64K-2M", &block][random.below(4)].to_owned();
    let child_mib = 1 + random.below(4) as u64 + if run == block { block_mib } else { 0 };
    let pairs = [
        ("--size", format!("{size_mib}M")),
        ("--block", block.clone()),
        ("--sector", sectors.clone()),
        ("--depth", (1 + number % 8).to_string()),
        ("--base-fill", ["0", "0.3", "1"][random.below(3)].to_owned()),
        ("--child-bytes", format!("{}M", child_mib.min(size_mib))),
        ("--run", run),
        ("--align", sectors.clone()),
        ("--full", ["0.0", "0.5"][random.below(2)].to_owned()),
        ("--alloc", ["shuffled", "sequential"][random.below(2)].to_owned()),
        ("--seed", number.to_string()),
    ];
    pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

#[test]
fn chains_of_another_generator_read_like_its_oracle() {
    let Some(oracle) = shared::folder("oracle/mkchain.py") else { return };
    let Some(()) = shared::program("python3") else { return };
    for number in 1..=wanted_chains() {
        let folder = folder();
        let arguments = arguments(number);
        let made = Command::new("python3").arg(&oracle).arg(folder.path()).args(&arguments).output().unwrap();
        assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
        let depth = 1 + number % 8;
        let leaf = folder.path().join(format!("d{depth:02}.avhdx"));
        let chain = Chain::open(&leaf, &FolderResolver::default()).unwrap();
        assert_eq!(chain.layers().len() as u64, depth + 1);
        assert_reads_like(&chain, &folder.path().join("oracle.raw"), &format!("{arguments:?}"));
    }
}

fn assert_reads_like(chain: &Chain, oracle: &Path, what: &str) {
    use std::io::Read;
    let mut oracle = fs::File::open(oracle).unwrap();
    assert_eq!(chain.virtual_size(), oracle.metadata().unwrap().len(), "{what}");
    let (mut found, mut expected) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    for start in (0..chain.virtual_size()).step_by(found.len()) {
        let len = (chain.virtual_size() - start).min(found.len() as u64) as usize;
        chain.read_exact_at(&mut found[..len], crate::common::at(start)).unwrap();
        oracle.read_exact(&mut expected[..len]).unwrap();
        if found[..len] != expected[..len] {
            assert_same(&found[..len], &expected[..len], &format!("from {start:#x} of {what}"));
        }
    }
}

#[test]
fn our_chains_are_read_by_another_reader() {
    let Some(reader) = shared::folder("oracle/dump_vhdx.py") else { return };
    let Some(()) = shared::program("python3") else { return };
    let mut runner = TestRunner::deterministic();
    for _ in 0..cases(12).cases {
        let model = chains(4).new_tree(&mut runner).unwrap().current();
        let folder = folder();
        let leaf = model.write_to(folder.path()).unwrap().remove(0);
        let read = Command::new("python3").arg(&reader).arg("read-sha256").arg(&leaf).output().unwrap();
        assert!(read.status.success(), "{model:?}: {}", String::from_utf8_lossy(&read.stderr));
        let disk = model.disks().pop().unwrap();
        let expected: String = Sha256::digest(&disk).iter().map(|byte| format!("{byte:02x}")).collect();
        let found = String::from_utf8(read.stdout).unwrap();
        assert_eq!(found.split_whitespace().next(), Some(expected.as_str()), "{model:?}");
        assert_same(&read_all(&Chain::open(&leaf, &FolderResolver::default()).unwrap()), &disk, "our reader");
    }
}
