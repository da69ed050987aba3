//! `vhdx merge`: merges a checkpoint in place, or a whole chain into a new disk.

mod in_place;
mod increment;
mod left_over;
mod new_disk;
mod refused;
mod space;
mod undeleted;

use crate::args::Merge;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

pub(super) fn run(output: Output, merge: &Merge) -> Result<Outcome, Failure> {
    match (&merge.output, &merge.since) {
        (Some(new), Some(old)) => return increment::run(output, merge, old, new),
        (Some(new), None) => return new_disk::run(output, merge, new),
        // The arguments are refused before. A merge in place instead would change files.
        (None, Some(_)) => return Err(Failure::usage("--since needs --output NEW.avhdx")),
        (None, None) => {}
    }
    if merge.share.force_share {
        return Err(Failure::usage(
            "--force-share cannot be used for a merge in place, which changes files: leave it out, or make a new file with \
             --output NEW.vhdx",
        ));
    }
    if merge.writing.force || merge.new.disk_type.is_some() {
        return Err(Failure::usage(
            "--force and --type are only for a new file: leave them out, or make one with --output NEW.vhdx",
        ));
    }
    in_place::run(output, merge)
}
