//! Finds and validates parents. No test here reads the content of a disk.

mod by_guid;
mod candidates;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Folder;
use vhdx::format::parent_locator::{
    ABSOLUTE_WIN32_PATH, PARENT_LINKAGE, PARENT_LINKAGE2, RELATIVE_PATH, VOLUME_PATH,
};
use vhdx::{
    Candidate, Candidates, Chain, ChainError, ChainErrorKind, Disk, DiskOffset, Error, ErrorKind,
    FolderResolver, Guid, InvalidArgument, Link, MAX_CHAIN_LENGTH, MIB, OpenOptions, ParentRequest,
    ParentResolver, RawDisk, Vhdx, inspect_chain,
};
use vhdx_testkit::Image;

const BASE: Guid = Guid::from_u128(0xba5e);

fn disk(guid: Guid) -> Image {
    Image { data_write_guid: guid, ..Image::dynamic(4 * MIB, MIB as u32) }
}

/// A child with these pairs in its parent locator.
fn child(guid: Guid, linkage: Guid, entries: &[(&str, &str)]) -> Image {
    let linkage = (PARENT_LINKAGE, linkage.braced().to_string());
    let entries = entries.iter().map(|&(key, value)| (key, value.to_owned()));
    let locator =
        std::iter::once(linkage).chain(entries).map(|(key, value)| (key.to_owned(), value)).collect();
    Image { parent_locator: Some(locator), ..disk(guid) }
}

fn leaf(entries: &[(&str, &str)]) -> Image {
    child(Guid::from_u128(1), BASE, entries)
}

fn beside() -> FolderResolver {
    FolderResolver::default()
}

fn in_folder(folder: PathBuf) -> FolderResolver {
    FolderResolver { folders: vec![folder], ..FolderResolver::default() }
}

fn named(named: &[&Path]) -> FolderResolver {
    let named = named.iter().map(|&path| path.to_owned()).collect();
    FolderResolver { named, ..FolderResolver::default() }
}

fn parent_of(chain: &Chain) -> PathBuf {
    assert_eq!(chain.layers().len(), 2);
    chain.base().path().unwrap().canonicalize().unwrap()
}

