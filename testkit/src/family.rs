//! A chain with further children, in files that can lose power, and its merges.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx::ops::{FileState, MergeFiles, MergeOptions, MergePlan, MergeReport, OpenFile};
use vhdx::{
    Candidate, Candidates, Chain, DiskOffset, Error, FileFacts, OpenOptions, ParentRequest, ParentResolver,
    Progress, ReadAt, Relatives, Result, Source, Vhdx,
};

use crate::crash::{CrashWorld, Images};
use crate::image::Image;
use crate::model::{ChainModel, LayerModel, name};
use crate::random::Random;

/// A chain, and further children of its layers.
#[derive(Clone, Debug)]
pub struct Family {
    /// All files.
    pub images: Images,
    /// The files of the chain, base first.
    pub chain: Vec<PathBuf>,
    /// The content of each disk of the chain, base first.
    pub disks: Vec<Vec<u8>>,
    /// The disks without children: the further children, and the last disk of the chain if it has none.
    pub leaves: Vec<Leaf>,
}

/// A disk without children.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its file.
    pub path: PathBuf,
    /// The layer of the chain that is its parent; `None` for the last disk of the chain.
    pub parent: Option<usize>,
    /// The bytes that it must read as.
    pub expected: Vec<u8>,
}

impl Family {
    /// Makes the files of a chain and further children.
    ///
    /// Each sibling has the given layer of the chain as its parent.
    pub fn new(model: &ChainModel, siblings: &[(usize, LayerModel)]) -> Self {
        Self::with(model, siblings, |_, _| ())
    }

    /// As [`new`](Self::new), but with changes to the files of the chain.
    ///
    /// `change` is called with the number and the file of each layer. It must not alter the content of the disks.
    pub fn with(
        model: &ChainModel,
        siblings: &[(usize, LayerModel)],
        change: impl Fn(usize, &mut Image),
    ) -> Self {
        let (mut images, disks) = (model.images(), model.disks());
        (0..).zip(&mut images).for_each(|(layer, image)| change(layer, image));
        let chain: Vec<PathBuf> = (0..images.len()).map(|layer| path(&name(layer))).collect();
        let top = Leaf {
            path: chain[images.len() - 1].clone(),
            parent: None,
            expected: disks[images.len() - 1].clone(),
        };
        let mut family = Self { images: Images::new(), chain: chain.clone(), disks, leaves: vec![top] };
        for (path, image) in chain.into_iter().zip(images) {
            family.put(path, &image);
        }
        for (number, (layer, sibling)) in siblings.iter().enumerate() {
            family.add_sibling(model, number, *layer, sibling);
        }
        if siblings.iter().any(|(layer, _)| layer + 1 == family.chain.len()) {
            family.leaves.remove(0); // the last disk of the chain has a child
        }
        family
    }

    fn add_sibling(&mut self, model: &ChainModel, number: usize, layer: usize, sibling: &LayerModel) {
        let mut layers = model.layers[..=layer].to_vec();
        layers.push(sibling.clone());
        let with = ChainModel { layers, ..model.clone() };
        let mut random = Random::new(model.seed ^ (number as u64 + 1) << 32);
        let mut image = with.images().pop().expect("a chain has a layer");
        (image.file_write_guid, image.data_write_guid) = (random.guid(), random.guid());
        let path = path(&format!("sibling-{number}.avhdx"));
        self.put(path.clone(), &image);
        let expected = with.disks().pop().expect("a chain has a layer");
        self.leaves.push(Leaf { path, parent: Some(layer), expected });
    }

    fn put(&mut self, path: PathBuf, image: &Image) {
        self.images.insert(path, image.sparse());
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/vm").join(name)
}

/// Finds parents only by the relative path in their children.
pub struct ByRelativePath<'a>(pub &'a CrashWorld);

impl ParentResolver for ByRelativePath<'_> {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        let locator = request.child.parent_locator();
        let stored = locator.and_then(|locator| locator.get("relative_path")).unwrap_or_default();
        let parent = path(stored.strip_prefix(r".\").unwrap_or("no path in this folder"));
        let candidate = self.0.contains(&parent).then(|| {
            let (world, named) = (self.0.clone(), parent.clone());
            Candidate::new(parent, move || load(&world, &named))
        });
        Ok(candidate.into_iter().collect::<Vec<_>>().into())
    }
}

fn load(world: &CrashWorld, path: &Path) -> Result<Vhdx> {
    let opened = world.open(path);
    let file = opened.map_err(|source| Error::io("open", None, source).in_file(path))?;
    Vhdx::open_with(file as Arc<dyn ReadAt>, &OpenOptions::default().name(path))
}

/// The expected content of a range of a disk.
#[derive(Clone, Debug)]
pub enum Expected {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This many zeros.
    Zeros(u64),
}

