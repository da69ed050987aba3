//! What configuration files say about each disk: its machine, and the checkpoints that froze it.

use std::collections::HashMap;
use std::time::SystemTime;

use vhdx::{Checkpoint, Forest, MachineConfiguration};

use crate::commands::contents::{ContentsOfDisks, summary};
use crate::commands::date::utc;
use crate::output::harmless;

/// The most characters that are shown of a name.
const SHOWN: usize = 60;

/// The notes about the disks of a forest.
#[derive(Default)]
pub(super) struct Notes {
    by_disk: HashMap<usize, Vec<String>>,
    /// Whether a note has the name or the time of a checkpoint.
    pub(super) has_checkpoints: bool,
}

impl Notes {
    pub(super) fn of(forest: &Forest) -> Self {
        let mut notes = Self::default();
        if forest.machines.is_empty() && forest.lone_checkpoints.is_empty() {
            return notes;
        }
        let checkpoints: HashMap<usize, Checkpoint> =
            forest.checkpoints().into_iter().map(|checkpoint| (checkpoint.disk, checkpoint)).collect();
        for machine in &forest.machines {
            let machine_name = name(&machine.configuration);
            for checkpoint in &machine.checkpoints {
                notes.add_checkpoint(checkpoint, Some(&machine_name), &checkpoints);
            }
            for disk in machine.configuration.disks() {
                notes.add(disk, format!("machine {machine_name}"));
            }
        }
        for checkpoint in &forest.lone_checkpoints {
            notes.add_checkpoint(checkpoint, None, &checkpoints);
        }
        notes
    }

    /// Returns the notes about a disk.
    pub(super) fn about(&self, disk: usize) -> &[String] {
        self.by_disk.get(&disk).map_or(&[], Vec::as_slice)
    }

    /// Adds what each disk contains, unless it is the same as in its parent.
    pub(super) fn add_contents(&mut self, forest: &Forest, contents: &ContentsOfDisks) {
        let line = |disk: usize| match contents.get(disk) {
            Some(Ok(contents)) => Some(format!("contents: {}", summary(contents))),
            Some(Err(error)) => Some(format!("contents not known: {}", harmless(error))),
            None => None,
        };
        for (number, disk) in forest.disks.iter().enumerate() {
            let Some(text) = line(number) else { continue };
            let is_same = disk.parent.and_then(line).is_some_and(|of_parent| of_parent == text);
            self.add(number, if is_same { "contents: as in the parent".to_owned() } else { text });
        }
    }

    fn add(&mut self, disk: usize, note: String) {
        let notes = self.by_disk.entry(disk).or_default();
        // A configuration can name a disk twice.
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    fn add_checkpoint(
        &mut self,
        configuration: &MachineConfiguration,
        machine: Option<&str>,
        checkpoints: &HashMap<usize, Checkpoint>,
    ) {
        let of =
            machine.map_or_else(|| "of an unknown machine".to_owned(), |machine| format!("of {machine}"));
        let name = name(configuration);
        for disk in configuration.disks() {
            let checkpoint = checkpoints.get(&disk);
            let is_named = |checkpoint: &&Checkpoint| {
                configuration.name.as_ref().is_some_and(|name| checkpoint.names.contains(name))
            };
            let is_changed =
                checkpoint.is_some_and(|checkpoint| checkpoint.is_changed && !is_named(&checkpoint));
            let time = match (configuration.created, checkpoint.and_then(|checkpoint| checkpoint.time)) {
                (Some(created), _) => format!(", {}", time(created)),
                (None, Some(file)) => format!(", {} (time of the file)", time(file)),
                (None, None) => String::new(),
            };
            let changed = if is_changed {
                "; the file was changed later (or copied without its times): this checkpoint was probably deleted"
            } else {
                ""
            };
            self.add(disk, format!("checkpoint {name} {of}{time}{changed}"));
            self.has_checkpoints = true;
        }
    }
}

/// Returns the name of a machine or a checkpoint in quotation marks, cut if it is long.
pub(super) fn name(configuration: &MachineConfiguration) -> String {
    let Some(name) = &configuration.name else {
        return configuration.id.map_or_else(|| "without a name".to_owned(), |id| id.to_string());
    };
    let shown: String = name.chars().take(SHOWN).collect();
    let cut = if shown.len() < name.len() { "..." } else { "" };
    format!("\"{}{cut}\"", harmless(&shown))
}

/// Returns a time for a note.
pub(super) fn time(time: SystemTime) -> String {
    let future = if time > SystemTime::now() { " (in the future)" } else { "" };
    format!("{} UTC{future}", utc(time))
}
