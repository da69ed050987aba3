//! Every rule of the format, once: its stable name, what breaking it means, its section and its sentence.

use std::fmt;

/// What it means for a file that a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Real images of Windows or QEMU do so too. The content of the disk is not in doubt: [`Rule::reason`] says why.
    Note,
    /// Reported and worked around. The content of the disk is not in doubt: [`Rule::reason`] says why.
    Tolerated,
    /// The file may be sound, but it needs something that this library does not know.
    Unsupported,
    /// What the file says cannot be decided.
    Fatal,
}

impl Severity {
    /// The name in reports: `note`, `tolerated`, `unsupported` or `fatal`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Tolerated => "tolerated",
            Severity::Unsupported => "unsupported",
            Severity::Fatal => "fatal",
        }
    }
}

/// The reason of a rule. Only a rule that is noted or tolerated has one, and none of them compiles without it.
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
            /// Every rule, in the order of the specification.
            pub const ALL: &'static [Rule] = &[$(Rule::$rule,)*];

            /// The stable name, in kebab case.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name,)* }
            }

            /// What it means that the rule is broken.
            pub const fn severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity,)* }
            }

            /// The section of [MS-VHDX] that the rule rests on.
            pub const fn section(self) -> &'static str {
                match self { $(Rule::$rule => $section,)* }
            }

            /// What is wrong, as the end of a sentence that begins with the structure.
            pub const fn message(self) -> &'static str {
                match self { $(Rule::$rule => $message,)* }
            }

            /// Why a file that breaks the rule leaves no doubt about the content of its disk. `None` for a rule that is
            /// [`Unsupported`](Severity::Unsupported) or [`Fatal`](Severity::Fatal).
            pub const fn reason(self) -> Option<&'static str> {
                match self { $(Rule::$rule => reason!($severity $($reason)?),)* }
            }
        }
    };
}

