//! Compares a differencing child of this library, field by field, with one that Windows 11 made and wrote on an equal base.

use std::path::Path;
use std::process::Command;

use vhdx::format::bat_entry::BatEntry;
use vhdx::format::file_identifier::FileTypeIdentifier;
use vhdx::format::header::{self, Header};
use vhdx::format::metadata_item::name_of;
use vhdx::format::parent_locator::ParentLocator;
use vhdx::format::region_table::{self, BAT_REGION, RegionTable};
use vhdx::{DiskOffset, OpenOptions, ReadAt, Source, Vhdx};
use vhdx_testkit::{SparseImage, shared, unpack};

/// Every field in which the two differ, and why ours is still right. `docs/format.md` says more.
const DIFFERENCES: &[(&str, &str)] = &[
    ("creator", r"the program that made the file; only for diagnosis (2.2.1)"),
    (
        "headers: sequence number",
        r"the number of sessions; any numbers are valid as long as the newer header has the higher one (2.2.2)",
    ),
    ("headers: FileWriteGuid", r"random in every file (2.2.2.1); fixed in the golden file"),
    ("headers: DataWriteGuid", r"random in every content (2.2.2.1); fixed in the golden file"),
    (
        "parent locator: keys",
        r"the golden file has one path only; one is enough, and empty values are illegal (2.6.2.6.2)",
    ),
    (
        "parent locator: absolute_win32_path",
        r"needs a drive letter or a share; Windows adds it when it opens the file, and vhdx writes it on Windows",
    ),
    ("parent locator: volume_path", r"needs a volume GUID; Windows adds it when it opens the file"),
    ("parent locator: length", r"the length of the keys and values"),
    ("broken rules", r"the Windows file breaks one, a note: its absolute path has no `\\?\`"),
];

/// Returns the name of a field in [`DIFFERENCES`]: one for both headers.
fn documented(field: &str) -> String {
    let of_header = |number| field.strip_prefix(&format!("header {number} "));
    of_header(1).or(of_header(2)).map_or(field.to_owned(), |name| format!("headers: {name}"))
}

type Fields = Vec<(String, String)>;

/// Everything that the file says, in its order.
fn fields(file: &SparseImage) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: String| fields.push((name.to_owned(), value));
    let start = file.read(0, 64 << 10);
    put("creator", FileTypeIdentifier::parse(&start).unwrap().creator);
    let reserved =
        start[8 + 512..].iter().chain(&file.read(320 << 10, (1 << 20) - (320 << 10))).any(|&b| b != 0);
    put("reserved parts of the header section are zero", (!reserved).to_string());
    put("file length", file.size().to_string());
    let headers = header::OFFSETS.map(|at| Header::parse(&file.read(at.get(), header::SIZE)).unwrap());
    let newer = if headers[0].sequence_number > headers[1].sequence_number { 1 } else { 2 };
    put("current header", newer.to_string());
    let apart = headers[0].sequence_number.abs_diff(headers[1].sequence_number);
    put("headers' sequence numbers apart", apart.to_string());
    for (number, header) in (1..).zip(&headers) {
        let mut put = |name: &str, value: String| put(&format!("header {number} {name}"), value);
        put("sequence number", header.sequence_number.to_string());
        put("FileWriteGuid", header.file_write_guid.to_string());
        put("DataWriteGuid", header.data_write_guid.to_string());
        put("LogGuid", header.log_guid.to_string());
        put("log version", header.log_version.to_string());
        put("version", header.version.to_string());
        put("log", format!("{} bytes at {}", header.log_length, header.log_offset));
    }
    let tables =
        region_table::OFFSETS.map(|at| RegionTable::parse(&file.read(at.get(), region_table::SIZE)).unwrap());
    for (number, table) in (1..).zip(&tables) {
        put(&format!("region table {number}"), format!("{table:?}"));
    }
    put_metadata(file, &mut put);
    let bat = tables[0].regions.iter().find(|region| region.id == BAT_REGION).unwrap();
    for index in 0..bat.length / 8 {
        let bytes = file.read(bat.offset.get() + index * 8, 8);
        let entry = BatEntry::from_le_bytes(bytes.try_into().unwrap());
        if entry.raw() != 0 {
            put(
                &format!("BAT entry {index}"),
                format!("state {} at {}", entry.raw() & 7, entry.file_offset()),
            );
        }
    }
    fields
}

