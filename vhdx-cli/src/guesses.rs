//! Names of commands that people guess, and what exists instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each group of names, and a sentence about what exists.
const GUESSES: &[(&[&str], &str)] = &[
    (
        &["repair", "fix", "mend"],
        "a damaged file is not repaired in place. `vhdx check FILE` says what is wrong with it, `vhdx replay FILE` applies \
         its log, `vhdx reparent CHILD --parent FILE` mends a link to a parent, and `vhdx convert FILE NEW.vhdx` copies a \
         disk that can still be read completely: it stops at the first damage",
    ),
    (
        &["salvage", "rescue", "recover"],
        "no command reads around damage yet. `vhdx check FILE` says what is wrong, and `vhdx convert FILE NEW.vhdx` copies a \
         disk that can still be read",
    ),
    (
        &["resize", "expand", "extend", "grow", "enlarge"],
        "a disk grows by a larger child that is merged into it: `vhdx create CHILD.avhdx --parent FILE --size SIZE`, then \
         `vhdx merge CHILD.avhdx`. The new part reads as zeros: a merge into a parent that is larger still overwrites its data",
    ),
    (
        &["shrink", "truncate", "reduce"],
        "no command makes a disk smaller. Shrink its last partition in the guest first, then use `Resize-VHD` of Hyper-V",
    ),
    (
        &["compact", "optimize", "optimise", "trim", "sparsify"],
        "no command makes a file smaller in place. `vhdx convert FILE NEW.vhdx` makes a copy of the whole chain without the \
         blocks that hold only zeros",
    ),
    (
        &["mount", "attach", "open", "unmount", "detach", "serve", "nbd"],
        "no command attaches a disk to this host. `vhdx convert FILE DISK.raw` makes a raw image, which `losetup -rfP --show DISK.raw` \
         attaches on Linux; `vhdx map FILE` shows where its data lies",
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
        "a checkpoint is deleted by merging it into its parent: `vhdx merge CHECKPOINT.avhdx --delete-merged`. Never delete a \
         file that others depend on: `vhdx tree DIR` shows which do",
    ),
    (
        &["list", "ls", "dir", "find", "scan", "discover", "snapshots", "checkpoints"],
        "`vhdx tree DIR` lists all disks below a folder, `vhdx chain FILE` a disk and its parents. The files inside a disk are \
         not read",
    ),
    (
        &["snapshot", "checkpoint", "fork", "branch", "child"],
        "`vhdx create CHILD.avhdx --parent FILE` makes a child, and FILE must not change any more from then on",
    ),
    (
        &["revert", "apply", "rollback"],
        "to go back to a checkpoint, make an empty child of the file that was in use when the checkpoint was made, and use that: \
         `vhdx create NEW.avhdx --parent FILE`. FILE is the parent of the .avhdx file that the checkpoint created, which holds \
         the later changes",
    ),
    (
        &["restore", "write", "dd", "flash"],
        "`vhdx convert FILE TARGET --in-place` overwrites a file or, on Linux, a device with the raw content of a disk: all data in \
         TARGET is lost. `vhdx convert FILE NEW.vhdx` makes a new VHDX",
    ),
    (
        &["verify", "validate", "fsck", "test", "scrub"],
        "`vhdx check FILE --chain` checks a file, its parents, and the links between them",
    ),
    (
        &["copy", "cp", "clone", "export", "import", "extract", "dump", "raw"],
        "`vhdx convert FILE NEW.vhdx` (or NEW.raw) copies a disk with all its parents into one new file",
    ),
    (
        &["rebase", "relink", "reconnect", "set-parent"],
        "`vhdx reparent CHILD --parent FILE` points a child at its parent",
    ),
    (
        &["commit", "flatten", "consolidate", "coalesce", "collapse"],
        "`vhdx merge CHILD` merges a child into its parent, `--into ANCESTOR` merges it and the files between into an older \
         ancestor, and `--output NEW.vhdx` makes a new disk",
    ),
    (&["diff", "cmp"], "`vhdx compare A B` says whether two disks read the same"),
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

/// The name of a command that does not exist, and a sentence about what does.
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
    fn no_guess_is_a_command_and_each_is_listed_once() {
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
    fn what_is_named_exists() {
        let commands = Args::command();
        for (_, sentence) in GUESSES {
            for command in sentence.split("`vhdx ").skip(1) {
                let name = command.split([' ', '`']).next().unwrap();
                assert!(commands.find_subcommand(name).is_some(), "{name}: {sentence}");
            }
        }
    }
}
