//! Marks: a merge of several levels tells which layers only make sense below the merged disk.
//!
//! While the target of such a merge changes, and afterwards, the layers above it open as before, because the merged disk
//! must. But without that disk they read as no disk ever did: older versions of their own over newer ones in the target.
//! So the lowest merged layer bears a mark in its `parent_linkage`, and names the target by `parent_linkage2`; the merged
//! disk bears the same mark in its own `parent_linkage2`. The first is only opened below the second.

use uuid::Uuid;

use crate::file::Vhdx;
use crate::format::parent_locator::{MARK, ParentLocator, is_mark};

/// A new mark.
pub(crate) fn new() -> Uuid {
    Uuid::from_u128(MARK | (Uuid::new_v4().as_u128() & (u128::MAX >> 32)))
}

/// The mark that a file above this one must bear.
pub(crate) fn asked_for(vhdx: &Vhdx) -> Option<Uuid> {
    vhdx.parent_locator().and_then(ParentLocator::parent_linkage).filter(|&linkage| is_mark(linkage))
}

/// The mark that the file bears for those below.
pub(crate) fn borne(vhdx: &Vhdx) -> Option<Uuid> {
    vhdx.parent_locator().and_then(ParentLocator::parent_linkage2).filter(|&linkage| is_mark(linkage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_guid_of_a_file() {
        let mark = new();
        assert!(is_mark(mark) && mark.to_string().starts_with("6d657267-"), "{mark}");
        assert_ne!(mark, new());
        assert!(!is_mark(Uuid::new_v4()) && !is_mark(Uuid::nil()));
    }
}
