//! Everything that is not reading fails with the error that programs expect.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, XattrFlags, open};
use rustix::io::Errno;
use vhdx::{Memory, RawDisk};
use vhdx_mount::{Error, Options, Session, Tree};

use crate::mounted::{Mounted, can_mount, disk};

fn raw(len: usize) -> Arc<RawDisk> {
    Arc::new(RawDisk::open_with(Memory::new(vec![5; len]), "memory").unwrap())
}

fn errno<T>(result: io::Result<T>) -> Errno {
    Errno::from_io_error(&result.err().expect("it should fail")).unwrap()
}

#[test]
fn changes_are_refused_as_on_a_read_only_file_system() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::one(raw(4096), &[]);
    let (folder, file) = (mounted.path("disk"), mounted.path("disk/disk.raw"));
    let new = folder.join("new");
    let refused = [
        errno(File::options().write(true).open(&file)),
        errno(File::options().append(true).open(&file)),
        errno(File::create(&new)),
        errno(fs::create_dir(&new)),
        errno(fs::remove_file(&file)),
        errno(fs::remove_dir(&folder)),
        errno(fs::rename(&file, &new)),
        errno(fs::hard_link(&file, &new)),
        errno(std::os::unix::fs::symlink("x", &new)),
        errno(fs::set_permissions(&file, fs::metadata(&file).unwrap().permissions())),
        rustix::fs::setxattr(&file, "user.x", b"y", XattrFlags::empty()).unwrap_err(),
        rustix::fs::access(&file, rustix::fs::Access::WRITE_OK).unwrap_err(),
    ];
    assert_eq!(refused, [Errno::ROFS; 12]);
    assert_eq!(fs::read(&file).unwrap(), [5; 4096]);
}

#[test]
fn wrong_uses_get_the_usual_errors() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::one(raw(4096), &[]);
    let (folder, file) = (mounted.path("disk"), mounted.path("disk/disk.raw"));
    assert_eq!(errno(File::open(folder.join("missing"))), Errno::NOENT);
    assert_eq!(errno(File::open(mounted.path("missing/disk.raw"))), Errno::NOENT);
    assert_eq!(errno(File::open(file.join("x"))), Errno::NOTDIR);
    assert_eq!(errno(fs::read_dir(&file)), Errno::NOTDIR);
    assert_eq!(errno(fs::read_link(&file)), Errno::INVAL);
    assert_eq!(errno(fs::read(&folder)), Errno::ISDIR);
    let link = open(mounted.path("latest"), OFlags::NOFOLLOW, Mode::empty());
    assert_eq!(link.unwrap_err(), Errno::LOOP);
    let mut value = [0; 16];
    let attribute = rustix::fs::getxattr(&file, "user.x", &mut value).unwrap_err();
    assert!([Errno::NODATA, Errno::OPNOTSUPP].contains(&attribute), "{attribute}");
    assert!(rustix::fs::access(&file, rustix::fs::Access::READ_OK).is_ok());
    assert!(rustix::fs::seek(File::open(&file).unwrap(), rustix::fs::SeekFrom::Data(1 << 62)).is_err());
    // What waits for written data has nothing to wait for.
    File::open(&file).unwrap().sync_all().unwrap();
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::one(raw(5000), &[]);
    for name in ["disk/disk.raw", "disk/info.json"] {
        let path = mounted.path(name);
        let size = fs::metadata(&path).unwrap().len();
        for direct in [false, true] {
            let flags = if direct { OFlags::DIRECT } else { OFlags::empty() };
            let file = File::from(open(&path, OFlags::RDONLY | flags, Mode::empty()).unwrap());
            let mut buf = vec![0; 8192];
            assert_eq!(file.read_at(&mut buf, 0).unwrap() as u64, size, "{name}");
            for past in [size, size + 1, 1 << 40, i64::MAX as u64 - 8192] {
                assert_eq!(file.read_at(&mut buf, past).unwrap(), 0, "{name} at {past}");
            }
            assert_eq!(file.read_at(&mut buf, size - 3).unwrap(), 3, "{name}");
        }
    }
}

#[test]
fn the_size_of_the_file_system_is_that_of_its_files() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::one(raw(1 << 20), &[("p1", 0..1 << 19)]);
    let space = rustix::fs::statvfs(mounted.path("")).unwrap();
    assert_eq!((space.f_blocks, space.f_bfree, space.f_files), (385, 0, 6));
    assert!(space.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

fn error_of(tree: Tree, mountpoint: &Path) -> Error {
    let options = Options { allow_other: false, threads: 1, report: Arc::new(|_| ()) };
    Session::mount(tree, mountpoint, &options).unwrap_err()
}

#[test]
fn unusable_mountpoints_and_trees_are_errors() {
    let tree = || Tree { checkpoints: vec![disk("a", raw(512))], latest: 0 };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in [folder.path().to_owned(), folder.path().join("file"), folder.path().join("missing")] {
        assert!(matches!(error_of(tree(), &path), Error::Mountpoint { .. }), "{}", path.display());
    }
    let empty = tempfile::tempdir().unwrap();
    let mut trees = vec![tree(), tree(), tree(), tree()];
    trees[0].latest = 1;
    trees[1].checkpoints.push(disk("a", raw(512)));
    trees[2].checkpoints[0].partitions.push(("p1".to_owned(), 0..513));
    trees[3].checkpoints[0].name = "..".to_owned();
    for tree in trees {
        assert!(matches!(error_of(tree, empty.path()), Error::Tree(_)));
    }
}
