//! The gate: which files may stand for a parent that a file names.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::folders::FolderIndex;
use super::lookup;
use crate::error::Result;
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::windows_path::StoredPath;

/// Finds what may be the parent of a file. Nothing that a file names is opened unless a resolver offers it, and
/// nothing that it offers is believed unless its DataWriteGuid is one that the child expects ([MS-VHDX] 2.6.2.6.3).
///
/// [`FolderResolver`] is the one for files. Implement the trait for disks that live elsewhere.
///
/// # Examples
/// Disks in an object store, which knows them by name:
/// ```
/// use std::collections::HashMap;
/// use std::sync::Arc;
/// use vhdx::{Candidate, Candidates, Chain, ParentRequest, ParentResolver, Vhdx};
///
/// struct Store(HashMap<String, Arc<[u8]>>);
///
/// impl Store {
///     fn open(&self, name: &str) -> vhdx::Result<Vhdx> {
///         Vhdx::from_storage(self.0[name].clone()) // any `vhdx::ReadAt`
///     }
/// }
///
/// impl ParentResolver for Store {
///     fn candidates(&self, request: &ParentRequest<'_>) -> vhdx::Result<Candidates> {
///         let named: Vec<Candidate> = request
///             .stored_paths()
///             .iter()
///             .filter_map(|stored| self.0.get_key_value(stored.path.rsplit('\\').next()?))
///             .map(|(name, bytes)| {
///                 let bytes = bytes.clone();
///                 Candidate::new(name, move || Vhdx::from_storage(bytes))
///             })
///             .collect();
///         Ok(named.into())
///     }
/// }
///
/// fn disk(store: &Store, leaf: &str) -> vhdx::Result<Chain> {
///     Chain::from_leaf(store.open(leaf)?, store)
/// }
/// ```
pub trait ParentResolver {
    /// What may be the parent, the likeliest first. They are opened one by one until one has the GUID in the child's
    /// `parent_linkage`; one that has that in `parent_linkage2` is taken if no other does.
    ///
    /// # Errors
    /// Whatever keeps the resolver from looking. That there is no candidate is not an error.
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates>;

    /// Searches for the files that have one of the [DataWriteGuids that the child expects](ParentRequest::linkages),
    /// whatever they are called. Called only when none of the candidates has one. If several files have it, each must
    /// be proven to be a copy of the others.
    ///
    /// # Errors
    /// Whatever keeps the resolver from searching. That there is no such file is not an error.
    fn search(&self, request: &ParentRequest<'_>) -> Result<GuidSearch> {
        let _ = request;
        Ok(GuidSearch::default())
    }

    /// A parent that the caller named, although a chain of `layers` files has no use for it.
    fn unused(&self, layers: usize) -> Option<PathBuf> {
        let _ = layers;
        None
    }
}

/// A file that asks for its parent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ParentRequest<'a> {
    /// The file.
    pub child: &'a Vhdx,
    /// What it is called: its path, or the name of the [`Candidate`] that it was.
    pub name: &'a Path,
    /// How far it is above the leaf: 0 for the leaf itself.
    pub level: usize,
}

impl ParentRequest<'_> {
    /// Where the child says that its parent is, in the order in which to try it: relative, volume, absolute path.
    pub fn stored_paths(&self) -> Vec<StoredPath> {
        self.child.parent_locator().map(ParentLocator::stored_paths).unwrap_or_default()
    }

    /// The DataWriteGuids of which the parent must have one: one or two, or none if the linkage is zero.
    pub fn linkages(&self) -> Vec<Uuid> {
        self.child.parent_locator().map(ParentLocator::linkages).unwrap_or_default()
    }
}

/// Something that may be the parent. It is opened only when its turn comes.
pub struct Candidate {
    name: PathBuf,
    /// Whether it is exactly where the child says, so that the second linkage is as good as the first one.
    is_in_place: bool,
    pub(super) found_by: FoundBy,
    open: Box<dyn FnOnce() -> Result<Vhdx>>,
}

impl Candidate {
    /// Whatever `open` opens; `name` is for messages.
    pub fn new(name: impl Into<PathBuf>, open: impl FnOnce() -> Result<Vhdx> + 'static) -> Self {
        Self { name: name.into(), is_in_place: false, found_by: FoundBy::Name, open: Box::new(open) }
    }

    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::new(path.clone(), move || Vhdx::open(path))
    }

    /// What it is called in messages.
    pub fn name(&self) -> &Path {
        &self.name
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Its name, and the file.
    pub(super) fn open(self) -> (PathBuf, Result<Vhdx>) {
        let opened = (self.open)().map_err(|error| error.in_file(&self.name));
        (self.name, opened)
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How the parent of a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FoundBy {
    /// By the stored relative path, or by the end of it below one of the folders.
    RelativePath,
    /// By the end of the stored volume path below one of the folders.
    VolumePath,
    /// By the end of the stored absolute path below one of the folders.
    AbsoluteWin32Path,
    /// By nothing but the file's name, directly in one of the folders.
    Name,
    /// By its DataWriteGuid: no stored path leads to it.
    Guid,
    /// The caller named it.
    Named,
}

impl FoundBy {
    /// The name in reports: `relative_path`, `volume_path`, `absolute_win32_path`, `name`, `guid` or `named`.
    pub const fn name(self) -> &'static str {
        match self {
            FoundBy::RelativePath => "relative_path",
            FoundBy::VolumePath => "volume_path",
            FoundBy::AbsoluteWin32Path => "absolute_win32_path",
            FoundBy::Name => "name",
            FoundBy::Guid => "guid",
            FoundBy::Named => "named",
        }
    }
}

/// What a [search by DataWriteGuid](ParentResolver::search) came to.
#[derive(Debug, Default)]
pub struct GuidSearch {
    /// The files that have one of the GUIDs, the preferred one first.
    pub candidates: Vec<Candidate>,
    /// The folders that were searched.
    pub folders: Vec<PathBuf>,
    /// Files and folders among them that could not be read.
    pub unreadable: Vec<PathBuf>,
}

/// What may be the parent, the likeliest first; and where it was looked for, for the message if none is.
pub struct Candidates {
    /// Asked for the next one only when the one before did not fit.
    pub candidates: Box<dyn Iterator<Item = Candidate>>,
    /// Whether the caller named them, so that one that cannot be opened is an error of its own; what was found by
    /// searching is then one more reason why the parent is missing.
    pub named: bool,
    /// Every path that is tried.
    pub looked_for: Vec<PathBuf>,
    /// The folders below which they are.
    pub folders: Vec<PathBuf>,
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates")
            .field("named", &self.named)
            .field("looked_for", &self.looked_for)
            .field("folders", &self.folders)
            .finish_non_exhaustive()
    }
}

