//! The facts about virtual machines and their checkpoints that configuration files state.

use std::path::PathBuf;
use std::time::SystemTime;

use uuid::Uuid;

/// A virtual machine whose configuration was found, with its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DiscoveredMachine {
    /// The configuration of the machine. Its drives name the newest disks.
    pub configuration: MachineConfiguration,
    /// The configurations of its checkpoints, oldest first. Their drives name the disks that the checkpoint froze.
    pub checkpoints: Vec<MachineConfiguration>,
}

/// What a configuration file of Hyper-V states about a virtual machine or a checkpoint.
///
/// No real configuration of a checkpoint was available when this was written. It is only presumed that its name and time
/// are those of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MachineConfiguration {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The name of the machine or checkpoint. It can contain any character.
    pub name: Option<String>,
    /// The GUID of the machine or checkpoint.
    pub id: Option<Uuid>,
    /// The generation of the machine: 1 or 2.
    pub generation: Option<u8>,
    /// The version of the configuration, as major and minor number.
    pub version: Option<(u8, u8)>,
    /// When the machine or checkpoint was made. It can lie in the future.
    pub created: Option<SystemTime>,
    /// The notes of the administrator.
    pub notes: Option<String>,
    /// Whether the file is in a folder named `Snapshots`, in which Hyper-V stores checkpoints.
    ///
    /// Elsewhere, a configuration is taken for that of a checkpoint if another one uses newer disks of the same families.
    pub is_in_snapshots: bool,
    /// The drives with a virtual disk, in the order of the file.
    pub drives: Vec<MachineDrive>,
}

/// A drive of a virtual machine with a virtual disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MachineDrive {
    /// The controller and the drive's place at it.
    pub place: DrivePlace,
    /// The path of the disk on the host of the machine.
    pub stored_path: String,
    /// The disk, as an index into [`Forest::disks`](crate::Forest::disks), if it was found.
    pub disk: Option<usize>,
    /// What a prune or revert did with the disk that the configuration names.
    pub pruned: Option<PrunedDrive>,
    /// If the file was merged into another one: since when it had the state, if it had another one before.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) moved_since: Option<SystemTime>,
    /// If the state was deleted: the disk whose state came after it. If the disk is missing: a disk that may be it.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) successor: Option<usize>,
    /// Whether the disk is missing, and the successor may be it under another path, as the record of a prune or revert shows.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) is_renamed: bool,
}

/// What a prune or revert did with the disk that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum PrunedDrive {
    /// The file was merged into another one, [`MachineDrive::disk`], which has its state.
    Merged,
    /// The state was deleted. There is no disk.
    Deleted,
    /// A revert deleted the file. The machine must use another one instead: [`MachineDrive::disk`].
    Replaced,
}

impl MachineDrive {
    /// Returns whether the disk was not found, and no prune or revert deleted it.
    pub fn is_missing(&self) -> bool {
        self.disk.is_none() && self.pruned.is_none()
    }
}

/// The place of a drive in a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DrivePlace {
    /// The kind of the controller, such as `IDE` or `SCSI`.
    pub controller: String,
    /// The GUID of the device that has the controller.
    pub instance: Uuid,
    /// The number of the controller in its device.
    pub number: u32,
    /// The location at the controller.
    pub location: u32,
}

impl MachineConfiguration {
    /// Returns the indices of the disks that were found.
    pub fn disks(&self) -> impl Iterator<Item = usize> {
        self.drives.iter().filter_map(|drive| drive.disk)
    }

    /// Returns the indices of disks in the families whose disks the configuration names, even if they were deleted.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> {
        self.drives.iter().filter_map(|drive| drive.disk.or(drive.successor))
    }
}
