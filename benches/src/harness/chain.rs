//! Makes chains of a chosen shape, which are the same in every run, with the bytes that they must read as.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use vhdx::ops::{ChildOptions, create, new_child};
use vhdx::{Chain, DiskOffset, FileStorage, FolderResolver, NewDisk, NoProgress, VhdxMut};
use vhdx_testkit::{Random, content};

use super::extents::{disk_pieces, merge_pieces};
use super::plain::save;

/// Runs start and end at multiples of this many bytes.
pub(crate) const UNIT: u64 = 4096;
/// The seed of the content.
const SEED: u64 = 1;

/// The shape of a chain. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub(crate) struct Spec {
    /// The size of the disk
    #[arg(long)]
    pub(crate) size: u64,
    /// The size of a payload block
    #[arg(long)]
    pub(crate) block: u64,
    /// The number of differencing disks
    #[arg(long)]
    pub(crate) depth: usize,
    /// The percentage of the base's blocks that are present
    #[arg(long)]
    pub(crate) base_fill: u64,
    /// The bytes that each differencing disk holds
    #[arg(long)]
    pub(crate) child_bytes: u64,
    /// The shortest run of a differencing disk
    #[arg(long)]
    pub(crate) run_min: u64,
    /// The longest run; the logarithms of the lengths are spread evenly
    #[arg(long)]
    pub(crate) run_max: u64,
    /// Whether differencing disks hold only whole blocks
    #[arg(long)]
    pub(crate) whole: bool,
    /// Whether all differencing disks hold the same runs
    #[arg(long)]
    pub(crate) same_runs: bool,
}

impl Spec {
    /// Returns the arguments for this shape.
    pub(crate) fn args(&self) -> Vec<OsString> {
        let numbers = [
            ("--size", self.size),
            ("--block", self.block),
            ("--depth", self.depth as u64),
            ("--base-fill", self.base_fill),
            ("--child-bytes", self.child_bytes),
            ("--run-min", self.run_min),
            ("--run-max", self.run_max),
        ];
        let mut args: Vec<OsString> = numbers
            .iter()
            .flat_map(|(name, value)| [name.to_string(), value.to_string()])
            .map(Into::into)
            .collect();
        args.extend(self.whole.then(|| "--whole".into()));
        args.extend(self.same_runs.then(|| "--same-runs".into()));
        args
    }

    /// Returns a name for the folder of such a chain.
    pub(crate) fn name(&self) -> String {
        let Self { size, block, depth, base_fill, child_bytes, run_min, run_max, whole, same_runs } = self;
        format!("{size}-{block}-{depth}-{base_fill}-{child_bytes}-{run_min}-{run_max}-{whole}-{same_runs}")
    }

    fn block_count(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    fn block_range(&self, block: u64) -> Range<u64> {
        block * self.block..self.size.min((block + 1) * self.block)
    }

    /// Returns the runs that a layer holds, sorted. They do not overlap.
    fn runs(&self, layer: usize) -> Vec<Range<u64>> {
        let mut random = Random::new(if self.same_runs { layer.min(1) } else { layer } as u64);
        let blocks = match layer {
            0 => self.block_count() * self.base_fill / 100,
            _ if self.whole => self.child_bytes / self.block,
            _ => return self.scattered_runs(&mut random),
        };
        let mut all: Vec<u64> = (0..self.block_count()).collect();
        random.shuffle(&mut all);
        let mut picked = all[..blocks as usize].to_vec();
        picked.sort_unstable();
        picked.into_iter().map(|block| self.block_range(block)).collect()
    }

    fn scattered_runs(&self, random: &mut Random) -> Vec<Range<u64>> {
        let units = (self.size / UNIT) as usize;
        let wanted = (self.child_bytes / UNIT) as usize;
        let (least, most) = ((self.run_min / UNIT) as f64, (self.run_max / UNIT) as f64);
        let (mut is_held, mut held) = (vec![false; units], 0);
        while held < wanted {
            let fraction = random.number() as f64 / u64::MAX as f64;
            let len = (least * (most / least).powf(fraction)).round() as usize;
            let align = if self.run_min == self.run_max { len } else { 1 };
            let start = random.below(units / align) * align;
            for unit in &mut is_held[start..units.min(start + len.min(wanted - held))] {
                held += usize::from(!*unit);
                *unit = true;
            }
        }
        let mut runs: Vec<Range<u64>> = Vec::new();
        for unit in (0..units).filter(|&unit| is_held[unit]) {
            let at = unit as u64 * UNIT;
            match runs.last_mut() {
                Some(last) if last.end == at => last.end += UNIT,
                _ => runs.push(at..at + UNIT),
            }
        }
        runs
    }
}

/// A chain on disk.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) depth: usize,
}

