//! Small images that describe much more than they have.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use vhdx::RawDisk;
use vhdx_contents::files::ext::Ext;
use vhdx_contents::files::{self, FileSystem};
use vhdx_contents::{Result, Window};

use super::image;

/// Makes an image of 12 MiB with a folder of several blocks.
fn make(temporary: &Path, options: &[&str]) -> PathBuf {
    let source = temporary.join("source");
    fs::create_dir(&source).unwrap();
    super::source::fill_large_folder(&source.join("large"), 150);
    let path = temporary.join("image");
    image::make(&path, 12, options, Some(&source));
    path
}

/// Returns the place of a block of a file.
fn place(path: &Path, file: &str, block: u32) -> u32 {
    let said = image::debugfs(path, &[&format!("bmap {file} {block}")]);
    said.lines().find_map(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// Lists a folder, and returns how many entries it has.
fn count(files: &dyn FileSystem, name: &[u8]) -> Result<usize> {
    let folder = files.lookup(files.root(), name)?.unwrap().node;
    let mut seen = 0;
    files.list(folder, &mut |_| {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(seen)
}

#[test]
fn a_folder_that_names_a_block_twice_is_damaged() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = make(temporary.path(), &["-t", "ext2", "-b", "1024"]);
    image::with(&path, |files| assert_eq!(count(&files, b"large").unwrap(), 150));
    let first = place(&path, "/large", 1);
    image::debugfs(&path, &[&format!("sif /large block[2] {first}")]);
    let error = image::with(&path, |files| count(&files, b"large").unwrap_err().to_string());
    assert!(error.contains(&format!("its map names block {first} twice")), "{error}");
}

#[test]
fn a_journal_that_names_a_block_twice_is_damaged() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = make(temporary.path(), &["-t", "ext3", "-b", "1024"]);
    let write = format!("jw -b 9000 {}", path.with_extension("block").display());
    fs::write(path.with_extension("block"), [7; 1024]).unwrap();
    image::debugfs(&path, &["jo", &write, "jc"]);
    image::with(&path, |files| assert_eq!(count(&files, b"large").unwrap(), 150));
    let block = place(&path, "<8>", 1);
    image::debugfs(&path, &[&format!("sif <8> block[9] {block}")]);
    let disk = RawDisk::open(&path).unwrap();
    let error = Ext::open(Window::whole(&disk)).unwrap_err().to_string();
    assert!(error.contains(&format!("its map names block {block} twice")), "{error}");
}

#[test]
fn blocks_past_the_end_of_the_disk_do_not_exist() {
    let Some(()) = image::tools() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let path = make(temporary.path(), &["-t", "ext2", "-b", "1024"]);
    image::with(&path, |files| assert_eq!(files.notes(), [""; 0]));
    // One block less is missed, too.
    fs::File::options().write(true).open(&path).unwrap().set_len((12 << 20) - 512).unwrap();
    let disk = RawDisk::open(&path).unwrap();
    let files = files::open(Window::whole(&disk)).unwrap();
    assert!(files.notes()[0].contains("longer than its partition or disk"), "{:?}", files.notes());
    assert_eq!(count(files.as_ref(), b"large").unwrap(), 150);
    // The superblock promises 4 TiB, and a folder has nearly 4 GiB of it.
    image::debugfs(&path, &["ssv blocks_count 4294967295", "sif /large size 4294966272"]);
    image::with(&path, |files| {
        assert!(files.notes()[0].contains("longer than its partition or disk"), "{:?}", files.notes());
        let error = count(&files, b"large").unwrap_err().to_string();
        assert!(error.contains("invalid size 4294966272"), "{error}");
    });
}
