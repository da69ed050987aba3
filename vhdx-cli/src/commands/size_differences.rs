//! Reports children whose virtual size differs from that of their parent. This breaks no rule, but a merge changes the
//! size of the target.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::{DiscoveredDisk, Forest};

use crate::output::{self, shown};
use crate::sizes::both;

/// A disk and its virtual size.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiskSize<'a> {
    pub(super) path: &'a Path,
    /// In bytes.
    pub(super) virtual_size: u64,
}

/// A child and its parent that have different sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct SizeDifference<'a> {
    child: DiskSize<'a>,
    parent: DiskSize<'a>,
}

impl<'a> SizeDifference<'a> {
    /// Returns `None` if both have the same size.
    pub(super) fn of(child: DiskSize<'a>, parent: DiskSize<'a>) -> Option<Self> {
        (child.virtual_size != parent.virtual_size).then_some(Self { child, parent })
    }

    /// Returns the size difference between a disk and its parent, if there is one.
    pub(super) fn in_forest(forest: &'a Forest, disk: &'a DiscoveredDisk) -> Option<Self> {
        let sized = |disk: &'a DiscoveredDisk| DiskSize {
            path: &disk.facts.path,
            virtual_size: disk.facts.virtual_size,
        };
        Self::of(sized(disk), sized(forest.disks.get(disk.parent?)?))
    }

    /// Returns how much smaller or larger the child is than its parent.
    pub(super) fn fact(&self) -> String {
        let (child, parent) = (self.child.virtual_size, self.parent.virtual_size);
        match parent.checked_sub(child) {
            Some(hidden) => format!("{} smaller than its parent", both(hidden)),
            None => format!("{} larger than its parent", both(child.saturating_sub(parent))),
        }
    }

    fn json(&self) -> Value {
        json!({
            "path": output::path(self.child.path),
            "parent": output::path(self.parent.path),
            "virtual_size": self.child.virtual_size,
            "parent_virtual_size": self.parent.virtual_size,
        })
    }
}

pub(super) fn json<'a>(differences: impl IntoIterator<Item = SizeDifference<'a>>) -> Value {
    differences.into_iter().map(|difference| difference.json()).collect()
}

pub(super) fn text<'a>(
    differences: impl IntoIterator<Item = SizeDifference<'a>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for difference in differences {
        writeln!(out, "{}: {}", shown(difference.child.path), difference.fact())?;
    }
    Ok(())
}
