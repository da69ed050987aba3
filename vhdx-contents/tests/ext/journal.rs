//! File systems that were copied while they were mounted. The kernel and `e2fsck` replay their journals, and the reader
//! shows the same files without changing anything.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vhdx_contents::files::FileSystem;
use vhdx_testkit::Random;

use super::image::{self, with};
use super::mounted::Mount;
use super::view::{assert_equal, of_host, of_reader};

/// The signature of blocks in the journal, so that blocks with it are escaped there.
const SIGNATURE: [u8; 4] = [0xC0, 0x3B, 0x39, 0x98];

/// Writes, overwrites and deletes files, so that transactions have blocks that later ones revoke.
fn work(folder: &Path) {
    let mut random = Random::new(3);
    for round in 0..6 {
        let name = |index: usize| folder.join(format!("folder {}", index % 5)).join(format!("file {index}"));
        for index in 0..40 {
            fs::create_dir_all(name(index).parent().unwrap()).unwrap();
            let len = random.below(30_000);
            fs::write(name(index), [&SIGNATURE[..], &random.bytes(len)].concat()).unwrap();
        }
        for index in (round..40).step_by(3) {
            fs::remove_file(name(index)).unwrap();
        }
        fs::rename(folder.join("folder 4"), folder.join(format!("renamed {round}"))).unwrap();
        let file = File::create(folder.join(format!("synced {round}"))).unwrap();
        (&file).write_all(&random.bytes(100_000)).unwrap();
        file.sync_all().unwrap();
        if round % 2 == 1 {
            fs::remove_dir_all(folder.join(format!("renamed {round}"))).unwrap();
        }
    }
    let last = File::create(folder.join("last")).unwrap();
    (&last).write_all(b"last").unwrap();
    last.sync_all().unwrap();
}

/// Copies a file system while it is mounted, and compares the reader with the kernel. Returns whether the replay changes
/// what is shown.
fn assert_replayed(options: &[&str], mount_options: &str) -> Option<bool> {
    let temporary = tempfile::tempdir().unwrap();
    let [path, copy, replayed] = ["image", "copy", "replayed"].map(|name| temporary.path().join(name));
    image::make(&path, 64, options, None);
    {
        let mount = Mount::new(&path, mount_options)?;
        work(mount.folder());
        image::copy(&path, &copy);
    }
    let before = fs::read(&copy).unwrap();
    let found = with(&copy, |files| {
        assert_eq!(files.notes(), [""; 0]);
        of_reader(&files)
    });
    assert!(fs::read(&copy).unwrap() == before, "the reader has changed the image");
    let what = format!("{} {mount_options}", options.join(" "));
    image::copy(&copy, &replayed);
    let mount = Mount::new(&replayed, "defaults")?;
    assert_equal(&found, &of_host(mount.folder()), &what);
    drop(mount);
    image::copy(&copy, &replayed);
    image::debugfs(&replayed, &["feature -needs_recovery"]);
    let without = std::panic::catch_unwind(|| with(&replayed, |files| of_reader(&files)));
    image::check(&copy, &[]);
    assert_equal(&found, &with(&copy, |files| of_reader(&files)), &format!("{what} after e2fsck"));
    Some(without.map_or(true, |without| without != found))
}

#[test]
fn a_dirty_journal_is_replayed() {
    let Some(()) = image::tools() else { return };
    let variants: [(&[&str], &str); 7] = [
        (&["-t", "ext4", "-b", "4096"], "defaults"),
        (&["-t", "ext4", "-b", "1024"], "data=journal"),
        (&["-t", "ext4", "-b", "4096", "-O", "^64bit,^metadata_csum"], "data=journal"),
        (&["-t", "ext4", "-b", "2048", "-O", "^metadata_csum"], "journal_checksum"),
        (&["-t", "ext4", "-b", "1024", "-O", "^64bit"], "journal_async_commit,data=writeback"),
        (&["-t", "ext3", "-b", "1024"], "defaults"),
        // The smallest journal goes round several times, and is mostly written to its places already.
        (&["-t", "ext4", "-b", "1024", "-J", "size=1"], "data=journal"),
    ];
    for (options, mount_options) in variants {
        let Some(matters) = assert_replayed(options, mount_options) else { return };
        assert!(matters || options.contains(&"size=1"), "{options:?}: the journal is empty");
    }
}

