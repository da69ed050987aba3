//! `vhdx merge`: merges a checkpoint in place, or with all its parents into a new disk.

mod in_place;
mod left_over;
mod new_disk;
mod relatives;
mod space;
mod undeleted;

use crate::args::Merge;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

pub(super) fn run(output: Output, merge: &Merge) -> Result<Outcome, Failure> {
    if let Some(new) = &merge.output {
        return new_disk::run(output, merge, new);
    }
    if merge.share.force_share {
        return Err(Failure::usage("--force-share is for a merge that only reads: add --output"));
    }
    if merge.writing.force || merge.new.disk_type.is_some() {
        return Err(Failure::usage("--force and --type are for a new disk: add --output"));
    }
    in_place::run(output, merge)
}
