//! Finds partitions that overlap.

use super::finding::TableFinding;
use super::partition::Partition;

/// The number of the last primary partition of an MBR.
const LAST_PRIMARY: u32 = 4;

/// Adds a finding to each partition that begins within an earlier one. An extended partition is compared only with the
/// primary ones, because the logical ones are in it.
pub(super) fn mark(partitions: &mut [Partition]) {
    mark_among(partitions, |one| !one.is_extended);
    if partitions.iter().any(|one| one.is_extended) {
        mark_among(partitions, |one| one.number <= LAST_PRIMARY);
    }
}

fn mark_among(partitions: &mut [Partition], is_compared: impl Fn(&Partition) -> bool) {
    let mut compared: Vec<&mut Partition> =
        partitions.iter_mut().filter(|partition| is_compared(partition)).collect();
    compared.sort_by_key(|partition| (partition.start, partition.number));
    // The number and the end of the partition that ends last.
    let mut last: Option<(u32, u64)> = None;
    for partition in compared {
        if let Some((other, end)) = last
            && partition.start < end
        {
            let finding = TableFinding::Overlaps { other };
            if !partition.findings.contains(&finding) {
                partition.findings.push(finding);
            }
        }
        if last.is_none_or(|(_, end)| partition.end() > end) {
            last = Some((partition.number, partition.end()));
        }
    }
}
