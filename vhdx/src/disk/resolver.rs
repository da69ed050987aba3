//! Defines [`ParentResolver`], which decides which files are opened as parents, and [`FolderResolver`] for local files.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::folders::FolderIndex;
use super::found_by::FoundBy;
use super::{lookup, routes};
use crate::error::Result;
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::windows_path::StoredPath;

/// Finds candidates for the parent of a file.
///
/// A file that another file names is opened only if the resolver offers it. A candidate is accepted as the parent only
/// if its DataWriteGuid is one that the child expects ([MS-VHDX] 2.6.2.6.3).
///
/// [`FolderResolver`] finds local files. Implement this trait for disks in other places.
///
/// # Examples
/// Disks in an object store that finds them by name:
/// ```
/// use std::collections::HashMap;
/// use std::sync::Arc;
/// use vhdx::{Candidate, Candidates, Chain, OpenOptions, ParentRequest, ParentResolver, Vhdx};
///
/// struct Store(HashMap<String, Arc<[u8]>>);
///
/// impl Store {
///     fn open(&self, name: &str) -> vhdx::Result<Vhdx> {
///         Vhdx::open_with(self.0[name].clone(), &OpenOptions::default()) // any `vhdx::ReadAt`
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
///                 Candidate::new(name, move || Vhdx::open_with(bytes, &OpenOptions::default()))
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
    /// Returns the candidates for the parent, the most likely first.
    ///
    /// The first candidate with the GUID in the child's `parent_linkage` is the parent. One with the GUID in
    /// `parent_linkage2` is the parent if no candidate has the first GUID, or if the one that has it is an old copy.
    ///
    /// # Errors
    /// Any error that prevents the resolver from looking. It is not an error if there is no candidate.
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates>;

    /// Searches for files with an [expected DataWriteGuid](ParentRequest::linkages), under any name.
    ///
    /// It is called only if no candidate has one of these GUIDs. If several files have the GUID, they must be proven to
    /// be copies of each other.
    ///
    /// # Errors
    /// Any error that prevents the resolver from searching. It is not an error if there is no such file.
    fn search(&self, request: &ParentRequest<'_>) -> Result<GuidSearch> {
        let _ = request;
        Ok(GuidSearch::default())
    }

    /// Returns the first named parent that a chain of `layers` files does not need.
    fn unused(&self, layers: usize) -> Option<PathBuf> {
        let _ = layers;
        None
    }
}

/// A request for the parent of a file.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ParentRequest<'a> {
    /// The file.
    pub child: &'a Vhdx,
    /// The path of the file, or the name of its [`Candidate`].
    pub name: &'a Path,
    /// The number of descendants of the file in the chain: 0 for the leaf, 1 for its parent.
    pub level: usize,
}

impl ParentRequest<'_> {
    /// Returns the stored paths to the parent, in the order in which to try them.
    ///
    /// The order is relative path, volume path, absolute path.
    pub fn stored_paths(&self) -> Vec<StoredPath> {
        self.child.parent_locator().map_or_else(Vec::new, ParentLocator::stored_paths)
    }

    /// Returns the DataWriteGuids of which the parent must have one.
    ///
    /// These are one or two, or none if the linkage is zero.
    pub fn linkages(&self) -> Vec<Uuid> {
        self.child.parent_locator().map_or_else(Vec::new, ParentLocator::linkages)
    }
}

/// A candidate for the parent. It is opened only when it is needed.
pub struct Candidate {
    name: PathBuf,
    /// Whether it is exactly at the stored relative path. Then either linkage may match.
    is_in_place: bool,
    pub(super) found_by: FoundBy,
    open: Box<dyn FnOnce() -> Result<Vhdx>>,
}

impl Candidate {
    /// Creates a candidate that `open` opens. `name` is used in messages.
    pub fn new(name: impl Into<PathBuf>, open: impl FnOnce() -> Result<Vhdx> + 'static) -> Self {
        Self { name: name.into(), is_in_place: false, found_by: FoundBy::Name, open: Box::new(open) }
    }

