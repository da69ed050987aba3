//! Opens chains, from the leaf to the base, and checks every link.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::chain::Chain;
use super::found_by::FoundBy;
use super::link_check::{Layer, Seen, check_link};
use super::linkage;
use super::outcome::Outcome;
use super::resolver::{ParentRequest, ParentResolver};
use crate::error::ChainFault;
use crate::error::{Bounded, Error, InvalidArgument, Result};
use crate::file::{DiskType, Vhdx};

/// The maximum number of files in a chain. No implementation accepts more.
pub const MAX_CHAIN_LENGTH: usize = 256;

/// A file of a chain and its link to its parent.
#[derive(Debug)]
#[non_exhaustive]
pub struct InspectedLayer {
    /// The path of the file, or the name that the [`ParentResolver`] gave it.
    pub name: PathBuf,
    /// The open file.
    pub vhdx: Vhdx,
    /// How the file was found; `None` for the leaf.
    pub found_by: Option<FoundBy>,
    /// The link to the next layer.
    pub link: Link,
}

/// The link from a file to its parent.
#[derive(Debug)]
pub enum Link {
    /// The file needs no parent.
    Base,
    /// The next layer is its parent.
    Ok,
    /// The next layer was found in the parent's place, but it cannot be used as the parent.
    Mismatch(Error),
    /// There is no next layer.
    ///
    /// The parent is missing, cannot be opened, or closes a cycle, or the chain is too long.
    Missing(Error),
}

impl Link {
    /// Returns the name in reports: `base`, `ok`, `mismatch` or `missing`.
    pub const fn name(&self) -> &'static str {
        match self {
            Link::Base => "base",
            Link::Ok => "ok",
            Link::Mismatch(_) => "mismatch",
            Link::Missing(_) => "missing",
        }
    }

    /// Returns the reason why the link is not valid, or `None` if it is valid.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Link::Base | Link::Ok => None,
            Link::Mismatch(error) | Link::Missing(error) => Some(error),
        }
    }

    fn into_result(self) -> Result<()> {
        match self {
            Link::Base | Link::Ok => Ok(()),
            Link::Mismatch(error) | Link::Missing(error) => Err(error),
        }
    }
}

/// Returns a file and its parents, with the state of each link.
///
/// A mismatch does not end the walk. The last layer is the base, or the first file whose link is [`Link::Missing`].
///
/// # Errors
/// Those of [`Vhdx::open`] for the file itself, and [`TooManyParents`](crate::ChainErrorKind::TooManyParents).
/// All errors of its parents are in the links.
pub fn inspect_chain(path: impl AsRef<Path>, resolver: &dyn ParentResolver) -> Result<Vec<InspectedLayer>> {
    inspect_leaf(Vhdx::open(path)?, resolver)
}

/// Returns an open file and its parents, as [`inspect_chain`] does.
///
/// # Errors
/// [`TooManyParents`](crate::ChainErrorKind::TooManyParents). All errors of its parents are in the links.
pub fn inspect_leaf(leaf: Vhdx, resolver: &dyn ParentResolver) -> Result<Vec<InspectedLayer>> {
    let layers: Vec<InspectedLayer> = Walk::from(leaf, resolver).collect();
    if let Some(InspectedLayer { link: Link::Base, name, .. }) = layers.last() {
        ensure_all_used(resolver, layers.len(), name)?;
    }
    Ok(layers)
}

/// As [`inspect_chain`], for a file whose descendants carry these marks.
///
/// # Errors
/// Those of [`Vhdx::open`] for the file itself.
pub(crate) fn inspect_chain_with_marks(
    path: &Path,
    resolver: &dyn ParentResolver,
    marks: &[Uuid],
) -> Result<Vec<InspectedLayer>> {
    let walk = Walk::from(Vhdx::open(path)?, resolver);
    let seen = marks.iter().copied().map(Seen::of_mark).collect::<Vec<_>>();
    Ok(Walk { marks: seen.len(), seen, ..walk }.collect())
}

impl Chain {
    /// Opens a file and all its parents.
    ///
    /// # Errors
    /// [`Error::Chain`] if the files do not form a chain; those of [`Vhdx::open`] for each file.
    pub fn open(path: impl AsRef<Path>, resolver: &dyn ParentResolver) -> Result<Self> {
        Self::from_leaf(Vhdx::open(path)?, resolver)
    }

