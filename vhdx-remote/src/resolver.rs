//! Finds the parents of remote disks.

use std::io;
use std::path::{Path, PathBuf};

use vhdx::{Candidate, Candidates, Error, GuidSearch, ParentRequest, ParentResolver, Result};

use crate::address::{Address, is_url};
use crate::disks::{ensure_few, in_threads};
use crate::remote::Remote;

/// The most disks beside a disk that are opened before they are requested.
const MAX_PREPARED: usize = 32;
/// The most disks of a prefix that a search by GUID opens.
const MAX_SEARCHED: usize = 1000;

/// Finds parents beside the child, in other prefixes, or by name.
///
/// A name that the child stores is looked for in the child's prefix and in each folder of [`folders`](Self::folders);
/// letter case does not matter where the store has lists. If no name leads to the parent, the disks directly in these
/// prefixes are searched by DataWriteGuid. As everywhere, only the GUID makes a file the parent.
#[derive(Clone, Debug)]
pub struct RemoteResolver {
    /// More prefixes to search.
    pub folders: Vec<PathBuf>,
    /// The ancestors, the leaf's parent first. For a named ancestor, no other object is tried.
    pub named: Vec<PathBuf>,
    remote: Remote,
}

impl RemoteResolver {
    /// Makes a resolver that searches beside the child only.
    pub fn new(remote: &Remote) -> Self {
        Self { folders: Vec::new(), named: Vec::new(), remote: remote.clone() }
    }

    /// Fetches what opening the chain of `leaf` needs, as far as names are known, in parallel.
    ///
    /// Failures are ignored: opening the chain reports them.
    pub fn prepare(&self, leaf: &Path) {
        let disks: Vec<PathBuf> = if self.named.is_empty() {
            let Ok(folders) = self.folders_of(leaf) else { return };
            let needed = folders.iter().map(Needed::List).chain([Needed::Disk(leaf)]).collect();
            in_threads(needed, |needed| match needed {
                Needed::Disk(name) => drop(self.remote.open_disk(name)),
                Needed::List(folder) => drop(self.remote.disks_of(folder, false)),
            });
            let lists = folders.iter().filter_map(|folder| self.remote.disks_of(folder, false).ok());
            let listed: Vec<Address> = lists.flat_map(|list| list.to_vec()).collect();
            if listed.len() > MAX_PREPARED {
                return;
            }
            listed.iter().map(|disk| disk.name().into()).collect()
        } else {
            [leaf.into()].into_iter().chain(self.named.iter().cloned()).collect()
        };
        drop(self.remote.open_disks(disks));
    }

    /// Returns the prefix of the child and the other prefixes to search, without duplicates.
    fn folders_of(&self, child: &Path) -> io::Result<Vec<Address>> {
        // A child on the host has no prefix of its own.
        let own = is_url(child).then(|| self.remote.address(child)).transpose()?;
        let mut folders: Vec<Address> = own.iter().map(Address::folder).collect();
        for folder in &self.folders {
            let folder = self.remote.address(folder)?;
            if folder.has_query() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the URL of a prefix must not have a query: a signature is valid for one file only; name each \
                     parent by its own URL with --parent",
                ));
            }
            let folder = folder.as_folder();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Ok(folders)
    }

    fn candidate(&self, name: PathBuf) -> Candidate {
        let (remote, path) = (self.remote.clone(), name.clone());
        Candidate::new(name, move || remote.open_disk(&path))
    }

    /// Returns the objects that exist under this name, whatever its letter case. A server without lists is asked.
    fn existing(&self, place: &Address) -> Vec<Address> {
        if !place.can_list() {
            let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
            let exists = !self.remote.open(place.name().as_ref()).is_err_and(is_missing);
            return if exists { vec![place.clone()] } else { Vec::new() };
        }
        let Ok(disks) = self.remote.disks_of(&place.folder(), false) else {
            return vec![place.clone()]; // opening it reports the reason
        };
        let folded = place.key.to_lowercase();
        let (mut exact, others): (Vec<Address>, Vec<Address>) = disks
            .iter()
            .filter(|disk| disk.key.to_lowercase() == folded)
            .cloned()
            .partition(|disk| disk == place);
        exact.extend(others);
        exact
    }
}

