//! Defines possible substitutes for a missing parent, and formats the message about it.

use std::fmt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::text::List;
use crate::quoted::Quoted;

/// Evidence for a file as a substitute.
///
/// Each kind has more weight than all later kinds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Evidence {
    /// Both files have the same virtual disk id. Windows copies it from the parent to the child.
    VirtualDiskId,
    /// The file has the name that the child stores. It may be the parent, in a changed state.
    Name,
    /// No disk depends on the file: it is the leaf of a surviving chain.
    NoChildren,
    /// The file was not changed after the child was created.
    Older,
    /// Both disks have the same size.
    VirtualSize,
    /// Both disks have the same logical sector size. Parent and child must have the same.
    SectorSize,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::VirtualDiskId => "same virtual disk id",
            Evidence::Name => "has the stored name",
            Evidence::NoChildren => "no disk depends on it",
            Evidence::Older => "not changed since the child was created",
            Evidence::VirtualSize => "same virtual size",
            Evidence::SectorSize => "same sector size",
        })
    }
}

/// A possible substitute for a missing parent, with its evidence.
///
/// It is not the parent: it has another DataWriteGuid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Substitute {
    /// The index of the disk in the forest.
    pub disk: usize,
    /// The path of the disk.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The evidence, the strongest first.
    pub evidence: Vec<Evidence>,
}

impl Substitute {
    fn has(&self, evidence: Evidence) -> bool {
        self.evidence.contains(&evidence)
    }

    /// Returns whether this may be the parent itself, in a changed state.
    fn may_be_changed_parent(&self) -> bool {
        [Evidence::VirtualDiskId, Evidence::Name, Evidence::NoChildren].into_iter().all(|one| self.has(one))
    }

    /// Returns whether this is probably the nearest surviving ancestor.
    ///
    /// It has no children, so a link to it leaves out no surviving layer. It was not changed since the child was
    /// created, so it is probably not the leaf of another branch.
    fn is_nearest_end(&self) -> bool {
        [Evidence::VirtualDiskId, Evidence::NoChildren, Evidence::Older].into_iter().all(|one| self.has(one))
    }
}

impl fmt::Display for Substitute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.path))?;
        for (i, evidence) in self.evidence.iter().enumerate() {
            write!(f, "{}{evidence}", if i == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.evidence.is_empty() { "" } else { ")" })
    }
}

/// What is possible if no copy of a missing parent exists, but there are [substitutes](Substitute).
///
/// Only copies of the child and of the substitute should be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback<'a> {
    /// This file may be the parent, but it was changed after the child was created, or it is an older copy.
    ChangedParent(&'a Path),
    /// The data of the parent is lost. This file is probably the nearest surviving ancestor.
    NearestAncestor(&'a Path),
    /// The data of the parent is lost, and a link to a substitute could leave out the data of surviving disks.
    NotRecommended,
}

/// Writes the message about a missing parent.
pub(super) fn describe(
    f: &mut fmt::Formatter<'_>,
    expected: &[Uuid],
    stored: &dyn fmt::Display,
    unidentified: &List<'_>,
    substitutes: &[Substitute],
) -> fmt::Result {
    match expected {
        [] => {
            return write!(
                f,
                "names no parent: its parent linkage is zero. Some merges of earlier versions leave a merged file in \
                 this state; stored paths of the parent: {stored}"
            );
        }
        // The parent is usually at one of these paths. More facts would distract from them.
        _ if unidentified.1 > 0 => {
            return write!(
                f,
                "lacks its parent. The parent may be at one of these paths, which could not be read: {unidentified}"
            );
        }
        [guid] => {
            write!(f, "lacks its parent: no file that could be read here has the DataWriteGuid {guid}")?
        }
        [first, second, ..] => {
            let guids = format_args!("{first} or {second}");
            write!(f, "lacks its parent: no file that could be read here has the DataWriteGuid {guids}")?;
        }
    }
    write!(f, ", so this link of the chain is missing; stored paths of the parent: {stored}")?;
    for (i, substitute) in substitutes.iter().enumerate() {
        let before = if i == 0 { "; possible substitutes (none is the original):" } else { ";" };
        write!(f, "{before} {substitute}")?;
    }
    Ok(())
}

/// Returns what is possible if no copy of the missing parent exists; `None` if there is no substitute.
///
/// A substitute is recommended only if a link to it leaves out no surviving layer.
pub(super) fn fallback(substitutes: &[Substitute]) -> Option<Fallback<'_>> {
    let first = substitutes.first()?;
    let is_only = |holds: fn(&Substitute) -> bool| {
        holds(first) && substitutes.iter().filter(|one| holds(one)).count() == 1
    };
    Some(if is_only(|one| one.has(Evidence::Name)) && first.may_be_changed_parent() {
        Fallback::ChangedParent(&first.path)
    } else if is_only(Substitute::is_nearest_end) {
        Fallback::NearestAncestor(&first.path)
    } else {
        Fallback::NotRecommended
    })
}
