//! Reads configuration files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyperv_config::{Configuration, Drive, DriveKind, Machine, Value, Warnings, is_in_snapshots};
use uuid::Uuid;

use super::facts::{DrivePlace, MachineConfiguration, MachineDrive};
use super::problem::MachineProblem;
use crate::error::Result;
use crate::parallel;
use crate::progress::Progress;

/// The most GUIDs that are kept of one configuration, to find the machine of a checkpoint.
const MAX_GUIDS: usize = 1024;

/// A configuration that was read.
pub(super) struct Read {
    pub(super) facts: MachineConfiguration,
    /// All values that are GUIDs.
    pub(super) guids: BTreeSet<Uuid>,
}

/// Returns whether a file is named like the configuration of a machine.
///
/// Versions up to 5.0 use `.xml`, as many other programs do.
pub(super) fn has_configuration_name(path: &Path) -> bool {
    has_extension(path, "vmcx") || has_extension(path, "xml")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Reads the configuration of a machine or checkpoint; `None` if the file is something else.
fn read(path: &Path, problems: &mut Vec<MachineProblem>) -> Option<Read> {
    let configuration = match Configuration::open(path) {
        Ok(configuration) => configuration,
        // Hyper-V names its files by a GUID. Any other XML file belongs to another program.
        Err(_) if has_extension(path, "xml") && guid_in_name(path).is_none() => return None,
        // It was deleted since its folder was listed.
        Err(_) if path.symlink_metadata().is_err() => return None,
        Err(error) => {
            problems.push(MachineProblem::Unreadable { path: path.to_owned(), error: Arc::new(error) });
            return None;
        }
    };
    let machine = Machine::of(&configuration);
    problems.extend(imperfect(path, [configuration.warnings(), &machine.warnings]));
    let is_machine = machine.name.is_some() || machine.id.is_some() || !machine.drives.is_empty();
    is_machine.then(|| Read { guids: guids(&configuration), facts: facts(path, machine) })
}

fn imperfect(path: &Path, lists: [&Warnings; 2]) -> Option<MachineProblem> {
    let mut listed = lists.iter().flat_map(|warnings| &warnings.listed);
    let first = listed.next()?.to_string();
    let unlisted = lists.iter().map(|warnings| warnings.more);
    let more = unlisted.fold(u64::try_from(listed.count()).unwrap_or(u64::MAX), u64::saturating_add); // A count to show.
    Some(MachineProblem::Imperfect { path: path.to_owned(), first, more })
}

fn guids(configuration: &Configuration) -> BTreeSet<Uuid> {
    let text =
        |value: &Value| if let Value::Text(text) = value { Uuid::try_parse(text.trim()).ok() } else { None };
    configuration.tree().keys().filter_map(|key| text(key.value())).take(MAX_GUIDS).collect()
}

fn facts(path: &Path, machine: Machine) -> MachineConfiguration {
    MachineConfiguration {
        path: path.to_owned(),
        name: machine.name,
        id: machine.id.or_else(|| guid_in_name(path)),
        generation: machine.generation,
        version: machine.version.map(|version| (version.major, version.minor)),
        created: machine.created.and_then(time),
        notes: machine.notes.filter(|notes| !notes.is_empty()),
        is_in_snapshots: is_in_snapshots(path),
        drives: machine.drives.into_iter().filter_map(drive).collect(),
    }
}

/// Returns the GUID in the name of a file. Hyper-V names configurations by the GUID of the machine or checkpoint.
fn guid_in_name(path: &Path) -> Option<Uuid> {
    Uuid::try_parse(path.file_stem()?.to_str()?).ok()
}

fn time(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

fn drive(drive: Drive) -> Option<MachineDrive> {
    // An unknown kind of drive may have a disk.
    let has_no_disk = matches!(drive.kind, Some(DriveKind::Iso | DriveKind::Vfd | DriveKind::None));
    let stored_path = drive.path.filter(|_| !has_no_disk)?;
    let place = DrivePlace {
        controller: drive.controller.to_string(),
        instance: drive.instance,
        number: drive.number,
        location: drive.location,
    };
    Some(MachineDrive {
        place,
        stored_path,
        disk: None,
        pruned: None,
        moved_since: None,
        successor: None,
        is_renamed: false,
    })
}

/// Reads all configurations among some files, sorted by path.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
pub(super) fn read_all(
    paths: &[PathBuf],
    problems: &mut Vec<MachineProblem>,
    progress: &dyn Progress,
) -> Result<Vec<Read>> {
    let mut paths: Vec<PathBuf> = paths.iter().filter(|path| has_configuration_name(path)).cloned().collect();
    paths.sort();
    let each = parallel::each(&paths, progress, |path| {
        let mut problems = Vec::new();
        (read(path, &mut problems), problems)
    })?;
    let mut configurations = Vec::new();
    for (configuration, more) in each {
        configurations.extend(configuration);
        problems.extend(more);
    }
    Ok(configurations)
}
