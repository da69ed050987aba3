//! `vhdx merge --output`: merges a checkpoint and all its parents into one new standalone disk.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{ConvertReport, FlattenOptions, FlattenPlan};
use vhdx::{Chain, Disk, NewFile};

use crate::args::{Format, Merge};
use crate::commands::destination::{self, Space};
use crate::commands::not_copied::NotCopied;
use crate::commands::reading::Reading;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

/// Makes the new disk at the path `new`.
pub(super) fn run(output: Output, merge: &Merge, new: &Path) -> Result<Outcome, Failure> {
    if Format::of_name(new) != Some(Format::Vhdx) {
        return Err(Failure::usage("merge makes a VHDX: --output must end in .vhdx or .avhdx"));
    }
    let mut reading = Reading::new(output, &merge.parents.parent_dir).on_writer(merge.share.on_writer());
    let chain = reading.open_chain(&merge.child, &merge.parents.resolver_of(&merge.child))?;
    destination::check(new, &merge.writing, chain.identities())?;
    reading.ensure_complete(&merge.child, chain.leaf())?;
    let plan = FlattenPlan::new(&chain, &FlattenOptions { disk_type: merge.new.disk_type() })?;
    let space = Space::of(Some(plan.disk().disk_type), plan.bytes_to_copy(), plan.file_size());
    destination::ensure_space(new, &merge.writing, space)?;
    let made = match merge.writing.dry_run {
        true => ConvertReport {
            bytes_copied: plan.bytes_to_copy(),
            blocks: plan.blocks(),
            file_size: plan.file_size(),
        },
        false => execute(output, merge, new, &chain, &plan)?,
    };
    let left = NotCopied::of(&chain, plan.dropped(), new);
    let report = Report { merge, new, plan: &plan, made, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

fn execute(
    output: Output,
    merge: &Merge,
    new: &Path,
    chain: &Chain,
    plan: &FlattenPlan,
) -> Result<ConvertReport, Failure> {
    let progress = Bar::tidying_up(output, "stopping; no new file is left behind")?;
    let file = NewFile::create(new, merge.writing.if_exists())?;
    let made =
        plan.execute(chain, &file, merge.threads.jobs(), &progress).map_err(|error| error.in_file(new))?;
    file.commit()?;
    Ok(made)
}

struct Report<'a> {
    merge: &'a Merge,
    new: &'a Path,
    plan: &'a FlattenPlan,
    /// In a dry run: upper bounds.
    made: ConvertReport,
    left: NotCopied<'a>,
}

impl Report<'_> {
    fn json(&self) -> Value {
        json!({
            "dry_run": self.merge.writing.dry_run,
            "merged": self.merged().collect::<Vec<_>>(),
            "into": output::path(self.new),
            "type": self.plan.disk().disk_type.name(),
            "virtual_size": self.plan.disk().virtual_size,
            "block_size": self.plan.disk().block_size,
            "bytes_copied": self.made.bytes_copied,
            "blocks": self.made.blocks,
            "file_size": self.made.file_size,
            "dropped": self.left.dropped_json(),
            "stale": self.left.stale_json(),
            "relinked": [],
            "deleted": [],
        })
    }

    fn merged(&self) -> impl Iterator<Item = Value> {
        (0..self.plan.layers().len()).map(|layer| output::path(self.path_of(layer)))
    }

    fn path_of(&self, layer: usize) -> &Path {
        self.plan.layers().get(layer).map_or(&self.merge.child, |layer| &layer.path)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (disk, new) = (self.plan.disk(), shown(self.new));
        let (made, most) = if self.merge.writing.dry_run { ("would make", "at most ") } else { ("made", "") };
        writeln!(out, "{made} {new}: {} vhdx, a disk of {}", disk.disk_type, both(disk.virtual_size))?;
        for (position, layer) in (1..).zip(0..self.plan.layers().len()) {
            writeln!(out, "  from {position}. {}", shown(self.path_of(layer)))?;
        }
        let ConvertReport { bytes_copied, blocks, file_size } = self.made;
        writeln!(
            out,
            "bytes copied: {most}{}, blocks: {most}{blocks}, file size: {most}{}",
            both(bytes_copied),
            both(file_size)
        )?;
        self.left.text(out)?;
        if !self.merge.writing.dry_run {
            writeln!(
                out,
                "The merged files were not touched. Next: point the virtual machine's disk at {new}."
            )?;
            writeln!(out, "Keep the old files until the virtual machine has started from the new disk.")?;
            writeln!(
                out,
                "Do not rename .rct and .mrt files of the old disks to the new name: they belong to the old disks."
            )?;
        }
        Ok(())
    }
}
