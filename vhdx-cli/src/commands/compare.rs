//! `vhdx compare`: compares the content of two disks.

use serde_json::json;
use vhdx::ops::compare;
use vhdx::{DiskOffset, FolderResolver};

use super::reading::Reading;
use super::source::{self, Opened};
use crate::args::Compare;
use crate::disks::Resolver;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Bar;

pub(super) fn run(output: Output, ask: &Compare) -> Result<Outcome, Failure> {
    let resolver = ask.parents.resolver_of(&ask.a);
    let mut reading = Reading::new(output, &ask.parents.parent_dir).on_writer(ask.share.on_writer());
    let a = reading.open_disk(&ask.a, ("--a-from", ask.a_from), &resolver)?;
    let of_b = Resolver::new(&ask.b, FolderResolver { named: Vec::new(), ..ask.parents.resolver() });
    let b = reading.open_disk(&ask.b, ("--b-from", ask.b_from), &of_b)?;
    // --parent-dir may be meant for B.
    if matches!(b, Opened::Raw(_)) || !ask.parents.parent.is_empty() {
        source::ensure_no_parents_of_raw(&a, &ask.parents)?;
    }
    let found = compare(a.disk(), b.disk(), ask.threads.jobs(), &Bar::new(output.quiet))?;
    let [size_a, size_b] = found.virtual_sizes;
    let json = || {
        json!({
            "equal": found.equal,
            "first_difference": found.first_difference.map(DiskOffset::get),
            "virtual_sizes": found.virtual_sizes,
        })
    };
    reading.answer(json, |out| {
        if size_a != size_b {
            writeln!(
                out,
                "the sizes differ: {size_a} and {size_b} bytes; the shorter disk counts as zeros past its end"
            )?;
        }
        match found.first_difference {
            None => writeln!(out, "both disks read the same"),
            Some(offset) => writeln!(out, "the disks differ, first at byte {} ({offset})", offset.get()),
        }
    })?;
    Ok(if found.equal { Outcome::Done } else { Outcome::Found })
}
