//! Finds the disk that a path of another host means, by the ends of paths.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::names::{COMMON_FOLDERS, names, stored_names};
use crate::family::host_path::absolute;

/// The most disks with the same names that are distinguished.
const MAX_CANDIDATES: usize = 64;

/// Files by the last names of their paths.
pub(super) struct Suffixes<'a> {
    files: Vec<&'a Path>,
    /// The files with each suffix, at most one more than [`MAX_CANDIDATES`].
    by_suffix: HashMap<String, Vec<usize>>,
}

/// What a search for a disk found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Disk {
        disk: usize,
        /// Whether the disk may also belong to another machine: all names that match are names that many machines use.
        is_weak: bool,
    },
    /// Several disks fit equally well.
    Ambiguous(Vec<usize>),
    Nothing,
}

impl<'a> Suffixes<'a> {
    /// Returns all files, of which only those can be found that `is_named` accepts.
    pub(super) fn of(files: impl IntoIterator<Item = &'a Path>, is_named: impl Fn(&Path) -> bool) -> Self {
        let files: Vec<&Path> = files.into_iter().collect();
        let mut by_suffix: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, file) in files.iter().enumerate().filter(|(_, file)| is_named(file)) {
            for suffix in suffixes(&names(file)) {
                let with_suffix = by_suffix.entry(suffix).or_default();
                if with_suffix.len() <= MAX_CANDIDATES {
                    with_suffix.push(i);
                }
            }
        }
        Self { files, by_suffix }
    }

    /// Returns the disk that a configuration means by a path of its host.
    ///
    /// The names of the file and of its folder must be equal, without regard to case. Of several such disks, the one is
    /// meant that has more equal names, or else is nearer to the configuration. A disk of which only the name is equal
    /// must be in the folder of the configuration, or in the folder above: files are often copied into one folder.
    pub(super) fn find(&self, stored: &str, configuration: &Path) -> Found {
        let configuration = &absolute(configuration);
        let stored: Vec<String> = stored_names(stored);
        let longest_first = suffixes(&stored).into_iter().enumerate().rev();
        for (folders, suffix) in longest_first {
            let Some(with_suffix) = self.by_suffix.get(&suffix) else { continue };
            let candidates = match folders {
                0 => self.near(with_suffix, configuration),
                _ => with_suffix.clone(),
            };
            match self.nearest(candidates, configuration)[..] {
                [] => {}
                [disk] => {
                    return Found::Disk {
                        disk,
                        is_weak: self.is_weak(&stored, folders, disk, configuration),
                    };
                }
                ref several => return Found::Ambiguous(several.to_owned()),
            }
        }
        Found::Nothing
    }

    /// Returns the files with the name of a stored path, in any folder.
    pub(super) fn namesakes(&self, stored: &str) -> &[usize] {
        let name = suffixes(&stored_names(stored)).into_iter().next();
        name.and_then(|name| self.by_suffix.get(&name)).map_or(&[], Vec::as_slice) // Most missing files are alone.
    }

    /// Returns whether a disk with `folders` equal folders may as well belong to another machine.
    ///
    /// Hyper-V puts the disks of each machine into a folder of the same name. That folder says nothing, unless it is
    /// beside the folder of the configuration, or in it.
    fn is_weak(&self, stored: &[String], folders: usize, disk: usize, configuration: &Path) -> bool {
        let is_common = |name: &String| COMMON_FOLDERS.contains(&name.as_str());
        let machine_folder = || self.folder(disk).and_then(|folder| folder.parent().map(Path::to_owned));
        match folders {
            0 => true,
            1 if stored.get(1).is_some_and(is_common) => {
                !machine_folder().is_some_and(|folder| folders_near(configuration).any(|near| near == folder))
            }
            _ => false,
        }
    }

    /// Returns the disks in the folder of the configuration, or in the folder above.
    fn near(&self, disks: &[usize], configuration: &Path) -> Vec<usize> {
        let is_near = |disk: &usize| {
            self.folder(*disk).is_some_and(|folder| folders_near(configuration).any(|near| near == folder))
        };
        disks.iter().copied().filter(is_near).collect()
    }

    /// Returns the absolute folder of a disk.
    fn folder(&self, disk: usize) -> Option<PathBuf> {
        absolute(self.files.get(disk)?).parent().map(Path::to_owned)
    }

    /// Returns those of the disks that have the most folders in common with the configuration.
    fn nearest(&self, disks: Vec<usize>, configuration: &Path) -> Vec<usize> {
        if disks.len() < 2 || disks.len() > MAX_CANDIDATES {
            return disks;
        }
        let in_common = |disk: &usize| {
            let folder = self.folder(*disk).unwrap_or_default(); // A file without a folder has nothing in common.
            folder.components().zip(configuration.components()).take_while(|(a, b)| a == b).count()
        };
        let most = disks.iter().map(in_common).max();
        disks.into_iter().filter(|disk| Some(in_common(disk)) == most).collect()
    }
}

/// Returns the folder of a configuration and the folder above.
fn folders_near(configuration: &Path) -> impl Iterator<Item = &Path> {
    configuration.ancestors().skip(1).take(2)
}

