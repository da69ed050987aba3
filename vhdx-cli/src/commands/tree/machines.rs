//! The virtual machines of a forest, as JSON and as a list.

use std::io::{self, Write};

use serde_json::{Value, json};
use vhdx::{Checkpoint, DiscoveredMachine, Forest, MachineConfiguration, MachineDrive, PrunedDrive};

use super::notes::{name, time};
use crate::commands::date::unix_seconds;
use crate::output::{self, shown};

/// Returns the machines, with their drives and checkpoints.
pub(super) fn json(forest: &Forest) -> Value {
    forest.machines.iter().map(|machine| machine_json(forest, machine)).collect()
}

/// Returns the checkpoints whose machine was not found.
pub(super) fn lone_json(forest: &Forest) -> Value {
    forest.lone_checkpoints.iter().map(|checkpoint| checkpoint_json(forest, checkpoint)).collect()
}

/// Returns the facts about a disk as a checkpoint.
pub(in crate::commands) fn disk_json(checkpoint: &Checkpoint) -> Value {
    json!({
        "names": checkpoint.names,
        "time": checkpoint.time.and_then(unix_seconds),
        "time_source": checkpoint.time_source.name(),
        "is_changed": checkpoint.is_changed,
        "size": checkpoint.size,
    })
}

fn machine_json(forest: &Forest, machine: &DiscoveredMachine) -> Value {
    let configuration = &machine.configuration;
    json!({
        "name": configuration.name,
        "id": configuration.id.map(|id| id.to_string()),
        "config": output::path(&configuration.path),
        "generation": configuration.generation,
        "version": configuration.version.map(|(major, minor)| format!("{major}.{minor}")),
        "created": configuration.created.and_then(unix_seconds),
        "notes": configuration.notes,
        "drives": configuration.drives.iter().map(|drive| drive_json(forest, drive)).collect::<Value>(),
        "checkpoints": machine.checkpoints.iter()
            .map(|checkpoint| checkpoint_json(forest, checkpoint))
            .collect::<Value>(),
    })
}

fn drive_json(forest: &Forest, drive: &MachineDrive) -> Value {
    json!({
        "controller": drive.place.controller,
        "number": drive.place.number,
        "location": drive.place.location,
        "path": drive.stored_path,
        "disk": drive.disk.and_then(|disk| path_of(forest, disk)),
    })
}

fn checkpoint_json(forest: &Forest, checkpoint: &MachineConfiguration) -> Value {
    json!({
        "name": checkpoint.name,
        "id": checkpoint.id.map(|id| id.to_string()),
        "config": output::path(&checkpoint.path),
        "created": checkpoint.created.and_then(unix_seconds),
        "disks": checkpoint.disks().filter_map(|disk| path_of(forest, disk)).collect::<Value>(),
    })
}

fn path_of(forest: &Forest, disk: usize) -> Option<Value> {
    forest.disks.get(disk).map(|disk| output::path(&disk.facts.path))
}

/// Lists the machines with their configuration files.
pub(super) fn list(forest: &Forest, out: &mut dyn Write) -> io::Result<()> {
    if !forest.machines.is_empty() {
        writeln!(out, "\nmachines:")?;
    }
    for DiscoveredMachine { configuration, checkpoints, .. } in &forest.machines {
        let mut facts: Vec<String> = Vec::new();
        facts.extend(configuration.generation.map(|generation| format!("generation {generation}")));
        facts.extend(configuration.created.map(|created| format!("created {}", time(created))));
        // A prune leaves the configurations of the checkpoints that it deletes.
        let is_deleted = |checkpoint: &&MachineConfiguration| {
            let mut drives = checkpoint.drives.iter().peekable();
            drives.peek().is_some() && drives.all(|drive| drive.pruned == Some(PrunedDrive::Deleted))
        };
        facts.push(match checkpoints.iter().filter(|checkpoint| !is_deleted(checkpoint)).count() {
            0 => "no checkpoints".to_owned(),
            1 => "1 checkpoint".to_owned(),
            count => format!("{count} checkpoints"),
        });
        let (name, path) = (name(configuration), shown(&configuration.path));
        writeln!(out, "- {name}, {}\n  {path}", facts.join(", "))?;
    }
    Ok(())
}
