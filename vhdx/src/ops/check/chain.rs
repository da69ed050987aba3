//! Checks a file together with all its parents.

use std::path::Path;

use super::{CheckReport, FileReport, check_file_in, check_open};
use crate::disk::{InspectedLayer, Link, ParentResolver, inspect_leaf};
use crate::error::Error;
use crate::file::Vhdx;
use crate::storage::{FilesOfHost, OnWriter, OpenFiles};
use crate::violation::Violations;

/// Checks a file, all its parents, and each link between them. Nothing is written.
///
/// A broken link is the error of the child. All files are locked against writers meanwhile, and compared at the end
/// with their state at the beginning, as [`check_file`](super::check_file) does.
///
/// # Examples
/// ```no_run
/// use vhdx::{FolderResolver, OnWriter, ops::check_chain};
///
/// let report = check_chain("checkpoint.avhdx".as_ref(), &FolderResolver::default(), OnWriter::Fail);
/// for file in &report.files {
///     for violation in file.violations.as_slice() {
///         println!("{:?}: {violation}", file.path);
///     }
///     if let Some(error) = &file.error {
///         println!("{error}");
///     }
/// }
/// println!("{}", if report.is_valid() { "valid" } else { "not valid" });
/// ```
pub fn check_chain(path: &Path, resolver: &dyn ParentResolver, on_writer: OnWriter) -> CheckReport {
    check_chain_in(&FilesOfHost, path, resolver, on_writer)
}

/// Checks a file that `files` opens, and all its parents, as [`check_chain`] checks files of the host.
///
/// The resolver opens the parents.
pub fn check_chain_in(
    files: &dyn OpenFiles,
    path: &Path,
    resolver: &dyn ParentResolver,
    on_writer: OnWriter,
) -> CheckReport {
    let mut report = CheckReport::default();
    let leaf = Vhdx::load_from(files, path, &mut Violations::new());
    match leaf.and_then(|leaf| inspect_leaf(leaf, resolver)) {
        Ok(layers) => {
            let mut open = Vec::new();
            for layer in layers {
                open.push((report.files.len(), add_layer(files, &mut report.files, layer, on_writer)));
            }
            for (number, vhdx) in open {
                if let (Err(error), Some(file)) = (vhdx.ensure_unchanged(), report.files.get_mut(number)) {
                    file.error.get_or_insert(error);
                }
            }
        }
        Err(error) => {
            report = check_file_in(files, path, on_writer);
            if let Some(leaf) = report.files.first_mut()
                && leaf.is_valid()
            {
                leaf.error = Some(error);
            }
        }
    }
    report
}

/// Checks a layer and returns it, still open and locked.
fn add_layer(
    place: &dyn OpenFiles,
    files: &mut Vec<FileReport>,
    layer: InspectedLayer,
    on_writer: OnWriter,
) -> Vhdx {
    let mut file = FileReport::of(Some(&layer.name), |violations| {
        layer.vhdx.tolerated().iter().for_each(|violation| violations.report(violation.clone()));
        check_open(&layer.vhdx, on_writer, violations).map_err(|error| error.in_file(&layer.name))
    });
    let broken = match layer.link {
        Link::Base | Link::Ok => None,
        Link::Mismatch(error) | Link::Missing(error) => Some(error),
    };
    match broken.as_ref().and_then(|error| damaged_parent(error, &layer.name)) {
        Some(parent) => {
            let parent = check_file_in(place, parent, on_writer);
            files.push(file);
            files.extend(parent.files);
        }
        None => {
            file.error = file.error.or(broken);
            files.push(file);
        }
    }
    layer.vhdx
}

