//! Advises users who guess the name of a command that does not exist.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Groups of guessed names, each with the advice for them.
const GUESSES: &[(&[&str], &str)] = &[
    (
        &["repair", "fix", "mend"],
        "no command repairs a damaged file in place. `vhdx check FILE` lists the damage. `vhdx replay FILE` applies a \
         dirty log. `vhdx reparent CHILD --parent FILE` repairs the link to a parent. `vhdx convert FILE NEW.vhdx` \
         copies a disk that can still be read completely: it stops at the first damage",
    ),
    (
        &["salvage", "rescue", "recover"],
        "no command can skip damaged parts yet. `vhdx check FILE` lists the damage, and `vhdx convert FILE NEW.vhdx` \
         copies a disk that can still be read completely",
    ),
    (
        &["resize", "expand", "extend", "grow", "enlarge"],
        "to enlarge a disk, make a larger child and merge it: `vhdx create CHILD.avhdx --parent FILE --size SIZE`, \
         then `vhdx merge CHILD.avhdx`. The new part reads as zeros. If FILE has a larger parent, a later merge into \
         that parent writes zeros over its data past the old end of FILE",
    ),
    (
        &["shrink", "truncate", "reduce"],
        "no command shrinks a disk. First shrink its last partition in the guest, then use Hyper-V's `Resize-VHD`",
    ),
    (
        &["compact", "optimize", "optimise", "trim", "sparsify"],
        "no command compacts a file in place. `vhdx convert FILE NEW.vhdx` copies the whole chain without the blocks \
         that contain only zeros",
    ),
    (
        &["attach", "open", "unmount", "umount", "detach", "nbd"],
        "`vhdx serve FILE` serves a disk to NBD clients on any system. On Linux, `vhdx mount FILE DIR` shows it as files, \
         `losetup -rfP --show DIR/latest/disk.raw` attaches it, and `fusermount3 -u DIR` unmounts. `vhdx ls FILE` and \
         `vhdx cp FILE:PATH DEST` copy files out of it. `vhdx map FILE` shows where its data is stored",
    ),
    (
        &[
            "delete",
            "remove",
            "rm",
            "delete-checkpoint",
            "remove-checkpoint",
            "delete-snapshot",
            "remove-snapshot",
        ],
        "`vhdx prune DIR` deletes checkpoints by number, age, size or name; `vhdx merge CHECKPOINT.avhdx --delete-merged` \
         merges one file into its parent. Never delete a file that other files depend on: `vhdx tree DIR` shows them",
    ),
    (
        &["list", "dir", "find", "scan", "discover", "snapshots", "checkpoints"],
        "`vhdx tree DIR` lists all disks in a folder and its subfolders, `vhdx chain FILE` a disk and its parents, `vhdx ls FILE` \
         the files inside a disk",
    ),
    (
        &["snapshot", "checkpoint", "fork", "branch", "child"],
        "`vhdx create CHILD.avhdx --parent FILE` makes a child. After that, do not start a virtual machine from FILE: \
         FILE must not change any more",
    ),
    (
        &["apply", "rollback", "reset"],
        "`vhdx revert FILE --to CHECKPOINT` goes back to a checkpoint: it makes an empty child of the checkpoint, to use \
         instead of FILE",
    ),
    (
        &["restore", "write", "dd", "flash"],
        "`vhdx convert FILE TARGET --in-place` overwrites a file or, on Linux, a device with the raw disk: all data in \
         TARGET is lost. `vhdx convert FILE NEW.vhdx` makes a new VHDX",
    ),
    (
        &["verify", "validate", "fsck", "test", "scrub"],
        "`vhdx check FILE --chain` checks a file, its parents, and the links between them",
    ),
    (
        &["copy", "clone", "export", "import", "extract", "dump", "raw"],
        "`vhdx convert FILE NEW.vhdx` (or NEW.raw) copies a disk with all its parents into one new file, \
         `vhdx cp FILE:PATH DEST` files out of a disk",
    ),
    (
        &["rebase", "relink", "reconnect", "set-parent"],
        "`vhdx reparent CHILD --parent FILE` points a child at its parent",
    ),
    (
        &["commit", "flatten", "consolidate", "coalesce", "collapse"],
        "`vhdx merge CHILD` merges a child into its parent. `--into ANCESTOR` merges it and the files between into an \
         ancestor. `--output NEW.vhdx` makes a new disk",
    ),
    (&["cmp"], "`vhdx compare A B` tells whether two disks read the same"),
    (
        &["changes", "changed", "changed-blocks", "cbt", "delta"],
        "`vhdx diff OLD NEW` lists the ranges that changed between two points in time of a disk",
    ),
    (
        &["incremental", "increment", "backup"],
        "`vhdx merge NEW --since OLD --output INC.avhdx` writes everything that changed since OLD into one new file. \
         `vhdx convert NEW NEW-COPY.vhdx` makes a full copy",
    ),
    (
        &["checksum", "digest", "sum", "sha256", "sha256sum", "blake3", "b3sum"],
        "`vhdx hash DISK` prints the digest of a disk. `--blocks SIZE` prints one for each block, and `--verify` checks them",
    ),
    (
        &["show", "inspect", "header", "dump-header", "stat", "status"],
        "`vhdx info FILE` shows the facts about a file",
    ),
    (
        &["log", "replay-log", "recover-log"],
        "`vhdx info FILE` shows the state of a log, `vhdx replay FILE` applies it",
    ),
    (&["new", "init", "make"], "`vhdx create FILE --size SIZE` makes a new disk"),
];

/// Returns the guessed name of a command and the advice for it, if the error is about one.
pub(crate) fn advice(error: &clap::Error) -> Option<(&str, &'static str)> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let lower = name.to_ascii_lowercase();
    let (_, sentence) = GUESSES.iter().find(|(names, _)| names.contains(&lower.as_str()))?;
    Some((name, sentence))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    #[test]
    fn guesses_are_unique_and_not_commands() {
        let mut names: Vec<&str> = GUESSES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        let commands = Args::command();
        for name in &names {
            assert!(commands.find_subcommand(name).is_none(), "{name} exists");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn advised_commands_exist() {
        let commands = Args::command();
        for (_, sentence) in GUESSES {
            for command in sentence.split("`vhdx ").skip(1) {
                let name = command.split([' ', '`']).next().unwrap();
                assert!(commands.find_subcommand(name).is_some(), "{name}: {sentence}");
            }
        }
    }
}
