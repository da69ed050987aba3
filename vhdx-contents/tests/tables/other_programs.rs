//! Reads partition tables with other programs.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use crate::made::run;

/// A partition as another program lists it. Places are in bytes, GUIDs and types in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u32,
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) type_id: String,
    pub(crate) name: String,
    pub(crate) guid: String,
    pub(crate) is_bootable: bool,
}

fn type_id(text: &str) -> String {
    let text = text.to_lowercase();
    if text.len() > 2 { text } else { format!("0x{text:0>2}") }
}

fn number(path: &Path, node: &str) -> u32 {
    node.strip_prefix(path.to_str().unwrap()).unwrap().parse().unwrap()
}

/// Returns the partitions as `sfdisk` lists them. It does not list the table of a damaged GPT.
pub(crate) fn by_sfdisk(path: &Path) -> Vec<Listed> {
    let json: Value = serde_json::from_str(&run("sfdisk", [OsStr::new("--json"), path.as_os_str()])).unwrap();
    let partition = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let bytes = |key: &str| one[key].as_u64().unwrap() * 512;
        Listed {
            number: number(path, &text("node")),
            start: bytes("start"),
            len: bytes("size"),
            type_id: type_id(&text("type")),
            name: text("name"),
            guid: text("uuid").to_lowercase(),
            is_bootable: one["bootable"] == true || text("attrs").contains("LegacyBIOSBootable"),
        }
    };
    let partitions = json["partitiontable"]["partitions"].as_array();
    let mut listed: Vec<Listed> = partitions.into_iter().flatten().map(partition).collect();
    listed.sort_by_key(|one| one.number);
    listed
}

/// Returns the partitions as `fdisk` lists them with sectors of this size.
pub(crate) fn by_fdisk(path: &Path, sector_size: u32) -> Vec<Listed> {
    let listed = |columns: &str| -> Vec<String> {
        let size = sector_size.to_string();
        let path_text = path.to_str().unwrap();
        let text = run("fdisk", ["-b", size.as_str(), "-l", "-o", columns, path_text]);
        // After the facts about the disk, there are an empty line and the names of the columns.
        let table = text.lines().skip_while(|line| !line.starts_with("Disk identifier"));
        table.skip(3).map(|line| line.trim().to_owned()).collect()
    };
    let is_gpt = run("fdisk", ["-b".as_ref(), "4096".as_ref(), "-l".as_ref(), path.as_os_str()])
        .contains("Disklabel type: gpt");
    let none = || vec![String::new(); 100];
    let (ids, names, guids, boot) = match is_gpt {
        true => (listed("Type-UUID"), listed("Name"), listed("UUID"), none()),
        false => (listed("Id"), none(), none(), listed("Boot")),
    };
    let places = listed("Device,Start,Sectors");
    let rows = places.iter().enumerate().map(|(row, place)| {
        let words: Vec<&str> = place.split_whitespace().collect();
        let [device, start, sectors] = words[..] else { panic!("{place}") };
        let bytes = |text: &str| text.parse::<u64>().unwrap() * u64::from(sector_size);
        Listed {
            number: number(path, device),
            start: bytes(start),
            len: bytes(sectors),
            type_id: type_id(&ids[row]),
            name: names[row].clone(),
            guid: guids[row].to_lowercase(),
            is_bootable: boot[row] == "*",
        }
    });
    rows.collect()
}

/// Returns the places of the partitions as `mmls` lists them, sorted.
pub(crate) fn by_mmls(path: &Path, sector_size: u32) -> Vec<(u64, u64)> {
    let size = sector_size.to_string();
    let text = run("mmls", ["-a", "-M", "-b", size.as_str(), path.to_str().unwrap()]);
    // Such as `004:  000   0000002048   0000004095   0000002048   EFI`; slot and name may be absent.
    let place = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [row, _, first, _, sectors, ..] = words[..] else { return None };
        row.strip_suffix(':')?;
        let bytes = |text: &str| Some(text.parse::<u64>().ok()? * u64::from(sector_size));
        bytes(first).zip(bytes(sectors))
    };
    let mut places: Vec<(u64, u64)> = text.lines().filter_map(place).collect();
    places.sort_unstable();
    places
}
