//! `vhdx create`: makes a new disk, or a new child of a disk.

use std::io::{self, Write};

use serde_json::{Value, json};
use vhdx::ops::{self, ChildOptions, NewChild};
use vhdx::{
    Chain, Disk, DiskType, FileIdentity, FolderResolver, IfExists, InvalidArgument, NewDisk, NewFile,
    ParentLocator, Vhdx,
};

use super::destination::{self, Space};
use super::info::{self, Facts};
use super::not_copied::NotCopied;
use super::reading::Reading;
use crate::args::{Create, Format};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, create: &Create) -> Result<Outcome, Failure> {
    if Format::of_name(&create.file) != Some(Format::Vhdx) {
        return Err(Failure::usage("create makes a VHDX: its name must end in .vhdx or .avhdx"));
    }
    // If the file cannot exist at this place, that is the error to report, not one about its path to the parent.
    NewFile::ensure_can_create(&create.file, IfExists::Replace)?;
    let mut reading = Reading::new(output, &create.parent_dir);
    let Plan { new, sources } = plan(output, &mut reading, create)?;
    destination::check(&create.file, &create.writing, sources)?;
    let disk = new.disk();
    let least = disk.file_size(0)?;
    if disk.disk_type == DiskType::Fixed {
        destination::ensure_space(&create.file, &create.writing, Space::Reserved(least))?;
    }
    let left = NotCopied::beside(&create.file);
    if create.writing.dry_run {
        let report = DryRun { create, disk, file_size: least, left };
        reading.answer(|| report.json(), |out| report.text(out))?;
        return Ok(Outcome::Done);
    }
    make(output, create, disk)?;
    drop(new);
    let made = Vhdx::open(&create.file)?;
    let facts = Facts::of(&create.file, &made, false)?;
    let json = || {
        let mut json = facts.json(&create.file, &made);
        json["dry_run"] = false.into();
        json["stale"] = left.stale_json();
        json
    };
    reading.answer(json, |out| {
        facts.text(&create.file, &made, out)?;
        left.text(out)?;
        what_next(create, out)
    })?;
    Ok(Outcome::Done)
}

struct Plan {
    new: New,
    /// The files that are read to make it.
    sources: Vec<FileIdentity>,
}

/// The disk to make. A `Child` locks its parent against writers as long as it exists.
enum New {
    Disk(NewDisk),
    Child(NewChild),
}

impl New {
    fn disk(&self) -> &NewDisk {
        match self {
            New::Disk(disk) => disk,
            New::Child(child) => &child.disk,
        }
    }
}

fn plan(output: Output, reading: &mut Reading<'_>, create: &Create) -> Result<Plan, Failure> {
    if let Some(parent) = &create.parent {
        let resolver = FolderResolver { folders: create.parent_dir.clone(), ..FolderResolver::default() };
        let chain = Chain::open(parent, &resolver).map_err(Failure::parent_does_not_open)?;
        reading.ensure_may_have_children(parent, &chain)?;
        let options = ChildOptions { virtual_size: create.size, block_size: create.block_size };
        let child = ops::new_child(&chain, &create.file, &options)?;
        if child.disk.virtual_size < chain.virtual_size() {
            output.warning(&format!(
                "this child is smaller than its parent ({} instead of {} bytes): data of the parent past its end is \
                 not visible, and a merge of the child into its parent is refused if it would lose such data",
                child.disk.virtual_size,
                chain.virtual_size()
            ));
        }
        return Ok(Plan { new: New::Child(child), sources: chain.identities() });
    }
    let small =
        |size: u64, refusal: fn(u64) -> InvalidArgument| u32::try_from(size).map_err(|_| refusal(size));
    let mut disk = NewDisk::new(create.size.unwrap_or_default());
    disk.disk_type = create.new.disk_type();
    if let Some(size) = create.block_size {
        disk.block_size = small(size, InvalidArgument::BlockSize).map_err(vhdx::Error::from)?;
    }
    if let Some(size) = create.logical_sector_size {
        disk.logical_sector_size = small(size, InvalidArgument::SectorSize).map_err(vhdx::Error::from)?;
    }
    if let Some(size) = create.physical_sector_size {
        disk.physical_sector_size = small(size, InvalidArgument::SectorSize).map_err(vhdx::Error::from)?;
    }
    Ok(Plan { new: New::Disk(disk), sources: Vec::new() })
}

fn make(output: Output, create: &Create, disk: &NewDisk) -> Result<(), Failure> {
    let progress = Bar::tidying_up(output, "stopping; no new file is left behind")?;
    let file = NewFile::create(&create.file, create.writing.if_exists())?;
    ops::create(disk, &file, &progress).map_err(|error| error.in_file(&create.file))?;
    file.commit()?;
    Ok(())
}

fn what_next(create: &Create, out: &mut dyn Write) -> io::Result<()> {
    if let Some(parent) = &create.parent {
        let (child, parent) = (shown(&create.file), shown(parent));
        writeln!(out, "Next: use {child} instead of {parent}.")?;
        writeln!(
            out,
            "Do not start a virtual machine from {parent}: that changes it and makes {child} unusable."
        )?;
    }
    Ok(())
}

struct DryRun<'a> {
    create: &'a Create,
    disk: &'a NewDisk,
    file_size: u64,
    left: NotCopied<'a>,
}

impl DryRun<'_> {
    /// The JSON keys of `info`, null where the value is known only after the file is made.
    fn json(&self) -> Value {
        let disk = self.disk;
        let is_child = disk.disk_type == DiskType::Differencing;
        json!({
            "path": output::path(&self.create.file),
            "type": disk.disk_type.name(),
            "virtual_size": disk.virtual_size,
            "file_size": self.file_size,
            "allocated": null,
            "block_size": disk.block_size,
            "logical_sector_size": disk.logical_sector_size,
            "physical_sector_size": disk.physical_sector_size,
            "virtual_disk_id": is_child.then(|| disk.virtual_disk_id.to_string()),
            "file_write_guid": null,
            "data_write_guid": null,
            "creator": null,
            "log": { "state": "clean", "entries": 0 },
            "parent": self.locator().map(info::parent_json),
            "dry_run": true,
            "stale": self.left.stale_json(),
        })
    }

    fn locator(&self) -> Option<&ParentLocator> {
        self.disk.parent_locator.as_ref()
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let disk = self.disk;
        let (file, size) = (shown(&self.create.file), both(disk.virtual_size));
        writeln!(out, "would make {file}: {} vhdx, a disk of {size}", disk.disk_type)?;
        let mut rows = vec![
            ("file size", both(self.file_size)),
            ("block size", both(disk.block_size.into())),
            (
                "sector sizes",
                format!("{} logical, {} physical", disk.logical_sector_size, disk.physical_sector_size),
            ),
        ];
        rows.extend(self.locator().map(info::parent_rows).unwrap_or_default());
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![format!("{name}:"), value]).collect();
        output::table(out, &[false, false], &rows)?;
        self.left.text(out)
    }
}
