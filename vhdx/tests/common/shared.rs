//! Where `../shared` is, and what happens when it is not.

use std::path::PathBuf;
use std::process::Command;

/// The folder of things beside the project, or `None`, loudly: with `VHDX_REQUIRE_SHARED=1` that is a failure.
pub(crate) fn folder(part: &str) -> Option<PathBuf> {
    let path = super::project().join("../shared").join(part);
    if path.exists() { Some(path) } else { skip(&format!("there is no {}", path.display())) }
}

/// Whether a program can be run at all; as [`folder`] when not.
pub(crate) fn program(name: &str) -> Option<()> {
    match Command::new(name).arg("--version").output() {
        Ok(_) => Some(()),
        Err(error) => skip(&format!("{name} cannot be run: {error}")),
    }
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("VHDX_REQUIRE_SHARED").is_none_or(|value| value != "1"), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}