impl Files {
    pub(crate) fn layer(&self, layer: usize) -> PathBuf {
        self.folder.join(name(layer))
    }

    pub(crate) fn leaf(&self) -> PathBuf {
        self.layer(self.depth)
    }

    /// Returns the path of a raw file with the content of the leaf's disk.
    pub(crate) fn expected(&self) -> PathBuf {
        self.folder.join("expected.raw")
    }

    /// Returns the path of a raw file with only the data that a layer holds; the rest are holes.
    pub(crate) fn delta(&self, layer: usize) -> PathBuf {
        self.folder.join(format!("d{layer:02}.delta.raw"))
    }

    /// Returns the layers, leaf first. This is the order of the sources in both lists of extents.
    pub(crate) fn layers(&self) -> impl Iterator<Item = PathBuf> {
        (0..=self.depth).rev().map(|layer| self.layer(layer))
    }

    /// Returns the path of a list of the data that a read of the disk needs.
    pub(crate) fn extents(&self) -> PathBuf {
        self.folder.join("disk.extents")
    }

    /// Returns the path of a list of the data that a merge of all layers into the base copies.
    pub(crate) fn merge_extents(&self) -> PathBuf {
        self.folder.join("merge.extents")
    }
}

/// Returns the file name of a layer; the base is layer 0.
pub(crate) fn name(layer: usize) -> String {
    format!("d{layer:02}.{}", if layer == 0 { "vhdx" } else { "avhdx" })
}

/// Makes the files of a chain in a new folder.
pub(crate) fn make(spec: &Spec, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let files = Files { folder: folder.to_owned(), depth: spec.depth };
    let expected = File::create_new(files.expected())?;
    expected.set_len(spec.size)?;
    for layer in 0..=spec.depth {
        let path = files.layer(layer);
        match layer {
            0 => {
                let disk = NewDisk { block_size: u32::try_from(spec.block)?, ..NewDisk::new(spec.size) };
                new_file(&disk, &path)?;
            }
            _ => new_child_file(&files.layer(layer - 1), &path, spec.block)?,
        }
        let delta = File::create_new(files.delta(layer))?;
        delta.set_len(spec.size)?;
        fill(spec, layer, &path, [&delta, &expected])?;
    }
    let chain = Chain::open(files.leaf(), &FolderResolver::default())?;
    save(&files.extents(), &disk_pieces(&chain)?)?;
    save(&files.merge_extents(), &merge_pieces(&chain)?)?;
    Ok(())
}

/// Makes an empty disk of `size` bytes, and `depth` levels. Each holds 4 KiB of one block in a hundred.
///
/// The files have the same names as those of [`make`].
pub(crate) fn make_touched(size: u64, depth: usize, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let files = Files { folder: folder.to_owned(), depth };
    new_file(&NewDisk::new(size), &files.layer(0))?;
    for level in 1..=depth {
        new_child_file(&files.layer(level - 1), &files.layer(level), TOUCHED_BLOCK)?;
        let mut child = VhdxMut::open(files.layer(level))?;
        for start in touched_blocks(size, level) {
            child.write_all_at(&[1; UNIT as usize], DiskOffset::new(start))?;
        }
        child.close()?;
    }
    Ok(())
}

const TOUCHED_BLOCK: u64 = 32 << 20;

