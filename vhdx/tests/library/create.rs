//! New disks and new children: what they are, what they read as, and that nothing is left of one that was not finished.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Folder, MIB, assert_same, read_all};
use vhdx::ops::{self, CheckReport, ChildOptions, create, new_child};
use vhdx::{
    Chain, ChainErrorKind, Conflict, DiskOffset, DiskType, Error, FileStorage, FolderResolver, Guid,
    IfExists, InvalidArgument, MAX_CHAIN_LENGTH, MAX_VIRTUAL_SIZE, Memory, NewDisk, NewFile, NewItem,
    NoProgress, OnWriter, OpenOptions, Progress, Rule, Severity, Vhdx, VhdxMut, VhdxWriter, WriteReport,
};
use vhdx_testkit::crash::{Calls, CrashWorld, Fault, Images, Sweep, for_each_failure};
use vhdx_testkit::{Block, ExtraItem, Image, SparseImage, shared};

fn open(path: &Path) -> Chain {
    Chain::open(path, &FolderResolver::default()).unwrap()
}

fn make(disk: &NewDisk, path: &Path) -> WriteReport {
    let file = NewFile::create(path, IfExists::Fail).unwrap();
    let written = create(disk, &file, &NoProgress).unwrap();
    file.commit().unwrap();
    written
}

fn make_child(parent: &Path, child: &Path, options: &ChildOptions) {
    make(&new_child(&open(parent), child, options).unwrap().disk, child);
}

/// Nothing at all is wrong with the file, not even what is tolerated; but it may do what Windows does.
#[track_caller]
fn assert_sound(path: &Path) {
    let report = ops::check_chain(path, &FolderResolver::default(), OnWriter::Fail);
    assert!(report.is_valid(), "{report:?}");
    assert!(complaints(&report).is_empty(), "{report:?}");
}

fn complaints(report: &CheckReport) -> Vec<Rule> {
    let found = report.files[0].violations.as_slice().iter();
    found
        .filter(|violation| violation.severity() > Severity::Note)
        .map(|violation| violation.rule())
        .collect()
}

fn reason(error: &Error) -> &InvalidArgument {
    match error {
        Error::InvalidArgument(argument) => argument,
        Error::InFile { error, .. } => reason(error),
        error => panic!("{error}"),
    }
}

/// A base with content at its start and in its last, partial block.
fn base() -> Image {
    let mut image = Image::dynamic(5 * MIB + 4096, 1 << 20);
    image.blocks.insert(0, Block::full(vec![1; 1 << 20]));
    image.blocks.insert(5, Block::full(vec![5; 4096]));
    image
}

fn expected(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; (5 * MIB + 4096) as usize];
    bytes[..1 << 20].fill(1);
    bytes[5 << 20..].fill(5);
    bytes.resize(size as usize, 0);
    bytes
}

#[test]
fn a_child_reads_as_its_parent_whatever_its_size_and_blocks() {
    let folder = Folder::new();
    let parent = folder.put("base.vhdx", &base());
    let before = std::fs::read(&parent).unwrap();
    let sizes = [None, Some(9 * MIB + 512), Some(3 * MIB + 512)];
    for (number, (size, block)) in
        sizes.into_iter().flat_map(|size| [None, Some(1), Some(256)].map(|block| (size, block))).enumerate()
    {
        let child = folder.path(&format!("child-{number}.avhdx"));
        make_child(
            &parent,
            &child,
            &ChildOptions { virtual_size: size, block_size: block.map(|mib| mib * MIB) },
        );
        assert_sound(&child);
        let chain = open(&child);
        let size = size.unwrap_or(5 * MIB + 4096);
        assert_eq!((chain.virtual_size(), chain.leaf().disk_type()), (size, DiskType::Differencing));
        assert_eq!(chain.leaf().block_size(), block.unwrap_or(2) * MIB);
        assert_same(&read_all(&chain), &expected(size), "the child");
        let oracle = shared::folder("oracle/dump_vhdx.py").zip(shared::program("python3"));
        if let Some((oracle, ())) = oracle {
            let ran = Command::new("python3").arg(oracle).arg("check").arg(&child).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
        }
    }
    assert!(std::fs::read(&parent).unwrap() == before);
}

