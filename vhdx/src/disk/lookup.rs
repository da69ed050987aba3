//! Finds files by stored paths. Letter case and composition (Unicode NFC or NFD) do not matter.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::folders::FolderIndex;
use super::found_by::FoundBy;
use super::routes::{Route, routes};
use crate::storage::folder_of;
use crate::windows_path::StoredPath;

/// Returns the paths to which the whole relative path leads from each folder of `own`.
pub(crate) fn in_place(stored: &[StoredPath], own: &[PathBuf]) -> Vec<PathBuf> {
    routes(stored, own, &[]).iter().map(|route| without_detours(&route.path())).collect()
}

/// Returns the folder of a file and, for a symbolic link, the folder of the real file.
pub(crate) fn folders_of(file: &Path) -> Vec<PathBuf> {
    let folder = folder_of(file).to_owned();
    // `canonicalize` takes a system call for each part of the path, so it is called only for links.
    if !file.is_symlink() {
        return vec![folder];
    }
    let real = file.canonicalize().map(|file| folder_of(&file).to_owned()).ok();
    let other = real.filter(|real| folder.canonicalize().is_ok_and(|folder| folder != *real));
    std::iter::once(folder).chain(other).collect()
}

/// Yields the existing files of the routes, each once.
///
/// All exact paths come first, then other spellings of the names. Folders are listed only when the iterator reaches the
/// other spellings, and each folder only once.
pub(crate) fn find(routes: Vec<Route>, index: FolderIndex) -> impl Iterator<Item = (PathBuf, FoundBy)> {
    let mut seen = HashSet::new();
    let plain = |(path, found_by): (PathBuf, FoundBy)| (without_detours(&path), found_by);
    all(routes, index).map(plain).filter(move |(path, _)| seen.insert(path.clone()))
}

fn all(routes: Vec<Route>, index: FolderIndex) -> impl Iterator<Item = (PathBuf, FoundBy)> {
    let exact: Vec<_> = routes.iter().map(|route| (route.path(), route.found_by)).collect();
    let exact = exact.into_iter().filter(|(path, _)| exists(path));
    let spelled =
        move |route: Route| index.spellings(&route).into_iter().map(move |path| (path, route.found_by));
    exact.chain(routes.into_iter().flat_map(spelled))
}

/// Removes detours (`snapshots/../disk.vhdx`) from a path.
///
/// If symbolic links make the result another file, the path stays the same.
fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (plain.components().next_back(), part) {
            (Some(Component::Normal(_)), Component::ParentDir) => drop(plain.pop()),
            (Some(Component::CurDir), Component::ParentDir) => plain = PathBuf::from(".."),
            _ => plain.push(part),
        }
    }
    let is_same =
        || plain.canonicalize().is_ok_and(|real| path.canonicalize().is_ok_and(|path| path == real));
    if plain != path && is_same() { plain } else { path.to_owned() }
}

/// Returns whether a file exists, or may exist because permission is denied.
///
/// In the second case, opening it reports the reason.
fn exists(path: &Path) -> bool {
    match path.metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn every_spelling_is_found_the_exact_one_first() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("VMS")).unwrap();
        for name in ["ÄRGER.vhdx", "ärger.VHDX", "arger.vhdx"] {
            std::fs::write(folder.path().join("VMS").join(name), []).unwrap();
        }
        let route = |names: [&str; 2]| Route {
            folder: folder.path().to_owned(),
            names: names.map(str::to_owned).into(),
            found_by: FoundBy::RelativePath,
        };
        let found = |names| -> Vec<String> {
            let paths = find(vec![route(names)], FolderIndex::default());
            paths.map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(found(["vms", "Ärger.vhdx"]), ["ÄRGER.vhdx", "ärger.VHDX"]);
        assert_eq!(found(["VMS", "ärger.VHDX"]), ["ärger.VHDX", "ÄRGER.vhdx"]);
        assert_eq!(found(["vms", "none.vhdx"]), [""; 0]);
    }

    #[test]
    #[cfg(unix)]
    fn links_do_not_multiply_spellings_without_limit() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["loop", "LOOP", "Loop"] {
            std::os::unix::fs::symlink(".", folder.path().join(name)).unwrap();
        }
        let names = vec!["lOOP".to_owned(); 100];
        let route = Route { folder: folder.path().to_owned(), names, found_by: FoundBy::RelativePath };
        assert!(find(vec![route], FolderIndex::default()).count() <= crate::disk::folders::MAX_SPELLINGS);
    }

    #[test]
    fn detours_are_removed_if_the_path_leads_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("a/deep")).unwrap();
        std::fs::create_dir(path("b")).unwrap();
        std::fs::write(path("b/disk"), b"").unwrap();
        let plain = |name: &str| without_detours(&path(name)).into_os_string();
        assert_eq!(plain("a/../b/disk"), path("b/disk"));
        assert_eq!(plain("a/deep/../../b/disk"), path("b/disk"));
        assert_eq!(plain("a/../b/none"), path("a/../b/none"));
        assert_eq!(without_detours(Path::new("../x")), Path::new("../x"));
        assert_eq!(without_detours(Path::new("./src/../src/lib.rs")), Path::new("./src/lib.rs"));
        assert_eq!(without_detours(Path::new("./../vhdx/src/lib.rs")), Path::new("../vhdx/src/lib.rs"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("a/deep"), path("link")).unwrap();
            std::fs::write(path("a/disk"), b"").unwrap();
            std::fs::write(path("disk"), b"").unwrap();
            assert_eq!(plain("link/../disk"), path("link/../disk"), "a/disk");
        }
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("leaf.avhdx")), Path::new("."));
        assert_eq!(folder_of(Path::new("vm/leaf.avhdx")), Path::new("vm"));
    }
}
