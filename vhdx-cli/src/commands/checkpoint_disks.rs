//! Returns the disk as it was at each checkpoint of a chain, with the names by which `mount` and `serve` show them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx::{Chain, Vhdx};

/// The name of the link to the newest disk, which no checkpoint gets.
pub(super) const LATEST: &str = "latest";

/// The most bytes of a file's name that a name consists of. With a number, it stays shorter than the 255 bytes that a
/// folder entry may have.
const MAX_NAME: usize = 240;

/// The disk at a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct CheckpointDisk {
    /// The name: not empty, not [`LATEST`], without slashes and control characters, different from all others.
    pub(super) name: String,
    /// The file that holds the checkpoint. Its parents hold the rest of the disk.
    pub(super) path: PathBuf,
    /// The file and its parents.
    pub(super) chain: Arc<Chain>,
}

/// Returns the disk of each file of a chain, the newest first.
///
/// The disks share the open files, and so their locks.
///
/// # Errors
/// Those of [`Chain::from_layers`].
pub(super) fn checkpoint_disks(chain: Chain) -> vhdx::Result<Vec<CheckpointDisk>> {
    let layers = chain.layers().to_vec();
    let paths: Vec<PathBuf> =
        layers.iter().map(|layer| layer.path().unwrap_or(Path::new("")).to_owned()).collect();
    let mut whole = Some(chain);
    let disk = |(number, (name, path)): (usize, (String, PathBuf))| {
        let chain = match whole.take() {
            Some(chain) => chain, // FILE itself: its placement may have been validated
            None => Chain::from_layers(ancestors_of(&layers, number))?,
        };
        Ok(CheckpointDisk { name, path, chain: Arc::new(chain) })
    };
    names(&paths).into_iter().zip(paths).enumerate().map(disk).collect()
}

/// Returns a file and its parents.
fn ancestors_of(layers: &[Vhdx], number: usize) -> Vec<Vhdx> {
    layers.iter().skip(number).cloned().collect()
}

/// Returns a name for each file of a chain: its name without its extension.
///
/// Of files with the same name, the oldest keeps it. The others keep their extension, or get a number. So the name of a
/// checkpoint stays the same when newer ones are made.
fn names(leaf_first: &[PathBuf]) -> Vec<String> {
    let mut used = reserved();
    let mut names: Vec<String> = leaf_first.iter().rev().map(|path| unused_name(path, &mut used)).collect();
    names.reverse();
    names
}

/// Returns the name of the only file of a chain.
pub(super) fn name_of(path: &Path) -> String {
    unused_name(path, &mut reserved())
}

/// Returns the names that no checkpoint gets.
fn reserved() -> HashSet<String> {
    HashSet::from([LATEST.to_owned(), ".".to_owned(), "..".to_owned()])
}

fn unused_name(path: &Path, used: &mut HashSet<String>) -> String {
    let without_extension = allowed(&path.file_stem().unwrap_or_default().to_string_lossy());
    let whole = allowed(&path.file_name().unwrap_or_default().to_string_lossy());
    let numbered = (2_u64..).map(|number| format!("{without_extension}~{number}"));
    let mut candidates = [without_extension.clone(), whole].into_iter().chain(numbered);
    // There are more numbers than files in a chain, so a name is always found.
    candidates.find(|name| used.insert(name.clone())).unwrap_or(without_extension.clone())
}

/// Returns a text that can be the name of a folder and of an export.
fn allowed(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars().map(|letter| if letter.is_control() || letter == '/' { '_' } else { letter }) {
        if name.len().saturating_add(letter.len_utf8()) > MAX_NAME {
            break;
        }
        name.push(letter);
    }
    if name.is_empty() { "disk".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(leaf_first: &[&str]) -> Vec<String> {
        names(&leaf_first.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_file_names_without_extensions() {
        let files = ["/vm/web_A1.avhdx", "/vm/web_B2.avhdx", "s3://bucket/vm/web.vhdx"];
        assert_eq!(names_of(&files), ["web_A1", "web_B2", "web"]);
    }

    #[test]
    fn equal_names_differ_and_the_oldest_keeps_its_name() {
        let files = ["/c/a.vhdx", "/b/a.avhdx", "/a/a.vhdx"];
        assert_eq!(names_of(&files), ["a.vhdx", "a.avhdx", "a"]);
        let files = ["/d/a.vhdx", "/c/a.vhdx", "/b/a.vhdx", "/a/a.vhdx"];
        assert_eq!(names_of(&files), ["a~3", "a~2", "a.vhdx", "a"]);
    }

    #[test]
    fn every_name_can_be_a_folder() {
        let long = format!("/vm/{}.vhdx", "ü".repeat(120));
        let files = ["latest.avhdx", "a\nb.avhdx", "", "..", &long, &long, &long];
        let names = names_of(&files);
        assert_eq!(names[..2], ["latest.avhdx", "a_b"]);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), files.len());
        assert!(names.iter().all(|name| !name.is_empty() && name.len() < 255 && name != ".." && name != "."));
    }
}