#[test]
fn a_child_of_a_child_and_one_with_large_sectors() {
    let folder = Folder::new();
    let mut image = base();
    (image.logical_sector_size, image.physical_sector_size) = (4096, 4096);
    let parent = folder.put("disks/base.vhdx", &image);
    std::fs::create_dir(folder.path("checkpoints")).unwrap();
    let [first, second] = ["checkpoints/first.avhdx", "second.vhdx"].map(|name| folder.path(name));
    make_child(&parent, &first, &ChildOptions::default());
    make_child(&first, &second, &ChildOptions::default());
    let chain = open(&second);
    assert_eq!(chain.layers().len(), 3);
    assert_eq!((chain.leaf().logical_sector_size(), chain.leaf().physical_sector_size()), (4096, 4096));
    let stored = |layer: usize| {
        chain.layers()[layer].parent_locator().unwrap().get("relative_path").unwrap().to_owned()
    };
    assert_eq!((stored(0), stored(1)), (r".\checkpoints\first.avhdx".into(), r"..\disks\base.vhdx".into()));
    assert_same(&read_all(&chain), &expected(5 * MIB + 4096), "the grandchild");
    for path in [&first, &second] {
        assert_sound(path);
    }
}

#[test]
fn what_describes_the_disk_is_inherited_and_nothing_else() {
    let folder = Folder::new();
    let mut image = base();
    image.physical_sector_size = 512;
    let item = |id: u128, is_user, is_virtual_disk| ExtraItem {
        id: Guid::from_u128(id),
        is_user,
        is_virtual_disk,
        is_required: false,
        bytes: vec![id as u8; 30],
    };
    image.extra_items =
        vec![item(1, true, true), item(2, true, false), item(3, false, true), item(4, false, false)];
    let (parent, child) = (folder.put("base.vhdx", &image), folder.path("child.avhdx"));
    make_child(&parent, &child, &ChildOptions::default());
    let vhdx = Vhdx::open(&child).unwrap();
    assert_eq!(vhdx.virtual_disk_id(), Some(image.virtual_disk_id));
    assert_eq!((vhdx.logical_sector_size(), vhdx.physical_sector_size()), (512, 512));
    let entries = vhdx.metadata_entries();
    let others: Vec<_> = entries.iter().filter(|entry| entry.id.as_u128() < 10).collect();
    let content = |entry| vhdx.read_metadata_item(entry).unwrap();
    assert_eq!(
        others.iter().map(|entry| (entry.id.as_u128(), entry.is_user)).collect::<Vec<_>>(),
        [(1, true), (3, false)]
    );
    assert!(
        others
            .iter()
            .all(|entry| entry.is_virtual_disk && content(entry) == vec![entry.id.as_u128() as u8; 30])
    );
    assert_ne!(vhdx.data_write_guid(), image.data_write_guid);
    assert_ne!(vhdx.file_write_guid(), image.file_write_guid);
    assert_sound(&child);
}

/// The parent's log is replayed in memory to read it, and stays as it is.
#[test]
fn a_parent_with_a_dirty_log() {
    let folder = Folder::new();
    let mut image = base();
    image.log = Some(vhdx_testkit::DirtyLog { seed: 3, entries: 2, stale: 0, runs: 3, closed: false });
    let (parent, child) = (folder.put("base.vhdx", &image), folder.path("child.avhdx"));
    let before = std::fs::read(&parent).unwrap();
    make_child(&parent, &child, &ChildOptions::default());
    assert_same(&read_all(&open(&child)), &read_all(&open(&parent)), "the child");
    assert!(std::fs::read(&parent).unwrap() == before);
}

