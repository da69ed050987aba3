//! The rows of the table in `docs/performance.md`.

mod cold;
mod cold_ways;
mod estate;
mod export;
mod flatten;
mod merge;
mod metadata;
mod read;
mod reflink;
mod remote;
mod stream;
mod ways;

use anyhow::Result;

use super::chain::Spec;
use super::{Comparison, Context};

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Makes the comparison. Prints a message and returns `None` if this machine cannot measure it.
    pub(crate) prepare: for<'a> fn(&'a Context) -> Result<Option<Comparison<'a>>>,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

macro_rules! rows {
    ($($name:literal, $about:literal, $prepare:expr;)*) => {
        &[$(Row { name: $name, about: $about, prepare: |context| $prepare(context).map(Into::into) }),*]
    };
}

/// The rows whose files are in the page cache.
pub(crate) const WARM: &[Row] = rows! {
    "merge-4k", "Merge in place, durable: runs of 4 KiB.",
        |c| merge::scattered(c, 4 * KIB, 4 * KIB, 1.3);
    "merge-64k", "Merge in place, durable: runs of 64 KiB.",
        |c| merge::scattered(c, 64 * KIB, 64 * KIB, 1.2);
    "merge-mixed", "Merge in place, durable: runs of 4 KiB to 1 MiB.",
        |c| merge::scattered(c, 4 * KIB, MIB, 1.2);
    "merge-whole", "Merge in place, durable: whole blocks of 32 MiB.", merge::whole;
    "merge-reflink", "Merge in place, durable: whole blocks of 32 MiB on XFS, which shares them.", reflink::merge;
    "merge-8", "Merge of 8 levels that have rewritten the same bytes.", merge::levels;
    "flatten-1", "A chain of depth 1 into an existing raw file.",
        |c| flatten::flatten(c, 1, MIB);
    "flatten-32", "A chain of depth 32 into an existing raw file.",
        |c| flatten::flatten(c, 32, MIB);
    "flatten-1-4k", "The same, depth 1, runs of 4 KiB.", |c| flatten::flatten(c, 1, 4 * KIB);
    "flatten-32-4k", "The same, depth 32, runs of 4 KiB.", |c| flatten::flatten(c, 32, 4 * KIB);
    "stream", "A disk to the standard output.", stream::stream;
    "read-1", "Sequential reads of 1 MiB through the library, depth 1.",
        |c| read::sequential(c, 1, MIB, 1.6);
    "read-32", "Sequential reads of 1 MiB through the library, depth 32.",
        |c| read::sequential(c, 32, MIB, 1.0);
    "read-32-4k", "Sequential reads of 1 MiB through the library, depth 32, runs of 4 KiB.",
        |c| read::sequential(c, 32, 4 * KIB, 0.5);
    "random-1", "Random reads of 4 KiB through the library, depth 1.", |c| read::random(c, 1);
    "random-32", "Random reads of 4 KiB through the library, depth 32.", |c| read::random(c, 32);
    "export-32m", "Dynamic VHDX with blocks of 32 MiB to a new raw file.", |c| export::export(c, 32 * MIB);
    "export-2m", "Dynamic VHDX with blocks of 2 MiB to a new raw file.", |c| export::export(c, 2 * MIB);
    "export-1m", "Dynamic VHDX with blocks of 1 MiB to a new raw file.", |c| export::export(c, MIB);
    "import-32m", "Raw to a new dynamic VHDX with blocks of 32 MiB.", |c| export::import(c, 32 * MIB);
    "import-2m", "Raw to a new dynamic VHDX with blocks of 2 MiB.", |c| export::import(c, 2 * MIB);
    "import-1m", "Raw to a new dynamic VHDX with blocks of 1 MiB.", |c| export::import(c, MIB);
    "info", "`info`, 20 times, of a disk of 64 TiB with blocks of 1 MiB and of one of 1 GiB.", metadata::info;
    "open-32", "Opening a chain of 32, and its first read.", metadata::open;
    "scan", "Scanning a sector bitmap of long runs, in memory.", metadata::scan;
    "plan", "Planning the merge of a disk of 64 TiB with 1 % of its blocks touched.", metadata::plan;
    "diff", "The changes between two points of a disk of 64 TiB, with 1 % of its blocks touched.", metadata::diff;
    "placement-1t", "Validating the places of all blocks of a disk of 1 TiB, and the conversion that includes it.",
        metadata::placement;
    "tree", "`tree` of 10,000 sparse disks in 500 families.", metadata::tree;
    "tree-10k", "`tree` of 10,000 sparse disks in 500 families with machines, 5 % damaged.",
        |c| estate::command(c, "vhdx tree", &["tree", "--quiet"]);
    "report-10k", "`report` of the same files.",
        |c| estate::command(c, "vhdx report", &["report", "--quiet"]);
    "prune-10k", "`prune --dry-run` of the same files.", estate::prune;
    "prune-8", "Prune of 8 neighbouring checkpoints that have rewritten the same bytes.", estate::neighbours;
    "remote-open", "A chain of depth 8 on a server that delays each request by 20 ms.", remote::open;
    "remote-read", "256 MiB of scattered data on a server that delays each request by 20 ms.", remote::read;
    "map-64t", "The map of a chain of 64 TiB with blocks of 1 MiB, in 2,000 cells.", estate::map;
};

/// The rows that empty the page cache before each run.
pub(crate) const COLD: &[Row] = rows! {
    "cold-stream-4k", "A cold chain of depth 8 to the standard output: runs of 4 KiB.",
        |c| cold::stream(c, 4 * KIB, 1.25);
    "cold-stream", "A cold chain of depth 8 to the standard output: runs of 4 KiB to 1 MiB.",
        |c| cold::stream(c, MIB, 1.1);
    "cold-raw", "A cold chain of depth 8 to a new raw file.", cold::to_raw;
    "cold-vhdx", "A cold chain of depth 8 to a new VHDX.", cold::to_vhdx;
    "cold-merge", "Merge of three cold levels in place, durable: runs of 4 KiB to 1 MiB.", cold::merge;
    "cold-reads", "Experiment: 100,000 scattered reads of 4 KiB from a cold file, in all ways.", cold::experiment;
};

/// Returns a chain to read.
///
/// It has blocks of 2 MiB, and 32 MiB in each level, in runs of at most `run_max` bytes.
fn deep(context: &Context, depth: usize, run_max: u64) -> Spec {
    Spec {
        size: context.scaled(GIB),
        block: 2 * MIB,
        depth,
        base_fill: 50,
        child_bytes: context.scaled(32 * MIB),
        run_min: 4 * KIB,
        run_max,
        whole: false,
        same_runs: false,
    }
}
