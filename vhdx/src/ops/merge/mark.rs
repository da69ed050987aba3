//! The mark that a merge of several levels leaves in the lowest merged layer: which disk the target holds now.
//!
//! All merged layers hold older versions of what the merged disk says. If that disk is deleted and one below it is left
//! behind, it still opens, and to merge it would bring the older versions back.

use uuid::Uuid;

use crate::chain::ChainError;
use crate::chain::locator::with_linkages;
use crate::error::Result;
use crate::file::Vhdx;
use crate::format::parent_locator::ParentLocator;

/// With these bytes begins a `parent_linkage` that is a mark and names no file; the rest is that of the disk's GUID.
const MARK: u128 = u128::from_be_bytes(*b"merg\0\0\0\0\0\0\0\0\0\0\0\0");
const REST: u128 = u128::MAX >> 32;

/// The locator with the mark in the first linkage. By the second one it names the target, which holds the whole of
/// `disk` when this is written.
pub(super) fn marked(old: &ParentLocator, disk: Uuid, target: Uuid) -> Result<ParentLocator> {
    with_linkages(old, mark(disk), target)
}

fn mark(disk: Uuid) -> Uuid {
    Uuid::from_u128(MARK | (disk.as_u128() & REST))
}

/// Whether the target, the last of `layers`, holds the whole of the first, because the layer above it says so and nothing
/// has changed since.
///
/// # Errors
/// [`ChainError::MergedBefore`] when a layer says that its parent holds a disk that is none of the layers above.
pub(super) fn judge(layers: &[Vhdx]) -> Result<bool> {
    let mut is_merged = false;
    for (position, pair) in layers.windows(2).enumerate() {
        let [layer, parent] = pair else { continue };
        let Some(found) = mark_of(layer, parent) else { continue };
        let is_it = |vhdx: &Vhdx| !vhdx.data_write_guid().is_nil() && mark(vhdx.data_write_guid()) == found;
        if !layers.iter().take(position.saturating_add(1)).any(is_it) {
            let path = |vhdx: &Vhdx| vhdx.path().unwrap_or("a file without a name".as_ref()).to_owned();
            let (child, target, lowest) = (path(&layers[0]), path(parent), path(layer));
            return Err(ChainError::MergedBefore { child, target, lowest }.into());
        }
        is_merged = position.saturating_add(2) == layers.len() && is_it(&layers[0]);
    }
    Ok(is_merged)
}

/// The mark of a layer, if its parent has not changed since.
fn mark_of(layer: &Vhdx, parent: &Vhdx) -> Option<Uuid> {
    let locator = layer.parent_locator()?;
    let found = locator.parent_linkage().filter(|linkage| linkage.as_u128() & !REST == MARK)?;
    (locator.parent_linkage2() == Some(parent.data_write_guid())).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::merge::testing::{base, child, open};
    use crate::units::MIB;
    use vhdx_testkit::windows_locator;

    const OTHER: Uuid = Uuid::from_u128((7 << 96) | 8);

    /// A leaf, a middle layer and a target; the middle one has these linkages.
    fn layers(linkage: impl Fn(Uuid) -> Uuid, linkage2: impl Fn(Uuid) -> Uuid) -> [Vhdx; 3] {
        let target = base(MIB);
        let mut middle = child(&target);
        let leaf = child(&middle);
        let linkages = (linkage(leaf.data_write_guid), linkage2(target.data_write_guid));
        middle.parent_locator = Some(windows_locator(linkages.0, linkages.1, "target.vhdx"));
        [open(&leaf), open(&middle), open(&target)]
    }

    #[test]
    fn the_merged_disk_is_known_again() {
        let marked = layers(mark, |target| target);
        assert!(judge(&marked).unwrap());
        let [_, middle, target] = marked;
        let error = judge(&[middle, target]).unwrap_err().to_string();
        assert!(error.contains("older content could come back"), "{error}");
    }

    #[test]
    fn a_disk_that_stands_on_the_merged_one_is_a_new_merge() {
        let [leaf, middle, target] = layers(mark, |target| target);
        let mut above = child(&base(MIB));
        above.data_write_guid = OTHER;
        assert!(!judge(&[open(&above), leaf, middle, target]).unwrap());
    }

    #[test]
    fn merging_further_down_brings_nothing_back_either() {
        let mut base = base(MIB);
        base.data_write_guid = OTHER;
        let target = child(&base);
        let mut lowest = child(&target);
        lowest.parent_locator = Some(windows_locator(mark(OTHER), target.data_write_guid, "target.avhdx"));
        judge(&[open(&lowest), open(&target), open(&base)]).unwrap_err();
    }

    #[test]
    fn a_disk_that_was_written_to_is_refused() {
        judge(&layers(|_| mark(OTHER), |target| target)).unwrap_err();
    }

    #[test]
    fn a_mark_for_another_target_and_other_linkages_say_nothing() {
        assert!(!judge(&layers(mark, |_| OTHER)).unwrap());
        assert!(!judge(&layers(|_| OTHER, |target| target)).unwrap());
        assert!(!judge(&layers(|leaf| leaf, |target| target)).unwrap());
        assert!(!judge(&layers(|_| Uuid::nil(), |target| target)).unwrap());
    }

    #[test]
    fn a_mark_is_no_guid_of_a_file() {
        assert_eq!(mark(OTHER).to_string(), "6d657267-0000-0000-0000-000000000008");
    }
}
