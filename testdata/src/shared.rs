//! Things that some tests need and a checkout does not have: the collection in `../shared`, and programs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A part of the collection beside the checkout, or `None`, loudly: with `VHDX_REQUIRE_SHARED=1` that is a failure.
pub fn folder(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(part);
    if path.exists() { Some(path) } else { skip(&format!("there is no {}", path.display())) }
}

/// Whether a program can be run at all; as [`folder`] when not.
pub fn program(name: &str) -> Option<()> {
    match Command::new(name).arg("--version").output() {
        Ok(_) => Some(()),
        Err(error) => skip(&format!("{name} cannot be run: {error}")),
    }
}

/// LayerCoverage loudly that a test is skipped; as [`folder`].
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("VHDX_REQUIRE_SHARED").is_none_or(|value| value != "1"), "{why}");
    say_skipped(why);
    None
}

/// LayerCoverage loudly that a test is skipped, and may be: past the macros, whose output is kept back where a test passes.
pub fn say_skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}
