//! Prints what a disk contains.

use std::io::{self, Write};

use vhdx_contents::{Contents, Partition};

use super::rows::{HEADS, RIGHT, findings, kind, quoted, row, table, type_name};
use crate::output;
use crate::sizes::human;

/// The most partitions of a disk that one line names.
const MAX_SUMMARY: usize = 8;

/// Prints the partition table and a row for each partition.
pub(in crate::commands) fn write(contents: &Contents, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "partition table: {}", table(contents))?;
    if let Some(whole) = &contents.whole {
        let label = whole.label.as_deref().map(|label| format!(", label {}", quoted(label)));
        let size = whole.size.map(|size| format!(", size {}", human(size)));
        let used = whole.used.map(|used| format!(", used {}", human(used)));
        let unclean = (whole.clean == Some(false)).then(|| ", not unmounted cleanly".to_owned());
        let facts: String = [label, size, used, unclean].into_iter().flatten().collect();
        writeln!(out, "content of the disk: {}{facts}", kind(whole))?;
    }
    if !contents.partitions.is_empty() {
        let rows = [HEADS.map(str::to_owned)].into_iter().chain(contents.partitions.iter().map(row));
        output::table(out, &RIGHT, &rows.map(|row| row.to_vec()).collect::<Vec<_>>())?;
    }
    findings(contents).iter().try_for_each(|finding| writeln!(out, "- {finding}"))
}

/// Returns what a disk contains in one line.
pub(in crate::commands) fn summary(contents: &Contents) -> String {
    let partitions = contents.partitions.iter().filter(|partition| !partition.is_extended);
    let mut parts: Vec<String> = partitions.clone().take(MAX_SUMMARY).map(in_short).collect();
    if partitions.clone().count() > MAX_SUMMARY {
        parts.push(format!("{} more", partitions.count() - MAX_SUMMARY));
    }
    if let Some(whole) = &contents.whole {
        let label = whole.label.as_deref().map(|label| format!(" {}", quoted(label)));
        parts.push(format!("{}{}", kind(whole), label.unwrap_or_default()));
    }
    let found = findings(contents).len();
    if found > 0 {
        parts.push(output::count(found, "finding", "findings"));
    }
    let table = match contents.table.kind {
        vhdx_contents::TableKind::None => None,
        kind => Some(kind.name().to_uppercase()),
    };
    match (table, parts.is_empty()) {
        (None, true) => "nothing recognized".to_owned(),
        (None, false) => parts.join(", "),
        (Some(table), true) => format!("{table} without partitions"),
        (Some(table), false) => format!("{table}: {}", parts.join(", ")),
    }
}

fn in_short(partition: &Partition) -> String {
    let Partition { number, content, .. } = partition;
    let what = content.as_ref().map_or_else(|| type_name(partition), kind);
    let label =
        content.as_ref().and_then(|content| content.label.as_deref()).filter(|label| !label.is_empty());
    let label = label.map(|label| format!(" {}", quoted(label))).unwrap_or_default();
    let used = content.as_ref().and_then(|content| content.used);
    let used = used.map(|used| format!(", {} used", human(used))).unwrap_or_default();
    format!("p{number} {what}{label} ({}{used})", human(partition.len))
}
