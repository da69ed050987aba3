//! Defines every rule of the format once: its stable name, severity, section and message.
//!
//! A rule that is noted or tolerated also has a reason: why breaking it leaves no doubt about the content of the disk.

use std::fmt;

/// How serious it is that a file breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Severity {
    /// Real images of Windows or QEMU break the rule. The content of the disk is certain: [`Rule::reason`] says why.
    Note,
    /// Reported and worked around. The content of the disk is certain: [`Rule::reason`] says why.
    Tolerated,
    /// The file may be valid, but it needs something that this library does not support.
    Unsupported,
    /// The content of the file cannot be determined with certainty.
    Fatal,
}

impl Severity {
    /// Returns the name that reports use: `note`, `tolerated`, `unsupported` or `fatal`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Tolerated => "tolerated",
            Severity::Unsupported => "unsupported",
            Severity::Fatal => "fatal",
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The reason of a rule. A noted or tolerated rule does not compile without one, and any other rule not with one.
macro_rules! reason {
    (Note $reason:literal) => {
        Some($reason)
    };
    (Tolerated $reason:literal) => {
        Some($reason)
    };
    (Unsupported) => {
        None
    };
    (Fatal) => {
        None
    };
}

macro_rules! rules {
    ($($rule:ident $name:literal $severity:ident $section:literal $message:literal $(because $reason:literal)?;)*) => {
        /// A rule of the format. Its [`name`](Rule::name) is stable; its [`message`](Rule::message) is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $message] #[doc = concat!("(\\[MS-VHDX\\] ", $section, ")")] $rule,)*
        }

        impl Rule {
            /// Every rule, grouped by structure.
            pub const ALL: &'static [Rule] = &[$(Rule::$rule,)*];

            /// Returns the stable name in kebab case.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name,)* }
            }

            /// Returns how serious it is that a file breaks the rule.
            pub const fn severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity,)* }
            }

            /// Returns the section of [MS-VHDX] that contains the rule.
            pub const fn section(self) -> &'static str {
                match self { $(Rule::$rule => $section,)* }
            }

            /// Returns the message for people: what is wrong with the structure that breaks the rule.
            pub const fn message(self) -> &'static str {
                match self { $(Rule::$rule => $message,)* }
            }

            /// Returns why breaking the rule leaves no doubt about the content of the disk.
            ///
            /// `None` for a rule that is [`Unsupported`](Severity::Unsupported) or [`Fatal`](Severity::Fatal).
            pub const fn reason(self) -> Option<&'static str> {
                match self { $(Rule::$rule => reason!($severity $($reason)?),)* }
            }
        }
    };
}

