//! Files of the host where space is scarce: a merge that was interrupted goes on with what it has left free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use vhdx::ops::{
    ChildOptions, FileState, HostFiles, MergeFiles, MergeOptions, MergePlan, OpenFile, create, new_child,
};
use vhdx::{
    Chain, DiskOffset, DiskType, Error, FileStorage, FolderResolver, IfExists, NewDisk, NewFile, NoProgress,
    Progress, Relatives, Result, Storage, VhdxMut, allocated_bytes, find_relatives,
};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

/// The host's files, where so many bytes are free.
struct Free(u64);

impl MergeFiles for Free {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        HostFiles.open(path)
    }

    fn delete(&self, file: &FileState) -> Result<()> {
        HostFiles.delete(file)
    }

    fn relatives(&self, folders: &[PathBuf]) -> Result<Relatives> {
        HostFiles.relatives(folders)
    }

    fn holes(&self, path: &Path) -> Result<Option<u64>> {
        HostFiles.holes(path)
    }

    fn bytes_freed_by_deletion(&self, path: &Path) -> Result<u64> {
        HostFiles.bytes_freed_by_deletion(path)
    }

    fn free_space(&self, _: &Path) -> Result<Option<u64>> {
        Ok(Some(self.0))
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Cancelled,
    /// As if the process were killed while it copies.
    Killed,
}

/// Ends the work when so many blocks of 4 KiB have been copied.
struct EndsAfter(AtomicU64, End);

impl Progress for EndsAfter {
    fn advance(&self, bytes: u64) {
        let blocks = bytes / 4096;
        let before = self.0.fetch_sub(blocks, Relaxed);
        assert!(before > blocks || matches!(self.1, End::Cancelled), "killed");
    }

    fn is_cancelled(&self) -> bool {
        // Below zero it is huge.
        matches!(self.1, End::Cancelled) && !(1..1000).contains(&self.0.load(Relaxed))
    }
}

struct Disks {
    _folder: tempfile::TempDir,
    base: PathBuf,
    child: PathBuf,
}

impl Disks {
    /// Both have some 4 KiB of each of their blocks; most of them are holes.
    fn new() -> Self {
        let disks = Self::empty(&NewDisk { block_size: 2 << 20, ..NewDisk::new(SIZE) }, SIZE);
        write(&disks.child, (0..31).map(|block| 2 * block * MIB + block * 4096), 2);
        disks
    }

    /// The base has some data, and an empty child with a disk of `size` bytes.
    fn empty(disk: &NewDisk, size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [base, child] = ["base.vhdx", "child.avhdx"].map(|name| folder.path().join(name));
        make(&base, disk);
        write(&base, (0..disk.virtual_size / MIB / 4).map(|block| 2 * block * MIB), 1);
        let chain = Chain::open(&base, &FolderResolver::default()).unwrap();
        let options = ChildOptions { block_size: Some(MIB), virtual_size: Some(size) };
        let new = new_child(&chain, &child, &options).unwrap();
        make(&child, &new.disk);
        drop(new);
        Self { _folder: folder, base, child }
    }

    fn plan(&self, batch_bytes: u64) -> MergePlan {
        let chain = Chain::open(&self.child, &FolderResolver::default()).unwrap();
        let relatives = find_relatives(&[self.base.parent().unwrap().into()], &NoProgress).unwrap();
        let options = MergeOptions { batch_bytes, ..MergeOptions::default() };
        MergePlan::new(&chain, 1, &relatives, &options).unwrap()
    }

    fn allocated(&self) -> u64 {
        [&self.base, &self.child].map(|path| allocated_bytes(path).unwrap()).iter().sum()
    }

    fn content(&self, disk: &Path) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        let chain = Chain::open(disk, &FolderResolver::default()).unwrap();
        chain.read_exact_at(&mut bytes, DiskOffset::new(0)).unwrap();
        bytes
    }
}

fn make(path: &Path, disk: &NewDisk) {
    let file = NewFile::create(path, IfExists::Fail).unwrap();
    create(disk, &file, &NoProgress).unwrap();
    file.commit().unwrap();
}

fn write(path: &Path, places: impl Iterator<Item = u64>, byte: u8) {
    let mut disk = VhdxMut::open(path).unwrap();
    places.for_each(|place| disk.write_all_at(&[byte; 4096], DiskOffset::new(place)).unwrap());
    let (log, len) = (disk.staged().header().log_offset, disk.staged().header().log_length);
    disk.close().unwrap();
    FileStorage::open_exclusive(path).unwrap().punch_hole(log, len.into()).unwrap();
}

/// The least number of bytes that must be free.
fn least(plan: &MergePlan) -> u64 {
    let (mut refused, mut taken) = (0, plan.bytes_needed() + 1);
    while taken - refused > 1 {
        let middle = refused + (taken - refused) / 2;
        match plan.ensure_space(&Free(middle)) {
            Ok(()) => taken = middle,
            Err(_) => refused = middle,
        }
    }
    taken
}

fn goes_on(end: End, after: u64, batch_bytes: u64) {
    let disks = Disks::new();
    let content = disks.content(&disks.child);
    let (plan, before) = (disks.plan(batch_bytes), disks.allocated());
    let first = least(&plan);
    let progress = EndsAfter(AtomicU64::new(after), end);
    let ended = catch_unwind(AssertUnwindSafe(|| plan.execute(&Free(first), &progress)));
    match end {
        End::Cancelled => assert!(matches!(ended, Ok(Err(Error::Cancelled)))),
        End::Killed => drop(ended.unwrap_err()),
    }

    let (plan, taken) = (disks.plan(batch_bytes), disks.allocated().saturating_sub(before));
    let what = format!("{end:?} after {after}: {first} bytes, of which {taken} were taken");
    assert!(plan.batch_count() > 0, "{what}");
    assert!(least(&plan) <= first - taken, "{what}; {} are asked for now", least(&plan));
    plan.execute(&Free(first - taken), &NoProgress).unwrap();
    assert!(disks.content(&disks.base) == content, "{what}");
    assert!(disks.allocated() - before <= first, "{what}; and {} in the end", disks.allocated() - before);
}

