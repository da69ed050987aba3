//! Returns what a disk contains as rows of a table. Names and labels are untrusted, so they are escaped.

use vhdx_contents::probe::Content;
use vhdx_contents::{Contents, Partition, TableKind};

use crate::output::{cut, harmless};
use crate::sizes::human;

/// The names of the columns.
pub(in crate::commands) const HEADS: [&str; 8] =
    ["number", "start", "size", "content", "label", "used", "type", "name"];
/// The columns that are aligned to the right.
pub(in crate::commands) const RIGHT: [bool; 8] = [true, true, true, false, false, true, false, false];

/// The most columns of a name or label. JSON has the whole text.
const MAX_NAME: usize = 36;

/// Returns the partition table in words.
pub(in crate::commands) fn table(contents: &Contents) -> String {
    let name = match contents.table.kind {
        TableKind::Gpt => "GPT",
        TableKind::Mbr => "MBR",
        TableKind::Apple => "Apple partition map",
        TableKind::Bsd => "BSD disklabel",
        _ => return "none".to_owned(),
    };
    let id = contents.table.id.map(|id| format!(", disk {id}")).unwrap_or_default();
    let empty = if contents.partitions.is_empty() { ", no partitions" } else { "" };
    format!("{name}, sectors of {} bytes{id}{empty}", contents.table.sector_size)
}

/// Returns the row of a partition.
pub(in crate::commands) fn row(partition: &Partition) -> [String; 8] {
    let [content, label, used] = match &partition.content {
        Some(content) => [kind(content), self::label(content), used(content)],
        None if partition.is_extended => ["logical partitions".to_owned(), dash(), dash()],
        None => ["not recognized".to_owned(), dash(), dash()],
    };
    let boot = if partition.is_bootable { " (bootable)" } else { "" };
    [
        partition.number.to_string(),
        partition.start.to_string(),
        human(partition.len),
        content,
        label,
        used,
        format!("{}{boot}", type_name(partition)),
        partition.name.as_deref().map_or_else(String::new, quoted),
    ]
}

/// Returns the kind of a content with its version.
pub(super) fn kind(content: &Content) -> String {
    let version = content.version.as_ref().map(|version| format!(" {}", harmless(version)));
    format!("{}{}", content.kind.name(), version.unwrap_or_default())
}

fn label(content: &Content) -> String {
    content.label.as_deref().filter(|label| !label.is_empty()).map_or_else(dash, quoted)
}

fn used(content: &Content) -> String {
    content.used.map_or_else(dash, human)
}

fn dash() -> String {
    "-".to_owned()
}

/// Returns a name in quotation marks, so that it cannot look like another column.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", cut(&harmless(name), MAX_NAME))
}

/// Returns the name of the type of a partition, or the type itself.
pub(super) fn type_name(partition: &Partition) -> String {
    partition.type_name.map_or_else(|| harmless(&partition.type_id.to_string()), str::to_owned)
}

/// Returns what is wrong or doubtful, each with its place.
pub(in crate::commands) fn findings(contents: &Contents) -> Vec<String> {
    let mut found: Vec<String> =
        contents.findings.iter().map(|finding| format!("partition table: {finding}")).collect();
    for partition in &contents.partitions {
        let of_content = partition.content.iter().flat_map(|content| &content.findings);
        let texts =
            partition.findings.iter().map(ToString::to_string).chain(of_content.map(ToString::to_string));
        found.extend(texts.map(|text| format!("partition {}: {text}", partition.number)));
    }
    let of_disk = contents.whole.iter().flat_map(|content| &content.findings);
    found.extend(of_disk.map(|finding| format!("disk: {finding}")));
    found.iter().map(|text| harmless(text)).collect()
}
