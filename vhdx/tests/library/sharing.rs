//! Readers of whole disks keep writers out where the host has locks, and notice writers that heed no locks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vhdx::format::bytes::seal;
use vhdx::format::header;
use vhdx::ops::{self, FlattenOptions, FlattenPlan, TargetContent};
use vhdx::{
    Chain, Conflict, DiskOffset, Error, FileChange, FileStorage, FolderResolver, Jobs, Memory, NewDisk,
    NoProgress, OnWriter, OpenOptions, Progress, ReadAt, Result, Storage, Vhdx, VhdxMut,
};
use vhdx_testkit::{Block, Image};

use crate::common::{MIB, at, folder};

fn base() -> Image {
    let mut base = Image::dynamic(3 * MIB, 1 << 20);
    for block in 0..3 {
        base.blocks.insert(block, Block::full(vec![b'b'; MIB as usize]));
    }
    base
}

fn leaf() -> Image {
    let mut leaf = Image::child_of(&base(), "base.vhdx", 1 << 20);
    leaf.blocks.insert(1, Block::full(vec![b'l'; MIB as usize]));
    leaf
}

/// A chain in memory, and its base, which anybody can write to.
fn in_memory() -> (Chain, Arc<Memory>) {
    let file = Arc::new(Memory::new(base().build()));
    let layers = vec![
        Vhdx::open_with(leaf().build(), &OpenOptions::default()).unwrap(),
        Vhdx::open_with(Arc::clone(&file), &OpenOptions::default()).unwrap(),
    ];
    (Chain::from_layers(layers).unwrap(), file)
}

/// Does something to a file once the work is under way.
struct Meanwhile<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Meanwhile<F> {
    fn new(what: F) -> Self {
        Self(Mutex::new(Some(what)))
    }
}

impl<F: FnOnce() + Send> Progress for Meanwhile<F> {
    fn advance(&self, _: u64) {
        if let Some(what) = self.0.lock().unwrap().take() {
            what();
        }
    }
}

/// A program that opens the disk, writes a sector and closes it.
fn write_a_sector(file: &Arc<Memory>) {
    let mut disk = VhdxMut::open_with(Arc::clone(file) as Arc<dyn Storage>, &OpenOptions::default()).unwrap();
    disk.write_all_at(&[1; 512], at(0)).unwrap();
    disk.close().unwrap();
}

/// A change to the headers that leaves all GUIDs.
fn raise_sequence_numbers(file: &Memory) {
    for place in header::OFFSETS {
        let mut bytes = [0; header::SIZE];
        file.read_exact_at(&mut bytes, place).unwrap();
        bytes[8] += 2;
        seal(&mut bytes);
        file.write_all_at(&bytes, place).unwrap();
    }
}

fn grow(file: &Memory) {
    file.set_len(ReadAt::size(file).unwrap() + MIB).unwrap();
}

type Operation = fn(&Chain, &dyn Progress) -> Result<()>;

/// Everything that reads a whole disk.
fn operations() -> Vec<(&'static str, Operation)> {
    vec![
        ("compare, first", |chain, progress| {
            ops::compare(chain, &in_memory().0, Jobs::default(), progress).map(drop)
        }),
        ("compare, second", |chain, progress| {
            ops::compare(&in_memory().0, chain, Jobs::default(), progress).map(drop)
        }),
        ("to_raw", |chain, progress| {
            ops::to_raw(chain, &Memory::default(), Jobs::default(), progress).map(drop)
        }),
        ("to_stream", |chain, progress| {
            ops::to_stream(chain, &mut std::io::sink(), Jobs::default(), progress).map(drop)
        }),
        ("to_vhdx", |chain, progress| {
            let file = Memory::default();
            let made =
                ops::to_vhdx(chain, &NewDisk::new(3 * MIB), &file, Jobs::default(), progress).map(drop);
            assert_eq!(
                Vhdx::open_with(file.into_inner(), &OpenOptions::default()).is_err(),
                made.is_err(),
                "a whole file was left"
            );
            made
        }),
        ("overwrite_raw", |chain, progress| {
            ops::overwrite_raw(
                chain,
                &Memory::new(vec![0; 3 << 20]),
                TargetContent::Unknown,
                Jobs::default(),
                progress,
            )
            .map(drop)
        }),
        ("flatten", |chain, progress| {
            let plan = FlattenPlan::new(chain, &FlattenOptions::default()).unwrap();
            plan.execute(chain, &Memory::default(), Jobs::default(), progress).map(drop)
        }),
    ]
}