fn chain_error<T: std::fmt::Debug>(result: vhdx::Result<T>) -> ChainError {
    match result.unwrap_err() {
        Error::Chain(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_parent_is_found_by_each_kind_of_path() {
    for (place, key, stored) in [
        ("vm/base.vhdx", RELATIVE_PATH, r".\base.vhdx"),
        ("vm/base.vhdx", RELATIVE_PATH, "base.vhdx"),
        ("vm/sub/base.vhdx", RELATIVE_PATH, r".\sub\base.vhdx"),
        ("disks/base.vhdx", RELATIVE_PATH, r"..\disks\base.vhdx"),
        ("vm/base.vhdx", RELATIVE_PATH, r"..\moved\base.vhdx"),
        ("vm/base.vhdx", ABSOLUTE_WIN32_PATH, r"C:\VMs\base.vhdx"),
        ("vm/VMs/base.vhdx", ABSOLUTE_WIN32_PATH, r"\\?\C:\VMs\base.vhdx"),
        ("vm/base.vhdx", ABSOLUTE_WIN32_PATH, r"\\server\share\base.vhdx"),
        ("vm/a/base.vhdx", VOLUME_PATH, r"\\?\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\a\base.vhdx"),
        ("vm/BASE.VHDX", RELATIVE_PATH, r".\base.vhdx"),
        ("vm/Übung/Straße.vhdx", RELATIVE_PATH, r".\übung\STRAßE.vhdx"),
        ("DISKS/Base.vhdx", RELATIVE_PATH, r"..\Disks\base.vhdx"),
        ("vm/u\u{308}bung/base\u{301}.vhdx", RELATIVE_PATH, ".\\\u{dc}bung\\bas\u{e9}.vhdx"),
        ("vm/bas\u{e9}.vhdx", ABSOLUTE_WIN32_PATH, "C:\\VMs\\base\u{301}.vhdx"),
    ] {
        let folder = Folder::new();
        let base = folder.put(place, &disk(BASE)).canonicalize().unwrap();
        let child = folder.put("vm/leaf.avhdx", &leaf(&[(key, stored)]));
        let chain =
            Chain::open(&child, &beside()).unwrap_or_else(|error| panic!("{place} by {stored}: {error}"));
        assert_eq!(parent_of(&chain), base, "{place} by {stored}");
    }
}

#[test]
fn folders_are_searched_suffix_by_suffix() {
    let folder = Folder::new();
    let child = folder.put("leaf.avhdx", &leaf(&[(ABSOLUTE_WIN32_PATH, r"D:\Hyper-V\disks\base.vhdx")]));
    let base = folder.put("backup/disks/base.vhdx", &disk(BASE)).canonicalize().unwrap();
    folder.put("backup/disks/deep/base.vhdx", &disk(BASE));
    assert_eq!(parent_of(&Chain::open(&child, &in_folder(folder.path("backup"))).unwrap()), base);
    assert!(Chain::open(&child, &beside()).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn among_names_that_are_decomposed_the_guid_decides() {
    let (composed, decomposed) = ("\u{1e69}.vhdx", "s\u{323}\u{307}.vhdx");
    for stored in [composed, decomposed, "s\u{307}\u{323}.vhdx", "\u{1e68}.VHDX"] {
        let folder = Folder::new();
        let child = folder.put("leaf.avhdx", &leaf(&[(RELATIVE_PATH, stored)]));
        for (right, wrong) in [(composed, decomposed), (decomposed, composed)] {
            folder.put(wrong, &disk(Guid::from_u128(7)));
            let right = folder.put(right, &disk(BASE)).canonicalize().unwrap();
            assert_eq!(parent_of(&Chain::open(&child, &beside()).unwrap()), right, "{stored}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn among_names_that_differ_in_case_the_guid_decides() {
    let folder = Folder::new();
    let child = folder.put("leaf.avhdx", &leaf(&[(RELATIVE_PATH, r".\base.vhdx")]));
    folder.put("base.vhdx", &disk(Guid::from_u128(7)));
    folder.put("BASE.vhdx", &disk(Guid::from_u128(8)));
    let right = folder.put("Base.VHDX", &disk(BASE)).canonicalize().unwrap();
    assert_eq!(parent_of(&Chain::open(&child, &beside()).unwrap()), right);
}

#[test]
fn the_second_linkage_counts_and_a_zero_one_does_not() {
    let folder = Folder::new();
    folder.put("base.vhdx", &disk(BASE));
    let path = (RELATIVE_PATH, r".\base.vhdx");
    let second = BASE.braced().to_string();
    let moved = child(Guid::from_u128(1), Guid::from_u128(99), &[path, (PARENT_LINKAGE2, &second)]);
    Chain::open(folder.put("leaf.avhdx", &moved), &beside()).unwrap();

    folder.put("base.vhdx", &disk(Guid::nil()));
    let zero = child(Guid::from_u128(1), Guid::nil(), &[path]);
    let error = chain_error(Chain::open(folder.put("leaf.avhdx", &zero), &beside()));
    assert!(error.kind() == ChainErrorKind::MissingParent && error.expected().is_empty(), "{error}");
}

#[test]
fn a_missing_parent_is_described() {
    let folder = Folder::new();
    let stored = [(RELATIVE_PATH, r".\gone.vhdx"), (ABSOLUTE_WIN32_PATH, r"C:\VMs\gone.vhdx")];
    let child = folder.put("leaf.avhdx", &leaf(&stored));
    let error = Chain::open(&child, &in_folder(folder.path("other"))).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Chain, Some(child.as_path())));
    let message = error.to_string();
    let folders = format!("in \"{}\", \"{}\"", folder.0.path().display(), folder.path("other").display());
    for part in [
        "leaf.avhdx\": its parent is missing",
        &BASE.to_string(),
        r#"".\gone.vhdx" (relative_path)"#,
        r#""C:\VMs\gone.vhdx" (absolute_win32_path)"#,
        &folders,
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let Error::Chain(error) = error else { unreachable!() };
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");
    let (expected, looked_for) = (error.expected(), error.looked_for());
    assert_eq!(expected, [BASE]);
    let tried = ["gone.vhdx", "other/gone.vhdx", "VMs/gone.vhdx", "other/VMs/gone.vhdx"]
        .map(|name| folder.path(name));
    assert!(
        tried.iter().all(|path| looked_for.contains(path)) && looked_for.len() == tried.len(),
        "{looked_for:?}"
    );
}

#[test]
fn a_changed_parent_is_a_mismatch_and_the_inspection_goes_on() {
    let folder = Folder::new();
    let mid = child(Guid::from_u128(2), BASE, &[(RELATIVE_PATH, r".\base.vhdx")]);
    let leaf = child(Guid::from_u128(1), Guid::from_u128(99), &[(RELATIVE_PATH, r".\mid.avhdx")]);
    let (base, mid) = (folder.put("base.vhdx", &disk(BASE)), folder.put("mid.avhdx", &mid));
    let leaf = folder.put("leaf.avhdx", &leaf);
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::Mismatch, "{error}");
    assert_eq!((error.path(), error.parent()), (&*leaf, Some(&*mid)));
    assert_eq!((error.expected(), error.found()), (&[Guid::from_u128(99)][..], Some(Guid::from_u128(2))));
    assert!(error.unreadable().is_empty());
    let layers = inspect_chain(&leaf, &beside()).unwrap();
    let names: Vec<_> = layers.iter().map(|layer| (layer.name.as_path(), layer.link.name())).collect();
    assert_eq!(names, [(leaf.as_path(), "mismatch"), (&mid, "ok"), (&base, "base")]);

    drop(layers); // Windows keeps the name of an open file
    fs::remove_file(base).unwrap();
    let layers = inspect_chain(&leaf, &beside()).unwrap();
    let links: Vec<_> = layers.iter().map(|layer| layer.link.name()).collect();
    assert_eq!(links, ["mismatch", "missing"]);
}

#[test]
fn a_named_parent_is_the_only_one_tried() {
    let folder = Folder::new();
    let mid = child(Guid::from_u128(2), BASE, &[(RELATIVE_PATH, r".\base.vhdx")]);
    let leaf = child(Guid::from_u128(1), Guid::from_u128(2), &[(RELATIVE_PATH, r".\mid.avhdx")]);
    let base = folder.put("base.vhdx", &disk(BASE));
    let hidden = folder.put("elsewhere/x", &disk(BASE));
    let leaf = folder.put("leaf.avhdx", &leaf);
    let mid = folder.put("mid.avhdx", &mid);

    let chain = Chain::open(&leaf, &named(&[&mid, &hidden])).unwrap();
    assert_eq!(chain.base().path(), Some(hidden.as_path()));
    assert_eq!(Chain::open(&leaf, &named(&[&mid])).unwrap().base().path(), Some(base.as_path()));

    let wrong = chain_error(Chain::open(&leaf, &named(&[&base])));
    assert!(wrong.kind() == ChainErrorKind::Mismatch && wrong.parent().unwrap() == base, "{wrong}");

    let resolver = named(&[&mid, &base, &hidden]);
    let extra = chain_error(Chain::open(&leaf, &resolver));
    assert!(
        extra.kind() == ChainErrorKind::TooManyParents
            && extra.parent().unwrap() == hidden
            && extra.path() == base,
        "{extra}"
    );
    assert_eq!(inspect_chain(&leaf, &resolver).unwrap_err().kind(), ErrorKind::Chain);
    assert!(chain_error(Chain::open(&base, &named(&[&mid]))).to_string().contains("mid.avhdx"));

    let absent = folder.path("absent.vhdx");
    let error = Chain::open(&leaf, &named(&[&absent])).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(absent.as_path())));
}

#[test]
fn a_chain_that_comes_back_is_a_cycle() {
    let folder = Folder::new();
    let (a, b) = (Guid::from_u128(0xa), Guid::from_u128(0xb));
    let to = |guid, linkage, path| child(guid, linkage, &[(RELATIVE_PATH, path)]);
    let own = folder.put("own.avhdx", &to(a, a, r".\own.avhdx"));
    let first = folder.put("a.avhdx", &to(a, b, r".\b.avhdx"));
    let second = folder.put("b.avhdx", &to(b, a, r".\link.avhdx"));
    fs::hard_link(&first, folder.path("link.avhdx")).unwrap();
    for (leaf, child) in [(&own, &own), (&first, &second)] {
        let error = chain_error(Chain::open(leaf, &beside()));
        assert!(error.kind() == ChainErrorKind::Cycle && error.path() == child, "{error}");
        let layers = inspect_chain(leaf, &beside()).unwrap();
        assert!(matches!(layers.last().unwrap().link, Link::Missing(_)));
    }
}

/// Disks of several machines, or of several days, often have the same name.
#[test]
fn a_path_that_leads_back_into_the_chain_is_a_missing_parent() {
    let folder = Folder::new();
    let guid = Guid::from_u128;
    let to = |own, parent| child(guid(own), guid(parent), &[(RELATIVE_PATH, r".\disk.avhdx")]);
    let first = folder.put("1/disk.avhdx", &to(1, 2));
    let second = folder.put("2/disk.avhdx", &to(2, 3));
    let third = folder.put("3/disk.avhdx", &disk(guid(3)));
    let missing = |resolver: &FolderResolver, expected: (&Path, u128, &Path)| {
        let found = chain_error(Chain::open(&first, resolver));
        assert_eq!(found.kind(), ChainErrorKind::MissingParent, "{found}");
        let (child, guids, in_chain) = (found.path(), found.expected(), found.in_chain());
        let (of, parent, met) = expected;
        assert_eq!((child, guids), (of, [guid(parent)].as_slice()));
        assert_eq!(in_chain, &[met]);
        let says = "disk.avhdx\" is already in this chain and has another DataWriteGuid";
        assert!(
            found.to_string().contains(&guid(parent).to_string()) && found.to_string().contains(says),
            "{found}"
        );
        found.to_string()
    };
    let message = missing(&beside(), (&first, 2, &first));
    assert!(message.contains(r#"looked for ".\disk.avhdx" (relative_path) in "#), "{message}");
    missing(&named(&[&second]), (&second, 3, &second));
    for wrong in [vec![&first], vec![&second, &first], vec![&second, &second]] {
        let named_wrong = *wrong.last().unwrap();
        let paths: Vec<&Path> = wrong.iter().map(|path| path.as_path()).collect();
        let of = if wrong.len() == 1 { (&first, 2) } else { (&second, 3) };
        let message = missing(&named(&paths), (of.0, of.1, named_wrong));
        assert!(message.contains("; tried \"") && !message.contains("relative_path"), "{message}");
    }
    let layers = inspect_chain(&first, &named(&[&second])).unwrap();
    assert_eq!(layers.iter().map(|layer| layer.link.name()).collect::<Vec<_>>(), ["ok", "missing"]);
    drop(layers);
    assert_eq!(Chain::open(&first, &named(&[&second, &third])).unwrap().layers().len(), 3);
}

#[test]
fn the_longest_chain_opens_and_one_file_more_does_not() {
    let folder = Folder::new();
    let guid = |level: usize| Guid::from_u128(1 + level as u128);
    folder.put("0", &disk(guid(0)));
    for level in 1..=MAX_CHAIN_LENGTH {
        let path = format!("{}", level - 1);
        folder.put(&level.to_string(), &child(guid(level), guid(level - 1), &[(RELATIVE_PATH, &path)]));
    }
    let open = |files: usize| Chain::open(folder.path(&(files - 1).to_string()), &beside());
    assert_eq!(open(MAX_CHAIN_LENGTH).unwrap().layers().len(), MAX_CHAIN_LENGTH);
    let error = chain_error(open(MAX_CHAIN_LENGTH + 1));
    assert!(error.kind() == ChainErrorKind::TooDeep && error.path() == folder.path("1"), "{error}");
}

#[test]
fn sectors_must_have_the_same_size() {
    let folder = Folder::new();
    let leaf = folder.put("leaf.avhdx", &leaf(&[(RELATIVE_PATH, "base.vhdx")]));
    folder.put("base.vhdx", &Image { logical_sector_size: 4096, ..disk(BASE) });
    let error = chain_error(Chain::open(&leaf, &beside()));
    assert_eq!(error.kind(), ChainErrorKind::SectorSize, "{error}");
    assert_eq!(error.sector_sizes(), Some((512, 4096)));
    let links: Vec<_> =
        inspect_chain(&leaf, &beside()).unwrap().iter().map(|layer| layer.link.name()).collect();
    assert_eq!(links, ["mismatch", "base"]);
}

#[test]
fn every_disk_ends_where_it_ends() {
    let folder = Folder::new();
    let image = folder.put("base.vhdx", &disk(BASE));
    let raw = folder.path("disk.raw");
    fs::write(&raw, [1; 1024]).unwrap();
    let disks: [Box<dyn Disk>; 2] =
        [Box::new(Chain::open(image, &beside()).unwrap()), Box::new(RawDisk::open(raw).unwrap())];
    for disk in disks {
        let size = disk.virtual_size();
        let extents = |start, end| -> Vec<_> {
            disk.extents(DiskOffset::new(start)..DiskOffset::new(end)).take(9).collect()
        };
        assert!(extents(0, size).iter().all(|extent| extent.is_ok()));
        assert!(extents(size, size).is_empty());
        for (start, end) in [(0, size + 1), (size, size + 512), (size + 1, size + 1)] {
            let found = extents(start, end);
            let [Err(Error::InvalidArgument(InvalidArgument::PastEndOfDisk { .. }))] = found.as_slice()
            else {
                panic!("{start}..{end}: {found:?}")
            };
        }
        let reversed = extents(512, 0);
        let [Err(Error::InvalidArgument(argument))] = reversed.as_slice() else { panic!("{reversed:?}") };
        assert_eq!(argument.to_string(), "the range ends at 0x0, before its start at 0x200");
    }
}

fn in_memory(image: &Image) -> Vhdx {
    Vhdx::open_with(image.build(), &OpenOptions::default()).unwrap()
}

#[test]
fn open_files_are_put_together_by_the_same_rules() {
    let leaf = || in_memory(&leaf(&[(RELATIVE_PATH, "base.vhdx")]));
    let base = || in_memory(&disk(BASE));
    assert_eq!(Chain::from_layers(vec![leaf(), base()]).unwrap().layers().len(), 2);
    assert_eq!(Chain::from_layers(vec![base()]).unwrap().layers().len(), 1);

    let error = chain_error(Chain::from_layers(vec![leaf()]));
    assert!(error.kind() == ChainErrorKind::MissingParent && error.expected() == [BASE], "{error}");
    let error = chain_error(Chain::from_layers(vec![base(), leaf()]));
    assert_eq!(error.kind(), ChainErrorKind::TooManyParents, "{error}");
    let other = in_memory(&disk(Guid::from_u128(5)));
    let error = chain_error(Chain::from_layers(vec![leaf(), other]));
    assert_eq!(error.kind(), ChainErrorKind::Mismatch, "{error}");
    assert!(error.to_string().contains("layer 1"), "{error}");
    let coarse = in_memory(&Image { logical_sector_size: 4096, ..disk(BASE) });
    let error = chain_error(Chain::from_layers(vec![leaf(), coarse]));
    assert_eq!(error.kind(), ChainErrorKind::SectorSize, "{error}");

    let folder = Folder::new();
    let own = folder.put("own.avhdx", &child(BASE, BASE, &[(RELATIVE_PATH, "own.avhdx")]));
    let twice = vec![Vhdx::open(&own).unwrap(), Vhdx::open(&own).unwrap()];
    let error = chain_error(Chain::from_layers(twice));
    assert_eq!(error.kind(), ChainErrorKind::Cycle, "{error}");
}

/// Offers the same image for every parent.
struct Store(Vec<u8>);

impl ParentResolver for Store {
    fn candidates(&self, request: &ParentRequest<'_>) -> vhdx::Result<Candidates> {
        let bytes = self.0.clone();
        let name = format!("object {}", request.level);
        Ok(vec![Candidate::new(name, move || Vhdx::open_with(bytes, &OpenOptions::default()))].into())
    }
}

#[test]
fn parents_come_from_wherever_the_resolver_finds_them() {
    let leaf = || in_memory(&leaf(&[(RELATIVE_PATH, "base.vhdx")]));
    let chain = Chain::from_leaf(leaf(), &Store(disk(BASE).build())).unwrap();
    assert_eq!(chain.base().data_write_guid(), BASE);

    let error = chain_error(Chain::from_leaf(leaf(), &beside()));
    assert_eq!(error.kind(), ChainErrorKind::MissingParent, "{error}");

    let damaged = Chain::from_leaf(leaf(), &Store(vec![0; 100])).unwrap_err();
    assert_eq!(damaged.path(), Some(Path::new("object 0")));

    // Without identities, a chain that comes back ends at the longest length.
    let endless = child(BASE, BASE, &[(RELATIVE_PATH, "base.vhdx")]);
    let error = chain_error(Chain::from_leaf(leaf(), &Store(endless.build())));
    assert_eq!(error.kind(), ChainErrorKind::TooDeep, "{error}");
}