#[test]
fn children_that_cannot_be() {
    let folder = Folder::new();
    let (parent, child) = (folder.put("base.vhdx", &base()), folder.path("child.avhdx"));
    let chain = open(&parent);
    let refused = |virtual_size, block_size| {
        let error = new_child(&chain, &child, &ChildOptions { virtual_size, block_size }).unwrap_err();
        reason(&error).clone()
    };
    for size in [0, 513, MAX_VIRTUAL_SIZE + 512] {
        assert_eq!(refused(Some(size), None), InvalidArgument::VirtualSize(size));
    }
    for size in [0, 3 * MIB, 512 * MIB, (1 << 32) + MIB] {
        assert_eq!(refused(None, Some(size)), InvalidArgument::BlockSize(size));
    }
    let in_memory =
        Chain::from_layers(vec![Vhdx::open_with(base().build(), &OpenOptions::default()).unwrap()]).unwrap();
    let error = new_child(&in_memory, &child, &ChildOptions::default()).unwrap_err();
    assert_eq!(reason(&error), &InvalidArgument::PathNeeded);
    let zero = folder.put("zero.vhdx", &Image { data_write_guid: Guid::nil(), ..base() });
    let error = new_child(&open(&zero), &child, &ChildOptions::default()).unwrap_err();
    assert_eq!(reason(&error), &InvalidArgument::ParentWithoutGuid);

    let mut disk = new_child(&chain, &child, &ChildOptions::default()).unwrap().disk;
    let file = Memory::default();
    let error = VhdxWriter::new(&file, &disk).unwrap().write(DiskOffset::new(0), &[1]).unwrap_err();
    assert_eq!(reason(&error), &InvalidArgument::ContentOfChild);
    let made = |disk: &NewDisk| create(disk, &Memory::default(), &NoProgress).unwrap_err();
    disk.disk_type = DiskType::Dynamic;
    assert_eq!(reason(&made(&disk)), &InvalidArgument::ParentUnexpected);
    disk.disk_type = DiskType::Differencing;
    disk.parent_locator.as_mut().unwrap().entries.remove(0);
    assert_eq!(reason(&made(&disk)), &InvalidArgument::ParentLocator);
    disk.parent_locator = None;
    assert_eq!(reason(&made(&disk)), &InvalidArgument::ParentNeeded);
}

#[test]
fn nobody_writes_to_the_parent_while_a_child_is_made() {
    let folder = Folder::new();
    let (parent, path) = (folder.put("base.vhdx", &base()), folder.path("child.avhdx"));
    let chain = open(&parent);
    let is_busy = |error: Error| {
        assert_eq!(error.path(), Some(parent.as_path()));
        assert!(error.to_string().contains("another program has the file open"), "{error}");
    };
    let writer = FileStorage::open_exclusive(&parent);
    // Windows keeps writers out as long as the chain is open.
    if let Ok(writer) = writer {
        is_busy(new_child(&chain, &path, &ChildOptions::default()).unwrap_err());
        drop(writer);
    }
    let child = new_child(&chain, &path, &ChildOptions::default()).unwrap();
    drop(chain);
    is_busy(FileStorage::open_exclusive(&parent).unwrap_err());
    let other = new_child(&open(&parent), &path, &ChildOptions::default()).unwrap();
    make(&child.disk, &path);
    drop((child, other));
    FileStorage::open_exclusive(&parent).unwrap();
}

#[test]
fn a_parent_that_was_changed_since_it_was_opened() {
    let folder = Folder::new();
    let (parent, path) = (folder.put("base.vhdx", &base()), folder.path("child.avhdx"));
    let chain = open(&parent);
    let mut written = match VhdxMut::open(&parent) {
        // Windows keeps writers out as long as the chain is open.
        Err(_) if cfg!(windows) => return,
        opened => opened.unwrap(),
    };
    written.write_all_at(&[7; 512], DiskOffset::new(0)).unwrap();
    written.close().unwrap();
    let error = new_child(&chain, &path, &ChildOptions::default()).unwrap_err();
    assert_eq!((error.conflict(), error.path()), (Some(&Conflict::StalePlan), Some(parent.as_path())));
}

#[test]
fn a_chain_grows_to_its_greatest_length_and_no_further() {
    let folder = Folder::new();
    let mut image = Image::dynamic(MIB, 1 << 20);
    let mut path = folder.put("0.vhdx", &image);
    for level in 1..MAX_CHAIN_LENGTH - 1 {
        image = Image::child_of(&image, path.file_name().unwrap().to_str().unwrap(), 1 << 20);
        path = folder.put(&format!("{level}.avhdx"), &image);
    }
    let last = folder.path("last.avhdx");
    make_child(&path, &last, &ChildOptions::default());
    assert_eq!(open(&last).layers().len(), MAX_CHAIN_LENGTH);
    let error = new_child(&open(&last), &folder.path("more.avhdx"), &ChildOptions::default()).unwrap_err();
    assert_eq!(error.chain_error().unwrap().kind(), ChainErrorKind::TooDeep, "{error}");
}

