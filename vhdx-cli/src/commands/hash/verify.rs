//! `vhdx hash --verify`: checks a disk against a manifest.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{Digest, DigestRun, hash_blocks};
use vhdx::{Disk, DiskOffset, Error, InvalidArgument};

use super::disk;
use super::line::Header;
use super::manifest::{Reader, Unusable};
use crate::args::Hash;
use crate::commands::reading::Reading;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::sizes::{both, human};

pub(super) fn run(
    output: Output,
    ask: &Hash,
    path: &Path,
    mut reading: Reading<'_>,
) -> Result<Outcome, Failure> {
    let unusable = |error: Unusable| error.in_file(path);
    let mut manifest = Reader::new(open(path)?).map_err(unusable)?;
    let disk = disk::open(&mut reading, ask)?;
    let header = manifest.header;
    let virtual_size = disk.disk().virtual_size();
    let difference = match virtual_size == header.virtual_size {
        true => first_difference(output, ask, disk.disk(), &mut manifest).map_err(|error| match error {
            End::Disk(error) => error.into(),
            End::Manifest(error) => unusable(error),
        })?,
        false => None,
    };
    // Only an intact manifest says anything about the disk, even if a difference was found.
    manifest.read_to_end().map_err(unusable)?;
    let result = Verified { ask, path, header, virtual_size, difference };
    reading.answer(|| result.json(), |out| result.text(out))?;
    Ok(if result.is_equal() { Outcome::Done } else { Outcome::Found })
}

/// Opens a manifest. That in a file is read twice, so that a damaged one is found before the disk is read.
fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let failed = |error: io::Error| Failure::io("cannot open the manifest", &error).in_file(path);
    // A pipe must not be opened: that could wait forever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::from(InvalidArgument::NotARegularFile).in_file(path).into());
    }
    let file = File::open(path).map_err(failed)?;
    let first = Reader::new(BufReader::new(&file)).and_then(|mut manifest| manifest.read_to_end());
    first.map_err(|error| error.in_file(path))?;
    (&file).rewind().map_err(failed)?;
    Ok(Box::new(BufReader::new(file)))
}

/// The first block that differs.
struct Difference {
    block: u64,
    expected: Digest,
    found: Digest,
}

/// Why a comparison failed.
enum End {
    Disk(Error),
    Manifest(Unusable),
}

fn first_difference(
    output: Output,
    ask: &Hash,
    disk: &dyn Disk,
    manifest: &mut Reader<Box<dyn BufRead>>,
) -> Result<Option<Difference>, End> {
    let Header { algorithm, block_size, .. } = manifest.header;
    let mut comparing = Comparing { manifest, rest: None };
    let mut end = Ok(None);
    hash_blocks(disk, algorithm, block_size, ask.threads.jobs(), &Bar::new(output.quiet), &mut |run| {
        end = comparing.compare(run);
        if let Ok(None) = end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(End::Disk)?;
    end.map_err(End::Manifest)
}

struct Comparing<'a, R> {
    manifest: &'a mut Reader<R>,
    /// The blocks of the last line that were not compared yet.
    rest: Option<DigestRun>,
}

impl<R: BufRead> Comparing<'_, R> {
    /// Compares the next blocks of the disk with as many of the manifest.
    fn compare(&mut self, run: DigestRun) -> Result<Option<Difference>, Unusable> {
        let mut left = run.count;
        while left > 0 {
            let expected = match self.rest.take() {
                Some(rest) => Some(rest),
                None => self.manifest.next()?,
            };
            // The reader checks that a manifest has all blocks of a disk of this size.
            let missing = || self.manifest.at_line("blocks of the disk are missing".into());
            let expected = expected.ok_or_else(missing)?;
            if expected.digest != run.digest {
                let (block, expected, found) = (expected.first, expected.digest, run.digest);
                return Ok(Some(Difference { block, expected, found }));
            }
            let now = expected.count.min(left);
            left -= now;
            if expected.count > now {
                let (first, count) = (expected.first + now, expected.count - now);
                self.rest = Some(DigestRun { first, count, ..expected });
            }
        }
        Ok(None)
    }
}

struct Verified<'a> {
    ask: &'a Hash,
    path: &'a Path,
    header: Header,
    virtual_size: u64,
    difference: Option<Difference>,
}

impl Verified<'_> {
    fn is_equal(&self) -> bool {
        self.difference.is_none() && self.virtual_size == self.header.virtual_size
    }

    /// Returns the offset of a block of the manifest.
    fn offset(&self, block: u64) -> u64 {
        // The block lies on the disk, so this is in range.
        block.saturating_mul(self.header.block_size)
    }

    fn json(&self) -> Value {
        let difference = self.difference.as_ref();
        json!({
            "path": output::path(&self.ask.disk),
            "manifest": output::path(self.path),
            "equal": self.is_equal(),
            "first_difference": difference.map(|found| self.offset(found.block)),
            "block": difference.map(|found| found.block),
            "expected": difference.map(|found| found.expected.to_string()),
            "found": difference.map(|found| found.found.to_string()),
            "algorithm": self.header.algorithm.name(),
            "block_size": self.header.block_size,
            "virtual_sizes": [self.virtual_size, self.header.virtual_size],
        })
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Header { block_size, virtual_size, .. } = self.header;
        if self.virtual_size != virtual_size {
            return writeln!(
                out,
                "the disk differs from the manifest: it has {}, but the disk of the manifest has {}; no block was \
                 compared",
                both(self.virtual_size),
                both(virtual_size)
            );
        }
        let Some(Difference { block, expected, found }) = &self.difference else {
            let blocks = self.header.blocks();
            return writeln!(
                out,
                "the disk matches the manifest (number of blocks: {blocks}, of {} each)",
                human(block_size)
            );
        };
        let offset = self.offset(*block);
        writeln!(
            out,
            "the disk differs from the manifest, first in block {block}, which begins at byte {offset} ({})",
            DiskOffset::new(offset)
        )?;
        writeln!(out, "expected {expected}\nfound    {found}")
    }
}
