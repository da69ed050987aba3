//! `vhdx compare`: whether two disks read the same.

use serde_json::json;
use vhdx::ops::compare;
use vhdx::{DiskOffset, FolderResolver};

use super::half_merged;
use super::source::{self, Opened};
use crate::args::{Args, Compare};
use crate::exit::Outcome;
use crate::output;
use crate::progress::Bar;

pub(super) fn run(args: &Args, ask: &Compare) -> anyhow::Result<Outcome> {
    let resolver = ask.parents.resolver();
    let a = source::open(args, &ask.a, ("--a-from", ask.a_from), &resolver)?;
    let of_b = FolderResolver { named: Vec::new(), ..resolver };
    let b = source::open(args, &ask.b, ("--b-from", ask.b_from), &of_b)?;
    // --parent-dir may be meant for B.
    if matches!(b, Opened::Raw(_)) || !ask.parents.parent.is_empty() {
        source::refuse_parents_of_raw(&a, &ask.parents)?;
    }
    let folders = &ask.parents.parent_dir;
    half_merged::warn_of_source(args, &ask.a, &a, folders)?;
    half_merged::warn_of_source(args, &ask.b, &b, folders)?;
    let found = compare(a.disk(), b.disk(), &Bar::new(args.quiet))?;
    let [size_a, size_b] = found.virtual_sizes;
    let json = || {
        json!({
            "equal": found.equal,
            "first_difference": found.first_difference.map(DiskOffset::get),
            "virtual_sizes": found.virtual_sizes,
        })
    };
    output::answer(args, json, |out| {
        if size_a != size_b {
            writeln!(
                out,
                "the sizes differ: {size_a} and {size_b} bytes; the shorter disk counts as zeros at its end"
            )?;
        }
        match found.first_difference {
            None => writeln!(out, "both disks read the same")?,
            Some(offset) => writeln!(out, "the disks differ, first at byte {} ({offset})", offset.get())?,
        }
        Ok(())
    })?;
    Ok(if found.equal { Outcome::Done } else { Outcome::Found })
}
