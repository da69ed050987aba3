//! Reports the merged files that a complete merge could not delete.

use std::io::{self, Write};

use serde_json::{Value, json};
use vhdx::ops::Undeleted;

use crate::exit::{Failure, Outcome};
use crate::output::{self, shown};

/// Returns a failure if a complete merge could not delete some of the merged files.
pub(super) fn ensure_all_deleted(undeleted: &[Undeleted]) -> Result<Outcome, Failure> {
    let Some(first) = undeleted.first() else { return Ok(Outcome::Done) };
    let paths: Vec<String> = undeleted.iter().map(|file| shown(&file.path)).collect();
    let message = format!(
        "{}; the merge is complete. Once nothing uses these files, delete only these by hand, in this order: {}. Do \
         not delete the merge target",
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
