//! Reads all files of a file system.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use vhdx::{Memory, RawDisk};
use vhdx_contents::files::{self, Entry, FileSystem, Kind, Node};
use vhdx_contents::{Error, Window};

/// A file as the reader shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) content: Option<Vec<u8>>,
    /// The bytes that are not in holes.
    pub(crate) stored: u64,
    /// The target of a link, or the error of the content.
    pub(crate) other: Option<String>,
}

/// Calls `with` with the file system in a raw image.
pub(crate) fn open<T>(path: &Path, with: impl FnOnce(&dyn FileSystem) -> T) -> T {
    let disk = RawDisk::open(path).unwrap();
    let fs = files::open(Window::whole(&disk)).unwrap();
    with(&*fs)
}

/// Opens the file system in these bytes, and reads everything that can be read. Returns how many files and errors
/// there are.
pub(crate) fn exhaust(bytes: Vec<u8>) -> (usize, usize) {
    let disk = RawDisk::open_with(Memory::new(bytes), "image").unwrap();
    let Ok(fs) = files::open(Window::whole(&disk)) else { return (0, 1) };
    let (mut files, mut errors) = (0, 0);
    let mut folders = vec![(fs.root(), 0)];
    let mut seen = std::collections::HashSet::new();
    while let Some((folder, depth)) = folders.pop() {
        if !seen.insert(folder) || depth > 20 {
            continue;
        }
        let (found, listed) = entries_of(&*fs, folder, 5_000);
        errors += usize::from(listed.is_err());
        for entry in found {
            files += 1;
            let read = read_some(&*fs, entry.node);
            if let Err(error) = &read {
                assert!(!matches!(error, Error::Abandoned(_)), "{error}");
            }
            errors += usize::from(read.is_err());
            if entry.kind == Kind::Folder {
                folders.push((entry.node, depth + 1));
            }
        }
        let _ = fs.lookup(folder, b"there is no such name");
    }
    (files, errors)
}

fn read_some(fs: &dyn FileSystem, node: Node) -> Result<(), Error> {
    let attributes = fs.attributes(node)?;
    if attributes.kind == Kind::Link {
        fs.link_target(node)?;
    }
    if attributes.kind != Kind::File {
        return Ok(());
    }
    let mut buf = vec![0; 8192];
    for offset in [0, 5000, attributes.size / 2, attributes.size.saturating_sub(1), u64::MAX] {
        if let Some(range) = fs.range_at(node, offset)? {
            assert!(range.start == offset && range.len > 0, "{range:?}");
        }
        assert!(fs.read(node, offset, &mut buf)? <= buf.len());
    }
    Ok(())
}

fn entries_of(fs: &dyn FileSystem, folder: Node, limit: usize) -> (Vec<Entry>, Result<(), Error>) {
    let mut found = Vec::new();
    let listed = fs.list(folder, &mut |entry| {
        found.push(entry);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    (found, listed)
}

/// Reads all files, by their paths.
pub(crate) fn all(fs: &dyn FileSystem) -> BTreeMap<Vec<u8>, Found> {
    let mut all = BTreeMap::new();
    let mut folders = vec![(fs.root(), Vec::new())];
    while let Some((folder, path)) = folders.pop() {
        let (entries, listed) = entries_of(fs, folder, usize::MAX);
        listed.unwrap();
        for entry in entries {
            let mut path: Vec<u8> = path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            let attributes = fs.attributes(entry.node).unwrap();
            // A lookup reads the whole folder, so only some names are looked up.
            if all.len() % 200 == 0 {
                assert_eq!(fs.lookup(folder, &entry.name).unwrap().as_ref(), Some(&entry));
            }
            let mut found = Found {
                kind: attributes.kind,
                size: attributes.size,
                modified: attributes.modified,
                content: None,
                stored: 0,
                other: None,
            };
            match attributes.kind {
                Kind::Folder => folders.push((entry.node, path.clone())),
                Kind::Link => {
                    found.other = Some(String::from_utf8(fs.link_target(entry.node).unwrap()).unwrap())
                }
                Kind::File => match content(fs, entry.node) {
                    Ok((content, stored)) => (found.content, found.stored) = (Some(content), stored),
                    Err(error) => found.other = Some(error.to_string()),
                },
                Kind::Other(_) => {}
            }
            assert!(all.insert(path.clone(), found).is_none(), "{:?} twice", String::from_utf8_lossy(&path));
        }
    }
    all
}

/// Returns the content of a file, and how many bytes are not in holes.
pub(crate) fn content(fs: &dyn FileSystem, file: Node) -> Result<(Vec<u8>, u64), Error> {
    let (mut content, mut stored) = (Vec::new(), 0);
    while let Some(range) = fs.range_at(file, content.len() as u64)? {
        assert!(range.len > 0 && range.start == content.len() as u64);
        let mut bytes = vec![0; usize::try_from(range.len.min(1 << 20)).unwrap()];
        let len = fs.read(file, range.start, &mut bytes)?;
        assert_eq!(len, bytes.len());
        if range.is_hole {
            assert!(bytes.iter().all(|byte| *byte == 0));
        } else {
            stored += len as u64;
        }
        content.extend(bytes);
    }
    assert_eq!(fs.read(file, content.len() as u64, &mut [0; 1])?, 0);
    Ok((content, stored))
}
