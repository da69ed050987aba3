//! exFAT, made by `mkfs.exfat` and filled by the FUSE program.

use std::time::Duration;

use vhdx_testkit::Random;

use crate::image::Image;
use crate::{originals, walk};

#[test]
fn files_are_read() {
    for (cluster, count) in [("4K", 6_000), ("512", 300), ("128K", 500)] {
        let Some(image) = Image::new(200 << 20, &["mkfs.exfat", "-c", cluster]) else { return };
        let filled = image.fill_device(&["mount.exfat-fuse"], |folder| {
            originals::make(folder, count, &mut Random::new(8));
        });
        if filled.is_none() {
            return;
        }
        walk::open(&image.path(), |fs| {
            let found = walk::all(fs);
            image.fill_device(&["mount.exfat-fuse", "-o", "ro"], |folder| {
                originals::assert_same(folder, &found, Duration::ZERO);
            });
            assert!(fs.lookup(fs.root(), b"LARGE").unwrap().is_some());
        });
    }
}
