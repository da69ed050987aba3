//! `vhdx merge`: a checkpoint and its parents as one new standalone disk.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::ops::{Converted, Dropped, DroppedPart, MergeOptions, MergePlan};
use vhdx::{Chain, Disk, NewFile};

use super::destination;
use crate::args::{Args, Format, Merge};
use crate::exit::{Outcome, Usage};
use crate::output::{self, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(args: &Args, merge: &Merge) -> anyhow::Result<Outcome> {
    if Format::of_name(&merge.output) != Some(Format::Vhdx) {
        return Err(Usage("merge makes a VHDX: --output must end in .vhdx or .avhdx".to_owned()).into());
    }
    let chain = Chain::open(&merge.child, &merge.parents.resolver())?;
    destination::judge(&merge.output, &merge.writing, chain.identities())?;
    let plan = MergePlan::new(&chain, &MergeOptions { disk_type: merge.new.disk_type() })?;
    destination::judge_space(&merge.output, plan.bytes_to_copy)?;
    let made = match merge.writing.dry_run {
        true => {
            Converted { bytes_copied: plan.bytes_to_copy, blocks: plan.blocks, file_size: plan.file_size }
        }
        false => execute(args, merge, &chain, &plan)?,
    };
    let report = Report { merge, plan: &plan, made };
    output::answer(args, || report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

fn execute(args: &Args, merge: &Merge, chain: &Chain, plan: &MergePlan) -> anyhow::Result<Converted> {
    let progress = Bar::tidying_up(args.quiet)?;
    let file = NewFile::create(&merge.output, merge.writing.force)?;
    let made = plan.execute(chain, &file, &progress).map_err(|error| error.in_file(&merge.output))?;
    file.commit()?;
    Ok(made)
}

struct Report<'a> {
    merge: &'a Merge,
    plan: &'a MergePlan,
    /// In a dry run: the most that it can be.
    made: Converted,
}

impl Report<'_> {
    fn json(&self) -> Value {
        json!({
            "dry_run": self.merge.writing.dry_run,
            "merged": self.merged().collect::<Vec<_>>(),
            "into": output::path(&self.merge.output),
            "type": self.plan.disk.disk_type.name(),
            "virtual_size": self.plan.disk.virtual_size,
            "block_size": self.plan.disk.block_size,
            "bytes_copied": self.made.bytes_copied,
            "blocks": self.made.blocks,
            "file_size": self.made.file_size,
            "dropped": self.plan.dropped.iter().map(|dropped| self.dropped_json(dropped)).collect::<Vec<_>>(),
            "stale": stale_side_files(&self.merge.output).iter().map(|path| output::path(path)).collect::<Vec<_>>(),
            "relinked": [],
            "deleted": [],
        })
    }

    fn merged(&self) -> impl Iterator<Item = Value> {
        (0..self.plan.layers.len()).map(|layer| output::path(self.path_of(layer)))
    }

    fn path_of(&self, layer: usize) -> &Path {
        self.plan.layers.get(layer).and_then(|layer| layer.path.as_deref()).unwrap_or(&self.merge.child)
    }

    fn dropped_json(&self, dropped: &Dropped) -> Value {
        let (part, id) = part_of(dropped);
        json!({ "path": output::path(self.path_of(dropped.layer)), "part": part, "id": id })
    }

    fn text(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let (disk, new) = (&self.plan.disk, shown(&self.merge.output));
        let (made, most) = if self.merge.writing.dry_run { ("would make", "at most ") } else { ("made", "") };
        writeln!(out, "{made} {new}: {} vhdx, a disk of {}", disk.disk_type, both(disk.virtual_size))?;
        for (position, layer) in (1..).zip(0..self.plan.layers.len()) {
            writeln!(out, "  from {position}. {}", shown(self.path_of(layer)))?;
        }
        let Converted { bytes_copied, blocks, file_size } = self.made;
        writeln!(
            out,
            "bytes copied: {most}{}, blocks: {most}{blocks}, file size: {most}{}",
            both(bytes_copied),
            both(file_size)
        )?;
        for dropped in &self.plan.dropped {
            let (part, id) = part_of(dropped);
            writeln!(out, "not taken over: {part} {id} of {}", shown(self.path_of(dropped.layer)))?;
        }
        for path in stale_side_files(&self.merge.output) {
            writeln!(
                out,
                "stale: {} belongs to Hyper-V's change tracking of an older disk of that name: wrong beside this one",
                shown(&path)
            )?;
        }
        if !self.merge.writing.dry_run {
            writeln!(
                out,
                "The merged files were not touched. Next: point the virtual machine's disk at {new}, and keep"
            )?;
            writeln!(
                out,
                "the old files until it has started from it. Their .rct and .mrt files, if any, belong to"
            )?;
            writeln!(
                out,
                "Hyper-V's change tracking of the disks of those names: give none of them the new name."
            )?;
        }
        Ok(())
    }
}

fn part_of(dropped: &Dropped) -> (&'static str, String) {
    match dropped.part {
        DroppedPart::Region(id) => ("region", id.to_string()),
        DroppedPart::MetadataItem { id, is_user: true } => ("user metadata item", id.to_string()),
        DroppedPart::MetadataItem { id, is_user: false } => ("metadata item", id.to_string()),
    }
}

/// Change tracking files that an earlier disk left beside the new file's name.
fn stale_side_files(new: &Path) -> Vec<PathBuf> {
    let beside = |extension: &str| {
        let mut name = OsString::from(new);
        name.push(extension);
        PathBuf::from(name)
    };
    [".rct", ".mrt"].into_iter().map(beside).filter(|path| path.exists()).collect()
}
