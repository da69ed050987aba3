//! File systems of all variants that `mke2fs` makes equal the folders that they were made from.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vhdx_contents::files::{FileSystem, Kind};

use super::image::{self, with};
use super::source;
use super::view::{View, assert_equal, of_host, of_reader};

const VARIANTS: &[&[&str]] = &[
    &["-t", "ext2", "-b", "1024"],
    &["-t", "ext2", "-b", "2048"],
    &["-t", "ext2", "-b", "4096", "-I", "128"],
    &["-t", "ext2", "-b", "4096", "-O", "^filetype,^sparse_super,^large_file,^resize_inode"],
    &["-t", "ext2", "-b", "1024", "-r", "0"],
    &["-t", "ext3", "-b", "1024"],
    &["-t", "ext3", "-b", "4096"],
    &["-t", "ext4"],
    &["-t", "ext4", "-b", "1024"],
    &["-t", "ext4", "-b", "2048", "-I", "512"],
    &["-t", "ext4", "-b", "65536"],
    &["-t", "ext4", "-O", "^extents,^64bit"],
    &["-t", "ext4", "-O", "^64bit"],
    &["-t", "ext4", "-O", "^metadata_csum"],
    &["-t", "ext4", "-O", "^metadata_csum,uninit_bg"],
    &["-t", "ext4", "-O", "^metadata_csum,uninit_bg,64bit", "-b", "1024"],
    &["-t", "ext4", "-O", "^metadata_csum,^64bit,^flex_bg,^has_journal"],
    &["-t", "ext4", "-O", "bigalloc", "-C", "65536"],
    &["-t", "ext4", "-O", "bigalloc", "-b", "1024", "-C", "16384"],
    &["-t", "ext4", "-O", "inline_data"],
    &["-t", "ext4", "-O", "inline_data", "-b", "1024", "-I", "1024"],
    &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"],
    &["-t", "ext4", "-O", "meta_bg,^resize_inode,^flex_bg,^sparse_super,bigalloc", "-b", "1024"],
    &["-t", "ext4", "-O", "meta_bg,^resize_inode,^flex_bg", "-g", "256", "-b", "1024"],
    &["-t", "ext4", "-O", "sparse_super2,^resize_inode,meta_bg", "-b", "1024", "-g", "512"],
    &[
        "-t",
        "ext4",
        "-O",
        "mmp,ea_inode,large_dir,quota,project,verity,metadata_csum_seed,huge_file,casefold",
    ],
    &["-t", "ext4", "-O", "encrypt,fast_commit,orphan_file"],
];

/// Returns the view of a folder as this version of `mke2fs` copies it: older ones copy only whole seconds.
fn expected(folder: &Path, found: &View) -> View {
    let mut view = of_host(folder);
    if found.values().all(|seen| whole_second(seen.modified) == seen.modified) {
        for seen in view.values_mut() {
            seen.modified = whole_second(seen.modified);
        }
    }
    view
}

