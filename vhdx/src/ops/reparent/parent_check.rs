//! What speaks for and against a file being the parent of another ([MS-VHDX] 2.6.2.6.3).

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::mark::Linkages;
use crate::disk::{
    FolderResolver, InspectedLayer, Link, MAX_CHAIN_LENGTH, inspect_chain, inspect_chain_below,
};
use crate::error::{ChainError, Undetermined};
use crate::error::{Error, InvalidArgument, Result};
use crate::family::{Relative, find_relatives, folders_around};
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::storage::FileIdentity;

/// A child, a file that may be its parent, and all that there is to know about the two of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ParentCheck {
    /// The child.
    pub child: Relative,
    /// The file that may be its parent.
    pub candidate: Relative,
    /// The DataWriteGuids of which the parent must have one; none if the child's linkage is zero.
    pub expected: Vec<Uuid>,
    /// The DataWriteGuids of the files that the candidate stands on.
    pub below: Vec<Uuid>,
    /// How far below the child the file stands in the chain that opens now: 1 if it is the child's parent already.
    pub level: Option<usize>,
    /// Whether that chain opens down to its base. Otherwise the file may be an ancestor although it has no `level`.
    pub chain_opens: bool,
    /// Other files that have a DataWriteGuid which the child expects: what its parent is, or a copy of it. Looked for only
    /// if the candidate has none.
    pub others: Vec<PathBuf>,
    /// Other disks whose parent the candidate is. If the child's own chain leads through one of them, a child that skips it
    /// loses its content. Searched for only if the candidate does not fit.
    pub candidate_children: Vec<PathBuf>,
    /// The folders that were looked into for them.
    pub folders: Vec<PathBuf>,
    /// What could not be judged there.
    pub undetermined: Vec<Undetermined>,
    /// The locator that the child has.
    pub locator: ParentLocator,
}

impl ParentCheck {
    /// Whether the child was made from the candidate as it is now.
    pub fn fits(&self) -> bool {
        self.expected.contains(&self.candidate.data_write_guid)
    }

    /// The first linkage of a child that was merged, or is about to be, into the candidate, which it names second.
    pub(super) fn linkage_before_merge(&self) -> Option<Uuid> {
        match self.expected[..] {
            [first, second] if second == self.candidate.data_write_guid && !self.below.contains(&first) => {
                Some(first)
            }
            _ => None,
        }
    }
}

/// Looks at a child and at a file that may be its parent, whose chain must open below it. Parents, and files with the right
/// DataWriteGuid, are looked for in the folders of both and in `folders`. Nothing is changed.
///
/// # Errors
/// [`InvalidArgument::NotDifferencing`] for a child without a parent; [`ChainError::Cycle`] if the candidate is the child,
/// or stands on it; what keeps the candidate's chain from opening; [`ChainError::TooDeep`] if it is as long as one may be;
/// as [`Vhdx::open`] for both files; [`Error::Cancelled`].
pub fn check_parent(
    child: &Path,
    candidate: &Path,
    folders: &[PathBuf],
    progress: &dyn Progress,
) -> Result<ParentCheck> {
    let vhdx = Vhdx::open(child)?;
    let Some(locator) = vhdx.parent_locator().cloned() else {
        return Err(Error::from(InvalidArgument::NotDifferencing).in_file(child));
    };
    let resolver = FolderResolver { folders: folders.to_vec(), ..FolderResolver::default() };
    let layers = layers_below(child, &vhdx, candidate, &resolver, progress)?;
    ensure_no_cycle(child, &vhdx, candidate, &layers)?;
    if layers.len() >= MAX_CHAIN_LENGTH {
        return Err(ChainError::TooDeep { path: candidate.to_owned(), limit: MAX_CHAIN_LENGTH }.into());
    }
    let level = layers.first().and_then(|layer| layer.vhdx.identity());
    let (level, chain_opens) = place_of(level, child, &resolver);
    let below = layers.iter().skip(1).map(|layer| layer.vhdx.data_write_guid()).collect();
    let candidate = sound(layers, candidate)?;
    let mut check = ParentCheck {
        child: Relative::of(child, &vhdx),
        candidate,
        expected: locator.linkages(),
        below,
        level,
        chain_opens,
        others: Vec::new(),
        candidate_children: Vec::new(),
        folders: Vec::new(),
        undetermined: Vec::new(),
        locator,
    };
    if !check.fits() {
        check.look_for_others(folders, progress)?;
    }
    Ok(check)
}

