//! Returns a report as JSON.

use serde_json::{Value, json};
use vhdx::ops::{Report, ReportedDisk, ReportedFamily, Volume};
use vhdx::{DiscoveredMachine, MachineConfiguration};

use super::words;
use crate::commands::contents::ContentsOfDisks;
use crate::commands::date::seconds;
use crate::commands::tree::machines;
use crate::output;

pub(super) fn json(report: &Report, contents: Option<&ContentsOfDisks>) -> Value {
    let finding = |finding: &vhdx::ops::Finding| {
        json!({
            "kind": finding.kind.name(),
            "severity": finding.severity.name(),
            "path": output::path(&finding.path),
            "message": words::message(finding),
            "fix": words::advice(finding),
        })
    };
    json!({
        "time": seconds(report.time),
        "passes_limit": report.passes_limit(),
        "families": report.families.iter().map(|family| family_json(report, family, contents)).collect::<Value>(),
        "machines": report.machines.iter().map(|machine| machine_json(report, machine)).collect::<Value>(),
        "findings": report.findings.iter().map(finding).collect::<Value>(),
        "free_space": report.volumes.iter().map(volume_json).collect::<Value>(),
    })
}

fn family_json(report: &Report, family: &ReportedFamily, contents: Option<&ContentsOfDisks>) -> Value {
    let disk = |&number: &usize| {
        let mut json = disk_json(report, report.disks.get(number)?);
        if let Some(contents) = contents {
            contents.add_to(number, &mut json);
        }
        Some(json)
    };
    json!({
        "root": words::disks(report, family).next().map(|disk| output::path(&disk.facts.path)),
        "machines": family.members.machines.iter()
            .filter_map(|&machine| report.machines.get(machine))
            .map(|machine| output::path(&machine.configuration.path))
            .collect::<Value>(),
        "depth": family.members.depth,
        "checkpoint_bytes": family.bytes_of_checkpoints,
        "freed_at_most": family.freed_at_most,
        "disks": family.members.disks.iter().filter_map(disk).collect::<Value>(),
        "findings": family.findings,
    })
}

fn disk_json(report: &Report, disk: &ReportedDisk) -> Value {
    let path_of = |number: usize| report.disks.get(number).map(|disk| output::path(&disk.facts.path));
    let checkpoint = disk.checkpoint.as_ref().map(|checkpoint| {
        let mut json = machines::disk_json(checkpoint);
        json["age"] = disk.checkpoint_age.map(|age| age.as_secs()).into();
        json
    });
    json!({
        "path": output::path(&disk.facts.path),
        "type": disk.facts.disk_type.name(),
        "virtual_size": disk.facts.virtual_size,
        "file_size": disk.facts.file_size,
        "allocated": disk.facts.allocated,
        "modified": disk.facts.modified.and_then(seconds),
        "age": disk.age.map(|age| age.as_secs()),
        "depth": disk.depth,
        "link": disk.link.name(),
        "parent": disk.parent.and_then(path_of),
        "children": disk.children.iter().filter_map(|&child| path_of(child)).collect::<Value>(),
        "checkpoint": checkpoint,
    })
}

fn machine_json(report: &Report, machine: &DiscoveredMachine) -> Value {
    let disks = |configuration: &MachineConfiguration| -> Value {
        let found = configuration.disks().filter_map(|disk| report.disks.get(disk));
        found.map(|disk| output::path(&disk.facts.path)).collect()
    };
    let checkpoint = |configuration: &MachineConfiguration| {
        json!({
            "name": configuration.name,
            "config": output::path(&configuration.path),
            "created": configuration.created.and_then(seconds),
            "disks": disks(configuration),
        })
    };
    let configuration = &machine.configuration;
    json!({
        "name": configuration.name,
        "id": configuration.id.map(|id| id.to_string()),
        "config": output::path(&configuration.path),
        "generation": configuration.generation,
        "disks": disks(configuration),
        "checkpoints": machine.checkpoints.iter().map(checkpoint).collect::<Value>(),
    })
}

fn volume_json(volume: &Volume) -> Value {
    json!({
        "path": output::path(&volume.path),
        "free": volume.free,
        "size": volume.size,
        "disks": volume.disks,
    })
}