#[test]
fn the_journal_may_have_the_superblock() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    image::make(&path, 16, &["-t", "ext3", "-b", "1024"], None);
    let mut superblock = vec![0; 1024];
    File::open(&path).unwrap().read_exact_at(&mut superblock, 1024).unwrap();
    // The state: there were errors.
    superblock[0x3A] = 3;
    fs::write(path.with_extension("block"), superblock).unwrap();
    let write = format!("jw -b 1 {}", path.with_extension("block").display());
    image::debugfs(&path, &["jo", &write, "jc"]);
    with(&path, |files| assert!(files.notes()[0].contains("found errors"), "{:?}", files.notes()));
}

#[test]
fn fast_commits_are_noted() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let [path, copy] = ["image", "copy"].map(|name| temporary.path().join(name));
    image::make(&path, 64, &["-t", "ext4", "-b", "1024", "-O", "fast_commit"], None);
    let Some(mount) = Mount::new(&path, "defaults") else { return };
    let file = File::create(mount.folder().join("file")).unwrap();
    image::run(std::process::Command::new("sync").arg("-f").arg(mount.folder()));
    image::copy(&path, &copy);
    with(&copy, |files| assert_eq!(files.notes(), [""; 0]));
    file.write_all_at(b"new", 0).unwrap();
    file.sync_all().unwrap();
    image::copy(&path, &copy);
    with(&copy, |files| {
        assert!(files.notes()[0].contains("fast commits"), "{:?}", files.notes());
        assert!(files.lookup(files.root(), b"file").unwrap().is_some());
    });
}

/// Makes an image with a journal of `debugfs`, which also writes checksums that the kernel writes no more.
fn with_journal(path: &Path, options: &[&str], commands: &[&str]) {
    image::make(path, 32, options, None);
    let blocks = [7u8, 8, 9, 10].map(|byte| vec![byte; 1024]).concat();
    fs::write(path.with_extension("blocks"), [&SIGNATURE[..], &blocks[4..]].concat()).unwrap();
    let blocks = path.with_extension("blocks").display().to_string();
    let commands: Vec<String> = commands.iter().map(|command| command.replace("BLOCKS", &blocks)).collect();
    image::debugfs(path, &commands.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn all_versions_of_checksums_and_revocations_are_replayed() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    for (features, version, revoke) in [
        ("64bit", "", "jw -r 30001,30002"),
        ("^64bit,^metadata_csum", "", "jw -r 30001,30002"),
        // The first version; the kernel does not accept the checksum of revocations that debugfs writes.
        ("^metadata_csum", "-c", ""),
        ("^64bit,^metadata_csum", "-c", ""),
        ("^64bit", "-c -v 2", "jw -r 30001,30002"),
        ("64bit", "-c -v 2", "jw -r 30001,30002"),
        ("^64bit", "-c -v 3", "jw -r 30001,30002"),
        ("64bit", "-c -v 3", "jw -r 30001,30002"),
    ] {
        let open = format!("jo {version}");
        let commands = [
            "write BLOCKS file",
            "sif file flags 0",
            "sif file block[0] 30000",
            "sif file block[1] 30001",
            "sif file block[2] 30002",
            "sif file block[3] 30003",
            "sif file block[4] 0",
            "sif file block[5] 0",
            &open,
            "jw -b 30000,30001,30002,30003 BLOCKS",
            revoke,
            "jw -b 30002 BLOCKS",
            "jc",
        ];
        with_journal(&path, &["-t", "ext4", "-b", "1024", "-O", features], &commands);
        let content = || {
            with(&path, |files| {
                let file = files.lookup(files.root(), b"file").unwrap().unwrap().node;
                let mut bytes = vec![0; 5000];
                assert_eq!(files.read(file, 0, &mut bytes).unwrap(), 4096);
                bytes.truncate(4096);
                bytes
            })
        };
        let found = content();
        let block = |index: usize| &found[index * 1024..][..1024];
        assert!(
            block(0)[..4] == SIGNATURE && block(0)[4..].iter().all(|byte| *byte == 7),
            "{features} {open}"
        );
        assert_eq!(block(1), [if revoke.is_empty() { 8 } else { 0 }; 1024], "{features} {open}");
        assert_eq!(block(2), block(0), "{features} {open}");
        assert_eq!(block(3), [10; 1024], "{features} {open}");
        image::check(&path, &[]);
        assert!(content() == found, "{features} {open}");
    }
}