#[test]
fn every_operation_notices_that_a_layer_changed() {
    for (name, operation) in operations() {
        operation(&in_memory().0, &NoProgress).unwrap_or_else(|error| panic!("{name}: {error}"));
        let changed = |change: fn(&Arc<Memory>)| {
            let (chain, file) = in_memory();
            let error = operation(&chain, &Meanwhile::new(move || change(&file))).unwrap_err();
            assert_eq!(error.kind(), vhdx::ErrorKind::Conflict, "{name}");
            match error {
                Error::Conflict(Conflict::Changed(change)) => change,
                error => panic!("{name}: {error:?}"),
            }
        };
        let written = changed(write_a_sector);
        assert!(matches!(written, FileChange::FileWriteGuid { .. }), "{name}: {written:?}");
        let raised = changed(|file| raise_sequence_numbers(file));
        assert!(matches!(raised, FileChange::Header { before, after, .. } if after == before + 2), "{name}");
        let grown = changed(|file| grow(file));
        assert!(matches!(grown, FileChange::Length { before, after, .. } if after == before + MIB), "{name}");
    }
}

/// A chain in files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = folder();
        std::fs::write(folder.path().join("base.vhdx"), base().build()).unwrap();
        std::fs::write(folder.path().join("leaf.avhdx"), leaf().build()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Chain {
        let chain = Chain::open(self.path("leaf.avhdx"), &FolderResolver::default()).unwrap();
        assert!(chain.lock_shared(OnWriter::Fail).unwrap().is_empty());
        chain
    }
}

fn is_busy<T: std::fmt::Debug>(result: Result<T>, path: &Path) {
    let error = result.unwrap_err();
    assert_eq!(error.path(), Some(path));
    assert_eq!(error.kind(), vhdx::ErrorKind::Conflict, "{error:?}");
    let Error::InFile { error, .. } = error else { panic!("{error:?}") };
    assert!(
        matches!(&*error, Error::Io { source, .. } if source.kind() == ErrorKind::ResourceBusy),
        "{error:?}"
    );
}

#[test]
fn writers_are_kept_out_of_every_layer_while_a_chain_is_read() {
    let files = Files::new();
    let (chain, other) = (files.open(), files.open());
    for name in ["base.vhdx", "leaf.avhdx"] {
        is_busy(FileStorage::open_exclusive(&files.path(name)), &files.path(name));
    }
    drop(chain);
    is_busy(FileStorage::open_exclusive(&files.path("base.vhdx")), &files.path("base.vhdx"));
    // A clone keeps the files open and locked, and reads the same.
    let (clone, mut content) = (other.clone(), vec![0; 4096]);
    other.read_exact_at(&mut content, DiskOffset::new(0)).unwrap();
    drop(other);
    is_busy(FileStorage::open_exclusive(&files.path("base.vhdx")), &files.path("base.vhdx"));
    let mut again = vec![1; content.len()];
    clone.read_exact_at(&mut again, DiskOffset::new(0)).unwrap();
    assert_eq!(again, content);
    drop(clone);
    FileStorage::open_exclusive(&files.path("base.vhdx")).unwrap();
}

