//! All that a file system shows, so that two views of it can be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vhdx::{Disk, DiskOffset, RawDisk, Source};
use vhdx_contents::files::{FileSystem, Kind, Node};

/// A file, or whatever else has a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    /// A digest of the content, or the target of a link.
    pub(crate) content: Vec<u8>,
}

/// All files by their paths.
pub(crate) type View = BTreeMap<Vec<u8>, Seen>;

/// Returns what the reader shows, by reads of different lengths.
pub(crate) fn of_reader(files: &dyn FileSystem) -> View {
    let mut view = View::new();
    let mut folders = vec![(Vec::new(), files.root())];
    while let Some((path, folder)) = folders.pop() {
        let mut entries = Vec::new();
        let listed = files.list(folder, &mut |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        });
        listed.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&path)));
        for entry in entries {
            let path = [&path, &b"/"[..], &entry.name].concat();
            if path == b"/lost+found" {
                continue;
            }
            let attributes = files.attributes(entry.node).unwrap();
            assert_eq!(entry.kind, attributes.kind, "{}", String::from_utf8_lossy(&path));
            let content = match entry.kind {
                Kind::File => digest_of_reader(files, entry.node, attributes.size),
                Kind::Link => files.link_target(entry.node).unwrap(),
                Kind::Folder => {
                    folders.push((path.clone(), entry.node));
                    Vec::new()
                }
                Kind::Other(_) => Vec::new(),
            };
            let size = attributes.size;
            let (mode, modified) = (attributes.mode.unwrap(), attributes.modified.unwrap());
            let seen = Seen { kind: entry.kind, mode, size, modified, content };
            assert!(view.insert(path, seen).is_none(), "a name is listed twice");
        }
    }
    view
}

/// Returns a digest of a file. All holes are taken for zeros, and all data is read.
fn digest_of_reader(files: &dyn FileSystem, file: Node, size: u64) -> Vec<u8> {
    let mut digest = Digest::default();
    let mut at = 0;
    while let Some(range) = files.range_at(file, at).unwrap() {
        assert!(range.start == at && range.len > 0);
        if !range.is_hole {
            let end = at + range.len;
            let mut offset = at;
            while offset < end {
                let mut bytes = vec![0xAA; (end - offset).min(777_777) as usize];
                assert_eq!(files.read(file, offset, &mut bytes).unwrap(), bytes.len());
                digest.add(offset, &bytes);
                offset += bytes.len() as u64;
            }
        }
        at += range.len;
    }
    assert_eq!(at, size);
    let mut last = [0xAA; 5];
    let before = size.saturating_sub(3);
    assert_eq!(files.read(file, before, &mut last).unwrap() as u64, size - before);
    assert_eq!(files.read(file, size, &mut last).unwrap(), 0);
    digest.0
}

/// Returns what the host shows of a folder.
pub(crate) fn of_host(root: &Path) -> View {
    let mut view = View::new();
    let mut folders = vec![Vec::new()];
    while let Some(path) = folders.pop() {
        let folder = root.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(&path)));
        for entry in fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_vec();
            let host = folder.join(OsStr::from_bytes(&name));
            let path = [&path, &b"/"[..], &name].concat();
            if path == b"/lost+found" {
                continue;
            }
            let metadata = fs::symlink_metadata(&host).unwrap();
            let kind = kind(metadata.file_type());
            let content = match kind {
                Kind::File => digest_of_host(&host, metadata.len()),
                Kind::Link => fs::read_link(&host).unwrap().into_os_string().into_vec(),
                Kind::Folder => {
                    folders.push(path.clone());
                    Vec::new()
                }
                Kind::Other(_) => Vec::new(),
            };
            let size = if kind == Kind::Folder { 0 } else { metadata.len() };
            let (mode, modified) = (metadata.mode() & 0o7777, modified(&metadata));
            view.insert(path, Seen { kind, mode, size, modified, content });
        }
    }
    view
}

fn modified(metadata: &fs::Metadata) -> SystemTime {
    let nanoseconds = Duration::from_nanos(metadata.mtime_nsec() as u64);
    let whole = Duration::from_secs(metadata.mtime().unsigned_abs());
    let time = if metadata.mtime() < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    time + nanoseconds
}

fn kind(kind: fs::FileType) -> Kind {
    match kind {
        _ if kind.is_dir() => Kind::Folder,
        _ if kind.is_symlink() => Kind::Link,
        _ if kind.is_fifo() => Kind::Other("pipe"),
        _ if kind.is_socket() => Kind::Other("socket"),
        _ if kind.is_char_device() => Kind::Other("character device"),
        _ if kind.is_block_device() => Kind::Other("block device"),
        _ => Kind::File,
    }
}

fn digest_of_host(path: &Path, size: u64) -> Vec<u8> {
    let mut digest = Digest::default();
    // A disk knows its holes.
    let disk = RawDisk::open(path).unwrap();
    for extent in disk.extents(DiskOffset::new(0)..DiskOffset::new(size)) {
        let extent = extent.unwrap();
        if extent.source == Source::Unallocated {
            continue;
        }
        let (mut at, end) = (extent.start.get(), extent.end().get());
        while at < end {
            let mut bytes = vec![0; (end - at).min(1 << 20) as usize];
            disk.read_exact_at(&mut bytes, DiskOffset::new(at)).unwrap();
            digest.add(at, &bytes);
            at += bytes.len() as u64;
        }
    }
    digest.0
}

/// A digest of the bytes of a file that are not zero, and of their places.
#[derive(Default)]
struct Digest(Vec<u8>);

impl Digest {
    fn add(&mut self, offset: u64, bytes: &[u8]) {
        self.0.resize(8, 0);
        let mut sum = u64::from_le_bytes(self.0[..8].try_into().unwrap());
        for (at, byte) in (offset..).zip(bytes).filter(|(_, byte)| **byte != 0) {
            // A sum, so that the lengths of the pieces do not matter.
            let mixed = (at ^ u64::from(*byte) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum = sum.wrapping_add((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9));
        }
        self.0[..8].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Compares two views, and names the first difference.
pub(crate) fn assert_equal(found: &View, expected: &View, what: &str) {
    for path in found.keys().chain(expected.keys()) {
        let (one, other) = (found.get(path), expected.get(path));
        assert_eq!(one, other, "{what}: {}", String::from_utf8_lossy(path));
    }
    assert!(!found.is_empty(), "{what}: nothing was found");
}