impl From<Vec<Candidate>> for Candidates {
    fn from(candidates: Vec<Candidate>) -> Self {
        let looked_for = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        Self { candidates: Box::new(candidates.into_iter()), named: false, looked_for, folders: Vec::new() }
    }
}

/// Finds parents in folders of this host.
///
/// The child's own folder is always searched: that of its path and, if the path is a link, that of the file itself.
/// There a stored relative path is tried as it is. Then every stored path is tried below each folder, without its
/// drive, volume or `\\?\`, and with ever more of its front left out, down to the bare file name. Where no name fits
/// exactly, or what fits is not the parent, names that differ only in letter case, or in composed and decomposed letters
/// (Unicode NFC and NFD), are tried too. Of several that fit, the one that lies where the relative path leads is the
/// parent, or else the first that has the GUID in `parent_linkage`, unless that is an old copy of one that has the GUID
/// in `parent_linkage2`.
///
/// If no name leads to the parent, the headers of all files directly in these folders are read, and the file with the
/// DataWriteGuid is the parent. Links are not followed there. Several files with it must be proven to be copies, as in
/// [`discover`](crate::discover); otherwise opening fails with
/// [`ChainError::AmbiguousParent`](crate::ChainError::AmbiguousParent).
///
/// Nothing outside these folders is opened, and only regular files are. A folder is listed once, and its files are
/// searched once, in the life of a resolver and its clones: make a new one to see what has changed.
///
/// # Examples
/// ```
/// use vhdx::FolderResolver;
///
/// let beside_the_child = FolderResolver::default();
/// let also_elsewhere = FolderResolver { folders: vec!["/backup/parents".into()], ..FolderResolver::default() };
/// ```
#[derive(Clone, Debug, Default)]
pub struct FolderResolver {
    /// More folders to search.
    pub folders: Vec<PathBuf>,
    /// The ancestors themselves, the leaf's parent first. Where one is named, no other file is tried.
    pub named: Vec<PathBuf>,
    /// What was read of the folders so far.
    pub index: FolderIndex,
}

impl FolderResolver {
    /// The folders in which a parent is searched: the child's `own` first.
    fn with_own(&self, own: &[PathBuf]) -> Vec<PathBuf> {
        let mut folders = [own, &self.folders].concat();
        let mut seen = HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }
}

impl ParentResolver for FolderResolver {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        if let Some(named) = self.named.get(request.level) {
            return Ok(Candidates { named: true, ..vec![Candidate::file(named)].into() });
        }
        let own = request.child.path().map(lookup::folders_of).unwrap_or_default();
        let folders = self.with_own(&own);
        let stored = request.stored_paths();
        let routes = lookup::routes(&stored, &own, &folders);
        let looked_for = routes.iter().map(lookup::Route::path).collect();
        let in_place = lookup::in_place(&stored, &own);
        let found = lookup::find(routes, self.index.clone());
        let candidate = move |(path, found_by): (PathBuf, FoundBy)| Candidate {
            is_in_place: in_place.contains(&path),
            found_by,
            ..Candidate::file(path)
        };
        Ok(Candidates { candidates: Box::new(found.map(candidate)), named: false, looked_for, folders })
    }

    fn search(&self, request: &ParentRequest<'_>) -> Result<GuidSearch> {
        let mut search = GuidSearch::default();
        let linkages = request.linkages();
        if self.named.get(request.level).is_some() || linkages.is_empty() {
            return Ok(search);
        }
        let own = request.child.path().map(lookup::folders_of).unwrap_or_default();
        search.folders = self.with_own(&own);
        let mut seen = HashSet::new();
        for folder in &search.folders {
            // One folder may have several paths.
            if !seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())) {
                continue;
            }
            let disks = self.index.disks(folder);
            let names = linkages.iter().flat_map(|guid| disks.with_guid(guid));
            search.candidates.extend(names.map(|name| Candidate::file(folder.join(name))));
            search.unreadable.extend(disks.unreadable(folder));
        }
        Ok(search)
    }

    fn unused(&self, layers: usize) -> Option<PathBuf> {
        let links = layers.saturating_sub(1);
        self.named.get(links).cloned()
    }
}
