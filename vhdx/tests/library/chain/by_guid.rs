//! Parents that no stored path leads to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vhdx::format::parent_locator::{ABSOLUTE_WIN32_PATH, PARENT_LINKAGE2, RELATIVE_PATH, VOLUME_PATH};
use vhdx::{Chain, ChainErrorKind, ErrorKind, FolderResolver, FoundBy, Guid, MIB, inspect_chain};
use vhdx_testkit::{Block, Image};

use super::{BASE, Folder, beside, chain_error, child, disk, in_folder, leaf, named, parent_of};

const STORED: [(&str, &str); 1] = [(RELATIVE_PATH, r".\base.vhdx")];

fn guid(number: u128) -> Guid {
    Guid::from_u128(number)
}

#[test]
fn a_renamed_parent_is_found_beside_the_child_and_in_named_folders() {
    for (place, resolver) in [("vm/old", None), ("vm/disk.bak", None), ("other/old.vhdx", Some("other"))] {
        let folder = Folder::new();
        let leaf = folder.put("vm/leaf.avhdx", &leaf(&STORED));
        let base = folder.put(place, &disk(BASE)).canonicalize().unwrap();
        folder.put("vm/base.vhdx", &disk(guid(9))); // another disk took its name
        fs::write(folder.path("vm/notes.txt"), "notes").unwrap();
        let resolver = resolver.map_or(beside(), |name| in_folder(folder.path(name)));
        let chain = Chain::open(&leaf, &resolver).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(parent_of(&chain), base, "{place}");
        assert_eq!([chain.found_by(0), chain.found_by(1)], [None, Some(FoundBy::Guid)]);
        let layers = inspect_chain(&leaf, &resolver).unwrap();
        let found: Vec<_> = layers.iter().map(|layer| (layer.link.name(), layer.found_by)).collect();
        assert_eq!(found, [("ok", None), ("base", Some(FoundBy::Guid))]);
    }
}

#[test]
fn a_stored_path_counts_before_a_search() {
    for (place, key, stored, found_by) in [
        ("vm/base.vhdx", RELATIVE_PATH, r".\base.vhdx", FoundBy::RelativePath),
        ("vm/VMs/base.vhdx", ABSOLUTE_WIN32_PATH, r"C:\VMs\base.vhdx", FoundBy::AbsoluteWin32Path),
        ("vm/VMs/BASE.vhdx", VOLUME_PATH, r"\\?\Volume{1}\VMs\base.vhdx", FoundBy::VolumePath),
        ("vm/base.vhdx", ABSOLUTE_WIN32_PATH, r"C:\VMs\base.vhdx", FoundBy::Name),
    ] {
        let folder = Folder::new();
        let leaf = folder.put("vm/leaf.avhdx", &leaf(&[(key, stored)]));
        folder.put("vm/another.vhdx", &Image { file_write_guid: guid(50), ..disk(BASE) });
        let base = folder.put(place, &disk(BASE)).canonicalize().unwrap();
        let chain = Chain::open(&leaf, &beside()).unwrap();
        assert_eq!((parent_of(&chain), chain.found_by(1)), (base, Some(found_by)), "{place}");
    }
    let folder = Folder::new();
    let (leaf, base) = (folder.put("leaf.avhdx", &leaf(&STORED)), folder.put("x", &disk(BASE)));
    assert_eq!(Chain::open(&leaf, &named(&[&base])).unwrap().found_by(1), Some(FoundBy::Named));
}

#[test]
fn nothing_else_is_searched() {
    let folder = Folder::new();
    let leaf = folder.put("vm/leaf.avhdx", &leaf(&STORED));
    folder.put("vm/deep/old.vhdx", &disk(BASE));
    folder.put("outside.vhdx", &disk(BASE));
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path("outside.vhdx"), folder.path("vm/link.vhdx")).unwrap();
    let error = chain_error(Chain::open(&leaf, &in_folder(folder.path("other"))));
    let message = error.to_string();
    assert!(message.contains(", and for the DataWriteGuid in every file there"), "{message}");
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
    let searched = error.searched();
    assert_eq!(searched, ["vm", "other"].map(|name| folder.path(name)));
    // Whoever names a parent means that one.
    let wrong = folder.put("vm/wrong.vhdx", &disk(guid(9)));
    folder.put("vm/right.vhdx", &disk(BASE));
    let error = chain_error(Chain::open(&leaf, &named(&[&wrong])));
    assert!(error.kind() == ChainErrorKind::Mismatch && error.parent().unwrap() == wrong, "{error}");
    Chain::open(&leaf, &beside()).unwrap();
}

