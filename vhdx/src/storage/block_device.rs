//! Block devices of Linux: opening one for a single writer, and which files devices are made of.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, major, minor};

use super::FileIdentity;
use super::file::open_waiting_for_nothing;

/// Whether a path leads to a block device.
pub(super) fn is_at(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Opens a block device that nothing claims: no mount, of it or of a partition, no swap space, no device made of it.
/// `None` when the path leads to something else by now.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let file = open_waiting_for_nothing(OpenOptions::new().read(true).write(true), path, OFlags::EXCL);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            io::Error::new(error.kind(), "the device, or a part of it, is mounted or otherwise in use")
        }
        _ => error,
    })?;
    Ok(file.metadata()?.file_type().is_block_device().then_some(file))
}

/// The size of a device in bytes, which its metadata do not tell.
pub(super) fn len(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// Whether writes will be refused: some kernels open such a device for writing all the same.
pub(super) fn is_read_only(file: &File) -> io::Result<bool> {
    Ok(fs::read_to_string(folder(file)?.join("ro")).is_ok_and(|text| text.trim() == "1"))
}

/// What the system says about an open device.
fn folder(file: &File) -> io::Result<PathBuf> {
    let number = file.metadata()?.rdev();
    Ok(format!("/sys/dev/block/{}:{}", major(number), minor(number)).into())
}

/// The files that the content of an open device is stored in, as far as the system tells: through loop devices, and
/// through all that is made of them.
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

/// The name of a loop device that is made of a file.
pub(super) fn loop_device_of(file: FileIdentity) -> Option<String> {
    let device = entries(Path::new("/sys/block")).find(|device| backing_file(device) == Some(file))?;
    Some(device.file_name()?.to_string_lossy().into_owned())
}

/// Of a device by its folder in `/sys`.
fn backing_file(device: &Path) -> Option<FileIdentity> {
    let path = fs::read_to_string(device.join("loop/backing_file")).ok()?;
    let metadata = fs::metadata(path.strip_suffix('\n').unwrap_or(&path)).ok()?;
    Some(FileIdentity::from_metadata(&metadata))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
