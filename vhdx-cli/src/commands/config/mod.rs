//! `vhdx config`: shows a configuration file of Hyper-V.

mod failure;
mod values;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hyperv_config::{
    AS_STORED, Configuration, Drive, Format, Key, Machine, Register, Value as Stored, Warning,
    is_in_snapshots,
};
use serde_json::{Value, json};

use super::date;
use crate::args::Config;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, harmless, shown};

pub(super) fn run(output: Output, config: &Config) -> Result<Outcome, Failure> {
    let configuration =
        Configuration::open(&config.file).map_err(|error| failure::of(&config.file, &error))?;
    let report = Report {
        path: &config.file,
        lists_keys: config.keys,
        machine: Machine::of(&configuration),
        register: Register::of(&configuration),
        configuration,
    };
    report.warn(output);
    output.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

struct Report<'a> {
    path: &'a Path,
    lists_keys: bool,
    configuration: Configuration,
    machine: Machine,
    register: Register,
}

impl Report<'_> {
    fn warnings(&self) -> impl Iterator<Item = &Warning> {
        let lists = [self.configuration.warnings(), &self.machine.warnings, &self.register.warnings];
        lists.into_iter().flat_map(|warnings| &warnings.listed)
    }

    /// Returns the number of warnings that are not listed.
    fn more_warnings(&self) -> u64 {
        let lists = [self.configuration.warnings(), &self.machine.warnings, &self.register.warnings];
        lists.into_iter().map(|warnings| warnings.more).sum()
    }

    fn warn(&self, output: Output) {
        let path = shown(self.path);
        for warning in self.warnings() {
            output.warning(&format!("{path}: {warning}"));
        }
        match self.more_warnings() {
            0 => {}
            more => output.warning(&format!("{path}: {more} more warnings")),
        }
        if let Some(remark) = self.remark() {
            output.warning(&format!("{path}: name and time are {remark}"));
        }
    }

    /// Returns the remark about the name and the time, if the file belongs to a checkpoint.
    fn remark(&self) -> Option<&'static str> {
        is_in_snapshots(self.path).then_some(AS_STORED)
    }

    fn json(&self) -> Value {
        let machine = &self.machine;
        let warning =
            |warning: &Warning| json!({ "offset": warning.offset, "message": warning.problem.to_string() });
        let mut json = json!({
            "path": output::path(self.path),
            "format": match self.configuration.format() {
                Format::Xml => "xml",
                _ => "container",
            },
            "name": machine.name,
            "id": machine.id.map(|id| id.to_string()),
            "generation": machine.generation,
            "version": machine.version.map(|version| version.to_string()),
            "created": machine.created,
            "remark": self.remark(),
            "notes": machine.notes,
            "automatic_checkpoints": machine.automatic_checkpoints,
            "merge_pending": machine.merge_pending,
            "drives": machine.drives.iter().map(drive_json).collect::<Value>(),
            "machines": self.register.machines.iter()
                .map(|machine| json!({ "id": machine.id.to_string(), "path": machine.path }))
                .collect::<Value>(),
            "log_entries": self.configuration.replayed_entries(),
            "warnings": self.warnings().map(warning).collect::<Value>(),
            "more_warnings": self.more_warnings(),
        });
        if self.lists_keys {
            let keys = self.configuration.tree().keys();
            json["keys"] = keys.map(|key| values::json(&self.configuration, key)).collect();
        }
        json
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let machine = &self.machine;
        let answer = |truth: bool| if truth { "yes" } else { "no" }.to_owned();
        let mut rows = vec![("file", shown(self.path))];
        let mut add = |label, value: Option<String>| rows.extend(value.map(|value| (label, value)));
        add("name", machine.name.as_deref().map(harmless));
        add("id", machine.id.map(|id| id.to_string()));
        add("generation", machine.generation.map(|generation| generation.to_string()));
        add("version", machine.version.map(|version| version.to_string()));
        add("created", machine.created.map(|created| format!("{} UTC", time(created))));
        add("remark", self.remark().map(|remark| format!("name and time are {remark}")));
        add("notes", machine.notes.as_deref().filter(|notes| !notes.is_empty()).map(harmless));
        add("automatic checkpoints", machine.automatic_checkpoints.map(answer));
        add("merge pending", machine.merge_pending.map(answer));
        for drive in &machine.drives {
            add("drive", Some(drive_text(drive)));
        }
        for machine in &self.register.machines {
            add("machine", Some(format!("{} {}", machine.id, harmless(&machine.path))));
        }
        match self.configuration.replayed_entries() {
            0 => {}
            entries => add(
                "log",
                Some(format!("dirty; entries replayed in memory: {entries}; the file was not touched")),
            ),
        }
        add("keys", Some(self.values().count().to_string()));
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![format!("{name}:"), value]).collect();
        output::table(out, &[false, false], &rows)?;
        if self.lists_keys {
            writeln!(out)?;
            for key in self.values() {
                writeln!(out, "{} = {}", harmless(&key.path()), values::text(&self.configuration, key))?;
            }
        }
        Ok(())
    }

    /// Returns the keys that are not nodes.
    fn values(&self) -> impl Iterator<Item = Key<'_>> {
        self.configuration.tree().keys().filter(|key| *key.value() != Stored::Node)
    }
}

/// Returns a time in seconds since 1970 for text.
fn time(seconds: i64) -> String {
    let since = u64::try_from(seconds).ok();
    match since.and_then(|since| UNIX_EPOCH.checked_add(Duration::from_secs(since))) {
        Some(time) => date::utc_to_the_second(time),
        // Before 1970, or too late for the host.
        None => format!("{seconds} seconds after 1970-01-01 00:00:00"),
    }
}

fn drive_json(drive: &Drive) -> Value {
    json!({
        "controller": drive.controller.to_string(),
        "instance": drive.instance.to_string(),
        "number": drive.number,
        "location": drive.location,
        "type": drive.kind.as_ref().map(|kind| kind.name()),
        "path": drive.path,
    })
}

fn drive_text(drive: &Drive) -> String {
    let kind = drive.kind.as_ref().map(|kind| kind.name());
    let (controller, number, location) = (drive.controller, drive.number, drive.location);
    let words =
        [kind, drive.path.as_deref()].into_iter().flatten().map(|word| format!(" {}", harmless(word)));
    format!("{controller} {number}, location {location}:{}", words.collect::<String>())
}
