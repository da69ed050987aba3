//! Reports the merged files that a complete merge could not delete.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::Undeleted;

use crate::exit::{Failure, Outcome};
use crate::output::{self, shown};

/// Returns a failure if a complete merge could not delete some of the merged files.
///
/// The target is `None` if it was not found.
pub(super) fn ensure_all_deleted(undeleted: &[Undeleted], target: Option<&Path>) -> Result<Outcome, Failure> {
    let Some(first) = undeleted.first() else { return Ok(Outcome::Done) };
    let paths: Vec<String> = undeleted.iter().map(|file| shown(&file.path)).collect();
    let into = target.map(|target| format!(" into {}", shown(target))).unwrap_or_default();
    let target = target.map_or("the merge target".to_owned(), shown);
    let message = format!(
        "the merge{into} is complete, but merged files could not be deleted: {}. When no program and no virtual \
         machine uses them, delete only these files by hand, newest first: {}. Do not delete {target}",
        first.error.without_path(),
        paths.join(", ")
    );
    Err(Failure::not_deleted(&first.path, message))
}

pub(super) fn json(undeleted: &[Undeleted]) -> Value {
    let file_json = |file: &Undeleted| json!({ "path": output::path(&file.path), "message": file.error.without_path().to_string() });
    undeleted.iter().map(file_json).collect()
}

pub(super) fn text(undeleted: &[Undeleted], out: &mut dyn Write) -> io::Result<()> {
    for file in undeleted {
        let reason = file.error.without_path().to_string();
        writeln!(out, "not deleted: {}: {}", shown(&file.path), output::harmless(&reason))?;
    }
    Ok(())
}