rules! {
    FileSignature "file-signature" Fatal "2.2.1" "the signature is not \"vhdxfile\"";
    Truncated "truncated" Fatal "2.1" "the file ends inside it";

    HeaderSignature "header-signature" Tolerated "2.2.2" "the signature is not \"head\""
        because "a change is written only after both headers describe it, so the other header is as good; without one the file is refused";
    HeaderChecksum "header-checksum" Tolerated "2.2.2" "the checksum does not match the content"
        because "a change is written only after both headers describe it, so the other header is as good; without one the file is refused";
    HeaderUnreadable "header-unreadable" Tolerated "2.2.2" "it cannot be read"
        because "a change is written only after both headers describe it, so the other header is as good; without one the file is refused";
    NoCurrentHeader "no-current-header" Fatal "2.2.2" "neither header is valid";
    HeadersAmbiguous "headers-ambiguous" Fatal "2.2.2" "both headers are valid and carry the same sequence number, but differ";
    HeaderVersion "header-version" Unsupported "2.2.2" "the version is not 1";
    HeaderReserved "header-reserved" Tolerated "2.2.2" "reserved bytes are not zero"
        because "the checksum is right, so the header is not damaged, and version 1 gives these bytes no meaning";
    HeaderSequence "header-sequence" Unsupported "2.2.2" "the file must be written, but the sequence number cannot grow any further";
    LogVersion "log-version" Unsupported "2.2.2" "the log must be replayed, but its version is not 0";
    LogVersionUnused "log-version-unused" Tolerated "2.2.2" "the version of the log, which holds nothing, is not 0"
        because "the LogGuid is zero, so no entry of the log is replayed and its version is not used";
    LogOffset "log-offset" Fatal "2.2.2" "the log offset is not a multiple of 1 MiB, or is below 1 MiB";
    LogLength "log-length" Fatal "2.2.2" "the log length is not a multiple of 1 MiB";
    LogTooLarge "log-too-large" Unsupported "2.2.2" "the log must be replayed, but it is longer than 1 GiB";
    LogPlaceUnused "log-place-unused" Tolerated "2.2.2" "the offset or the length of the log, which holds nothing, is not a multiple of 1 MiB, or the offset is below 1 MiB"
        because "the LogGuid is zero, so nothing is read from the log; whoever writes to the file makes a new log elsewhere";
    LogPastEnd "log-past-end" Tolerated "2.2.2" "the log reaches past the end of the file"
        because "the LogGuid is zero, so nothing is read from the log";

    RegionTableSignature "region-table-signature" Tolerated "2.2.3.1" "the signature is not \"regi\""
        because "the other table is a copy; without a valid one the file is refused";
    RegionTableChecksum "region-table-checksum" Tolerated "2.2.3.1" "the checksum does not match the content"
        because "the other table is a copy; without a valid one the file is refused";
    RegionTableUnreadable "region-table-unreadable" Tolerated "2.2.3" "it cannot be read"
        because "the other table is a copy; without a valid one the file is refused";
    NoRegionTable "no-region-table" Fatal "2.2.3" "neither region table is valid";
    RegionTablesDiffer "region-tables-differ" Fatal "2.2.3" "the two valid region tables differ about the BAT, the metadata or another required region";
    RegionTablesUnequal "region-tables-unequal" Tolerated "2.2.3" "the two valid region tables differ; the first one is used"
        because "both name the same required regions, and the content depends on no other";
    RegionCount "region-count" Tolerated "2.2.3.1" "the entry count is above 2047"
        because "the other table is a copy; without a valid one the file is refused";
    RegionTableReserved "region-table-reserved" Tolerated "2.2.3.1" "reserved bits are not zero"
        because "the checksum is right, so the table is not damaged, and version 1 gives these bits no meaning";
    RegionDuplicate "region-duplicate" Fatal "2.2.3.2" "another entry has the same GUID";
    RegionOffset "region-offset" Fatal "2.2.3.2" "the file offset is not a multiple of 1 MiB, or is below 1 MiB";
    RegionLength "region-length" Fatal "2.2.3.2" "the length is zero or not a multiple of 1 MiB";
    RegionOverlap "region-overlap" Fatal "2.2.3.2" "the region overlaps another region or the log";
    RegionPastEnd "region-past-end" Fatal "2.2.3.2" "the region reaches past the end of the file";
    RegionUnknown "region-unknown" Unsupported "2.2.3.2" "the region is required and not known";
    RegionNotRequired "region-not-required" Note "2.2.3.2" "a known region is not marked as required"
        because "the bit only tells readers that do not know the region to refuse the file; this region is known and read";
    BatRegionMissing "bat-region-missing" Fatal "2.2.3.2" "there is no BAT region";
    MetadataRegionMissing "metadata-region-missing" Fatal "2.2.3.2" "there is no metadata region";
    MetadataRegionTooLarge "metadata-region-too-large" Unsupported "2.6" "the metadata region is longer than 128 MiB";

    LogNoActiveSequence "log-no-active-sequence" Fatal "2.3.3" "the log GUID is set, but there is no valid log sequence";
    LogTruncatedFile "log-truncated-file" Fatal "2.3.3" "the file is shorter than the flushed file offset: it has been truncated";
    LogEntrySignature "log-entry-signature" Fatal "2.3.1.1" "the signature is not \"loge\"";
    LogEntryChecksum "log-entry-checksum" Fatal "2.3.1.1" "the checksum does not match the content";
    LogEntryGuid "log-entry-guid" Fatal "2.3.1.1" "the log GUID is not the header's";
    LogEntryLength "log-entry-length" Fatal "2.3.1.1" "the entry length is not that of its descriptor and data sectors, or exceeds the log";
    LogEntryTail "log-entry-tail" Fatal "2.3.1.1" "the tail is not a multiple of 4 KiB inside the log";
    LogEntrySequence "log-entry-sequence" Fatal "2.3.1.1" "the sequence number is zero";
    LogEntryOffsets "log-entry-offsets" Tolerated "2.3.1.1" "the flushed or the last file offset is not a multiple of 1 MiB"
        because "the checksum is right, and both offsets are only compared with the length of the file, for which any value will do";
    LogLastFileOffset "log-last-file-offset" Fatal "2.3.1.1" "the last file offset is beyond 128 TiB, where no VHDX file ends";
    LogReserved "log-reserved" Tolerated "2.3.1.1" "reserved bytes are not zero"
        because "the checksum is right, so the entry is not damaged, and version 0 gives these bytes no meaning";
    LogTooManyWrites "log-too-many-writes" Unsupported "2.3.3" "the log makes more than half a million separate writes";
    LogDescriptor "log-descriptor" Fatal "2.3.1.2" "the descriptor is neither a zero nor a data descriptor of this entry";
    LogDescriptorOffset "log-descriptor-offset" Fatal "2.3.1.2" "the file offset or the length is not a multiple of 4 KiB";
    LogDescriptorTarget "log-descriptor-target" Fatal "2.3.1.2" "the descriptor writes to the log itself or to the headers";
    LogDescriptorFar "log-descriptor-far" Fatal "2.3.1.2" "the descriptor writes beyond 128 TiB, where no VHDX file ends";
    LogDataSector "log-data-sector" Fatal "2.3.1.4" "the data sector's signature or sequence number is not its entry's";

    MetadataSignature "metadata-signature" Fatal "2.6.1.1" "the signature is not \"metadata\"";
    MetadataCount "metadata-count" Fatal "2.6.1.1" "the entry count is above 2047";
    MetadataUserCount "metadata-user-count" Fatal "2.6.1.2" "more than 1024 entries are user metadata";
    MetadataSystemCount "metadata-system-count" Fatal "2.6.1.1" "more than 1023 entries are system metadata";
    MetadataReserved "metadata-reserved" Fatal "2.6.1.2" "reserved bits are not zero";
    MetadataDuplicate "metadata-duplicate" Fatal "2.6.1.2" "another entry has the same item GUID and the same IsUser";
    MetadataItemPlace "metadata-item-place" Fatal "2.6.1.2" "the item does not lie within the metadata region, past the first 64 KiB";
    MetadataItemLength "metadata-item-length" Fatal "2.6.1.2" "the item is longer than 1 MiB";
    MetadataItemEmpty "metadata-item-empty" Tolerated "2.6.1.2" "the item is empty, but its offset is not zero"
        because "nothing is read of an item without bytes, and a known item that is too short is refused";
    MetadataItemOverlap "metadata-item-overlap" Fatal "2.6.1.2" "the item overlaps another item";
    MetadataItemUnknown "metadata-item-unknown" Unsupported "2.6.1.2" "the item is required and not known";
    MetadataItemFlags "metadata-item-flags" Tolerated "2.6.2" "the IsUser, IsVirtualDisk and IsRequired bits are not those of this item"
        because "the item is known by its GUID; these bits tell what to do with an item that is not known";
    MetadataItemMissing "metadata-item-missing" Fatal "2.6.2" "the required item is missing";
    MetadataItemSize "metadata-item-size" Fatal "2.6.2" "the item is too short for its structure";
    VirtualDiskIdMissing "virtual-disk-id-missing" Tolerated "2.6.2.3" "the virtual disk id is missing"
        because "the id names the disk to the guest; nothing that is read depends on it";
    CreationIncomplete "creation-incomplete" Fatal "2.6.2" "the file is marked as incomplete: its creation never finished";
    BlockSize "block-size" Fatal "2.6.2.1" "the block size is not a power of two from 1 MiB to 256 MiB";
    FileParametersReserved "file-parameters-reserved" Fatal "2.6.2.1" "reserved bits are not zero";
    VirtualDiskSize "virtual-disk-size" Fatal "2.6.2.2" "the virtual disk size is zero, above 64 TiB, or not a multiple of the logical sector size";
    LogicalSectorSize "logical-sector-size" Fatal "2.6.2.4" "the logical sector size is neither 512 nor 4096";
    PhysicalSectorSize "physical-sector-size" Tolerated "2.6.2.5" "the physical sector size is neither 512 nor 4096"
        because "the size is a hint for the guest; nothing that is read depends on it";

    ParentLocatorMissing "parent-locator-missing" Fatal "2.6.2.6" "the file has a parent, but no parent locator";
    ParentLocatorUnexpected "parent-locator-unexpected" Fatal "2.6.2.6" "there is a parent locator, but the file is not marked as having a parent";
    ParentLocatorType "parent-locator-type" Unsupported "2.6.2.6.1" "the parent locator type is not known";
    ParentLocatorReserved "parent-locator-reserved" Tolerated "2.6.2.6.1" "reserved bytes are not zero"
        because "the parent is accepted only if its DataWriteGuid is the linkage, which has 128 bits";
    ParentLocatorCount "parent-locator-count" Fatal "2.6.2.6.1" "there are more than 256 entries, or more than the item holds";
    ParentLocatorEntry "parent-locator-entry" Tolerated "2.6.2.6.2" "the key or the value is empty, has an odd length, or lies outside the item; the entry is ignored"
        because "the parent is accepted only by a linkage, and a locator without a valid parent_linkage is fatal";
    ParentLocatorText "parent-locator-text" Tolerated "2.6.2.6.2" "the key or the value is not UTF-16 text; the entry is ignored"
        because "the parent is accepted only by a linkage, and a locator without a valid parent_linkage is fatal";
    ParentLocatorDuplicate "parent-locator-duplicate" Tolerated "2.6.2.6.2" "another entry has the same key; the first one is used"
        because "the parent is accepted only by a linkage, and two different values of parent_linkage are fatal";
    ParentLinkageLost "parent-linkage-lost" Tolerated "2.6.2.6.3" "an entry that is ignored is, or may be, parent_linkage2"
        because "without it the file accepts one parent less and never another one, and a merge takes it for a file that may depend on its target";
    ParentLinkageAmbiguous "parent-linkage-ambiguous" Fatal "2.6.2.6.3" "there are two different values of parent_linkage";
    ParentLinkageMissing "parent-linkage-missing" Fatal "2.6.2.6.3" "there is no parent_linkage";
    ParentLinkageMalformed "parent-linkage-malformed" Fatal "2.6.2.6.3" "the linkage is not a GUID";
    ParentPathMissing "parent-path-missing" Tolerated "2.6.2.6.3" "there is no relative_path, volume_path or absolute_win32_path"
        because "the paths only tell where to look; the parent is accepted only by its DataWriteGuid";
    ParentVolumePath "parent-volume-path" Note "2.6.2.6.3" "the volume_path does not begin with \\\\?\\Volume{"
        because "the paths only tell where to look; the parent is accepted only by its DataWriteGuid";
    ParentPathPrefix "parent-path-prefix" Note "2.6.2.6.3" "the absolute_win32_path does not begin with \\\\?\\"
        because "the paths only tell where to look; the parent is accepted only by its DataWriteGuid";

    BatTooShort "bat-too-short" Fatal "2.5" "the BAT region is too short for the virtual disk size";
    BatEntryReserved "bat-entry-reserved" Fatal "2.5.1" "reserved bits are not zero";
    BatEntryUnused "bat-entry-unused" Tolerated "2.5" "no block of the disk uses the entry, but it is not zero"
        because "no block of the disk uses the entry";
    BatStateReserved "bat-state-reserved" Fatal "2.5.1.1" "the payload block state is reserved";
    BatStateDraft "bat-state-draft" Tolerated "2.5.1.1" "the payload block state is 5, which an early draft used for unmapped blocks"
        because "the number has no other known meaning, and what the guest has unmapped reads as zeros";
    BatPartialWithoutParent "bat-partial-without-parent" Fatal "2.5.1.1" "the block is partially present, but the file has no parent";
    BatNotPresentOffset "bat-not-present-offset" Tolerated "2.5.1.1" "the block is NOT_PRESENT, but its file offset is not 0"
        because "the state alone says that the file does not hold the block, and only the offset of a block with data is used";
    BatZeroOffset "bat-zero-offset" Tolerated "2.5.1.1" "the block is ZERO, but its file offset is not 0"
        because "the state alone says that the block reads as zeros, and early versions of QEMU left the offset there";
    BatBitmapState "bat-bitmap-state" Fatal "2.5.1.2" "the sector bitmap block state is reserved";
    BatBitmapWithoutParent "bat-bitmap-without-parent" Tolerated "2.5.1.2" "the sector bitmap block is present, but the file has no parent"
        because "sector bitmaps choose between a file and its parent, and this file has no parent";
    BatBitmapMissing "bat-bitmap-missing" Fatal "2.5.1.2" "a payload block is partially present, but its sector bitmap block is not present";
    BlockInHeader "block-in-header" Fatal "2.5.1" "the block lies in the first 1 MiB of the file";
    BlockOverlapsLog "block-overlaps-log" Fatal "2.5.1" "the block overlaps the log";
    BlockOverlapsRegion "block-overlaps-region" Fatal "2.5.1" "the block overlaps a region";
    BlockOverlapsBlock "block-overlaps-block" Fatal "2.5.1" "the block overlaps another block";
    OverlapUnchecked "overlap-unchecked" Unsupported "2.5.1" "blocks lie beyond 128 TiB of the file, where overlap is not looked for";
    BlockPastEnd "block-past-end" Fatal "2.5.1" "the block's data reach past the end of the file";
    BlockTailPastEnd "block-tail-past-end" Tolerated "2.5.1" "the unused tail of the last block reaches past the end of the file"
        because "no byte of the disk lies in that tail";
    BlockPlacePastEnd "block-place-past-end" Tolerated "2.5.1" "the block has no data, but its place reaches past the end of the file"
        because "the state alone says that the file holds no data of the block; Windows may leave such a place when it cuts the file";
    BlockPlaceFar "block-place-far" Fatal "2.5.1" "the block has no data, but its place is beyond 128 TiB, where no VHDX file ends";
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
    fn a_rule_has_a_reason_if_it_is_tolerated() {
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
