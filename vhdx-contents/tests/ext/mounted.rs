//! File systems that the kernel has written equal what the kernel shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use vhdx_testkit::shared;

use super::image::{self, with};
use super::source;
use super::view::{assert_equal, of_host, of_reader};

/// A mounted image. It is unmounted in the end, which also frees its loop device.
pub(crate) struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Mounts an image at a new folder beside it.
    pub(crate) fn new(image: &Path, options: &str) -> Option<Self> {
        let folder = image.with_extension("mount");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
        }
        let options = format!("loop,{options}");
        let output =
            Command::new("mount").args(["-t", "ext4", "-o", &options]).arg(image).arg(&folder).output();
        match output {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => shared::skip(&format!(
                "an image cannot be mounted ({options}): {}",
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => shared::skip(&format!("mount cannot be run: {error}")),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A program that another test is just starting may have the files of this one open for a moment.
        for _ in 0..100 {
            let output = Command::new("umount").arg(&self.folder).output();
            if output.is_ok_and(|output| output.status.success()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        assert!(thread::panicking(), "an image stays mounted");
    }
}

/// Makes an image, lets the kernel write to it, and compares the reader with the kernel.
fn assert_equals_kernel(options: &[&str], mount_options: &str, write: impl FnOnce(&Path)) -> Option<()> {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("image");
    image::make(&path, 128, options, None);
    write(Mount::new(&path, mount_options)?.folder());
    let mount = Mount::new(&path, "ro")?;
    let found = with(&path, |files| of_reader(&files));
    assert_equal(&found, &of_host(mount.folder()), &options.join(" "));
    Some(())
}

fn write_all(folder: &Path) {
    source::fill(folder);
    source::fill_sparse(&folder.join("sparse"));
}

#[test]
fn files_of_the_kernel_have_their_nanoseconds_and_holes() {
    let Some(()) = image::tools() else { return };
    let variants: [(&[&str], &str); 5] = [
        (&["-t", "ext4", "-O", "inline_data"], "defaults"),
        (&["-t", "ext4", "-O", "bigalloc"], "defaults"),
        (&["-t", "ext3", "-b", "1024", "-I", "256"], "defaults"),
        (&["-t", "ext2", "-b", "1024", "-I", "128"], "defaults"),
        (&["-t", "ext4", "-b", "1024", "-O", "inline_data,^metadata_csum", "-I", "512"], "nodelalloc"),
    ];
    for (options, mount_options) in variants {
        let Some(()) = assert_equals_kernel(options, mount_options, write_all) else { return };
    }
}

#[test]
fn a_folder_with_deep_index_is_complete() {
    let Some(()) = image::tools() else { return };
    let options = ["-t", "ext4", "-b", "1024", "-N", "20000"];
    let write = |folder: &Path| source::fill_large_folder(&folder.join("large"), 12_000);
    assert_equals_kernel(&options, "defaults", write);
}