#[test]
fn a_fixed_disk_has_its_space() {
    let folder = Folder::new();
    let path = folder.path("fixed.vhdx");
    let disk = NewDisk { disk_type: DiskType::Fixed, block_size: 2 << 20, ..NewDisk::new(9 * MIB) };
    let written = make(&disk, &path);
    assert_eq!(written, WriteReport { blocks: 5, file_size: (4 + 10) * MIB });
    assert!(vhdx::allocated_bytes(&path).unwrap() >= 10 * MIB);
    assert_same(&read_all(&open(&path)), &vec![0; 9 << 20], "the disk");
    assert_sound(&path);
}

#[test]
fn making_a_fixed_disk_can_be_cancelled() {
    struct Third(std::sync::atomic::AtomicU64);
    impl Progress for Third {
        fn start(&self, total: u64) {
            assert_eq!(total, 10 * MIB);
        }
        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        }
        fn is_cancelled(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Relaxed) == 3 * MIB
        }
    }
    let disk = NewDisk { disk_type: DiskType::Fixed, block_size: 1 << 20, ..NewDisk::new(10 * MIB) };
    let file = Memory::default();
    let error = create(&disk, &file, &Third(0.into())).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    Vhdx::open_with(file, &OpenOptions::default()).unwrap_err();
}

/// A fixed disk, a dynamic one with items, and a child, to be made in storages that fail.
fn disks() -> Vec<NewDisk> {
    let folder = Folder::new();
    let parent = folder.put("base.vhdx", &base());
    let child =
        new_child(&open(&parent), &folder.path("child.avhdx"), &ChildOptions::default()).unwrap().disk;
    let item = NewItem {
        id: Guid::from_u128(7),
        is_user: true,
        is_virtual_disk: true,
        is_required: false,
        content: vec![7; 1 << 20],
    };
    let small = NewDisk { block_size: 1 << 20, ..NewDisk::new(3 * MIB) };
    vec![
        NewDisk { disk_type: DiskType::Fixed, ..small.clone() },
        NewDisk { items: vec![item], ..small },
        child,
    ]
}

fn name() -> PathBuf {
    PathBuf::from("new.vhdx")
}

fn empty() -> Images {
    Images::from([(name(), SparseImage::new(0))])
}

/// No VHDX, or the complete one, with nothing wrong.
fn assert_nothing_or_all(image: SparseImage, disk: &NewDisk) -> bool {
    let Ok(vhdx) = Vhdx::open_with(image.clone(), &OpenOptions::default()) else { return false };
    assert_eq!((vhdx.virtual_size(), vhdx.disk_type()), (disk.virtual_size, disk.disk_type));
    assert_eq!(vhdx.parent_locator(), disk.parent_locator.as_ref());
    let report = ops::check_storage(std::sync::Arc::new(image));
    let found = complaints(&report);
    // One of the two headers may have been lost.
    assert!(found.iter().all(|rule| rule.name().starts_with("header-")), "{found:?}");
    assert!(report.is_valid(), "{report:?}");
    if disk.disk_type == DiskType::Fixed {
        assert_eq!(vhdx.block_counts().unwrap().len(), 1);
        let chain = Chain::from_layers(vec![vhdx]).unwrap();
        assert_same(&read_all(&chain), &vec![0; disk.virtual_size as usize], "the disk");
    }
    true
}

#[test]
fn a_power_failure_leaves_no_disk_or_the_whole_disk() {
    for disk in disks() {
        let world = CrashWorld::new(empty());
        create(&disk, &*world.storage(name()), &NoProgress).unwrap();
        let complete = std::cell::Cell::new(0_usize);
        let swept = world.recording().crash(&Sweep::default(), |image| {
            if assert_nothing_or_all(image.file(name()).unwrap_or_default(), &disk) {
                complete.set(complete.get() + 1);
            }
        });
        let complete = complete.get();
        eprintln!("create {}: {swept:?}, {complete} of them complete", disk.disk_type);
        assert!(swept.forged > 400 && (1..swept.images).contains(&complete), "{swept:?}");
        assert!(assert_nothing_or_all(world.images()[&name()].clone(), &disk));
    }
}

#[test]
fn a_call_that_fails_leaves_no_disk_or_the_whole_disk() {
    for disk in disks() {
        for fault in [Fault::full, |n| Fault::once(Calls::Any, n)] {
            let calls = for_each_failure(&empty(), fault, |world| {
                let result = create(&disk, &*world.storage(name()), &NoProgress);
                assert!(result.is_err() == world.has_failed(), "{result:?}");
                assert_nothing_or_all(world.images()[&name()].clone(), &disk);
            });
            assert!(calls > 8, "{calls}");
        }
    }
}
