//! How to open chains whose files do not find each other.

use std::path::Path;

use vhdx::{DiscoveredDisk, DiskLink, Forest, MAX_CHAIN_LENGTH, Problem};

use crate::output::shown;

/// For each leaf of a whole chain whose stored paths do not lead to all parents: the command that merges it.
pub(super) fn merges(forest: &Forest) -> impl Iterator<Item = String> {
    forest.disks.iter().filter(|disk| disk.children.is_empty()).filter_map(|leaf| {
        let chain = chain(forest, leaf)?;
        let is_stale =
            |disk: &&DiscoveredDisk| disk.problems.iter().any(|p| matches!(p, Problem::StalePath { .. }));
        chain.iter().any(is_stale).then(|| merge(&chain))
    })
}

/// For each of these disks whose stored paths do not lead to its parent, and whose chain is whole: the command that
/// changes them.
pub(super) fn reparents<'a>(
    forest: &'a Forest,
    disks: impl Iterator<Item = &'a DiscoveredDisk>,
) -> impl Iterator<Item = String> {
    disks.filter(|disk| chain(forest, disk).is_some()).flat_map(|disk| {
        disk.problems.iter().filter_map(|problem| match problem {
            Problem::StalePath { path, parent, .. } => {
                Some(format!("vhdx reparent {} --parent {}", word(path), word(parent)))
            }
            _ => None,
        })
    })
}

/// A leaf and all its parents, if all are there.
fn chain<'a>(forest: &'a Forest, leaf: &'a DiscoveredDisk) -> Option<Vec<&'a DiscoveredDisk>> {
    let parent = |disk: &&DiscoveredDisk| disk.parent.and_then(|index| forest.disks.get(index));
    let chain: Vec<_> = std::iter::successors(Some(leaf), parent).take(MAX_CHAIN_LENGTH + 1).collect();
    let is_whole = chain.len() <= MAX_CHAIN_LENGTH && chain.last()?.link == DiskLink::Base;
    is_whole.then_some(chain)
}

fn merge(chain: &[&DiscoveredDisk]) -> String {
    let mut command = "vhdx merge".to_owned();
    for (level, disk) in chain.iter().enumerate() {
        command += if level == 0 { " " } else { " --parent " };
        command += &word(&disk.path);
    }
    command + " --output NEW.vhdx"
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let path = shown(path);
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c) || (cfg!(windows) && c == '\\');
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path
    } else if cfg!(windows) {
        format!("\"{path}\"")
    } else {
        let path = if path.starts_with('-') { format!("./{path}") } else { path };
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for path in ["/vm/a.vhdx", "a b", "it's", "$HOME", "a;b", "\"", "`x`", "ä", "*"] {
            let script = format!("printf %s {}", word(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
        assert_eq!(word(Path::new("--x")), "'./--x'");
    }
}