fn whole_second(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A folder, and the folder for images beside it.
fn folders() -> (tempfile::TempDir, std::path::PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let source = temporary.path().join("source");
    std::fs::create_dir(&source).unwrap();
    (temporary, source)
}

#[test]
fn every_variant_equals_its_source() {
    let Some(()) = image::tools() else { return };
    let (temporary, source) = folders();
    source::fill(&source);
    source::fill_sparse(&source.join("sparse"));
    // With inline data, mke2fs 1.47.0 gives a file that ends with a hole a wrong size.
    let without_holes = temporary.path().join("without holes");
    std::fs::create_dir(&without_holes).unwrap();
    source::fill(&without_holes);
    // `mke2fs` mostly waits until its image is on the disk.
    std::thread::scope(|scope| {
        for (index, options) in VARIANTS.iter().enumerate() {
            let path = temporary.path().join(format!("{index}.img"));
            let is_inline = options.iter().any(|option| option.contains("inline_data"));
            let source = if is_inline { &without_holes } else { &source };
            scope.spawn(move || {
                assert_variant(&path, options, source);
                if !is_inline {
                    assert_holes(&path, options);
                }
                std::fs::remove_file(path).unwrap();
            });
        }
    });
}

fn assert_variant(path: &Path, options: &[&str], source: &Path) {
    image::make(path, 96, options, Some(source));
    let found = with(path, |files| {
        assert_eq!(files.notes(), [""; 0]);
        of_reader(&files)
    });
    assert_equal(&found, &expected(source, &found), &options.join(" "));
}

/// Checks that a large part of a sparse file is known to be a hole.
fn assert_holes(image: &Path, options: &[&str]) {
    with(image, |files| {
        let folder = files.lookup(files.root(), b"sparse").unwrap().unwrap();
        let file = files.lookup(folder.node, b"middle").unwrap().unwrap();
        let range = files.range_at(file.node, 20 << 20).unwrap().unwrap();
        assert!(range.is_hole && range.len == 48 << 20, "{options:?}: {range:?}");
        let last = files.range_at(file.node, 99 << 20).unwrap().unwrap();
        assert!(last.is_hole && last.len == 1 << 20, "{options:?}: {last:?}");
        assert_eq!(files.range_at(file.node, 100 << 20).unwrap(), None);
    });
}

#[test]
fn folders_are_complete_with_and_without_an_index() {
    let Some(()) = image::tools() else { return };
    let (temporary, source) = folders();
    source::fill_large_folder(&source.join("large"), 2_500);
    let variants: [&[&str]; 3] = [
        &["-t", "ext4", "-N", "5000"],
        &["-t", "ext4", "-N", "5000", "-b", "1024", "-O", "inline_data"],
        &["-t", "ext3", "-N", "5000", "-b", "1024"],
    ];
    for options in variants {
        let path = temporary.path().join("image");
        image::make(&path, 96, options, Some(&source));
        let found = with(&path, |files| of_reader(&files));
        assert_equal(&found, &expected(&source, &found), &options.join(" "));
        image::check(&path, &["-D"]);
        let indexed = with(&path, |files| of_reader(&files));
        assert_equal(&indexed, &found, &format!("{} with an index", options.join(" ")));
        assert!(
            image::debugfs(&path, &["htree_dump /large"]).contains("Root node dump"),
            "there is no index"
        );
    }
}

#[test]
fn unwritten_extents_are_holes() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    image::make(&path, 16, &["-t", "ext4"], None);
    let content = temporary.path().join("content");
    std::fs::write(&content, [7; 4096]).unwrap();
    let write = format!("write {} file", content.display());
    image::debugfs(&path, &[&write, "fallocate file 3 20", "sif file size 200000"]);
    with(&path, |files| {
        let file = files.lookup(files.root(), b"file").unwrap().unwrap().node;
        let ranges =
            [files.range_at(file, 0), files.range_at(file, 4096)].map(|range| range.unwrap().unwrap());
        assert!(!ranges[0].is_hole && ranges[0].len == 4096, "{ranges:?}");
        assert!(ranges[1].is_hole && ranges[1].len == 200_000 - 4096, "{ranges:?}");
        let mut bytes = vec![1; 200_000];
        assert_eq!(files.read(file, 0, &mut bytes).unwrap(), 200_000);
        assert!(bytes[..4096].iter().all(|byte| *byte == 7) && bytes[4096..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn times_from_1901_to_2446_and_huge_sizes_are_read() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    image::make(&path, 16, &["-t", "ext4", "-b", "4096"], None);
    let empty = temporary.path().join("empty");
    File::create(&empty).unwrap();
    let write = format!("write {} file", empty.display());
    image::debugfs(
        &path,
        &[
            &write,
            "sif file mtime 0x80000000",
            &format!("sif file mtime_extra {}", 123_456_789u32 << 2 | 3),
            "sif file size 17592186044415",
        ],
    );
    with(&path, |files| {
        let file = files.lookup(files.root(), b"file").unwrap().unwrap().node;
        let attributes = files.attributes(file).unwrap();
        let seconds = Duration::new((3 << 32) - (1 << 31), 123_456_789);
        assert_eq!(attributes.modified, Some(UNIX_EPOCH + seconds));
        assert_eq!(attributes.size, (16 << 40) - 1);
        let range = files.range_at(file, 5).unwrap().unwrap();
        assert!(range.is_hole && range.len == (16 << 40) - 6, "{range:?}");
        assert_eq!(files.read(file, (16 << 40) - 2, &mut [1; 9]).unwrap(), 1);
    });
}

#[test]
fn devices_pipes_and_sockets_are_listed() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    for options in [&["-t", "ext4"][..], &["-t", "ext2", "-O", "^filetype"]] {
        image::make(&path, 16, options, None);
        image::debugfs(&path, &["mknod pipe p", "mknod character c 1 3", "mknod block b 7 0"]);
        with(&path, |files| {
            let kind = |name: &str| files.lookup(files.root(), name.as_bytes()).unwrap().unwrap().kind;
            assert_eq!(kind("pipe"), Kind::Other("pipe"));
            assert_eq!(kind("character"), Kind::Other("character device"));
            assert_eq!(kind("block"), Kind::Other("block device"));
            assert_eq!(kind("lost+found"), Kind::Folder);
        });
    }
}

/// Sets bits in the superblock of an image without checksums.
fn set(image: &Path, offset: u64, bits: u32) {
    let file = File::options().read(true).write(true).open(image).unwrap();
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 1024 + offset).unwrap();
    let bits = u32::from_le_bytes(bytes) | bits;
    file.write_all_at(&bits.to_le_bytes(), 1024 + offset).unwrap();
}

#[test]
fn unsupported_file_systems_are_named() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    let error = |change: &dyn Fn()| {
        image::make(&path, 16, &["-t", "ext3", "-b", "4096"], None);
        change();
        let disk = vhdx::RawDisk::open(&path).unwrap();
        vhdx_contents::files::ext::Ext::open(vhdx_contents::Window::whole(&disk)).unwrap_err().to_string()
    };
    let incompatible = 0x60;
    assert!(error(&|| set(&path, incompatible, 0x1)).ends_with("unsupported features: compression"));
    assert!(error(&|| set(&path, incompatible, 0x100_0000)).ends_with("unsupported features: 0x1000000"));
    let external = error(&|| {
        image::debugfs(&path, &["ssv journal_inum 0", "ssv journal_dev 0x801"]);
        set(&path, incompatible, 0x4);
    });
    assert!(external.contains("its journal is on another disk"), "{external}");
    let without = error(&|| {
        image::debugfs(&path, &["feature ^has_journal"]);
        set(&path, incompatible, 0x4);
    });
    assert!(without.contains("has no journal"), "{without}");
}

#[test]
fn file_systems_that_may_be_incomplete_are_noted() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    let notes = |kind: &str, state: &str| {
        image::make(&path, 16, &["-t", kind], None);
        image::debugfs(&path, &[&format!("ssv state {state}")]);
        with(&path, |files| files.notes())
    };
    assert_eq!(notes("ext2", "1"), [""; 0]);
    assert_eq!(notes("ext3", "0"), [""; 0]);
    assert!(notes("ext2", "0")[0].contains("was in use and has no journal"));
    assert!(notes("ext4", "3")[0].contains("found errors"));
}

#[test]
fn encrypted_files_are_refused_and_others_are_read() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    image::make(&path, 16, &["-t", "ext4", "-O", "encrypt"], None);
    let content = temporary.path().join("content");
    std::fs::write(&content, "content").unwrap();
    let write = |name: &str| format!("write {} {name}", content.display());
    image::debugfs(
        &path,
        &[
            &write("plain"),
            &write("secret"),
            "sif secret flags 0x80800",
            "mkdir folder",
            "sif folder flags 0x80800",
        ],
    );
    with(&path, |files| {
        let node = |name: &str| files.lookup(files.root(), name.as_bytes()).unwrap().unwrap().node;
        let error = files.read(node("secret"), 0, &mut [0; 9]).unwrap_err().to_string();
        assert!(error.contains("is encrypted by the file system"), "{error}");
        assert!(files.list(node("folder"), &mut |_| unreachable!()).is_err());
        assert_eq!(files.attributes(node("secret")).unwrap().size, 7);
        assert_eq!(files.read(node("plain"), 0, &mut [0; 9]).unwrap(), 7);
    });
}
