//! Opens block devices of Linux exclusively, and finds the files that they are stored in.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, major, minor};

use super::FileIdentity;
use super::host::open_waiting_for_nothing;

/// Returns whether a path leads to a block device.
pub(super) fn is_at(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Opens a block device exclusively.
///
/// Returns `None` if the path no longer leads to a device. Fails if the device or a partition of it is in use: mounted,
/// swap space, or part of another device.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let file = open_waiting_for_nothing(OpenOptions::new().read(true).write(true), path, OFlags::EXCL);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            io::Error::new(error.kind(), "the device or one of its partitions is mounted or otherwise in use")
        }
        _ => error,
    })?;
    Ok(file.metadata()?.file_type().is_block_device().then_some(file))
}

/// Returns the size of a device in bytes, which its file metadata does not contain.
pub(super) fn len(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// Returns whether a device is read-only.
///
/// Some kernels open such a device for writing, and only the writes fail.
pub(super) fn is_read_only(file: &File) -> io::Result<bool> {
    Ok(fs::read_to_string(folder(file)?.join("ro")).is_ok_and(|text| text.trim() == "1"))
}

/// Returns the folder in `/sys` that describes an open device.
fn folder(file: &File) -> io::Result<PathBuf> {
    let number = file.metadata()?.rdev();
    Ok(format!("/sys/dev/block/{}:{}", major(number), minor(number)).into())
}

/// Returns the files in which an open device is stored, as far as the system reports them.
///
/// Follows partitions, devices that are made of other devices, and loop devices.
pub(super) fn backing_files(file: &File) -> io::Result<Vec<FileIdentity>> {
    let (mut to_visit, mut visited, mut found) = (vec![folder(file)?], BTreeSet::new(), Vec::new());
    while let Some(device) = to_visit.pop() {
        let Ok(device) = device.canonicalize() else { continue };
        if !visited.insert(device.clone()) {
            continue;
        }
        found.extend(backing_file(&device));
        if device.join("partition").exists() {
            to_visit.extend(device.parent().map(Path::to_owned));
        }
        to_visit.extend(entries(&device.join("slaves")));
    }
    Ok(found)
}

/// Returns the name of a loop device whose content is stored in a file.
pub(super) fn loop_device_of(file: FileIdentity) -> Option<String> {
    let device = entries(Path::new("/sys/block")).find(|device| backing_file(device) == Some(file))?;
    Some(device.file_name()?.to_string_lossy().into_owned())
}

/// Returns the file of a loop device, by the device's folder in `/sys`.
fn backing_file(device: &Path) -> Option<FileIdentity> {
    let path = fs::read_to_string(device.join("loop/backing_file")).ok()?;
    // The kernel ends the path with a line feed.
    let metadata = fs::metadata(path.strip_suffix('\n').unwrap_or(&path)).ok()?;
    Some(FileIdentity::new(metadata.dev(), metadata.ino()))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
