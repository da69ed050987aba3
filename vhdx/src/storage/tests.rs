use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::units::MIB;

fn at(offset: u64) -> FileOffset {
    FileOffset::new(offset)
}

/// Makes a file in its own folder, which is deleted when the first value is dropped.
fn file_of(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[track_caller]
fn expect_io(error: Error, what: &str) -> io::Error {
    let path = error.path().map(Path::to_owned);
    match error {
        Error::InFile { error, .. } => match *error {
            Error::Io { operation, source, .. } if operation == what => source,
            error => panic!("{error}"),
        },
        error => panic!("{error}, {path:?}"),
    }
}

#[track_caller]
fn assert_in_use(path: &Path) {
    let error = FileStorage::open_exclusive(path).unwrap_err();
    let message = error.to_string();
    let source = expect_io(error, "lock");
    assert_eq!(source.kind(), ErrorKind::ResourceBusy);
    let expected = format!("{}: cannot lock: another program has the file open", path.display());
    assert_eq!(message, expected);
}

#[test]
fn two_exclusive_openings_exclude_each_other() {
    let (_folder, path) = file_of(b"0123456789");
    let first = FileStorage::open_exclusive(&path).unwrap();
    assert_in_use(&path);
    first.write_all_at(b"ab", at(4)).unwrap();
    drop(first);
    let second = FileStorage::open_exclusive(&path).unwrap();
    let mut buf = [0; 10];
    second.read_exact_at(&mut buf, at(0)).unwrap();
    assert_eq!(&buf, b"0123ab6789");
}

#[track_caller]
fn assert_has_writer(path: &Path) {
    let source = expect_io(FileStorage::open_shared(path).unwrap_err(), "lock");
    assert_eq!(source.kind(), ErrorKind::ResourceBusy);
}

#[test]
fn a_shared_file_has_no_writers_until_all_readers_are_gone() {
    let (_folder, path) = file_of(b"0123456789");
    let shared = [FileStorage::open_shared(&path).unwrap(), FileStorage::open_shared(&path).unwrap()];
    let mut buf = [0; 10];
    shared[0].read_exact_at(&mut buf, at(0)).unwrap();
    FileStorage::open(&path).unwrap().read_exact_at(&mut buf, at(0)).unwrap();
    let [first, second] = shared;
    assert_in_use(&path);
    drop(first);
    assert_in_use(&path);
    drop(second);
    let writer = FileStorage::open_exclusive(&path).unwrap();
    assert_has_writer(&path);
    drop(writer);
    FileStorage::open_shared(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_sync_that_a_reader_cannot_do_is_not_an_error() {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, StorageFull, Unsupported};
    for excused in [InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported] {
        host::ignore_unavoidable(Err(excused.into())).unwrap();
    }
    host::ignore_unavoidable(Err(StorageFull.into())).unwrap_err();
    host::ignore_unavoidable(Err(rustix::io::Errno::IO.into())).unwrap_err();
}

#[cfg(unix)]
#[test]
fn writers_that_use_flock_are_detected_and_readers_are_welcome() {
    let (_folder, path) = file_of(b"");
    let other = fs::File::open(&path).unwrap();
    other.lock_shared().unwrap();
    FileStorage::open_shared(&path).unwrap();
    other.unlock().unwrap();
    other.lock().unwrap();
    assert_has_writer(&path);
}

/// A program that is just being started may still hold a copy of the file.
#[cfg(unix)]
#[test]
fn a_lock_ends_with_its_storage_even_if_the_file_is_still_open() {
    let (_folder, path) = file_of(b"");
    for open in [FileStorage::open_exclusive, FileStorage::open_shared] {
        let storage = open(&path).unwrap();
        let _inherited = storage.file().try_clone().unwrap();
        assert_in_use(&path);
        drop(storage);
        FileStorage::open_exclusive(&path).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_to_the_file_that_is_locked() {
    let (folder, path) = file_of(b"");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let _held = FileStorage::open_exclusive(&link).unwrap();
    assert_in_use(&path);
}

#[cfg(unix)]
#[test]
fn a_reader_is_not_kept_out() {
    let (_folder, path) = file_of(b"x");
    let _held = FileStorage::open_exclusive(&path).unwrap();
    assert_eq!(ReadAt::size(&FileStorage::open(&path).unwrap()).unwrap(), 1);
}

#[cfg(windows)]
#[test]
fn a_held_file_cannot_be_read_and_the_error_says_why() {
    let (_folder, path) = file_of(b"x");
    let held = FileStorage::open_exclusive(&path).unwrap();
    let source = expect_io(FileStorage::open(&path).unwrap_err(), "open");
    assert_eq!(
        (source.kind(), source.to_string().as_str()),
        (ErrorKind::ResourceBusy, "another program has the file open")
    );
    drop(held);
    let _reader = FileStorage::open(&path).unwrap();
    assert_in_use(&path);
}

#[cfg(unix)]
#[test]
fn programs_that_use_flock_are_detected() {
    let (_folder, path) = file_of(b"");
    let other = fs::File::open(&path).unwrap();
    other.lock_shared().unwrap();
    assert_in_use(&path);
}

/// Locks one byte of a file, or unlocks it.
#[cfg(target_os = "linux")]
fn lock_byte(file: &fs::File, kind: i32, place: i64) -> nix::Result<i32> {
    use nix::fcntl::{FcntlArg, fcntl};
    let byte = nix::libc::flock { l_type: kind as i16, l_whence: 0, l_start: place, l_len: 1, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&byte))
}

#[cfg(target_os = "linux")]
#[test]
fn programs_that_lock_single_bytes_are_detected_and_kept_out() {
    use nix::libc;
    let (_folder, path) = file_of(b"");
    let other = fs::File::options().read(true).write(true).open(&path).unwrap();
    lock_byte(&other, libc::F_RDLCK, 201).unwrap();
    assert_in_use(&path);
    lock_byte(&other, libc::F_UNLCK, 201).unwrap();
    let _held = FileStorage::open_exclusive(&path).unwrap();
    lock_byte(&other, libc::F_RDLCK, 201).unwrap_err();
}

/// Tests QEMU's protocol: bytes 100 to 105 say what a program does, bytes 200 to 205 what nobody else may do.
#[cfg(target_os = "linux")]
#[test]
fn writers_that_lock_single_bytes_are_detected_and_kept_out() {
    use nix::libc;
    let (_folder, path) = file_of(b"");
    let other = fs::File::options().read(true).write(true).open(&path).unwrap();
    let set = |kind, place| lock_byte(&other, kind, place);
    for (place, is_writer) in [(100, false), (101, true), (102, true), (103, true), (201, false)] {
        set(libc::F_RDLCK, place).unwrap();
        match is_writer {
            true => assert_has_writer(&path),
            false => drop(FileStorage::open_shared(&path).unwrap()),
        }
        set(libc::F_UNLCK, place).unwrap();
    }
    let _held = FileStorage::open_shared(&path).unwrap();
    set(libc::F_WRLCK, 200).unwrap();
    set(libc::F_WRLCK, 201).unwrap_err();
}

/// The lock on an open file works as [`FileStorage::open_shared`]. A failed attempt leaves nothing locked.
#[cfg(target_os = "linux")]
#[test]
fn a_shared_lock_can_be_taken_later_whole_or_not_at_all() {
    use nix::libc;
    let (_folder, path) = file_of(b"");
    let reader = FileStorage::open(&path).unwrap();
    reader.lock_shared().unwrap();
    reader.lock_shared().unwrap();
    assert_in_use(&path);
    drop(FileStorage::open_shared(&path).unwrap());
    drop(reader);

    let reader = FileStorage::open(&path).unwrap();
    let other = fs::File::options().read(true).write(true).open(&path).unwrap();
    let set = |kind, place| lock_byte(&other, kind, place);
    set(libc::F_RDLCK, 101).unwrap(); // QEMU writes
    assert_eq!(reader.lock_shared().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    set(libc::F_UNLCK, 101).unwrap();
    drop(FileStorage::open_exclusive(&path).unwrap());
    // Locks of others fail from now on.
    reader.lock_shared().unwrap();
    set(libc::F_WRLCK, 201).unwrap_err();
    other.try_lock().unwrap_err();
}

#[cfg(target_os = "linux")]
#[test]
fn qemu_is_detected_and_kept_out() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let (_folder, path) = file_of(&[0; 4096]);
    let qemu_io = || {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw"]).arg(&path);
        command
    };
    if vhdx_testkit::shared::program("qemu-io").is_none() {
        return;
    }
    let mut holder = qemu_io().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut commands = holder.stdin.take().unwrap();
    commands.write_all(b"length\n").unwrap();
    let mut answer = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap(); // QEMU has the file open now
    assert_in_use(&path);
    drop(commands);
    holder.wait().unwrap();

    let held = FileStorage::open_exclusive(&path).unwrap();
    let read = || qemu_io().args(["-c", "read 0 512"]).output().unwrap();
    let refused = read();
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("lock"),
        "{refused:?}"
    );
    drop(held);
    assert!(read().status.success());
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    for opened in [FileStorage::open(folder.path()), FileStorage::open_exclusive(folder.path())] {
        assert_eq!(opened.unwrap_err().kind(), crate::error::ErrorKind::InvalidArgument);
    }
    let absent = FileStorage::open_exclusive(&folder.path().join("absent")).unwrap_err();
    assert_eq!(expect_io(absent, "open for writing").kind(), ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    for opened in [
        FileStorage::open(&path),
        FileStorage::open_exclusive(&path),
        FileStorage::open_exclusive(Path::new("/dev/null")),
    ] {
        assert_eq!(opened.unwrap_err().kind(), crate::error::ErrorKind::InvalidArgument);
    }
}

/// Runs `act` as a user without privileges, because permissions do not apply to root.
#[cfg(target_os = "linux")]
fn as_nobody<T>(act: impl FnOnce() -> T) -> T {
    use nix::unistd::{Uid, setfsuid};
    let before = setfsuid(Uid::from_raw(65534)); // only for this thread
    let result = act();
    setfsuid(before);
    result
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_file_opens_for_reading_but_not_for_writing() {
    let (folder, path) = file_of(b"x");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let writable = path.metadata().unwrap().permissions();
    let mut permissions = writable.clone();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();

    let (read, written) =
        as_nobody(|| (FileStorage::open(&path).map(drop), FileStorage::open_exclusive(&path)));
    fs::set_permissions(&path, writable).unwrap();
    read.unwrap();
    assert_eq!(expect_io(written.unwrap_err(), "open for writing").kind(), ErrorKind::PermissionDenied);
    drop(folder);
}

/// Returns one storage of each implementation, with these bytes.
fn storages(bytes: &[u8]) -> (tempfile::TempDir, Vec<Box<dyn Storage>>) {
    let (folder, path) = file_of(bytes);
    let file = FileStorage::open_exclusive(&path).unwrap();
    let memory = Memory::new(bytes.to_vec());
    let defaults = Defaults(Memory::new(bytes.to_vec()));
    let new = NewFile::create(&folder.path().join("new"), IfExists::Fail).unwrap();
    new.write_all_at(bytes, at(0)).unwrap();
    let pointer: Arc<dyn Storage> = Arc::new(Memory::new(bytes.to_vec()));
    (folder, vec![Box::new(file), Box::new(memory), Box::new(defaults), Box::new(new), Box::new(pointer)])
}

/// A storage with only the required methods.
struct Defaults(Memory);

impl ReadAt for Defaults {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

impl Storage for Defaults {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

fn content(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.size().unwrap() as usize];
    storage.read_exact_at(&mut bytes, at(0)).unwrap();
    bytes
}

#[test]
fn a_zeroed_range_reads_as_zeros_and_nothing_else_does() {
    let bytes = vec![0xa5; 3 * MIB as usize];
    for (start, len) in [(0, 0), (1, 1), (4095, 2), (100, 2 * MIB + 77), (MIB, 2 * MIB), (3 * MIB, 0)] {
        let (_folder, storages) = storages(&bytes);
        let mut expected = bytes.clone();
        expected[start as usize..(start + len) as usize].fill(0);
        for storage in storages {
            storage.zero_range(at(start), len).unwrap();
            assert!(content(&*storage) == expected, "{len} bytes zeroed at {start}");
            storage.write_all_at(&bytes, at(0)).unwrap();
            storage.punch_hole(at(start), len).unwrap();
            assert!(content(&*storage) == expected, "a hole of {len} bytes at {start}");
        }
    }
}

#[test]
fn zeroing_past_the_end_extends() {
    let (_folder, storages) = storages(b"0123456789");
    for storage in storages {
        storage.zero_range(at(8), 2 * MIB).unwrap();
        let bytes = content(&*storage);
        assert_eq!(bytes.len() as u64, 8 + 2 * MIB);
        assert!(bytes.starts_with(b"01234567\0") && bytes[8..].iter().all(|byte| *byte == 0));
        storage.zero_range(at(3 * MIB), 5).unwrap();
        assert_eq!(storage.size().unwrap(), 3 * MIB + 5);
        storage.zero_range(at(9 * MIB), 0).unwrap();
        storage.write_all_at(&[], at(9 * MIB)).unwrap();
        assert_eq!(storage.size().unwrap(), 3 * MIB + 5, "an empty range does not extend");
    }
}

#[test]
fn a_range_that_ends_past_the_largest_offset_is_an_error() {
    let (_folder, storages) = storages(b"0123456789");
    for storage in storages {
        storage.zero_range(at(u64::MAX - 5), 10).unwrap_err();
        storage.punch_hole(at(u64::MAX - 5), 10).unwrap_err();
        assert_eq!(content(&*storage), b"0123456789");
    }
}

#[cfg(unix)]
#[test]
fn zeroed_space_is_reserved() {
    let (_folder, path) = file_of(b"");
    let storage = FileStorage::open_exclusive(&path).unwrap();
    storage.zero_range(at(MIB), 4 * MIB).unwrap();
    storage.sync().unwrap();
    assert!(allocated_bytes(&path).unwrap() >= 4 * MIB);
    storage.set_len(64 * MIB).unwrap();
    storage.zero_range(at(32 * MIB), 8 * MIB).unwrap();
    storage.sync().unwrap();
    assert!(allocated_bytes(&path).unwrap() >= 12 * MIB);
}

#[cfg(target_os = "linux")]
#[test]
fn punching_a_hole_frees_its_space() {
    let (_folder, path) = file_of(&vec![0xa5; 8 * MIB as usize]);
    let storage = FileStorage::open_exclusive(&path).unwrap();
    storage.sync().unwrap();
    let before = allocated_bytes(&path).unwrap();
    storage.punch_hole(at(MIB), 4 * MIB).unwrap();
    assert_eq!(ReadAt::size(&storage).unwrap(), 8 * MIB);
    let after = allocated_bytes(&path).unwrap();
    assert!(after <= before - 4 * MIB, "{before} bytes before, {after} after");
}

#[test]
fn a_copy_has_the_bytes_of_its_source() {
    let source: Vec<u8> = (0..3 * MIB as u32).map(|n| (n / 3 % 251) as u8).collect();
    for (from, to, len) in
        [(0, 0, 0), (1, 4095, 2), (4095, 7, 4098), (11, 12, 2 * MIB + 5), (MIB, 0, 2 * MIB)]
    {
        let (_folder, storages) = storages(b"0123456789");
        for storage in storages {
            storage.copy_from(&source, at(from), at(to), len).unwrap();
            let copied = &source[from as usize..(from + len) as usize];
            let mut expected = b"0123456789".to_vec();
            if len > 0 {
                expected.resize(expected.len().max((to + len) as usize), 0);
                expected[to as usize..(to + len) as usize].copy_from_slice(copied);
            }
            assert!(content(&*storage) == expected, "{len} bytes from {from} to {to}");
        }
    }
}

#[test]
fn a_copy_within_one_storage_and_past_its_end() {
    let (_folder, storages) = storages(b"0123456789");
    for storage in storages {
        let reader: &dyn ReadAt = &*storage;
        storage.copy_from(reader, at(2), at(10), 5).unwrap();
        assert_eq!(content(&*storage), b"012345678923456");
        let past = storage.copy_from(reader, at(14), at(0), 2).unwrap_err();
        assert_eq!(past.kind(), ErrorKind::UnexpectedEof);
    }
}

#[test]
fn the_length_can_grow_and_shrink() {
    let (_folder, path) = file_of(b"ab");
    let storage = FileStorage::new(OpenOptions::new().read(true).write(true).open(&path).unwrap());
    for len in [5, 3 * MIB, 1, 0] {
        storage.set_len(len).unwrap();
        assert_eq!(ReadAt::size(&storage).unwrap(), len);
    }
}

#[test]
fn free_space_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let free = free_space(folder.path()).unwrap().unwrap();
    assert!((1..u64::MAX / 2).contains(&free), "{free}");
    let size = volume_space(folder.path()).unwrap().unwrap().size;
    assert!((free..u64::MAX / 2).contains(&size), "{free} {size}");
    assert!(free_space(Path::new(".")).unwrap().is_some());
    free_space(&folder.path().join("absent")).unwrap_err();
}
