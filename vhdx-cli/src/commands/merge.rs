//! `vhdx merge`: merges a checkpoint in place, or with all its parents into a new disk.

mod in_place;
mod left_over;
mod output;
mod space;

use vhdx::ops::MergeOptions;

use crate::args::{Args, Merge};
use crate::exit::{Outcome, Usage};

pub(super) fn run(args: &Args, merge: &Merge) -> anyhow::Result<Outcome> {
    if let Some(new) = &merge.output {
        return output::run(args, merge, new);
    }
    if merge.share.force_share {
        return Err(Usage("--force-share is for a merge that only reads: add --output".to_owned()).into());
    }
    if merge.writing.force || merge.new.disk_type.is_some() {
        return Err(Usage("--force and --type are for a new disk: add --output".to_owned()).into());
    }
    in_place::run(args, merge)
}

/// Returns the options of a merge in place.
fn options(merge: &Merge) -> MergeOptions {
    MergeOptions {
        ignore_undetermined: merge.ignore_undetermined,
        delete_merged: merge.delete_merged,
        shrink_target: merge.shrink_target,
        ignore_space: merge.writing.no_space_check,
        ..MergeOptions::default()
    }
}
