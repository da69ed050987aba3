//! Defines the kinds of content that a partition can hold.

/// The kind of content of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentKind {
    /// NTFS.
    Ntfs,
    /// ReFS.
    Refs,
    /// FAT with 12-bit entries.
    Fat12,
    /// FAT with 16-bit entries.
    Fat16,
    /// FAT with 32-bit entries.
    Fat32,
    /// exFAT.
    ExFat,
    /// ext2: an ext file system without a journal and without features of ext4.
    Ext2,
    /// ext3: an ext file system with a journal and without features of ext4.
    Ext3,
    /// ext4.
    Ext4,
    /// The journal of an ext file system on another partition.
    ExtJournal,
    /// XFS.
    Xfs,
    /// A device of a Btrfs file system.
    Btrfs,
    /// A physical volume of LVM2.
    Lvm2,
    /// LUKS version 1.
    Luks1,
    /// LUKS version 2.
    Luks2,
    /// A volume that BitLocker encrypts, also of the kind "BitLocker To Go".
    BitLocker,
    /// Swap space of Linux.
    Swap,
    /// Swap space that holds a hibernated Linux.
    Hibernation,
    /// ISO 9660.
    Iso9660,
    /// UDF.
    Udf,
    /// A container of APFS.
    Apfs,
    /// HFS.
    Hfs,
    /// HFS+.
    HfsPlus,
    /// HFSX: HFS+ that may distinguish upper and lower case.
    HfsX,
    /// A device of a ZFS pool.
    Zfs,
    /// A device of a Linux RAID array (md).
    LinuxRaid,
    /// VMFS.
    Vmfs,
    /// A physical disk of a Storage Spaces pool.
    StorageSpaces,
    /// F2FS.
    F2fs,
    /// SquashFS.
    SquashFs,
    /// The database of dynamic disks (Logical Disk Manager).
    Ldm,
    /// The Microsoft reserved partition, which has no content of its own.
    MicrosoftReserved,
    /// The partition of a GPT disk where GRUB stores code for a BIOS.
    BiosBoot,
}

impl ContentKind {
    /// Returns the name for people, such as `NTFS` or `LUKS2`.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// Returns the name for programs: the `TYPE` of `blkid`, such as `ntfs` or `crypto_LUKS`. Kinds that `blkid` does
    /// not know have names in the same style.
    pub fn type_name(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            ContentKind::Ntfs => ("NTFS", "ntfs"),
            ContentKind::Refs => ("ReFS", "ReFS"),
            ContentKind::Fat12 => ("FAT12", "vfat"),
            ContentKind::Fat16 => ("FAT16", "vfat"),
            ContentKind::Fat32 => ("FAT32", "vfat"),
            ContentKind::ExFat => ("exFAT", "exfat"),
            ContentKind::Ext2 => ("ext2", "ext2"),
            ContentKind::Ext3 => ("ext3", "ext3"),
            ContentKind::Ext4 => ("ext4", "ext4"),
            ContentKind::ExtJournal => ("ext journal", "jbd"),
            ContentKind::Xfs => ("XFS", "xfs"),
            ContentKind::Btrfs => ("Btrfs", "btrfs"),
            ContentKind::Lvm2 => ("LVM2", "LVM2_member"),
            ContentKind::Luks1 => ("LUKS1", "crypto_LUKS"),
            ContentKind::Luks2 => ("LUKS2", "crypto_LUKS"),
            ContentKind::BitLocker => ("BitLocker", "BitLocker"),
            ContentKind::Swap => ("Linux swap", "swap"),
            ContentKind::Hibernation => ("hibernated Linux", "swsuspend"),
            ContentKind::Iso9660 => ("ISO 9660", "iso9660"),
            ContentKind::Udf => ("UDF", "udf"),
            ContentKind::Apfs => ("APFS", "apfs"),
            ContentKind::Hfs => ("HFS", "hfs"),
            ContentKind::HfsPlus => ("HFS+", "hfsplus"),
            ContentKind::HfsX => ("HFSX", "hfsplus"),
            ContentKind::Zfs => ("ZFS", "zfs_member"),
            ContentKind::LinuxRaid => ("Linux RAID", "linux_raid_member"),
            ContentKind::Vmfs => ("VMFS", "VMFS_volume_member"),
            ContentKind::StorageSpaces => ("Storage Spaces", "storage_spaces_member"),
            ContentKind::F2fs => ("F2FS", "f2fs"),
            ContentKind::SquashFs => ("SquashFS", "squashfs"),
            ContentKind::Ldm => ("LDM database", "ldm_metadata"),
            ContentKind::MicrosoftReserved => ("Microsoft reserved", "microsoft_reserved"),
            ContentKind::BiosBoot => ("BIOS boot", "bios_boot"),
        }
    }
}
