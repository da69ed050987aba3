//! Encodes in the DataWriteGuid of a merge target whether the merge into it is complete.
//!
//! Other programs see ordinary GUIDs: [MS-VHDX] 2.2.2 gives their bytes no meaning.
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | kind                          | checksum of the required mark |
//!   8 | checksum of the merged disk   | random                        |
//! ```
//!
//! The kind is `mrg1` while a merge of one level is incomplete, `mrg2` while a merge of several levels is incomplete,
//! and `mrgd` once the merge is complete. Completion changes only the kind, so the GUID of an incomplete merge
//! determines that of the complete one. A merge of one level requires no mark; that checksum is zero.

use uuid::Uuid;

const ONE_LEVEL: [u8; 4] = *b"mrg1";
const SEVERAL_LEVELS: [u8; 4] = *b"mrg2";
const COMPLETE: [u8; 4] = *b"mrgd";

/// The DataWriteGuid of a target into which a merge is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeId(Uuid);

impl MergeId {
    /// Creates a new GUID for a merge of the disk with the DataWriteGuid `merged`.
    ///
    /// With several levels, the merged layer whose parent is the target opens only as an ancestor of a disk that
    /// carries the mark `required`.
    pub fn new(required: Option<Uuid>, merged: Uuid) -> Self {
        let kind = if required.is_some() { SEVERAL_LEVELS } else { ONE_LEVEL };
        let mark = required.map_or([0; 4], |mark| checksum(mark).to_be_bytes());
        let [random, ..] = words(Uuid::new_v4());
        Self(join([kind, mark, checksum(merged).to_be_bytes(), random]))
    }

    /// Returns the incomplete merge that a DataWriteGuid or a linkage describes, if any.
    pub fn from_guid(guid: Uuid) -> Option<Self> {
        let [kind, ..] = words(guid);
        [ONE_LEVEL, SEVERAL_LEVELS].contains(&kind).then_some(Self(guid))
    }

    /// Returns the DataWriteGuid.
    pub fn guid(self) -> Uuid {
        self.0
    }

    /// Returns the DataWriteGuid that the target has once the merge is complete.
    pub fn complete_guid(self) -> Uuid {
        let [_, mark, merged, random] = words(self.0);
        join([COMPLETE, mark, merged, random])
    }

    /// Returns the [`checksum`] of the mark that the merged disk must carry, or `None` for a merge of one level.
    pub fn required_mark(self) -> Option<u32> {
        let [kind, mark, ..] = words(self.0);
        (kind == SEVERAL_LEVELS).then_some(u32::from_be_bytes(mark))
    }

    /// Returns whether the disk with this DataWriteGuid is the merged one. A disk that was written to has another GUID.
    pub fn is_of(self, merged: Uuid) -> bool {
        let [_, _, found, _] = words(self.0);
        found == checksum(merged).to_be_bytes()
    }
}

/// Returns whether `guid` is that of a target into which the merge of the disk with the DataWriteGuid `merged` is complete.
pub(crate) fn is_complete_merge_of(guid: Uuid, merged: Uuid) -> bool {
    let [kind, _, found, _] = words(guid);
    kind == COMPLETE && found == checksum(merged).to_be_bytes()
}

/// Returns the checksum that is stored for a mark or for the DataWriteGuid of a merged disk: its CRC-32C.
pub fn checksum(guid: Uuid) -> u32 {
    crc32c::crc32c(guid.as_bytes())
}

fn words(guid: Uuid) -> [[u8; 4]; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *guid.as_bytes();
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]]
}

fn join(words: [[u8; 4]; 4]) -> Uuid {
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]] = words;
    Uuid::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::uuid;

    const MARK: Uuid = uuid!("6d657267-0000-0000-0000-000000000001");
    const MERGED: Uuid = uuid!("00112233-4455-6677-8899-aabbccddeeff");

    #[test]
    fn the_bytes_of_both_guids_are_stable() {
        let merge = MergeId::from_guid(uuid!("6d726732-0102-0304-0506-0708090a0b0c")).unwrap();
        assert_eq!(merge.complete_guid(), uuid!("6d726764-0102-0304-0506-0708090a0b0c"));
        assert_eq!(merge.required_mark(), Some(0x0102_0304));
        let one_level = MergeId::from_guid(uuid!("6d726731-0102-0304-0506-0708090a0b0c")).unwrap();
        assert_eq!(one_level.required_mark(), None);
        assert_eq!(one_level.guid().to_string(), "6d726731-0102-0304-0506-0708090a0b0c");
    }

    #[test]
    fn the_guid_identifies_the_mark_and_the_merged_disk() {
        let merge = MergeId::new(Some(MARK), MERGED);
        assert_eq!(merge.required_mark(), Some(checksum(MARK)));
        assert!(merge.is_of(MERGED));
        assert!(!merge.is_of(MARK) && !merge.is_of(Uuid::nil()));
        assert_eq!(MergeId::from_guid(merge.guid()), Some(merge));
        assert_ne!(MergeId::new(Some(MARK), MERGED), merge);
        assert_eq!(MergeId::new(None, MERGED).required_mark(), None);
        assert!(MergeId::new(None, MERGED).is_of(MERGED));
    }

    #[test]
    fn only_the_guid_of_the_complete_merge_names_the_merged_disk() {
        let merge = MergeId::new(None, MERGED);
        assert!(is_complete_merge_of(merge.complete_guid(), MERGED));
        assert!(!is_complete_merge_of(merge.complete_guid(), MARK));
        assert!(!is_complete_merge_of(merge.guid(), MERGED));
    }

    #[test]
    fn other_guids_describe_no_incomplete_merge() {
        let complete = MergeId::new(Some(MARK), MERGED).complete_guid();
        for guid in [complete, MARK, MERGED, Uuid::nil(), Uuid::new_v4()] {
            assert_eq!(MergeId::from_guid(guid), None, "{guid}");
        }
    }
}