impl Expected {
    /// Cuts `bytes` where pages of zeros begin and end. Returns each part with its offset.
    pub fn parts(bytes: &[u8]) -> Vec<(u64, Self)> {
        let is_zero = |page: &[u8]| page.iter().all(|&byte| byte == 0);
        let mut parts = Vec::new();
        for (at, page) in (0u64..).step_by(PART).zip(bytes.chunks(PART)) {
            match (parts.last_mut(), is_zero(page)) {
                (Some((_, Self::Zeros(len))), true) => *len += page.len() as u64,
                (Some((_, Self::Bytes(bytes))), false) => bytes.extend_from_slice(page),
                (_, true) => parts.push((at, Self::Zeros(page.len() as u64))),
                (_, false) => parts.push((at, Self::Bytes(page.to_vec()))),
            }
        }
        parts
    }

    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    /// Returns `len` bytes, at most [`PART`], from `first` on.
    fn part(&self, first: u64, len: u64) -> &[u8] {
        match self {
            Self::Bytes(bytes) => &bytes[first as usize..(first + len) as usize],
            Self::Zeros(_) => &ZEROS[..len as usize],
        }
    }
}

const PART: usize = 1 << 16;
static ZEROS: [u8; PART] = [0; PART];

/// Returns the offset of the first byte that differs from `expected`, if there is one.
///
/// `start` is the offset of the first expected byte.
///
/// Ranges that no layer stores are not read, because a crash test checks a great many disks.
///
/// # Errors
/// As [`Chain::read_exact_at`].
pub fn find_difference(chain: &Chain, start: u64, expected: &Expected) -> Result<Option<u64>> {
    let mut buffer = Vec::new();
    for extent in chain.extents(DiskOffset::new(start)..DiskOffset::new(start + expected.len())) {
        let extent = extent?;
        let is_stored = matches!(extent.source, Source::Data { .. });
        if !is_stored && matches!(expected, Expected::Zeros(_)) {
            continue;
        }
        let end = extent.end().get();
        for at in (extent.start.get()..end).step_by(PART) {
            let part = expected.part(at - start, (end - at).min(PART as u64));
            let found = if is_stored {
                buffer.resize(PART, 0);
                let found = &mut buffer[..part.len()];
                chain.read_exact_at(found, DiskOffset::new(at))?;
                found
            } else {
                &ZEROS[..part.len()]
            };
            if found != part {
                let place = found.iter().zip(part).position(|(found, expected)| found != expected);
                return Ok(place.map(|place| at + place as u64));
            }
        }
    }
    Ok(None)
}

impl CrashWorld {
    /// Opens a disk and its ancestors. Each parent is found by the path in its child.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn chain(&self, leaf: &Path) -> Result<Chain> {
        Chain::from_leaf(load(self, leaf)?, &ByRelativePath(self))
    }

    /// Reads a whole disk through all its ancestors.
    ///
    /// # Errors
    /// As [`Chain::open`] and [`Chain::read_exact_at`].
    pub fn read_disk(&self, leaf: &Path) -> Result<Vec<u8>> {
        let chain = self.chain(leaf)?;
        let mut bytes = vec![0xaa; usize::try_from(chain.virtual_size()).expect("a small disk")];
        chain.read_exact_at(&mut bytes, DiskOffset::new(0))?;
        Ok(bytes)
    }

    /// Returns all files, as a search of their folder would find them.
    ///
    /// # Errors
    /// As [`Vhdx::open`].
    pub fn relatives(&self) -> Result<Relatives> {
        let mut relatives = Relatives::default();
        for path in self.images().keys() {
            relatives.disks.push(FileFacts::of(path, &load(self, path)?));
        }
        Ok(relatives)
    }

    /// Plans a merge of `child` into `target`.
    ///
    /// # Errors
    /// As [`MergePlan::new`].
    pub fn plan_merge(&self, child: &Path, target: &Path, options: &MergeOptions) -> Result<MergePlan> {
        let chain = self.chain(child)?;
        let found = chain.layers().iter().position(|layer| layer.path() == Some(target));
        MergePlan::new(&chain, found.unwrap_or(usize::MAX), &self.relatives()?, options)
    }

    /// Plans and executes a merge. Returns `None` if an earlier run has completed it.
    ///
    /// # Errors
    /// As [`MergePlan::new`] and [`MergePlan::execute`].
    pub fn merge(
        &self,
        child: &Path,
        target: &Path,
        options: &MergeOptions,
        progress: &dyn Progress,
    ) -> Result<Option<MergeReport>> {
        if self.is_detached(child)? {
            return Ok(None);
        }
        self.plan_merge(child, target, options)?.execute(self, progress).map(Some)
    }

    /// Returns whether the disk or one of its ancestors has lost its linkages, as after a merge.
    fn is_detached(&self, child: &Path) -> Result<bool> {
        let mut at = child.to_owned();
        loop {
            let vhdx = load(self, &at)?;
            let Some(locator) = vhdx.parent_locator() else { return Ok(false) };
            if locator.linkages().is_empty() {
                return Ok(true);
            }
            let stored = locator.get("relative_path").unwrap_or_default();
            at = path(stored.trim_start_matches(r".\"));
        }
    }
}

impl MergeFiles for CrashWorld {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let opened = CrashWorld::open(self, path);
        let io = |source| Error::io("open", None, source).in_file(path);
        Ok(OpenFile { storage: opened.map_err(io)?, identity: None })
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        let path = &file.path;
        let io = |source| Error::io("delete", None, source).in_file(path);
        self.remove(path).and_then(|()| self.sync_names()).map_err(io)
    }

    fn relatives(&self, _: &[PathBuf]) -> Result<Relatives> {
        CrashWorld::relatives(self)
    }
}