/// Returns the parent, if it exists but breaks a rule.
///
/// The list of all rules that it breaks says more than the error that it cannot be opened.
fn damaged_parent<'a>(error: &'a Error, child: &Path) -> Option<&'a Path> {
    error.violation()?;
    error.path().filter(|&path| path != child)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FolderResolver;
    use crate::file::NewDisk;
    use crate::format::bytes::seal;
    use crate::ops::testing::{image, link, set_entry};
    use crate::rules::Rule;
    use crate::violation::Structure;
    use std::fs;
    use std::path::PathBuf;

    /// Checks a base and a child, either of which `damage` may change.
    fn check(damage: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> (CheckReport, [PathBuf; 2]) {
        let disk = NewDisk { block_size: 1 << 20, ..NewDisk::new(8 << 20) };
        let mut base = image(&disk, &[(0, &[1])]);
        let mut child = image(&disk, &[(1 << 20, &[2])]);
        link(&mut child, &base, r".\base.vhdx");
        damage(&mut base, &mut child);
        let folder = tempfile::tempdir().unwrap();
        let paths = ["child.avhdx", "base.vhdx"].map(|name| folder.path().join(name));
        fs::write(&paths[0], child).unwrap();
        if !base.is_empty() {
            fs::write(&paths[1], base).unwrap();
        }
        (check_chain(&paths[0], &FolderResolver::default(), OnWriter::Fail), paths)
    }

    fn broken(report: &FileReport) -> Vec<Rule> {
        report.violations.as_slice().iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn every_file_of_a_sound_chain_is_checked() {
        let (report, paths) = check(|_, _| {});
        assert!(report.is_valid(), "{report:?}");
        assert!(report.files.iter().map(|file| file.path.as_ref()).eq(paths.iter().map(Some)));
    }

    #[test]
    fn damage_is_found_in_every_file() {
        let (report, _) = check(|base, child| {
            set_entry(base, 0, 6, 1);
            set_entry(child, 1, 4, 0);
        });
        let broken: Vec<_> = report.files.iter().map(broken).collect();
        assert_eq!(broken, [[Rule::BatStateReserved], [Rule::BlockOverlapsLog]]);
    }

    #[test]
    fn a_damaged_region_table_is_reported_once_used_or_not() {
        const TABLE: usize = 192 << 10;
        let (report, _) = check(|base, child| {
            base[TABLE + (64 << 10) + 100] ^= 1;
            child[TABLE + 100] ^= 1;
        });
        for (file, number) in report.files.iter().zip([1, 2]) {
            let [violation] = file.violations.as_slice() else { panic!("{file:?}") };
            assert_eq!(violation.rule, Rule::RegionTableChecksum);
            assert_eq!(violation.structure, Structure::RegionTable(number));
        }
    }

    /// The second table may be the one to use, so it must be reported.
    #[test]
    fn differing_region_tables_are_reported_if_the_first_one_is_unusable() {
        const TABLE: usize = 192 << 10;
        const SIZE: usize = 64 << 10;
        let (report, _) = check(|base, _| {
            let table = &mut base[TABLE..][..SIZE];
            table[16 + 16..][..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
            seal(table);
        });
        assert_eq!(broken(&report.files[1]), [Rule::RegionPastEnd, Rule::RegionTablesDiffer]);
    }

    #[test]
    fn all_violations_of_a_parent_that_does_not_open_are_reported() {
        let (report, _) = check(|base, _| base[2 << 20] ^= 1);
        assert!(report.files[0].is_valid());
        assert_eq!(broken(&report.files[1]), [Rule::MetadataSignature]);
    }

    #[test]
    fn a_missing_parent_is_the_error_of_its_child() {
        let (report, _) = check(|base, _| base.clear());
        assert_eq!(report.files.len(), 1);
        assert!(matches!(report.files[0].error, Some(Error::Chain(_))), "{report:?}");
    }

    #[test]
    fn a_leaf_that_does_not_open_is_checked_alone() {
        let (report, _) = check(|_, child| child[0] ^= 1);
        assert_eq!(report.files.len(), 1);
        assert_eq!(broken(&report.files[0]), [Rule::FileSignature]);
        assert!(report.files[0].error.is_none());
    }
}
