//! What must hold while a prune runs, and after it.

use std::fs;
use std::path::{Path, PathBuf};

use vhdx_testkit::estate::Estate;

use super::expected::Expected;
use super::{contents, files};
use crate::common::assert_same;

/// Returns the names of the files that a prune leaves, below the estate's root.
pub(super) fn names_at_the_end(estate: &Estate, expected: &Expected) -> Vec<PathBuf> {
    let left = expected.files(estate).into_iter();
    left.map(|path| path.strip_prefix(&estate.root).unwrap().to_owned()).collect()
}

/// Copies the files of a folder.
pub(super) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let copy = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&path, &copy).unwrap();
        // By the times of the files, the configurations are current.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::options().append(true).open(&copy).unwrap().set_modified(modified).unwrap();
    }
}

/// Checks that every state that stays can be read, in the old file or in the new one.
pub(super) fn check_states(estate: &Estate, root: &Path, expected: &Expected, context: &str) {
    let found = contents(root);
    let moved = |path: &Path| root.join(path.strip_prefix(&estate.root).unwrap());
    for (&disk, path) in &expected.states {
        let content = estate.disks[disk].content();
        let old = found.get(&moved(&estate.disks[disk].path));
        let new = found.get(&moved(path));
        let is_there = [old, new].into_iter().flatten().any(|read| *read == content);
        assert!(is_there, "{context}: {} is lost", estate.disks[disk].path.display());
    }
}

/// Checks that every state is in its file, and that the folder has the files with these names, and no others.
pub(super) fn check_end(estate: &Estate, root: &Path, expected: &Expected, names: &[PathBuf], context: &str) {
    let found = contents(root);
    for (&disk, path) in &expected.states {
        let path = root.join(path.strip_prefix(&estate.root).unwrap());
        let what = format!("{context}: {} of {}", path.display(), estate.disks[disk].path.display());
        assert_same(&found[&path], &estate.disks[disk].content(), &what);
    }
    let left: Vec<PathBuf> =
        files(root).iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect();
    assert_eq!(left, names, "{context}");
}