/// Returns the starts of the blocks that [`make_touched`] writes in a level.
pub(crate) fn touched_blocks(size: u64, level: usize) -> impl Iterator<Item = u64> {
    let first = (level as u64 - 1) * 10;
    (first..size / TOUCHED_BLOCK).step_by(100).map(|number| number * TOUCHED_BLOCK)
}

/// Makes a disk without content.
pub(crate) fn new_file(disk: &NewDisk, path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    create(disk, &FileStorage::new(file), &NoProgress)?;
    Ok(())
}

fn new_child_file(parent: &Path, path: &Path, block: u64) -> Result<()> {
    let parent = Chain::open(parent, &FolderResolver::default())?;
    let options = ChildOptions { block_size: Some(block), ..ChildOptions::default() };
    let child = new_child(&parent, path, &options)?;
    new_file(&child.disk, path)
}

/// Writes the content of a layer, block by block in a random order.
///
/// The blocks are in that order in the file.
fn fill(spec: &Spec, layer: usize, path: &Path, raws: [&File; 2]) -> Result<()> {
    let mut blocks: BTreeMap<u64, Vec<Range<u64>>> = BTreeMap::new();
    for run in spec.runs(layer) {
        let mut at = run.start;
        while at < run.end {
            let block = at / spec.block;
            let end = run.end.min(spec.block_range(block).end);
            blocks.entry(block).or_default().push(at..end);
            at = end;
        }
    }
    let mut order: Vec<(u64, Vec<Range<u64>>)> = blocks.into_iter().collect();
    Random::new(1000 + layer as u64).shuffle(&mut order);
    let mut file = VhdxMut::open(path)?;
    let mut buf = Vec::new();
    for run in order.into_iter().flat_map(|(_, runs)| runs) {
        buf.resize((run.end - run.start) as usize, 0);
        content(SEED, layer, run.start, &mut buf);
        file.write_all_at(&buf, DiskOffset::new(run.start))?;
        raws.iter().try_for_each(|raw| raw.write_all_at(&buf, run.start))?;
    }
    Ok(file.close()?)
}

#[cfg(test)]
mod tests {
    use vhdx::Vhdx;

    use super::super::files::{data_bytes, verify_chain};
    use super::*;

    fn spec() -> Spec {
        Spec {
            size: 24 << 20,
            block: 1 << 20,
            depth: 2,
            base_fill: 50,
            child_bytes: 3 << 20,
            run_min: 4 << 10,
            run_max: 256 << 10,
            whole: false,
            same_runs: false,
        }
    }

    #[test]
    fn a_chain_reads_as_it_should_and_its_blocks_are_shuffled() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files { folder: folder.path().join("chain"), depth: 2 };
        make(&spec(), &files.folder).unwrap();
        verify_chain(&files.leaf(), &files.expected()).unwrap();
        assert!(verify_chain(&files.layer(1), &files.expected()).is_err());
        assert_eq!(data_bytes(&files.delta(0)).unwrap(), 12 << 20);
        let base = Vhdx::open(files.layer(0)).unwrap();
        let places = (0..24).map(|b| base.payload_entry(vhdx::BlockIndex::new(b)).unwrap().file_offset());
        let places: Vec<_> = places.filter(|place| place.get() > 0).collect();
        assert_eq!(places.len(), 12);
        assert!(!places.is_sorted());
    }

    #[test]
    fn runs_have_the_requested_length() {
        let fixed = Spec { run_max: 4 << 10, ..spec() };
        let runs = fixed.runs(1);
        assert_eq!(runs.iter().map(|run| run.end - run.start).sum::<u64>(), 3 << 20);
        assert!(runs.len() > 600, "4 KiB runs seldom touch each other");
        assert_ne!(fixed.runs(1), fixed.runs(2));
        let same = Spec { same_runs: true, ..spec() };
        assert_eq!(same.runs(1), same.runs(2));
        let whole = Spec { whole: true, ..spec() };
        assert!(whole.runs(1).iter().all(|run| run.end - run.start == 1 << 20));
        assert_eq!(whole.runs(1).len(), 3);
    }
}
