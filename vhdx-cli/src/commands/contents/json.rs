//! Returns what a disk contains as JSON.

use serde_json::{Value, json};
use vhdx_contents::probe::Content;
use vhdx_contents::{Contents, Partition};

pub(in crate::commands) fn json(contents: &Contents) -> Value {
    json!({
        "table": contents.table.kind.name(),
        "sector_size": contents.table.sector_size,
        "disk_id": contents.table.id.map(|id| id.to_string()),
        "partitions": contents.partitions.iter().map(partition).collect::<Value>(),
        "content": contents.whole.as_ref().map(content),
        "findings": texts(&contents.findings),
    })
}

fn partition(partition: &Partition) -> Value {
    json!({
        "number": partition.number,
        "start": partition.start,
        "length": partition.len,
        "type": partition.type_id.to_string(),
        "type_name": partition.type_name,
        "name": partition.name,
        "guid": partition.guid.map(|guid| guid.to_string()),
        "attributes": partition.attributes,
        "bootable": partition.is_bootable,
        "extended": partition.is_extended,
        "content": partition.content.as_ref().map(content),
        "findings": texts(&partition.findings),
    })
}

fn content(content: &Content) -> Value {
    json!({
        "type": content.kind.type_name(),
        "name": content.kind.name(),
        "version": content.version,
        "label": content.label,
        "uuid": content.uuid,
        "size": content.size,
        "used": content.used,
        "block_size": content.block_size,
        "clean": content.clean,
        "findings": texts(&content.findings),
    })
}

fn texts(findings: &[impl ToString]) -> Value {
    findings.iter().map(ToString::to_string).collect()
}
