//! Normalizes the names in paths of this host and in stored paths of other hosts, so that they can be compared.

use std::path::{Component, Path};

use crate::family::host_path::absolute;
use crate::windows_path::{SEPARATORS, fold_name};

/// The most names at the end of a path that are compared: the file and its folders.
pub(super) const MAX_NAMES: usize = 8;

/// The folders that Hyper-V makes for each machine, as they are compared. Many machines have folders of these names.
pub(super) const COMMON_FOLDERS: [&str; 4] =
    [DISKS, "virtual machines", "snapshots", "planned virtual machines"];

/// The one of them that has disks. The others have configurations, and old versions put disks into `Snapshots` too.
pub(super) const DISKS: &str = "virtual hard disks";

/// Returns the last names of a path of this host, the file first, as they are compared.
pub(in crate::family) fn names(path: &Path) -> Vec<String> {
    let absolute = absolute(path);
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

/// Returns the name of a disk without its extension and without the GUID that a checkpoint adds, folded.
pub(crate) fn stem(name: &str) -> String {
    fold_name(without_guid(name).unwrap_or_else(|| without_extension(name)))
}

/// Returns whether the name at the end of a path has the GUID that a checkpoint adds.
pub(super) fn has_guid(path: &str) -> bool {
    path.rsplit(SEPARATORS).next().and_then(without_guid).is_some()
}

fn without_guid(name: &str) -> Option<&str> {
    let (stem, end) = without_extension(name).rsplit_once('_')?;
    uuid::Uuid::try_parse(end).is_ok().then_some(stem)
}

fn without_extension(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Returns the folder of the machine to which a file belongs.
///
/// This is the folder of the file. If Hyper-V makes that folder for each machine, it is the parent folder.
pub(crate) fn machine_folder(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    let name = folder.file_name().map(|name| fold_name(&name.to_string_lossy()));
    match name.is_some_and(|name| COMMON_FOLDERS.contains(&name.as_str())) {
        true => folder.parent(),
        false => Some(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_has_no_extension_and_no_guid() {
        for name in ["Web_1.vhdx", "web_1_6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C.avhdx", "WEB_1"] {
            assert_eq!(stem(name), "web_1");
        }
        assert_eq!(stem(""), "");
    }

    #[test]
    fn only_the_name_of_the_file_can_have_the_guid() {
        let guid = "6E7F0F5A-6EDE-4C2B-9F43-1E5A8E1A5B0C";
        assert!(has_guid(&format!(r"D:\web\web_1_{guid}.avhdx")));
        for path in [format!(r"D:\web_{guid}\web.vhdx"), format!("{guid}.avhdx"), String::new()] {
            assert!(!has_guid(&path), "{path}");
        }
    }

    #[test]
    fn folders_that_every_machine_has_are_in_the_folder_of_the_machine() {
        for file in ["web/m.vmcx", "web/Snapshots/m.vmcx", "web/VIRTUAL HARD DISKS/a.vhdx"] {
            assert_eq!(machine_folder(Path::new(file)), Some(Path::new("web")), "{file}");
        }
        assert_eq!(machine_folder(Path::new("m.vmcx")), Some(Path::new("")));
        assert_eq!(machine_folder(Path::new("Snapshots/m.vmcx")), Some(Path::new("")));
    }
}