#[test]
fn a_child_without_a_linkage_finds_nothing() {
    let folder = Folder::new();
    folder.put("old.vhdx", &disk(Guid::nil()));
    let leaf = folder.put("leaf.avhdx", &child(guid(1), Guid::nil(), &STORED));
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert!(error.kind() == ChainErrorKind::MissingParent && error.expected().is_empty(), "{error}");
}

#[test]
fn copies_are_one_parent_and_others_are_ambiguous() {
    let folder = Folder::new();
    let leaf = folder.put("vm/leaf.avhdx", &leaf(&STORED));
    let block = |byte| Image { blocks: [(3, Block::full(vec![byte; MIB as usize]))].into(), ..disk(BASE) };
    let second = folder.put("vm/b", &block(1));
    let resolver = || in_folder(folder.path("a"));
    folder.put("a/1", &block(1));
    let base = || parent_of(&Chain::open(&leaf, &resolver()).unwrap());
    assert_eq!(base(), second.canonicalize().unwrap(), "the child's own folder comes first");
    let first = folder.put("vm/a", &block(1));
    assert_eq!(base(), first.canonicalize().unwrap());
    fs::hard_link(&first, folder.path("vm/a name of a")).unwrap();
    base();

    let other = folder.put("vm/c", &block(2));
    let error = chain_error(Chain::open(&leaf, &resolver()));
    assert_eq!(error.path(), leaf);
    let message = error.to_string();
    assert_eq!(error.kind(), ChainErrorKind::AmbiguousParent, "{error}");
    let (child, guid, parents) = (error.path(), error.expected(), error.candidates());
    assert_eq!((child, guid), (&*leaf, &[BASE][..]));
    assert_eq!(parents, [first.clone(), second, other.clone(), folder.path("a/1")]);
    let places = ["vm/c", "a/1"].map(|place| folder.path(place).components().collect::<PathBuf>());
    let [c, one] = places.each_ref().map(|path| path.to_str().unwrap());
    for part in [&BASE.to_string(), "not proven to be copies", c, one] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(Chain::open(&leaf, &resolver()).unwrap_err().kind(), ErrorKind::Chain);
    let links: Vec<_> =
        inspect_chain(&leaf, &resolver()).unwrap().iter().map(|layer| layer.link.name()).collect();
    assert_eq!(links, ["missing"]);

    // A stored path, or the caller, says which is meant.
    assert_eq!(parent_of(&Chain::open(&leaf, &named(&[&other])).unwrap()), other.canonicalize().unwrap());
    fs::rename(&other, folder.path("vm/base.vhdx")).unwrap();
    assert_eq!(base(), folder.path("vm/base.vhdx").canonicalize().unwrap());
}

#[test]
fn a_damaged_file_is_a_reason_and_does_not_hide_the_right_one() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let damaged = folder.put("a.vhdx", &disk(BASE));
    let mut bytes = fs::read(&damaged).unwrap();
    for table in [192 << 10, 256 << 10] {
        bytes[table] ^= 1;
    }
    fs::write(&damaged, bytes).unwrap();
    let error = Chain::open(&leaf, &beside()).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(damaged.as_path())));
    let base = folder.put("b.vhdx", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(parent_of(&Chain::open(&leaf, &beside()).unwrap()), base);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let damaged = folder.put("b.vhdx", &disk(BASE));
    let mut bytes = fs::read(&damaged).unwrap();
    for header in [64 << 10, 128 << 10] {
        bytes[header] ^= 1;
    }
    fs::write(&damaged, bytes).unwrap();
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert!(error.to_string().contains("could not be read, and the parent may be among them: \""), "{error}");
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
    let unreadable = error.unreadable();
    assert_eq!(unreadable, [damaged]);
}

