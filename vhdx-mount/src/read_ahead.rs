//! Makes the kernel read ahead further than the 128 KiB that it allows a FUSE file system to ask for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How far the kernel reads ahead, in KiB.
const READ_AHEAD_KIB: u32 = 1024;

/// Sets how far the kernel reads ahead below a mountpoint. Only root may; for others nothing changes.
///
/// The mountpoint must already be served: its attributes are read.
pub(crate) fn enlarge(mountpoint: &Path) {
    let Ok(metadata) = fs::metadata(mountpoint) else { return };
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    // It is only faster. Nothing is wrong if it fails.
    let _ = fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), READ_AHEAD_KIB.to_string());
}