/// On Windows nobody can read a file that is held so.
#[cfg(unix)]
#[test]
fn a_layer_that_a_writer_holds_is_refused_unless_that_is_forced() {
    let files = Files::new();
    let (base, leaf) = (files.path("base.vhdx"), files.path("leaf.avhdx"));
    let chain = Chain::open(&leaf, &FolderResolver::default()).unwrap();
    let writer = FileStorage::open_exclusive(&base).unwrap();
    is_busy(chain.lock_shared(OnWriter::Fail), &base);
    assert_eq!(chain.lock_shared(OnWriter::ReadAnyway).unwrap(), [1]);
    // Writes in place are accepted. Changes of the file's structure are not.
    touch(&base);
    chain.ensure_unchanged().unwrap();
    writer.set_len(ReadAt::size(&writer).unwrap() + MIB).unwrap();
    assert!(chain.ensure_unchanged().is_err());
    drop(writer);
    let report = ops::check_file(&base, OnWriter::ReadAnyway);
    assert!(report.is_valid() && !report.files[0].has_writer);
}

/// Writes a byte into the last block, as a program does that heeds no locks.
#[cfg(unix)]
fn touch(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let end = file.metadata().unwrap().len();
    FileStorage::new(file).write_all_at(&[1], vhdx::FileOffset::new(end - 1)).unwrap();
    // The clock that files are stamped with may be slower than this test.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

#[cfg(unix)]
#[test]
fn a_write_in_place_is_noticed_by_the_time_of_the_last_change() {
    let files = Files::new();
    let chain = files.open();
    chain.ensure_unchanged().unwrap();
    touch(&files.path("base.vhdx"));
    let error = chain.ensure_unchanged().unwrap_err();
    assert_eq!(error.path(), Some(files.path("base.vhdx").as_path()));
    assert!(error.to_string().contains("changed while it was read"), "{error}");

    let raw = vhdx::RawDisk::open(files.path("leaf.avhdx")).unwrap();
    assert!(!raw.lock_shared(OnWriter::Fail).unwrap());
    touch(&files.path("leaf.avhdx"));
    let disk: &dyn vhdx::Disk = &raw;
    assert!(disk.ensure_unchanged().is_err());
}

/// A lock that another reader holds, a file that may only be read, and a lock that is held already are no obstacles.
#[test]
fn what_only_reads_is_welcome() {
    let files = Files::new();
    let base = files.path("base.vhdx");
    let mut permissions = base.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&base, permissions).unwrap();
    let _reader = FileStorage::open_shared(&base).unwrap();
    let chain = files.open();
    assert!(chain.lock_shared(OnWriter::Fail).unwrap().is_empty());
    ops::compare(&chain, &files.open(), Jobs::default(), &NoProgress).unwrap();
    assert!(
        ops::check_chain(&files.path("leaf.avhdx"), &FolderResolver::default(), OnWriter::Fail).is_valid()
    );
}

/// A lock that is stronger does not become weaker.
#[cfg(unix)]
#[test]
fn an_exclusive_lock_stays_one() {
    let files = Files::new();
    let base = files.path("base.vhdx");
    let held = Arc::new(FileStorage::open_exclusive(&base).unwrap());
    let chain =
        Chain::from_layers(vec![Vhdx::open_with(Arc::clone(&held), &OpenOptions::default()).unwrap()])
            .unwrap();
    chain.lock_shared(OnWriter::Fail).unwrap();
    assert!(FileStorage::open_shared(&base).is_err());
}

/// A reader that is refused while it takes its locks keeps none of them.
#[cfg(unix)]
#[test]
fn a_refused_reader_leaves_no_lock() {
    let files = Files::new();
    let base = files.path("base.vhdx");
    let chain = Chain::open(&base, &FolderResolver::default()).unwrap();
    let writer = FileStorage::open_exclusive(&base).unwrap();
    chain.lock_shared(OnWriter::Fail).unwrap_err();
    drop(writer);
    FileStorage::open_exclusive(&base).unwrap();
}
