//! Writes an estate to the file system.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use vhdx::Guid;

use super::configuration::Stated;
use super::disk::{EstateDisk, EstateFile};
use super::{Estate, EstateMachine};
use crate::image::windows_locator;

pub(super) fn write(estate: &Estate) -> io::Result<()> {
    for (number, disk) in estate.disks.iter().enumerate() {
        if disk.file != EstateFile::Gone {
            write_disk(estate, number, disk)?;
        }
    }
    for machine in &estate.machines {
        write_configurations(machine)?;
    }
    Ok(())
}

fn write_disk(estate: &Estate, number: usize, disk: &EstateDisk) -> io::Result<()> {
    fs::create_dir_all(disk.path.parent().expect("a disk is in a folder"))?;
    let locator = disk.parent.map(|parent| locator(disk, &estate.disks[parent]));
    disk.image(locator).sparse().write_to(&disk.path)?;
    if disk.file == EstateFile::Damaged {
        damage(&disk.path, number)?;
    }
    set_modified(&disk.path, disk.modified)
}

/// Returns the locator as Hyper-V wrote it when both files were at their places.
fn locator(child: &EstateDisk, parent: &EstateDisk) -> Vec<(String, String)> {
    let (folder, name) = parent.stored_path.rsplit_once('\\').expect("a stored path has a folder");
    let is_beside = child.stored_path.starts_with(&format!(r"{folder}\"));
    let relative = if is_beside { format!(r".\{name}") } else { format!(r"..\..\Base images\{name}") };
    let mut locator = windows_locator(parent.data_write_guid, Guid::nil(), name);
    for (key, value) in &mut locator {
        match key.as_str() {
            "absolute_win32_path" => value.clone_from(&parent.stored_path),
            "relative_path" => value.clone_from(&relative),
            _ => {}
        }
    }
    locator
}

/// Destroys both headers, or cuts the file.
fn damage(path: &Path, number: usize) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    if number % 2 == 1 {
        return file.set_len(300 << 10);
    }
    file.seek(SeekFrom::Start(64 << 10))?;
    file.write_all(&[0; 128 << 10])
}

fn write_configurations(machine: &EstateMachine) -> io::Result<()> {
    let own = Stated {
        machine,
        name: &machine.name,
        id: machine.id,
        created: machine.created,
        drives: &machine.drives,
    };
    let mut bytes = own.bytes();
    if machine.is_unreadable {
        // Both headers.
        for at in [10, 4096 + 10] {
            bytes[at] ^= 0xff;
        }
    }
    put(&machine.configuration, &bytes, machine.created)?;
    for checkpoint in &machine.checkpoints {
        let stated = Stated {
            machine,
            name: &checkpoint.name,
            id: checkpoint.id,
            created: checkpoint.created,
            drives: &checkpoint.drives,
        };
        put(&checkpoint.configuration, &stated.bytes(), Some(checkpoint.time))?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8], time: Option<SystemTime>) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a configuration is in a folder"))?;
    fs::write(path, bytes)?;
    time.map_or(Ok(()), |time| set_modified(path, time))
}

fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    File::options().append(true).open(path)?.set_modified(time)
}
