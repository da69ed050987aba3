//! `vhdx merge --since`: writes everything that changed since an ancestor into one new differencing disk.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{IncrementPlan, IncrementReport};
use vhdx::{Disk, NewFile};

use crate::args::{Format, Merge};
use crate::commands::destination::{self, Space};
use crate::commands::not_copied::NotCopied;
use crate::commands::points::Points;
use crate::commands::reading::Reading;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

/// Makes the new file at the path `file`, as a child of `old`.
pub(super) fn run(output: Output, merge: &Merge, old: &Path, file: &Path) -> Result<Outcome, Failure> {
    if Format::of_name(file) != Some(Format::Vhdx) {
        return Err(Failure::usage("merge makes a VHDX: --output must end in .vhdx or .avhdx"));
    }
    let mut reading = Reading::new(output, &merge.parents.parent_dir).on_writer(merge.share.on_writer());
    let points = Points::open(&mut reading, old, &merge.child, &merge.parents)?;
    points.validate(&mut reading)?;
    let sources = [points.new.identities(), points.old.identities()].concat();
    destination::check(file, &merge.writing, sources)?;
    reading.ensure_complete(&merge.child, points.new.leaf())?;
    reading.ensure_may_have_children(old, &points.old)?;
    let progress = Bar::tidying_up(output, "stopping; no new file is left behind")?;
    let plan = IncrementPlan::new(&points.old, &points.new, file, &progress)?;
    let space = Space::of(Some(plan.disk().disk_type), plan.bytes_to_copy(), plan.file_size());
    destination::ensure_space(file, &merge.writing, space)?;
    let made = match merge.writing.dry_run {
        true => IncrementReport {
            bytes_copied: plan.bytes_to_copy(),
            blocks: plan.blocks(),
            file_size: plan.file_size(),
        },
        false => execute(merge, file, &points, &plan, &progress)?,
    };
    drop(progress);
    let left = NotCopied::of(&points.new, plan.dropped(), file);
    let report = Report { merge, old, file, plan: &plan, made, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

fn execute(
    merge: &Merge,
    path: &Path,
    points: &Points,
    plan: &IncrementPlan,
    progress: &Bar,
) -> Result<IncrementReport, Failure> {
    let file = NewFile::create(path, merge.writing.if_exists())?;
    let made = plan.execute(&points.old, &points.new, &file, merge.threads.jobs(), progress);
    let made = made.map_err(|error| error.in_file(path))?;
    file.commit()?;
    Ok(made)
}

struct Report<'a> {
    merge: &'a Merge,
    old: &'a Path,
    file: &'a Path,
    plan: &'a IncrementPlan,
    /// In a dry run: upper bounds.
    made: IncrementReport,
    left: NotCopied<'a>,
}

impl Report<'_> {
    fn json(&self) -> Value {
        let merged: Value = self.plan.merged().iter().map(|layer| output::path(&layer.path)).collect();
        json!({
            "dry_run": self.merge.writing.dry_run,
            "merged": merged,
            "into": output::path(self.file),
            "since": output::path(self.old),
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

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (disk, file, old) = (self.plan.disk(), shown(self.file), shown(self.old));
        let (made, most) = if self.merge.writing.dry_run { ("would make", "at most ") } else { ("made", "") };
        writeln!(
            out,
            "{made} {file}: {} vhdx, a child of {old}, a disk of {}",
            disk.disk_type,
            both(disk.virtual_size)
        )?;
        for (position, layer) in (1..).zip(self.plan.merged()) {
            writeln!(out, "  from {position}. {}", shown(&layer.path))?;
        }
        let IncrementReport { bytes_copied, blocks, file_size } = self.made;
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
                "{file} with its parent {old} reads as {}. The existing files were not changed.",
                shown(&self.merge.child)
            )?;
            writeln!(
                out,
                "Do not start a virtual machine from {old}: that changes it and makes {file} unusable."
            )?;
        }
        Ok(())
    }
}