#[test]
fn files_that_name_each_other_by_guid_are_a_cycle() {
    let folder = Folder::new();
    let own = folder.put("own.avhdx", &child(guid(1), guid(1), &STORED));
    let error = chain_error(Chain::open(&own, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::Cycle, "{error}");
    let first = folder.put("x/1", &child(guid(2), guid(3), &STORED));
    folder.put("x/2", &child(guid(3), guid(2), &STORED));
    let error = chain_error(Chain::open(&first, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::Cycle, "{error}");
}

/// While a merge goes on, the first linkage names an old copy of what is being merged into.
#[test]
fn of_two_linkages_the_one_counts_that_names_no_left_over() {
    let folder = Folder::new();
    let second = guid(7).braced().to_string();
    let leaf = folder.put("leaf.avhdx", &leaf(&[STORED[0], (PARENT_LINKAGE2, &second)]));
    let parent = || parent_of(&Chain::open(&leaf, &beside()).unwrap());
    let merged = folder.put("1", &child(guid(7), BASE, &[])).canonicalize().unwrap();
    folder.put("other", &disk(guid(8)));
    let merged_alone = inspect_chain(&leaf, &beside()).unwrap();
    assert_eq!(merged_alone[1].name.canonicalize().unwrap(), merged);
    let base = folder.put("2", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(parent(), base);
    let changing = folder.put("1", &disk(guid(7))).canonicalize().unwrap();
    assert_eq!(parent(), changing);
}

#[test]
fn other_sectors_are_told_of() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    folder.put("x", &Image { logical_sector_size: 4096, ..disk(BASE) });
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::SectorSize, "{error}");
}

/// Half of the files are no disks. Nothing grows with the product of files and levels.
#[test]
fn ten_thousand_files_are_searched_in_little_time() {
    const LEVELS: u128 = 100;
    let folder = Folder::new();
    let text = folder.path("0.txt");
    fs::create_dir_all(folder.0.path()).unwrap();
    fs::write(&text, vec![b'x'; 4096]).unwrap();
    let other = folder.put("0.vhdx", &disk(guid(1 << 64)));
    for number in 1..5_000 {
        fs::hard_link(&text, folder.path(&format!("{number}.txt"))).unwrap();
        fs::hard_link(&other, folder.path(&format!("{number}.vhdx"))).unwrap();
    }
    folder.put("renamed 0", &disk(guid(1)));
    for level in 1..=LEVELS {
        let stored = format!(r".\level {level}.avhdx");
        let image = child(guid(level + 1), guid(level), &[(RELATIVE_PATH, stored.as_str())]);
        folder.put(&format!("renamed {level}"), &image);
    }
    let start = Instant::now();
    let chain = Chain::open(folder.path(&format!("renamed {LEVELS}")), &beside()).unwrap();
    assert_eq!(chain.layers().len(), LEVELS as usize + 1);
    // Wine needs a minute for so many files. The product of files and levels would take an hour on any host.
    let limit = Duration::from_secs(if cfg!(windows) { 300 } else { 60 });
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}

/// Many files that claim to be the parent are opened one after the other, never all at once.
#[test]
fn thousands_of_files_with_one_guid_are_ambiguous() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    for number in 0..2_000 {
        folder.put(&format!("{number}"), &Image { file_write_guid: guid(number + 1), ..disk(BASE) });
    }
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::AmbiguousParent, "{error}");
    assert_eq!(error.candidates().len(), 2_000);
}

/// A resolver and its clones read a folder once.
#[test]
fn clones_share_what_was_read() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&STORED));
    let resolver = beside();
    let open = |resolver: &FolderResolver, leaf: &Path| -> Option<PathBuf> {
        Chain::open(leaf, resolver).ok().map(|chain| parent_of(&chain))
    };
    assert_eq!(open(&resolver, &leaf), None);
    let base = folder.put("x", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(open(&resolver.clone(), &leaf), None);
    assert_eq!(open(&beside(), &leaf), Some(base));
}