/// Returns the ends of a path: the file, the file with its folder, and so on. No name contains NUL.
fn suffixes(names: &[String]) -> Vec<String> {
    let longer = |before: &mut String, name: &String| {
        *before = format!("{name}\0{before}");
        Some(before.clone())
    };
    names.iter().scan(String::new(), longer).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::names::MAX_NAMES;
    use super::*;

    fn find(files: &[&str], stored: &str, configuration: &str) -> Found {
        Suffixes::of(files.iter().map(Path::new), |_| true).find(stored, Path::new(configuration))
    }

    fn sure(disk: usize) -> Found {
        Found::Disk { disk, is_weak: false }
    }

    fn weak(disk: usize) -> Found {
        Found::Disk { disk, is_weak: true }
    }

    #[test]
    fn names_of_windows_paths_are_folded_and_devices_dropped() {
        let names = |path: &str| stored_names(path).join("|");
        assert_eq!(names(r"C:\Hyper-V\Web\A.VHDX"), "a.vhdx|web|hyper-v");
        assert_eq!(names(r"C:a.vhdx"), "c:a.vhdx");
        assert_eq!(names(r"\\?\Volume{1}\a/b\.\c"), "c|b|a|volume{1}");
        assert_eq!(names(r"\\server\share\a"), "a|share|server");
        assert_eq!(names(r"C:\"), "");
        assert_eq!(names(""), "");
        assert_eq!(stored_names(&"x\\".repeat(1000)).len(), MAX_NAMES);
    }

    #[test]
    fn suffixes_begin_with_the_file() {
        let names = ["c", "b", "a"].map(str::to_owned);
        assert_eq!(suffixes(&names), ["c\0", "b\0c\0", "a\0b\0c\0"]);
        assert_eq!(suffixes(&[]), [""; 0]);
    }

    #[test]
    fn the_longest_end_of_the_path_decides() {
        let files = ["/x/web/d/a.vhdx", "/y/sql/d/a.vhdx", "/z/d/b.vhdx"];
        assert_eq!(find(&files, r"C:\web\d\A.vhdx", "/m.vmcx"), sure(0));
        assert_eq!(find(&files, r"C:\SQL\d\a.vhdx", "/x/web/m.vmcx"), sure(1));
        assert_eq!(find(&files, r"C:\mail\d\a.vhdx", "/m.vmcx"), Found::Ambiguous(vec![0, 1]));
        assert_eq!(find(&files, r"C:\mail\d\a.vhdx", "/x/m.vmcx"), sure(0));
        assert_eq!(find(&files, r"C:\mail\d\b.vhdx", "/m.vmcx"), sure(2));
        assert_eq!(find(&files, r"C:\mail\d\c.vhdx", "/m.vmcx"), Found::Nothing);
        assert_eq!(find(&files, "", "/m.vmcx"), Found::Nothing);
    }

    #[test]
    fn a_name_without_its_folder_counts_only_near_the_configuration() {
        let files = ["/x/a.vhdx", "/b.vhdx"];
        assert_eq!(find(&files, r"C:\d\a.vhdx", "/x/m.vmcx"), weak(0));
        assert_eq!(find(&files, r"C:\d\a.vhdx", "/x/y/m.vmcx"), weak(0));
        assert_eq!(find(&files, r"C:\d\a.vhdx", "/x/y/z/m.vmcx"), Found::Nothing);
        assert_eq!(find(&files, r"C:\d\a.vhdx", "/m.vmcx"), Found::Nothing);
        assert_eq!(find(&files, r"C:\d\b.vhdx", "/x/m.vmcx"), weak(1));
    }

    #[test]
    fn files_with_a_name_are_found_in_any_folder() {
        let files = ["/x/a.vhdx", "/y/b.vhdx", "/z/B.vhdx"];
        let files = Suffixes::of(files.iter().map(Path::new), |_| true);
        assert_eq!(files.namesakes(r"C:\d\A.vhdx"), [0]);
        assert_eq!(files.namesakes(r"C:\d\b.vhdx"), [1, 2]);
        assert!(files.namesakes("").is_empty());
    }

    #[test]
    fn the_folders_that_every_machine_has_are_weak_away_from_the_configuration() {
        let files = ["/web/Virtual Hard Disks/a.vhdx"];
        let stored = r"C:\sql\Virtual Hard Disks\a.vhdx";
        assert_eq!(find(&files, stored, "/sql/Virtual Machines/m.vmcx"), weak(0));
        assert_eq!(find(&files, stored, "/web/Virtual Machines/m.vmcx"), sure(0));
        assert_eq!(find(&files, stored, "/web/m.vmcx"), sure(0));
        assert_eq!(find(&files, r"C:\web\Virtual Hard Disks\a.vhdx", "/m.vmcx"), sure(0));
    }

    #[test]
    fn too_many_disks_with_one_name_are_not_compared() {
        let files: Vec<String> = (0..1000).map(|number| format!("/{number}/d/a.vhdx")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let Found::Ambiguous(found) = find(&files, r"C:\x\d\a.vhdx", "/500/m.vmcx") else { panic!() };
        assert_eq!(found.len(), MAX_CANDIDATES + 1);
        assert_eq!(find(&files, r"C:\500\d\a.vhdx", "/m.vmcx"), sure(500));
    }
}
