//! Opens disks by path or URL, and finds their parents on the host and on servers.

use std::path::{Path, PathBuf};

use vhdx::{
    Candidate, Candidates, Chain, FilesOfHost, FolderResolver, GuidSearch, OpenFiles, OpenOptions,
    ParentRequest, ParentResolver, ReadAt, Result, Vhdx,
};

use crate::remote;

/// The files of the host and of servers.
pub(crate) struct Files;

impl OpenFiles for Files {
    fn open(&self, path: &Path) -> Result<Box<dyn ReadAt>> {
        if remote::is_url(path) { remote::open(path) } else { FilesOfHost.open(path) }
    }
}

/// Opens a VHDX.
pub(crate) fn open(path: &Path) -> Result<Vhdx> {
    match remote::is_url(path) {
        true => Vhdx::open_with(remote::open(path)?, &OpenOptions::default().name(path)),
        false => Vhdx::open(path),
    }
}

/// Opens a VHDX and all its parents.
pub(crate) fn open_chain(path: &Path, resolver: &dyn ParentResolver) -> Result<Chain> {
    Chain::from_leaf(open(path)?, resolver)
}

/// Finds parents for commands that only read.
///
/// A child on the host has its parents on the host, or in a prefix of `--parent-dir`. A child on a server has its
/// parents on servers. `--parent` can name any file.
pub(crate) struct Resolver {
    host: FolderResolver,
    remote: Box<dyn ParentResolver>,
    /// Whether a child on the host may have parents on servers.
    has_remote_folders: bool,
    named: Vec<PathBuf>,
}

impl Resolver {
    /// Makes the resolver for the chain of `leaf`.
    pub(crate) fn new(leaf: &Path, resolver: FolderResolver) -> Self {
        let FolderResolver { folders, named, index } = resolver;
        let (remote, host): (Vec<PathBuf>, Vec<PathBuf>) =
            folders.into_iter().partition(|folder| remote::is_url(folder));
        let has_remote_folders = !remote.is_empty();
        let remote_names = named.iter().filter(|name| remote::is_url(name)).cloned().collect();
        Self {
            host: FolderResolver { folders: host, named: Vec::new(), index },
            remote: remote::resolver(leaf, remote, remote_names),
            has_remote_folders,
            named,
        }
    }

    /// Whether parents of this child may be on servers, and whether they may be on the host.
    fn places(&self, child: &Path) -> (bool, bool) {
        let is_remote = remote::is_url(child);
        (is_remote || self.has_remote_folders, !is_remote)
    }
}

fn named(path: PathBuf) -> Candidate {
    Candidate::new(path.clone(), move || open(&path))
}

impl ParentResolver for Resolver {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        if let Some(path) = self.named.get(request.level) {
            return Ok(Candidates { named: true, ..vec![named(path.clone())].into() });
        }
        let (on_servers, on_host) = self.places(request.name);
        let mut found: Candidates = if on_host { self.host.candidates(request)? } else { Vec::new().into() };
        if on_servers {
            let remote = self.remote.candidates(request)?;
            found.candidates = Box::new(found.candidates.chain(remote.candidates));
            found.looked_for.extend(remote.looked_for);
            found.folders.extend(remote.folders);
        }
        Ok(found)
    }

    fn search(&self, request: &ParentRequest<'_>) -> Result<GuidSearch> {
        if self.named.get(request.level).is_some() {
            return Ok(GuidSearch::default());
        }
        let (on_servers, on_host) = self.places(request.name);
        let mut found = if on_host { self.host.search(request)? } else { GuidSearch::default() };
        if on_servers {
            let remote = self.remote.search(request)?;
            found.candidates.extend(remote.candidates);
            found.folders.extend(remote.folders);
            found.unreadable.extend(remote.unreadable);
        }
        Ok(found)
    }

    fn unused(&self, layers: usize) -> Option<PathBuf> {
        self.named.get(layers.checked_sub(1)?).cloned()
    }
}
