//! Finds what some tests need and a checkout does not contain: the collection in `../shared`, and programs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a part of the collection beside the checkout. If it is missing, calls [`skip`].
pub fn folder(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(part);
    if path.exists() { Some(path) } else { skip(&format!("there is no {}", path.display())) }
}

/// Returns `Some` if a program can be run. If it cannot, calls [`skip`].
pub fn program(name: &str) -> Option<()> {
    match Command::new(name).arg("--version").output() {
        Ok(_) => Some(()),
        Err(error) => skip(&format!("{name} cannot be run: {error}")),
    }
}

/// Reports that a test is skipped, and returns `None`.
///
/// # Panics
/// If the environment has `VHDX_REQUIRE_SHARED=1`.
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("VHDX_REQUIRE_SHARED").is_none_or(|value| value != "1"), "{why}");
    say_skipped(why);
    None
}

/// Reports on stderr that a test is skipped, even with `VHDX_REQUIRE_SHARED=1`.
///
/// It does not use the print macros, because their output is hidden when a test passes.
pub fn say_skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}