#[test]
fn a_merge_that_was_cancelled_goes_on() {
    [1, 5, 20].into_iter().for_each(|after| goes_on(End::Cancelled, after, 16 << 10));
}

#[test]
fn a_merge_that_was_killed_goes_on() {
    for after in [1, 2, 16, 17, 30] {
        goes_on(End::Killed, after, 16 << 10);
        goes_on(End::Killed, after, MIB);
    }
}

/// The space of a fixed disk is set aside, although the host calls it a hole until it is written to.
#[test]
fn what_is_reserved_is_not_asked_for() {
    let disk = NewDisk { disk_type: DiskType::Fixed, ..NewDisk::new(SIZE) };
    let disks = Disks::empty(&disk, SIZE);
    write(&disks.child, (0..SIZE / 4096).map(|page| page * 4096), 2);
    let (plan, before) = (disks.plan(MIB), disks.allocated());
    assert!(least(&plan) < 10 * MIB, "{}", least(&plan));
    plan.execute(&Free(least(&plan)), &NoProgress).unwrap();
    assert!(disks.allocated() - before < MIB);
}

#[test]
fn what_a_fixed_disk_grows_by_is_asked_for_once() {
    let disk = NewDisk { disk_type: DiskType::Fixed, block_size: 1 << 20, ..NewDisk::new(SIZE / 4) };
    let disks = Disks::empty(&disk, SIZE);
    write(&disks.child, (0..SIZE / 4096).map(|page| page * 4096), 2);
    let (plan, before) = (disks.plan(MIB), disks.allocated());
    assert!(least(&plan) < SIZE * 3 / 4 + 12 * MIB, "{}", least(&plan));
    let ended = plan.execute(&Free(least(&plan)), &EndsAfter(AtomicU64::new(1), End::Cancelled));
    assert!(matches!(ended, Err(Error::Cancelled)));
    let taken = disks.allocated() - before;
    assert!(taken >= SIZE * 3 / 4);
    let first = least(&plan);
    let plan = disks.plan(MIB);
    assert!(least(&plan) <= first - taken, "{} of {first} after {taken}", least(&plan));
    plan.execute(&Free(first - taken), &NoProgress).unwrap();
}

/// Zeros in one range, and data here and there.
fn change(path: &Path, number: u64) {
    let mut disk = VhdxMut::open(path).unwrap();
    let start = 16 * number * MIB % SIZE;
    disk.write_zeros(DiskOffset::new(start)..DiskOffset::new(start + 16 * MIB)).unwrap();
    disk.close().unwrap();
    write(path, (0..6).map(|block| (11 * block + 5 * number) % 64 * MIB), number as u8);
}

/// Checkpoints with other block sizes, data over zeros, and zeros over data.
fn family() -> (Disks, Vec<PathBuf>) {
    let disks = Disks::empty(&NewDisk { block_size: 2 << 20, ..NewDisk::new(SIZE) }, SIZE);
    let mut files = vec![disks.base.clone(), disks.child.clone()];
    change(&files[1], 1);
    for (number, block_size) in (2..).zip([2 * MIB, 16 * MIB, MIB]) {
        let path = disks.base.with_file_name(format!("{number}.avhdx"));
        let chain = Chain::open(&files[files.len() - 1], &FolderResolver::default()).unwrap();
        let options = ChildOptions { block_size: Some(block_size), virtual_size: Some(SIZE) };
        make(&path, &new_child(&chain, &path, &options).unwrap().disk);
        drop(chain);
        change(&path, number);
        files.push(path);
    }
    files.reverse();
    (disks, files)
}

/// The bounds of a merge level by level hold for the merges that are made then.
#[test]
fn no_step_takes_more_than_was_said() {
    let (disks, files) = family();
    let content = disks.content(&files[0]);
    let relatives = || find_relatives(&[disks.base.parent().unwrap().into()], &NoProgress).unwrap();
    let options = MergeOptions { delete_merged: true, ..MergeOptions::default() };
    let chain = Chain::open(&files[0], &FolderResolver::default()).unwrap();
    let steps =
        MergePlan::steps_that_fit(&chain, files.len() - 1, &relatives(), &options, &HostFiles).unwrap();
    drop(chain);
    assert_eq!(steps.len(), files.len() - 1);
    for (step, pair) in steps.iter().zip(files.windows(2)) {
        assert_eq!([&step.child, &step.into], [&pair[0], &pair[1]]);
        let chain = Chain::open(&step.child, &FolderResolver::default()).unwrap();
        let plan = MergePlan::new(&chain, 1, &relatives(), &options).unwrap();
        drop(chain);
        let (least, before) = (least(&plan), allocated_bytes(&step.into).unwrap());
        assert!(least <= step.bytes_needed, "{step:?}: {least} bytes");
        plan.execute(&Free(least), &NoProgress).unwrap();
        assert!(allocated_bytes(&step.into).unwrap() <= before + step.bytes_needed, "{step:?}");
    }
    assert!(disks.content(&disks.base) == content);
}