    /// Creates a candidate that is a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::new(path.clone(), move || Vhdx::open(path))
    }

    /// Declares that the candidate is exactly at the stored relative path. Then either linkage may match.
    #[must_use]
    pub fn at_relative_path(self) -> Self {
        Self { is_in_place: true, found_by: FoundBy::RelativePath, ..self }
    }

    /// Returns the name in messages.
    pub fn name(&self) -> &Path {
        &self.name
    }

    pub(super) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Opens the candidate. Returns its name and the result.
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

/// The result of a [search by DataWriteGuid](ParentResolver::search).
#[derive(Debug, Default)]
pub struct GuidSearch {
    /// The files that have one of the GUIDs, the preferred one first.
    pub candidates: Vec<Candidate>,
    /// The folders that were searched.
    pub folders: Vec<PathBuf>,
    /// The folders, and the files in them, that could not be read.
    pub unreadable: Vec<PathBuf>,
}

/// The candidates for a parent, the most likely first, and the searched places.
///
/// The places are for the message if no candidate is the parent.
pub struct Candidates {
    /// The candidates. The next one is requested only if those before it were not chosen.
    pub candidates: Box<dyn Iterator<Item = Candidate>>,
    /// Whether the caller named the candidates.
    ///
    /// If so, a candidate that cannot be opened is an error. Otherwise, one that cannot be read is only listed as a
    /// reason why the parent is missing.
    pub named: bool,
    /// All paths that are tried.
    pub looked_for: Vec<PathBuf>,
    /// The folders in which the stored paths are tried.
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
/// The child's own folder is always searched. If the path of the child is a symbolic link, the folders of both the link
/// and the file are its own folders.
///
/// 1. The stored relative path is tried as it is, from the child's own folder.
/// 2. Every stored path is tried in each folder, without its drive, volume or `\\?\`: first the whole path, then ever
///    shorter ends of it, down to the bare file name.
/// 3. If no parent was found yet, names are tried that differ only in letter case or in composed and decomposed letters
///    (Unicode NFC and NFD).
/// 4. If no name leads to the parent, the headers of all files directly in these folders are read. The file with the
///    DataWriteGuid is the parent. Links are not followed in this step. If several files have the GUID, they must be
///    proven to be copies, as in [`discover`](crate::discover). Otherwise opening fails with
///    [`AmbiguousParent`](crate::ChainErrorKind::AmbiguousParent).
///
/// If several files match by name, the one at the stored relative path is the parent. Otherwise it is the first one
/// with the GUID in `parent_linkage`, unless that is an old copy of one with the GUID in `parent_linkage2`.
///
/// Only regular files are opened. Outside these folders, only the file at a stored relative path and the
/// [`named`](Self::named) files are opened. A resolver and its clones list each folder once and read its files once, so
/// create a new resolver to see changes.
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
    /// The ancestors, the leaf's parent first. For a named ancestor, no other file is tried.
    pub named: Vec<PathBuf>,
    /// The cached content of the folders.
    pub index: FolderIndex,
}

impl FolderResolver {
    /// Returns the folders to search, without duplicates: first `own`, the folders of the child.
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
        // A file that was not opened by a path lies in no known folder.
        let own = request.child.path().map_or_else(Vec::new, lookup::folders_of);
        let folders = self.with_own(&own);
        let stored = request.stored_paths();
        let routes = routes::routes(&stored, &own, &folders);
        let looked_for = routes.iter().map(routes::Route::path).collect();
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
        // A file that was not opened by a path lies in no known folder.
        let own = request.child.path().map_or_else(Vec::new, lookup::folders_of);
        search.folders = self.with_own(&own);
        let mut seen = HashSet::new();
        for folder in &search.folders {
            // Several paths can lead to the same folder.
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
        // The leaf is not named. A chain without files needs no named file.
        let links = layers.checked_sub(1)?;
        self.named.get(links).cloned()
    }
}
