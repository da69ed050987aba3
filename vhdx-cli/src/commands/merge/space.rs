//! Tells what the user can do if a merge in place needs more space than is free.

use serde_json::{Value, json};
use vhdx::ops::{HostFiles, MergePlan, MergeStep};
use vhdx::{Chain, Error, Result, find_relatives};

use crate::args::Merge;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::sizes::both;

/// Returns the failure of a merge. Too little space gets a hint and the steps of a merge level by level.
pub(super) fn with_hint(output: Output, merge: &Merge, plan: &MergePlan, error: Error) -> Failure {
    if !matches!(error.without_path(), Error::NoSpace { .. }) {
        return error.into();
    }
    // The error to report is the lack of space. If the steps cannot be found, the hint just does not name them.
    let steps = steps(output, merge, plan).unwrap_or_default();
    let json: Value = steps.iter().map(step_json).collect();
    Failure::from(error).with_hint(hint(merge, &steps)).with_details([("steps", json)])
}

fn steps(output: Output, merge: &Merge, plan: &MergePlan) -> Result<Vec<MergeStep>> {
    let Some(target) = plan.layers().len().checked_sub(1) else { return Ok(Vec::new()) };
    let relatives = find_relatives(plan.folders(), &Bar::new(output.quiet))?;
    let chain = Chain::open(&merge.child, &merge.parents.resolver())?;
    MergePlan::steps_that_fit(&chain, target, &relatives, &merge.options(), &HostFiles)
}

fn step_json(step: &MergeStep) -> Value {
    json!({
        "path": output::path(&step.child),
        "into": output::path(&step.into),
        "bytes_needed": step.bytes_needed,
    })
}

fn hint(merge: &Merge, steps: &[MergeStep]) -> String {
    let check = "`--no-space-check` starts anyway: use it if the content is sparse and takes less. If the space runs \
                 out, the merge stops, the merged disk reads as before, and the same command completes the merge";
    match steps {
        [first, .., last] => format!(
            "free space on the file system of that file, or merge level by level, which needs less space at a time. \
             Each step deletes its merged file. The first step is {}, which needs up to {}. Then merge each parent in \
             the same way, without any `--parent` that is merged already. The last of the {steps} merges has {} as its \
             target. {check}",
            first_command(merge, first),
            both(first.bytes_needed),
            output::shown(&last.into),
            steps = steps.len(),
        ),
        _ => format!("free space on the file system of that file. {check}"),
    }
}

/// Returns the command of the first step. It repeats the options that find the same files and that allow the merge.
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