    /// Opens all parents of an open file.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_leaf(leaf: Vhdx, resolver: &dyn ParentResolver) -> Result<Self> {
        let (mut layers, mut found_by) = (Vec::new(), Vec::new());
        let mut base = PathBuf::new();
        for layer in Walk::from(leaf, resolver) {
            layer.link.into_result()?;
            layers.push(layer.vhdx);
            found_by.push(layer.found_by);
            base = layer.name;
        }
        ensure_all_used(resolver, layers.len(), &base)?;
        Ok(Self::of(layers, found_by))
    }

    /// Forms a chain of open files, leaf first.
    ///
    /// # Errors
    /// - [`Error::Chain`] if a file is not the parent of the file before it, if a file before the last one has no
    ///   parent, if the last file has a parent, or if there are too many files. In messages, a file that was not opened
    ///   by a path has a number: `layer 0` is the leaf.
    /// - [`InvalidArgument::NoLayers`] if there are no files.
    ///
    /// # Examples
    /// ```
    /// use vhdx::{Chain, Error, InvalidArgument};
    ///
    /// let error = Chain::from_layers(Vec::new()).unwrap_err();
    /// assert!(matches!(error, Error::InvalidArgument(InvalidArgument::NoLayers)));
    /// ```
    pub fn from_layers(layers: Vec<Vhdx>) -> Result<Self> {
        let name = |(i, vhdx): (usize, Vhdx)| {
            let name = vhdx.path().map_or_else(|| format!("layer {i}").into(), Path::to_owned);
            Layer { name, vhdx, found_by: None }
        };
        let layers: Vec<Layer> = layers.into_iter().enumerate().map(name).collect();
        let mut seen = Vec::new();
        for (child, parent) in layers.iter().zip(layers.iter().skip(1)) {
            seen.push(child.seen());
            check_pair(child, parent, &seen)?;
        }
        match layers.last() {
            Some(last) if layers.len() > MAX_CHAIN_LENGTH => Err(too_deep(&last.name).into()),
            Some(last) if has_parent(&last.vhdx) => Err(missing(last).into()),
            Some(_) => {
                let found_by = vec![None; layers.len()];
                Ok(Self::of(layers.into_iter().map(|layer| layer.vhdx).collect(), found_by))
            }
            None => Err(InvalidArgument::NoLayers.into()),
        }
    }
}

fn has_parent(vhdx: &Vhdx) -> bool {
    vhdx.disk_type() == DiskType::Differencing
}

fn check_pair(child: &Layer, parent: &Layer, seen: &[Seen]) -> Result<()> {
    if !has_parent(&child.vhdx) {
        let (path, extra) = (child.name.clone(), parent.name.clone());
        return Err(ChainFault::TooManyParents { path, extra }.into());
    }
    if parent.is_among(seen) {
        let (child, parent) = (child.name.clone(), parent.name.clone());
        return Err(ChainFault::Cycle { child, parent }.into());
    }
    check_link(&child.name, &child.vhdx, parent, seen).map_or(Ok(()), |error| Err(error.into()))
}

fn too_deep(path: &Path) -> ChainFault {
    ChainFault::TooDeep { path: path.to_owned(), limit: MAX_CHAIN_LENGTH }
}

fn missing(layer: &Layer) -> ChainFault {
    let request = ParentRequest { child: &layer.vhdx, name: &layer.name, level: 0 };
    ChainFault::MissingParent {
        child: layer.name.clone(),
        expected: request.linkages(),
        names: request.stored_paths(),
        looked_for: Vec::new(),
        folders: Vec::new(),
        searched: Vec::new(),
        in_chain: Vec::new(),
        unusable: Vec::new(),
        unreadable: Vec::new(),
    }
}

fn ensure_all_used(resolver: &dyn ParentResolver, layers: usize, base: &Path) -> Result<()> {
    match resolver.unused(layers) {
        Some(extra) => Err(ChainFault::TooManyParents { path: base.to_owned(), extra }.into()),
        None => Ok(()),
    }
}

/// Yields the layers of a chain, leaf first. A parent is opened when its child is yielded.
struct Walk<'a> {
    resolver: &'a dyn ParentResolver,
    /// The number of entries in `seen` that are marks, not files.
    marks: usize,
    seen: Vec<Seen>,
    next: Option<Layer>,
}

impl<'a> Walk<'a> {
    fn from(leaf: Vhdx, resolver: &'a dyn ParentResolver) -> Self {
        // A file that was not opened by a path has this name in messages.
        let name = leaf.path().unwrap_or(Path::new("leaf")).to_owned();
        Self { resolver, marks: 0, seen: Vec::new(), next: Some(Layer { name, vhdx: leaf, found_by: None }) }
    }

    fn link(&self, child: &Layer) -> (Link, Option<Layer>) {
        if !has_parent(&child.vhdx) {
            return (Link::Base, None);
        }
        // The child itself has been seen, after the marks.
        let level = match self.seen.len().minus(self.marks).and_then(|depth| depth.minus(1)) {
            Ok(level) => level,
            Err(error) => return (Link::Missing(error), None),
        };
        if level + 1 >= MAX_CHAIN_LENGTH {
            return (Link::Missing(too_deep(&child.name).into()), None);
        }
        let request = ParentRequest { child: &child.vhdx, name: &child.name, level };
        let found = match self.resolver.candidates(&request) {
            Ok(found) => found,
            Err(error) => return (Link::Missing(error.in_file(&child.name)), None),
        };
        match linkage::find_parent(&request, found, &self.seen, || self.resolver.search(&request)) {
            Outcome::Parent(parent) => (Link::Ok, Some(parent)),
            Outcome::Wrong(parent, error) => (Link::Mismatch((*error).into()), Some(parent)),
            Outcome::Nothing(error) => (Link::Missing(error), None),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = InspectedLayer;

    fn next(&mut self) -> Option<InspectedLayer> {
        let layer = self.next.take()?;
        self.seen.push(layer.seen());
        let (link, parent) = self.link(&layer);
        self.next = parent;
        Some(InspectedLayer { name: layer.name, vhdx: layer.vhdx, found_by: layer.found_by, link })
    }
}
