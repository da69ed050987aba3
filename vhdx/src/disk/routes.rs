//! Lists the places to look for the parent of a file, from the paths that the file stores.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::found_by::FoundBy;
use crate::format::parent_locator::{ABSOLUTE_WIN32_PATH, RELATIVE_PATH};
use crate::windows_path::{self, StoredPath};

/// A place to look for a file: a folder, and the names that lead from it to the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(super) folder: PathBuf,
    pub(super) names: Vec<String>,
    pub(super) found_by: FoundBy,
}

impl Route {
    /// Returns the folder in which the route begins.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the names of the subfolders and last the name of the file.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the path with the names as they are stored.
    pub(crate) fn path(&self) -> PathBuf {
        let mut path = self.folder.clone();
        path.extend(&self.names);
        path
    }
}

/// Returns the places to look for the parent of a child, in order and without duplicates.
///
/// For each stored path: first the whole path in each folder of `own` (the folders of the child) if it is a relative
/// path, then each suffix, longest first, in each folder of `folders`.
pub(crate) fn routes(stored: &[StoredPath], own: &[PathBuf], folders: &[PathBuf]) -> Vec<Route> {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let mut routes = Vec::new();
    for StoredPath { key, path } in stored {
        let as_it_is = if *key == RELATIVE_PATH { windows_path::relative(path) } else { None };
        if let Some((up, names)) = as_it_is {
            routes.extend(own.iter().map(|folder| {
                let mut folder = folder.clone();
                folder.extend(std::iter::repeat_n("..", up));
                Route { folder, names: owned(names.clone()), found_by: FoundBy::RelativePath }
            }));
        }
        for names in windows_path::suffixes(path) {
            let found_by = if names.len() == 1 { FoundBy::Name } else { found_by(key) };
            let below =
                |folder: &PathBuf| Route { folder: folder.clone(), names: owned(names.clone()), found_by };
            routes.extend(folders.iter().map(below));
        }
    }
    let mut seen = HashSet::new();
    routes.retain(|route| seen.insert(route.path()));
    routes
}

fn found_by(key: &str) -> FoundBy {
    match key {
        RELATIVE_PATH => FoundBy::RelativePath,
        ABSOLUTE_WIN32_PATH => FoundBy::AbsoluteWin32Path,
        _ => FoundBy::VolumePath,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &'static str, path: &str) -> StoredPath {
        StoredPath { key, path: path.to_owned() }
    }

    #[test]
    fn the_relative_path_comes_first_and_no_place_twice() {
        let stored =
            [stored(RELATIVE_PATH, r"..\vm\base.vhdx"), stored(ABSOLUTE_WIN32_PATH, r"D:\vm\base.vhdx")];
        let folders = [PathBuf::from("own"), PathBuf::from("other")];
        let routes = routes(&stored, &folders[..1], &folders);
        let paths: Vec<PathBuf> = routes.iter().map(Route::path).collect();
        let found_by: Vec<FoundBy> = routes.iter().map(|route| route.found_by).collect();
        let expected = [
            ("own/../vm/base.vhdx", FoundBy::RelativePath),
            ("own/vm/base.vhdx", FoundBy::RelativePath),
            ("other/vm/base.vhdx", FoundBy::RelativePath),
            ("own/base.vhdx", FoundBy::Name),
            ("other/base.vhdx", FoundBy::Name),
        ];
        assert_eq!(paths, expected.map(|(path, _)| PathBuf::from(path)));
        assert_eq!(found_by, expected.map(|(_, found_by)| found_by));
    }
}
