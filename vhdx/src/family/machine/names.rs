//! The names in paths, as they are compared: those of this host, and those that other hosts have stored.

use std::path::{Component, Path};

use crate::windows_path::fold_name;

/// The most names at the end of a path that are compared: the file and its folders.
pub(super) const MAX_NAMES: usize = 8;

/// The folders that Hyper-V makes for each machine, as they are compared. Many machines have folders of these names.
pub(super) const COMMON_FOLDERS: [&str; 4] =
    ["virtual hard disks", "virtual machines", "snapshots", "planned virtual machines"];

/// Returns the last names of a path of this host, the file first, as they are compared.
pub(in crate::family) fn names(path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(fold_name(&name.to_string_lossy())),
        _ => None,
    };
    absolute.components().rev().map_while(is_name).take(MAX_NAMES).collect()
}

/// Returns the last names of a path of another host, the file first. Drives and volumes are dropped.
pub(in crate::family) fn stored_names(path: &str) -> Vec<String> {
    let is_name = |name: &&str| !name.is_empty() && !name.ends_with(':') && *name != "." && *name != "?";
    path.rsplit(['\\', '/']).filter(is_name).take(MAX_NAMES).map(fold_name).collect()
}
