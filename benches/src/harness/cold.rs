//! Empties the page cache, so that the next process reads from the device.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Returns an error unless this process may empty the page cache.
pub(crate) fn ensure_permitted() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "--cold empties the page cache, which only root may do");
    Ok(())
}

/// Syncs all files, and empties the page cache. Then starts each program once, so that its own files are cached.
pub(crate) fn empty_cache<'a>(programs: impl Iterator<Item = &'a Path>) -> Result<()> {
    rustix::fs::sync();
    fs::write(DROP_CACHES, "3").context(DROP_CACHES)?;
    for program in programs {
        let mut start = Command::new(program);
        // Programs without that option fail after they are loaded, which is enough.
        start.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        start.status().with_context(|| format!("cannot start {}", program.display()))?;
    }
    Ok(())
}
