//! Makes paths of this host comparable.

use std::path::{Component, Path, PathBuf};

/// Returns the absolute path without `..`, and without resolving links.
pub(super) fn absolute(path: &Path) -> PathBuf {
    // Without a current folder, the path stays relative.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !absolute.components().any(|component| component == Component::ParentDir) {
        return absolute;
    }
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            component => resolved.push(component),
        }
    }
    resolved
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_has_no_detours() {
        for (path, expected) in [("/a/../b/./c", "/b/c"), ("/../a", "/a"), ("/a/b/..", "/a"), ("/", "/")] {
            assert_eq!(absolute(Path::new(path)), Path::new(expected), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("..")), here.ancestors().take(2).last().unwrap());
    }
}