/// The candidate's chain as it is read below the child. What a merge of several levels leaves is read below the disk that
/// carries its mark: the child, or one of its descendants. A child that is to get another linkage loses its mark.
fn layers_below(
    path: &Path,
    child: &Vhdx,
    candidate: &Path,
    resolver: &FolderResolver,
    progress: &dyn Progress,
) -> Result<Vec<InspectedLayer>> {
    let layers = inspect_chain(candidate, resolver)?;
    let linkage = child.parent_locator().and_then(ParentLocator::parent_linkage);
    let keeps_linkage = layers.first().is_some_and(|first| linkage == Some(first.vhdx.data_write_guid()));
    if !keeps_linkage || !layers.iter().any(|layer| is_superseded(&layer.link)) {
        return Ok(layers);
    }
    let relatives = find_relatives(&folders_around([path, candidate], &resolver.folders), progress)?;
    let above = relatives.standing_on(child.data_write_guid());
    let above = above.into_iter().map(Relative::linkages).chain([Linkages::of(child)]);
    let marks = above.filter_map(Linkages::carried_mark);
    inspect_chain_below(candidate, resolver, &marks.collect::<Vec<_>>())
}

fn is_superseded(link: &Link) -> bool {
    matches!(link.error(), Some(Error::Chain(error)) if matches!(**error, ChainError::Superseded { .. }))
}

/// Whatever the GUIDs say, a file cannot be its own ancestor.
fn ensure_no_cycle(path: &Path, child: &Vhdx, candidate: &Path, layers: &[InspectedLayer]) -> Result<()> {
    match layers.iter().any(|layer| layer.vhdx.identity() == child.identity()) {
        true => Err(ChainError::Cycle { child: path.to_owned(), parent: candidate.to_owned() }.into()),
        false => Ok(()),
    }
}

/// The facts about the first file, if all the others are what it stands on.
fn sound(layers: Vec<InspectedLayer>, path: &Path) -> Result<Relative> {
    let mut first = None;
    for layer in layers {
        first.get_or_insert_with(|| Relative::of(path, &layer.vhdx));
        match layer.link {
            Link::Base | Link::Ok => {}
            Link::Mismatch(error) | Link::Missing(error) => return Err(error),
        }
    }
    first.ok_or_else(|| InvalidArgument::NoLayers.into())
}

/// How far below the child a file stands, if sound links lead there; and whether the child's chain opens to its base.
fn place_of(file: Option<FileIdentity>, child: &Path, resolver: &FolderResolver) -> (Option<usize>, bool) {
    let Ok(layers) = inspect_chain(child, resolver) else { return (None, false) };
    let links = layers.iter().take_while(|layer| matches!(layer.link, Link::Ok)).count();
    let below = layers.iter().take(links.saturating_add(1)).skip(1);
    let is_it = |layer: &InspectedLayer| file.is_some() && layer.vhdx.identity() == file;
    let level = (1..).zip(below).find(|(_, layer)| is_it(layer)).map(|(level, _)| level);
    (level, layers.last().is_some_and(|layer| matches!(layer.link, Link::Base)))
}

impl ParentCheck {
    fn look_for_others(&mut self, folders: &[PathBuf], progress: &dyn Progress) -> Result<()> {
        let folders = folders_around([self.child.path.as_path(), &self.candidate.path], folders);
        let found = find_relatives(&folders, progress)?;
        let children = found.children_of(self.candidate.data_write_guid);
        let children = children.filter(|disk| disk.identity != self.child.identity);
        self.candidate_children = children.map(|disk| disk.path.clone()).collect();
        let others = found.disks.into_iter().filter(|disk| self.expected.contains(&disk.data_write_guid));
        self.others =
            others.filter(|disk| disk.identity != self.child.identity).map(|disk| disk.path).collect();
        self.folders = found.folders;
        self.undetermined = found.undetermined;
        Ok(())
    }
}