fn put_metadata(file: &SparseImage, put: &mut dyn FnMut(&str, String)) {
    let vhdx = Vhdx::open_with(file.to_vec(), &OpenOptions::default()).unwrap();
    let broken: Vec<String> = vhdx.tolerated().iter().map(ToString::to_string).collect();
    put("broken rules", broken.join("; "));
    for (index, entry) in vhdx.metadata_entries().iter().enumerate() {
        put(&format!("metadata entry {index}"), name_of(entry.id));
        let flags = (entry.is_user, entry.is_virtual_disk, entry.is_required);
        put(&format!("{}: user, virtual disk, required", name_of(entry.id)), format!("{flags:?}"));
        put(&format!("{}: place", name_of(entry.id)), entry.offset.to_string());
        put(&format!("{}: length", name_of(entry.id)), entry.length.to_string());
        let content = vhdx.read_metadata_item(entry).unwrap();
        match ParentLocator::parse(&content) {
            Some(locator) => {
                let keys: Vec<&str> = locator.entries.iter().map(|(key, _)| key.as_str()).collect();
                put("parent locator: keys", keys.join(" "));
                for (key, value) in locator.entries {
                    put(&format!("parent locator: {key}"), value);
                }
            }
            None => put(&format!("{}: content", name_of(entry.id)), format!("{content:02x?}")),
        }
    }
}

fn golden() -> SparseImage {
    unpack(&std::fs::read(crate::common::project().join("testdata/golden/child.packed")).unwrap()).to_sparse()
}

fn windows() -> Option<SparseImage> {
    let packed = shared::folder("fixtures")?.join("real/virtdisk-crate/windows-11-26200-512/child.vhdx.xz");
    shared::program("xz")?;
    let ran = Command::new("xz").arg("-dc").arg(&packed).output().unwrap();
    assert!(ran.status.success(), "{}", packed.display());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("windows-child.vhdx");
    std::fs::write(&path, ran.stdout).unwrap();
    Some(SparseImage::read_from(&path).unwrap())
}

#[test]
fn every_difference_from_a_child_of_windows_is_named() {
    let Some(windows) = windows() else { return };
    let (ours, theirs) = (fields(&golden()), fields(&windows));
    let value =
        |fields: &Fields, name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, v)| v.clone());
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in ours.iter().chain(&theirs) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    assert!(names.len() > 50, "these are not all fields: {names:?}");
    let differ: Vec<&str> = names
        .iter()
        .map(|name| name.as_str())
        .filter(|name| value(&ours, name) != value(&theirs, name))
        .collect();
    let mut unnamed = Vec::new();
    for name in &differ {
        if !DIFFERENCES.iter().any(|(named, _)| *named == documented(name)) {
            unnamed.push(format!(
                "{name}: ours {:?}, Windows {:?}",
                value(&ours, name),
                value(&theirs, name)
            ));
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    for (named, _) in DIFFERENCES {
        let fields: Vec<_> = names.iter().filter(|name| documented(name) == *named).collect();
        assert!(
            !fields.is_empty() && fields.iter().all(|name| differ.contains(&name.as_str())),
            "no difference any more: {named}"
        );
    }
}

#[test]
fn every_difference_is_justified_in_the_documentation() {
    let page = std::fs::read_to_string(crate::common::project().join("docs/format.md")).unwrap();
    for (name, why) in DIFFERENCES {
        assert!(
            page.contains(&format!("| {name} | {why} |")),
            "docs/format.md says otherwise about {name}: {why}"
        );
    }
}

/// The sectors that both wrote are where both say that they are.
#[test]
fn the_golden_child_holds_what_was_written() {
    let child = Vhdx::open_with(golden().to_vec(), &OpenOptions::default()).unwrap();
    let mut held = Vec::new();
    for extent in child.extents(DiskOffset::new(0)..DiskOffset::new(child.virtual_size())) {
        let extent = extent.unwrap();
        if let Source::Data { offset, .. } = extent.source {
            let mut bytes = vec![0; extent.len as usize];
            golden().to_vec().read_exact_at(&mut bytes, offset).unwrap();
            assert!(bytes.iter().all(|&byte| byte == bytes[0]));
            held.push((extent.start.get(), extent.len, bytes[0]));
        }
    }
    assert_eq!(held, [(0x2000, 512, 0x0b), (0x10_2000, 512, 0x0d), (0x30_2000, 512, 0x11)]);
}
