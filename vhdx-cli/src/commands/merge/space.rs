//! What can be done where a merge in place needs more space than is free.

use serde_json::{Value, json};
use vhdx::ops::{HostFiles, MergeOptions, MergePlan, MergeStep};
use vhdx::{Chain, Error, Relatives, Result};

use crate::args::Merge;
use crate::exit::{Details, Hint, innermost};
use crate::output;
use crate::sizes::both;

/// Adds to an error about too little space what can be done about it.
pub(super) fn with_way_out(
    merge: &Merge,
    target: usize,
    relatives: &Relatives,
    options: &MergeOptions,
    error: anyhow::Error,
) -> anyhow::Error {
    let is_no_space = |error: &Error| matches!(innermost(error), Error::NoSpace { .. });
    if !error.downcast_ref().is_some_and(is_no_space) {
        return error;
    }
    // The lack of space is the failure. Another one on the way to a hint only takes the hint away.
    let steps = steps(merge, target, relatives, options).unwrap_or_default();
    let json: Value = steps.iter().map(step_json).collect();
    error.context(Hint(hint(merge, &steps).into())).context(Details(vec![("steps", json)]))
}

fn steps(
    merge: &Merge,
    target: usize,
    relatives: &Relatives,
    options: &MergeOptions,
) -> Result<Vec<MergeStep>> {
    let chain = Chain::open(&merge.child, &merge.parents.resolver())?;
    MergePlan::steps_that_fit(&chain, target, relatives, options, &HostFiles)
}

fn step_json(step: &MergeStep) -> Value {
    json!({
        "path": output::path(&step.child),
        "into": output::path(&step.into),
        "bytes_needed": step.bytes_needed,
    })
}

fn hint(merge: &Merge, steps: &[MergeStep]) -> String {
    let check = "`--no-space-check` starts anyway, which is right where the content is sparse and takes less: a merge that runs \
                 out of space stops, the merged disk reads as before, and the same command completes it";
    match steps {
        [first, .., last] => format!(
            "free space there, or merge level by level, which needs less space at a time. Each step deletes the file that it has \
             merged. The first step is {}, which needs up to {}. Then merge each parent in the same way (a `--parent` that was \
             merged is left out), until the last of {steps} merges has {} as its target. {check}",
            first_command(merge, first),
            both(first.bytes_needed),
            output::shown(&last.into),
            steps = steps.len(),
        ),
        _ => format!("free space on the file system of that file. {check}"),
    }
}

/// The first step, with the options that it needs to find the same files and to be allowed.
fn first_command(merge: &Merge, first: &MergeStep) -> String {
    let mut command = format!("vhdx merge {} --delete-merged", output::word(&first.child));
    for (option, is_given) in
        [("--shrink-target", merge.shrink_target), ("--ignore-undetermined", merge.ignore_undetermined)]
    {
        if is_given {
            command += &format!(" {option}");
        }
    }
    let folders = merge.parents.parent_dir.iter().map(|path| ("--parent-dir", path));
    for (option, path) in folders.chain(merge.parents.parent.iter().map(|path| ("--parent", path))) {
        command += &format!(" {option} {}", output::word(path));
    }
    format!("`{command}`")
}
