//! Words the facts of a report for people.

use std::path::Path;
use std::time::Duration;

use vhdx::ops::{Finding, FindingFact, FindingKind, Report, ReportedDisk, ReportedFamily};
use vhdx::{Checkpoint, DiscoveredMachine, DiskType};

use crate::args::duration;
use crate::commands::tree::fix;
use crate::commands::{checkpoint, machine};
use crate::output::harmless;
use crate::sizes::human;

/// The most characters of a name that are shown.
const MAX_NAME: usize = 120;

/// Returns the message of a finding, with sizes in fitting units. It continues a sentence that begins with the path.
pub(super) fn message(finding: &Finding) -> String {
    match &finding.fact {
        FindingFact::LargeCheckpoint { names, size, limit } => {
            let names = quoted(names);
            format!(
                "keeps the checkpoint{names}, which takes {}; the limit is {}",
                human(*size),
                human(*limit)
            )
        }
        FindingFact::LowSpace { free, size: Some(size), limit } => format!(
            "is on a volume with {} of {} free; the limit is {}",
            human(*free),
            human(*size),
            human(*limit)
        ),
        FindingFact::LowSpace { free, size: None, limit } => {
            format!("is on a volume with {} free; the limit is {}", human(*free), human(*limit))
        }
        FindingFact::Problem(problem) => fix::message(problem),
        _ => finding.to_string(),
    }
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", short(&harmless(&names.join(", ")), MAX_NAME))
    }
}

/// Returns what the user can do about a finding.
pub(super) fn advice(finding: &Finding) -> String {
    match &finding.fact {
        FindingFact::Problem(problem) => return fix::text(problem),
        FindingFact::OldCheckpoint { limit, .. } => {
            return prune(&format!("--older-than {}", duration::option(*limit)));
        }
        FindingFact::LargeCheckpoint { limit, .. } => return prune(&format!("--larger-than {limit}")),
        FindingFact::DeepChain { .. } => {
            "delete checkpoints that are no longer needed: every file of a chain makes reading slower. `vhdx prune DIR \
             --all --dry-run` shows what can be deleted"
        }
        FindingFact::LowSpace { .. } => {
            "free space on this volume: Hyper-V pauses a virtual machine whose volume is full. Deleting a checkpoint \
             can need space before it frees space"
        }
        FindingFact::UnknownAge { .. } => "look at the date of the checkpoint in Hyper-V",
        FindingFact::UnknownSpace => "look at the free space on the host of this volume",
        FindingFact::FutureTime { .. } => {
            "check the clock of this host and of the host that changed the file. Until then, the age counts as zero"
        }
        _ => "look at the file",
    }
    .to_owned()
}

/// Returns what to do about checkpoints that a selection of `prune` finds, too.
fn prune(selection: &str) -> String {
    format!(
        "if the checkpoint is no longer needed, delete it: `vhdx prune DIR {selection} --dry-run` shows what can be \
         deleted. If its state may be needed, copy it first: `vhdx merge FILE --output NEW.vhdx`"
    )
}

/// Returns the word for a number of findings of a kind.
pub(super) fn kind(kind: FindingKind, count: usize) -> &'static str {
    let (one, several) = match kind {
        FindingKind::OldCheckpoint => ("old checkpoint", "old checkpoints"),
        FindingKind::LargeCheckpoint => ("large checkpoint", "large checkpoints"),
        FindingKind::LowSpace => ("volume with little free space", "volumes with little free space"),
        FindingKind::DeepChain => ("deep chain", "deep chains"),
        FindingKind::UnknownAge => ("checkpoint of unknown age", "checkpoints of unknown age"),
        FindingKind::UnknownSpace => ("volume with unknown free space", "volumes with unknown free space"),
        FindingKind::FutureTime => ("time in the future", "times in the future"),
        FindingKind::Orphan => ("orphan", "orphans"),
        FindingKind::BrokenLink => ("broken link", "broken links"),
        FindingKind::HalfMerged => ("incomplete merge", "incomplete merges"),
        FindingKind::LeftOver => ("left-over file", "left-over files"),
        FindingKind::Damaged => ("damaged file", "damaged files"),
        FindingKind::Unreadable => ("unreadable file", "unreadable files"),
        FindingKind::NotADisk => ("file that is no disk", "files that are no disks"),
        FindingKind::Copies => ("copied disk", "copied disks"),
        FindingKind::Remark => ("remark", "remarks"),
        FindingKind::Machine => ("problem of a machine", "problems of machines"),
        _ => ("other finding", "other findings"),
    };
    if count == 1 { one } else { several }
}

/// Returns what a disk is to its family.
pub(super) fn role(disk: &ReportedDisk) -> &'static str {
    match (disk.facts.disk_type, disk.children.is_empty()) {
        (DiskType::Fixed, true) => "fixed disk",
        (DiskType::Fixed, false) => "fixed base",
        (DiskType::Dynamic, true) => "dynamic disk",
        (DiskType::Dynamic, false) => "dynamic base",
        (DiskType::Differencing, true) => "newest disk",
        (DiskType::Differencing, false) => "checkpoint disk",
    }
}

/// Returns the names of a checkpoint, harmless and short; `None` without a name.
pub(super) fn names(checkpoint: &Checkpoint) -> Option<String> {
    checkpoint::names(&checkpoint.names).map(|names| short(&names, MAX_NAME))
}

/// Returns an age.
pub(super) fn age(age: Option<Duration>) -> String {
    age.map_or_else(|| "unknown".to_owned(), duration::human)
}

/// Returns the name of a machine, harmless and short; its id or file without a name.
pub(super) fn machine(machine: &DiscoveredMachine) -> String {
    short(&machine::name(&machine.configuration), MAX_NAME)
}

/// Returns the names of the machines of a family.
pub(super) fn machines(report: &Report, family: &ReportedFamily) -> Vec<String> {
    family.members.machines.iter().filter_map(|&number| report.machines.get(number)).map(machine).collect()
}

/// Returns the age of the oldest checkpoint of a family, if it has one of known age.
pub(super) fn oldest(report: &Report, family: &ReportedFamily) -> Option<Duration> {
    disks(report, family).filter_map(|disk| disk.checkpoint_age).max()
}

/// Returns the disks of a family, each parent before its children.
pub(super) fn disks<'a>(
    report: &'a Report,
    family: &'a ReportedFamily,
) -> impl Iterator<Item = &'a ReportedDisk> {
    family.members.disks.iter().filter_map(|&disk| report.disks.get(disk))
}

/// Returns the name of a file, harmless.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| harmless(&path.to_string_lossy()), |name| harmless(&name.to_string_lossy()))
}

/// Cuts a text in its middle if it has more than this many characters: both ends of a file name tell files apart.
pub(super) fn short(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let (head, tail) = (max / 2, max - max / 2 - 1);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_both_ends() {
        assert_eq!(short("äbcdefgh", 8), "äbcdefgh");
        assert_eq!(short("äbcdefghi", 6), "äbc…hi");
    }
}