/// What opening a chain needs first.
enum Needed<'a> {
    Disk(&'a Path),
    List(&'a Address),
}

/// A place to look for a parent.
struct Place {
    address: Address,
    /// Whether the stored relative path leads exactly there.
    is_relative: bool,
}

/// Returns the objects that a stored path may mean, the most likely first. `own` is the prefix of the child.
fn places_of(stored: &str, own: Option<&Address>, folders: &[Address]) -> Vec<Place> {
    let parts: Vec<&str> = stored.split(['\\', '/']).filter(|part| !part.is_empty()).collect();
    let is_relative = !stored.starts_with(['\\', '/']) && !stored.contains(':');
    let whole = own.filter(|_| is_relative).and_then(|own| own.join(parts.iter().copied()));
    let name = parts.last().copied().unwrap_or_default();
    let beside = folders.iter().filter_map(|folder| folder.join([name]));
    // A stored path chooses no object outside of the prefixes that the caller has named.
    let whole = whole.filter(|whole| own.into_iter().chain(folders).any(|folder| whole.is_inside(folder)));
    let whole = whole.map(|address| Place { address, is_relative: true });
    let beside = beside.map(|address| Place { address, is_relative: false });
    whole.into_iter().chain(beside).collect()
}

fn failed(child: &Path, error: io::Error) -> Error {
    Error::io("search for parents", None, error).in_file(child)
}

impl ParentResolver for RemoteResolver {
    fn candidates(&self, request: &ParentRequest<'_>) -> Result<Candidates> {
        if let Some(named) = self.named.get(request.level) {
            return Ok(Candidates { named: true, ..vec![self.candidate(named.clone())].into() });
        }
        let folders = self.folders_of(request.name).map_err(|error| failed(request.name, error))?;
        let own = is_url(request.name).then(|| folders.first()).flatten();
        let mut places: Vec<Place> = Vec::new();
        for stored in request.stored_paths() {
            for place in places_of(&stored.path, own, &folders) {
                if places.iter().all(|known| known.address != place.address) {
                    places.push(place);
                }
            }
        }
        let looked_for = places.iter().map(|place| place.address.name().into()).collect();
        let folders = folders.iter().map(|folder| folder.name().into()).collect();
        let resolver = self.clone();
        let found = places.into_iter().flat_map(move |place| {
            let found = resolver.existing(&place.address);
            let resolver = resolver.clone();
            found.into_iter().map(move |disk| {
                let candidate = resolver.candidate(disk.name().into());
                if place.is_relative { candidate.at_relative_path() } else { candidate }
            })
        });
        Ok(Candidates { candidates: Box::new(found), named: false, looked_for, folders })
    }

    fn search(&self, request: &ParentRequest<'_>) -> Result<GuidSearch> {
        let mut search = GuidSearch::default();
        let linkages = request.linkages();
        if self.named.get(request.level).is_some() || linkages.is_empty() {
            return Ok(search);
        }
        let folders = self.folders_of(request.name).map_err(|error| failed(request.name, error))?;
        for folder in folders.into_iter().filter(Address::can_list) {
            let path = PathBuf::from(folder.name());
            search.folders.push(path.clone());
            let Ok(disks) = self.remote.disks_of(&folder, false) else {
                search.unreadable.push(path);
                continue;
            };
            ensure_few(disks.len(), MAX_SEARCHED).map_err(|error| {
                failed(&path, io::Error::other(format!("{error}: name each parent with --parent")))
            })?;
            for (name, opened) in
                self.remote.open_disks(disks.iter().map(|disk| disk.name().into()).collect())
            {
                match opened {
                    Ok(disk) if linkages.contains(&disk.data_write_guid()) => {
                        search.candidates.push(Candidate::new(name, move || Ok(disk)));
                    }
                    Ok(_) => {}
                    Err(_) => search.unreadable.push(name),
                }
            }
        }
        Ok(search)
    }

    fn unused(&self, layers: usize) -> Option<PathBuf> {
        self.named.get(layers.checked_sub(1)?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_path_stays_in_the_prefixes_that_were_named() {
        let folder = |url: &str| Address::parse(url).unwrap();
        let own = folder("s3://bucket/vm/snapshots/");
        let names = |stored: &str, folders: &[&str]| -> Vec<String> {
            let folders: Vec<Address> =
                [own.clone()].into_iter().chain(folders.iter().map(|url| folder(url))).collect();
            places_of(stored, Some(&own), &folders).iter().map(|place| place.address.name()).collect()
        };
        let beside = "s3://bucket/vm/snapshots/base.vhdx";
        for stored in [r"..\..\other\base.vhdx", r"..\base.vhdx", r"..\snapshots2\base.vhdx"] {
            assert_eq!(names(stored, &[]), [beside], "{stored}");
        }
        assert_eq!(names(r"x\..\base.vhdx", &[])[0], beside);
        assert_eq!(names(r"deep\base.vhdx", &[])[0], "s3://bucket/vm/snapshots/deep/base.vhdx");
        assert_eq!(names(r"..\base.vhdx", &["s3://bucket/vm/"])[0], "s3://bucket/vm/base.vhdx");
        assert_eq!(names(r"..\base.vhdx", &["s3://other/vm/"])[0], beside);
    }
}
