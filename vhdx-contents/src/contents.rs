//! Finds what a disk contains: its partition table, and the content of each partition.

use vhdx::Disk;

use crate::error::Result;
use crate::partitions::{self, Ends, Partition, PartitionTable, Table, TableFinding, TableKind};
use crate::probe::{self, Content, TypeHint};
use crate::window::Window;

/// What a disk contains.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Contents {
    /// The partition table.
    pub table: PartitionTable,
    /// The partitions, as the table orders them. The logical partitions of an MBR come last.
    pub partitions: Vec<Partition>,
    /// What was recognized on the disk as a whole, if it has no partitions or is an image of a CD.
    pub whole: Option<Content>,
    /// What is wrong or doubtful in the partition table.
    pub findings: Vec<TableFinding>,
}

/// Finds what a disk contains.
///
/// It reads the disk a few times for the partition table, and at most 6 times for each partition. If a partition cannot
/// be read, that is a finding of the partition.
///
/// # Errors
/// [`Error::Disk`](crate::Error::Disk) if the first sectors of the disk cannot be read.
pub fn contents(disk: &dyn Disk) -> Result<Contents> {
    let window = Window::whole(disk);
    let ends = Ends::of(window)?;
    let [own, other] = partitions::sector_sizes(&ends);
    let mut contents = with_table(window, partitions::read(&ends, own));
    if contents.table.kind == TableKind::Mbr && !contents.has_known_content() {
        // An MBR does not say how long its sectors are: the image may come from a disk with other ones.
        let of_other_size = with_table(window, partitions::read(&ends, other));
        if of_other_size.has_known_content() {
            contents = of_other_size;
        }
    }
    Ok(contents)
}

fn with_table(window: Window<'_>, table: Table) -> Contents {
    let Table { table, mut partitions, mut findings, may_have_content } = table;
    for partition in partitions.iter_mut().filter(|partition| !partition.is_extended) {
        let part = window.part(partition.start, partition.len);
        let content = part.map_or(Ok(None), |part| probe::identify(&part, partition.hint(table.kind)));
        partition.content = content.unwrap_or_else(|error| {
            partition.findings.push(unreadable("content", &error));
            None
        });
    }
    let mut contents = Contents { table, partitions, whole: None, findings: Vec::new() };
    if may_have_content {
        contents.whole = probe::identify(&window, TypeHint::None).unwrap_or_else(|error| {
            findings.push(unreadable("disk", &error));
            None
        });
        if contents.whole.is_some() && contents.partitions.is_empty() {
            // A boot sector is no partition table only because it could be an empty one.
            contents.table.kind = TableKind::None;
            contents.table.id = None;
        }
    }
    contents.findings = findings;
    contents
}

fn unreadable(part: &'static str, error: &crate::Error) -> TableFinding {
    TableFinding::Unreadable { part, error: error.to_string() }
}

impl Contents {
    fn has_known_content(&self) -> bool {
        self.whole.is_some() || self.partitions.iter().any(|partition| partition.content.is_some())
    }
}
