//! Opens the file system of a disk that the user means.

use std::path::Path;

use vhdx_contents::files::{self, FileSystem};
use vhdx_contents::{Contents, Partition, Window};

use super::failure::failure;
use crate::args::Volume;
use crate::commands::contents;
use crate::commands::reading::Reading;
use crate::commands::source::{self, Opened};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::remote;
use crate::sizes::human;

/// An open disk, of which one file system is read.
pub(in crate::commands) struct Disk {
    opened: Opened,
    start: u64,
    len: u64,
    /// What is wrong or doubtful in the partition table and in the entry of the partition.
    findings: Vec<String>,
}

/// Opens a disk, and finds the file system in it that the user means.
pub(in crate::commands) fn open(
    reading: &mut Reading<'_>,
    path: &Path,
    volume: &Volume,
) -> Result<Disk, Failure> {
    let opened = reading.open_disk(path, ("--from", volume.from), &volume.parents.resolver_of(path))?;
    source::ensure_no_parents_of_raw(&opened, &volume.parents)?;
    let contents = contents::of_disk(opened.disk())?;
    let (start, len) = range(&opened, &contents, path, volume.partition.as_deref())?;
    let findings = findings(&contents, start);
    Ok(Disk { opened, start, len, findings })
}

impl Disk {
    /// Opens the file system, and prints what users of the files must know.
    pub(in crate::commands) fn file_system(
        &self,
        path: &Path,
        output: Output,
    ) -> Result<Box<dyn FileSystem + '_>, Failure> {
        let window = Window::whole(self.opened.disk()).part(self.start, self.len);
        let window = window
            .ok_or_else(|| Failure::corrupt("the partition is past the end of the disk").in_file(path))?;
        let fs = files::open(window).map_err(|error| failure(error, &output::shown(path)))?;
        for note in self.findings.iter().chain(&fs.notes()) {
            output.warning(&format!("{}: {}", output::shown(path), output::harmless(note)));
        }
        Ok(fs)
    }

    /// Returns the paths of the disk's files on this host.
    pub(in crate::commands) fn files_of_host(&self) -> impl Iterator<Item = &Path> {
        self.opened.paths().filter(|path| !remote::is_url(path))
    }

    /// Checks that no file of the disk has changed since it was opened.
    pub(in crate::commands) fn ensure_unchanged(&self) -> Result<(), Failure> {
        Ok(self.opened.disk().ensure_unchanged()?)
    }
}

/// Returns the range of the file system that the user means: its position and length in bytes.
fn range(
    opened: &Opened,
    contents: &Contents,
    path: &Path,
    asked: Option<&str>,
) -> Result<(u64, u64), Failure> {
    let disk = opened.disk();
    let whole = Window::whole(disk);
    let can_open = |start: u64, len: u64| {
        let window = whole.part(start, len);
        window.map_or(Ok(false), files::can_open).map_err(|error| failure(error, &output::shown(path)))
    };
    if let Some(asked) = asked {
        return of_partition(&contents.partitions, asked).map_err(|failure| failure.in_file(path));
    }
    let mut found = Vec::new();
    for partition in contents.partitions.iter().filter(|partition| !partition.is_extended) {
        if can_open(partition.start, partition.len)? {
            found.push(partition);
        }
    }
    match found.as_slice() {
        [only] => Ok((only.start, only.len)),
        [] if can_open(0, whole.len())? => Ok((0, whole.len())),
        [] => Err(no_files(&contents.partitions).in_file(path)),
        several => Err(Failure::usage(format!(
            "{} partitions have files: {}",
            several.len(),
            several.iter().map(|partition| name(partition)).collect::<Vec<_>>().join(", ")
        ))
        .with_hint(
            "choose one of them with `--partition`: by its number, its name, or the label of its file system",
        )
        .in_file(path)),
    }
}

/// Returns what is wrong or doubtful in the partition table, and in the entry of the partition that begins at `start`.
fn findings(contents: &Contents, start: u64) -> Vec<String> {
    let of_table = contents.findings.iter().map(|finding| format!("partition table: {finding}"));
    let chosen = contents.partitions.iter().filter(|partition| partition.start == start);
    let of_chosen = chosen.flat_map(|partition| {
        partition.findings.iter().map(|finding| format!("partition {}: {finding}", partition.number))
    });
    of_table.chain(of_chosen).collect()
}

fn no_files(partitions: &[Partition]) -> Failure {
    let all: Vec<String> = partitions.iter().map(name).collect();
    let found = if all.is_empty() { "no partitions".to_owned() } else { all.join(", ") };
    Failure::unsupported(format!("there is no file system whose files can be read; the disk has {found}")).with_hint(
        "files are read from NTFS, FAT, exFAT, ext2, ext3 and ext4. `vhdx info --contents FILE` shows what the disk \
         contains",
    )
}

fn of_partition(partitions: &[Partition], asked: &str) -> Result<(u64, u64), Failure> {
    let label = |partition: &Partition| partition.content.as_ref().and_then(|content| content.label.clone());
    // `tree` and `mount` write a number as p1.
    let number = asked.strip_prefix(['p', 'P']).unwrap_or(asked);
    let by_number: Vec<&Partition> =
        partitions.iter().filter(|partition| number.parse() == Ok(partition.number)).collect();
    let is_asked = |name: Option<&str>| name.is_some_and(|name| name.to_lowercase() == asked.to_lowercase());
    let by_name = partitions
        .iter()
        .filter(|partition| is_asked(partition.name.as_deref()) || is_asked(label(partition).as_deref()));
    let found = if by_number.is_empty() { by_name.collect() } else { by_number };
    match found.as_slice() {
        [only] => Ok((only.start, only.len)),
        [] => {
            let all: Vec<String> = partitions.iter().map(name).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            Err(Failure::usage(format!("there is no partition {asked:?}; the disk has: {all}")))
        }
        several => Err(Failure::usage(format!("{} partitions have the name {asked:?}", several.len()))
            .with_hint("choose one by its number")),
    }
}

/// Returns the number of a partition with what helps to recognize it.
fn name(partition: &Partition) -> String {
    let content = partition.content.as_ref();
    let kind = content.map_or("unknown content", |content| content.kind.name());
    let label = content.and_then(|content| content.label.as_deref()).or(partition.name.as_deref());
    let label = label.map(|label| format!(" {:?}", output::harmless(label)));
    format!("{} ({kind}{}, {})", partition.number, label.unwrap_or_default(), human(partition.len))
}