rules! {
    FileSignature "file-signature" Fatal "2.2.1" "the signature is not \"vhdxfile\"";
    Truncated "truncated" Fatal "2.1" "the file ends inside this structure";

    HeaderSignature "header-signature" Tolerated "2.2.2" "the signature is not \"head\""
        because "both headers are updated before a change is written, so either one is enough; if neither is valid, the file is rejected";
    HeaderChecksum "header-checksum" Tolerated "2.2.2" "the checksum does not match the content"
        because "both headers are updated before a change is written, so either one is enough; if neither is valid, the file is rejected";
    HeaderUnreadable "header-unreadable" Tolerated "2.2.2" "the header cannot be read"
        because "both headers are updated before a change is written, so either one is enough; if neither is valid, the file is rejected";
    NoCurrentHeader "no-current-header" Fatal "2.2.2" "neither header is valid";
    HeadersAmbiguous "headers-ambiguous" Fatal "2.2.2" "both headers are valid and have the same sequence number, but differ";
    HeaderVersion "header-version" Unsupported "2.2.2" "the format version is not 1";
    HeaderReserved "header-reserved" Tolerated "2.2.2" "reserved bytes are not zero"
        because "the checksum matches, so the header is not damaged, and version 1 of the format does not use these bytes";
    HeaderSequence "header-sequence" Unsupported "2.2.2" "the sequence number is too close to its maximum, so the file can be read but not written to; a copy of the disk in a new file can be written to";
    LogVersion "log-version" Unsupported "2.2.2" "the log must be replayed, but the log version is not 0";
    LogVersionUnused "log-version-unused" Tolerated "2.2.2" "the log is empty, but the log version is not 0"
        because "the LogGuid is zero, so no log entry is replayed and the log version is not used";
    LogOffset "log-offset" Fatal "2.2.2" "the log offset is not a multiple of 1 MiB, or is less than 1 MiB";
    LogLength "log-length" Fatal "2.2.2" "the log length is not a multiple of 1 MiB";
    LogTooLarge "log-too-large" Unsupported "2.2.2" "the log must be replayed, but it is longer than 1 GiB";
    LogPlaceUnused "log-place-unused" Tolerated "2.2.2" "the log is empty, but its offset or length is not a multiple of 1 MiB, or its offset is less than 1 MiB"
        because "the LogGuid is zero, so nothing is read from the log; a program that writes to the file makes a new log elsewhere";
    LogPastEnd "log-past-end" Tolerated "2.2.2" "the log reaches past the end of the file"
        because "the LogGuid is zero, so nothing is read from the log";

    RegionTableSignature "region-table-signature" Tolerated "2.2.3.1" "the signature is not \"regi\""
        because "the other region table is a copy; if neither is valid, the file is rejected";
    RegionTableChecksum "region-table-checksum" Tolerated "2.2.3.1" "the checksum does not match the content"
        because "the other region table is a copy; if neither is valid, the file is rejected";
    RegionTableUnreadable "region-table-unreadable" Tolerated "2.2.3" "the region table cannot be read"
        because "the other region table is a copy; if neither is valid, the file is rejected";
    NoRegionTable "no-region-table" Fatal "2.2.3" "neither region table is valid";
    RegionTablesDiffer "region-tables-differ" Fatal "2.2.3" "the two region tables are valid, but differ in the BAT, the metadata or another required region";
    RegionTablesUnequal "region-tables-unequal" Tolerated "2.2.3" "the two region tables are valid, but not equal; the first one is used"
        because "both have the same BAT, metadata and other required regions, and the content of the disk depends on no others";
    RegionCount "region-count" Tolerated "2.2.3.1" "the entry count is greater than 2047"
        because "the other region table is a copy; if neither is valid, the file is rejected";
    RegionTableReserved "region-table-reserved" Tolerated "2.2.3.1" "reserved bits are not zero"
        because "the checksum matches, so the table is not damaged, and version 1 of the format does not use these bits";
    RegionDuplicate "region-duplicate" Fatal "2.2.3.2" "another entry has the same GUID";
    RegionOffset "region-offset" Fatal "2.2.3.2" "the file offset is not a multiple of 1 MiB, or is less than 1 MiB";
    RegionLength "region-length" Fatal "2.2.3.2" "the length is zero or not a multiple of 1 MiB";
    RegionOverlap "region-overlap" Fatal "2.2.3.2" "the region overlaps another region or the log";
    RegionPastEnd "region-past-end" Fatal "2.2.3.2" "the region reaches past the end of the file";
    RegionUnknown "region-unknown" Unsupported "2.2.3.2" "the region is marked as required, but it is unknown";
    RegionNotRequired "region-not-required" Note "2.2.3.2" "a known region is not marked as required"
        because "the bit only tells readers that do not know the region to reject the file; this region is known";
    BatRegionMissing "bat-region-missing" Fatal "2.2.3.2" "there is no BAT region";
    MetadataRegionMissing "metadata-region-missing" Fatal "2.2.3.2" "there is no metadata region";
    MetadataRegionTooLarge "metadata-region-too-large" Unsupported "2.6" "the metadata region is longer than 128 MiB";

    LogNoActiveSequence "log-no-active-sequence" Fatal "2.3.3" "the LogGuid is set, but the log contains no valid sequence of entries";
    LogTruncatedFile "log-truncated-file" Fatal "2.3.3" "the file is shorter than the flushed file offset of the log, so it was truncated";
    LogEntrySignature "log-entry-signature" Fatal "2.3.1.1" "the signature is not \"loge\"";
    LogEntryChecksum "log-entry-checksum" Fatal "2.3.1.1" "the checksum does not match the content";
    LogEntryGuid "log-entry-guid" Fatal "2.3.1.1" "the LogGuid differs from that of the header";
    LogEntryLength "log-entry-length" Fatal "2.3.1.1" "the entry length does not match the number of descriptor and data sectors, or exceeds the log";
    LogEntryTail "log-entry-tail" Fatal "2.3.1.1" "the tail is not a multiple of 4 KiB, or lies outside the log";
    LogEntrySequence "log-entry-sequence" Fatal "2.3.1.1" "the sequence number is zero";
    LogEntryOffsets "log-entry-offsets" Tolerated "2.3.1.1" "the flushed file offset or the last file offset is not a multiple of 1 MiB"
        because "the checksum matches, and both offsets are only used as file lengths, which need no alignment";
    LogLastFileOffset "log-last-file-offset" Fatal "2.3.1.1" "the last file offset is greater than 128 TiB; no VHDX file is that long";
    LogReserved "log-reserved" Tolerated "2.3.1.1" "reserved bytes are not zero"
        because "the checksum matches, so the entry is not damaged, and version 0 of the log does not use these bytes";
    LogTooManyWrites "log-too-many-writes" Unsupported "2.3.3" "the log contains more than half a million separate writes";
    LogDescriptor "log-descriptor" Fatal "2.3.1.2" "the descriptor has an unknown signature, or the sequence number of another log entry";
    LogDescriptorOffset "log-descriptor-offset" Fatal "2.3.1.2" "the file offset or the length is not a multiple of 4 KiB";
    LogDescriptorTarget "log-descriptor-target" Fatal "2.3.1.2" "the descriptor writes to the log itself or to the headers";
    LogDescriptorFar "log-descriptor-far" Fatal "2.3.1.2" "the descriptor writes past 128 TiB; no VHDX file is that long";
    LogDataSector "log-data-sector" Fatal "2.3.1.4" "the data sector has a wrong signature, or the sequence number of another log entry";

    MetadataSignature "metadata-signature" Fatal "2.6.1.1" "the signature is not \"metadata\"";
    MetadataCount "metadata-count" Fatal "2.6.1.1" "the entry count is greater than 2047";
    MetadataUserCount "metadata-user-count" Fatal "2.6.1.2" "more than 1024 entries are user metadata";
    MetadataSystemCount "metadata-system-count" Fatal "2.6.1.1" "more than 1023 entries are system metadata";
    MetadataReserved "metadata-reserved" Fatal "2.6.1.2" "reserved bits are not zero";
    MetadataDuplicate "metadata-duplicate" Fatal "2.6.1.2" "another entry has the same item GUID and the same IsUser bit";
    MetadataItemPlace "metadata-item-place" Fatal "2.6.1.2" "the item starts in the first 64 KiB of the metadata region, or reaches past the end of the region";
    MetadataItemLength "metadata-item-length" Fatal "2.6.1.2" "the item is longer than 1 MiB";
    MetadataItemEmpty "metadata-item-empty" Tolerated "2.6.1.2" "the item is empty, but its offset is not zero"
        because "nothing is read from an empty item, and a known item that is too short is fatal";
    MetadataItemOverlap "metadata-item-overlap" Fatal "2.6.1.2" "the item overlaps another item";
    MetadataItemUnknown "metadata-item-unknown" Unsupported "2.6.1.2" "the item is marked as required, but it is unknown";
    MetadataItemFlags "metadata-item-flags" Tolerated "2.6.2" "the IsVirtualDisk or the IsRequired bit has the wrong value for this item"
        because "the item is identified by its GUID; these bits only tell what to do with an unknown item";
    MetadataItemMissing "metadata-item-missing" Fatal "2.6.2" "the required item is missing";
    MetadataItemSize "metadata-item-size" Fatal "2.6.2" "the item is too short for its structure";
    VirtualDiskIdMissing "virtual-disk-id-missing" Tolerated "2.6.2.3" "the virtual disk id is missing"
        because "the id only identifies the disk to the guest; the content of the disk does not depend on it";
    CreationIncomplete "creation-incomplete" Fatal "2.6.2" "the file is marked as incomplete: its creation never finished";
    BlockSize "block-size" Fatal "2.6.2.1" "the block size is not a power of two from 1 MiB to 256 MiB";
    FileParametersReserved "file-parameters-reserved" Fatal "2.6.2.1" "reserved bits are not zero";
    VirtualDiskSize "virtual-disk-size" Fatal "2.6.2.2" "the virtual disk size is zero, greater than 64 TiB, or not a multiple of the logical sector size";
    LogicalSectorSize "logical-sector-size" Fatal "2.6.2.4" "the logical sector size is neither 512 nor 4096";
    PhysicalSectorSize "physical-sector-size" Tolerated "2.6.2.5" "the physical sector size is neither 512 nor 4096"
        because "the size is only a hint for the guest; the content of the disk does not depend on it";

    ParentLocatorMissing "parent-locator-missing" Fatal "2.6.2.6" "the file is marked as having a parent, but has no parent locator";
    ParentLocatorUnexpected "parent-locator-unexpected" Fatal "2.6.2.6" "the file has a parent locator, but is not marked as having a parent";
    ParentLocatorType "parent-locator-type" Unsupported "2.6.2.6.1" "the parent locator type is unknown";
    ParentLocatorReserved "parent-locator-reserved" Tolerated "2.6.2.6.1" "reserved bytes are not zero"
        because "a parent is accepted only if all 128 bits of its DataWriteGuid match a linkage";
    ParentLocatorCount "parent-locator-count" Fatal "2.6.2.6.1" "the entry count is greater than 256, or the item is too short for that many entries";
    ParentLocatorEntry "parent-locator-entry" Tolerated "2.6.2.6.2" "the key or the value is empty, has an odd length, or lies outside the item; the entry is ignored"
        because "a parent is accepted only if its DataWriteGuid matches a linkage, and a locator without a valid parent_linkage is fatal";
    ParentLocatorText "parent-locator-text" Tolerated "2.6.2.6.2" "the key or the value is not valid UTF-16; the entry is ignored"
        because "a parent is accepted only if its DataWriteGuid matches a linkage, and a locator without a valid parent_linkage is fatal";
    ParentLocatorDuplicate "parent-locator-duplicate" Tolerated "2.6.2.6.2" "an earlier entry has the same key; this entry is ignored"
        because "a parent is accepted only if its DataWriteGuid matches a linkage, and two different values of parent_linkage are fatal";
    ParentLinkageLost "parent-linkage-lost" Tolerated "2.6.2.6.3" "an entry that is not valid was ignored; it is, or may be, parent_linkage2, the second GUID of the parent"
        because "without this entry the file accepts fewer parents, but never a wrong one, and a merge treats the file as a possible child of its target";
    ParentLinkageAmbiguous "parent-linkage-ambiguous" Fatal "2.6.2.6.3" "two parent_linkage entries have different values";
    ParentLinkageMissing "parent-linkage-missing" Fatal "2.6.2.6.3" "the parent locator has no parent_linkage";
    ParentLinkageMalformed "parent-linkage-malformed" Fatal "2.6.2.6.3" "the value of parent_linkage is not a GUID";
    ParentPathMissing "parent-path-missing" Tolerated "2.6.2.6.3" "the parent locator has no relative_path, volume_path or absolute_win32_path"
        because "the paths only tell where to look for the parent; it is accepted only if its DataWriteGuid matches";
    ParentVolumePath "parent-volume-path" Note "2.6.2.6.3" "the value of volume_path does not begin with \\\\?\\Volume{"
        because "the paths only tell where to look for the parent; it is accepted only if its DataWriteGuid matches";
    ParentPathPrefix "parent-path-prefix" Note "2.6.2.6.3" "the value of absolute_win32_path does not begin with \\\\?\\"
        because "the paths only tell where to look for the parent; it is accepted only if its DataWriteGuid matches";

    BatTooShort "bat-too-short" Fatal "2.5" "the BAT region is too short for the virtual disk size";
    BatEntryReserved "bat-entry-reserved" Fatal "2.5.1" "reserved bits are not zero";
    BatEntryUnused "bat-entry-unused" Tolerated "2.5" "the entry is not zero, although no block of the disk uses it"
        because "no block of the disk uses the entry, so its value does not matter";
    BatStateReserved "bat-state-reserved" Fatal "2.5.1.1" "the payload block state is reserved";
    BatStateDraft "bat-state-draft" Tolerated "2.5.1.1" "the payload block state is 5, which an early draft of the format used for unmapped blocks"
        because "the state has no other known meaning, and an unmapped block reads as zeros";
    BatPartialWithoutParent "bat-partial-without-parent" Fatal "2.5.1.1" "the block is partially present, but the file has no parent";
    BatNotPresentOffset "bat-not-present-offset" Tolerated "2.5.1.1" "the block is NOT_PRESENT, but its file offset is not 0"
        because "the state alone means that the file does not contain the block; offsets are used only for blocks with data";
    BatZeroOffset "bat-zero-offset" Tolerated "2.5.1.1" "the block is ZERO, but its file offset is not 0"
        because "the state alone means that the block reads as zeros; early versions of QEMU left an offset there";
    BatBitmapState "bat-bitmap-state" Fatal "2.5.1.2" "the sector bitmap block state is reserved";
    BatBitmapWithoutParent "bat-bitmap-without-parent" Tolerated "2.5.1.2" "the sector bitmap block is present, but the file has no parent"
        because "sector bitmaps choose between a file and its parent, and this file has no parent";
    BatBitmapMissing "bat-bitmap-missing" Fatal "2.5.1.2" "a payload block is partially present, but its sector bitmap block is not present";
    BlockInHeader "block-in-header" Fatal "2.5.1" "the block lies in the first 1 MiB of the file";
    BlockOverlapsLog "block-overlaps-log" Fatal "2.5.1" "the block overlaps the log";
    BlockOverlapsRegion "block-overlaps-region" Fatal "2.5.1" "the block overlaps a region";
    BlockOverlapsBlock "block-overlaps-block" Fatal "2.5.1" "the block overlaps another block";
    OverlapUnchecked "overlap-unchecked" Unsupported "2.5.1" "some blocks lie past 128 TiB in the file, where overlaps are not detected";
    BlockPastEnd "block-past-end" Fatal "2.5.1" "the data of the block reach past the end of the file";
    BlockTailPastEnd "block-tail-past-end" Tolerated "2.5.1" "the unused tail of the last block reaches past the end of the file"
        because "that tail contains no byte of the disk";
    BlockPlacePastEnd "block-place-past-end" Tolerated "2.5.1" "the block has no data, but its reserved space reaches past the end of the file"
        because "the state alone means that the file has no data of the block; Windows may leave such an offset when it truncates the file";
    BlockPlaceFar "block-place-far" Fatal "2.5.1" "the block has no data, but its file offset is 128 TiB or more; no VHDX file is that long";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_noted_and_tolerated_rules_have_a_reason() {
        for rule in Rule::ALL {
            assert_eq!(rule.reason().is_some(), rule.severity() <= Severity::Tolerated, "{rule}");
        }
    }

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let names: HashSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }
}
