//! The drives of a machine.

use std::collections::BTreeMap;
use std::fmt;

use uuid::{Uuid, uuid};

use crate::configuration::Configuration;
use crate::fields::{Fields, guid};
use crate::tree::Key;

const IDE: Uuid = uuid!("83f8638b-8dca-4152-9eda-2ca8b33039b4");
const SCSI: Uuid = uuid!("d422512d-2bf2-4752-809d-7b82b5fcb1b4");
const FLOPPY: Uuid = uuid!("8f0d2762-0b00-4e04-af4f-19010527cb93");

/// A drive of a virtual machine: a disk, or a drive for removable media.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Drive {
    /// The kind of the controller.
    pub controller: ControllerKind,
    /// The GUID of the device that has the controller. Each SCSI controller is a device of its own.
    pub instance: Uuid,
    /// The number of the controller in its device.
    pub number: u32,
    /// The location at the controller.
    pub location: u32,
    /// The kind of the drive.
    pub kind: Option<DriveKind>,
    /// The path of the disk or medium on the host, usually absolute; `None` if there is none.
    pub path: Option<String>,
    /// The offset of the drive's key in the file.
    pub offset: u64,
}

/// The kind of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ControllerKind {
    /// IDE.
    Ide,
    /// SCSI.
    Scsi,
    /// A floppy disk controller.
    Floppy,
    /// A device of this type, which is not known.
    Other(Uuid),
}

impl ControllerKind {
    fn of(device: Uuid) -> Self {
        match device {
            IDE => ControllerKind::Ide,
            SCSI => ControllerKind::Scsi,
            FLOPPY => ControllerKind::Floppy,
            other => ControllerKind::Other(other),
        }
    }
}

impl fmt::Display for ControllerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControllerKind::Ide => f.write_str("IDE"),
            ControllerKind::Scsi => f.write_str("SCSI"),
            ControllerKind::Floppy => f.write_str("floppy"),
            ControllerKind::Other(device) => device.fmt(f),
        }
    }
}

/// The kind of a drive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum DriveKind {
    /// A virtual disk.
    Vhd,
    /// A DVD drive, perhaps with an image.
    Iso,
    /// A floppy disk drive, perhaps with an image.
    Vfd,
    /// Nothing is attached.
    None,
    /// Another kind, as stored.
    Other(String),
}

impl DriveKind {
    fn of(name: String) -> Self {
        match name.as_str() {
            "VHD" => DriveKind::Vhd,
            "ISO" => DriveKind::Iso,
            "VFD" => DriveKind::Vfd,
            "NONE" => DriveKind::None,
            _ => DriveKind::Other(name),
        }
    }

    /// Returns the name as stored, such as `VHD`.
    pub fn name(&self) -> &str {
        match self {
            DriveKind::Vhd => "VHD",
            DriveKind::Iso => "ISO",
            DriveKind::Vfd => "VFD",
            DriveKind::None => "NONE",
            DriveKind::Other(name) => name,
        }
    }
}

/// Returns the drives of all controllers, in the order of their keys.
pub(super) fn all<'a>(configuration: &'a Configuration, fields: &mut Fields<'a>) -> Vec<Drive> {
    let devices = devices(configuration, fields);
    let mut drives = Vec::new();
    for node in configuration.tree().find_all("/configuration").iter().flat_map(Key::children) {
        let Some(instance) = instance_of(node.name()) else { continue };
        // Without a manifest, devices that exist only once can be told by their instance.
        let device = devices.get(&instance).copied().unwrap_or(instance);
        for (number, controller) in numbered(node, "controller") {
            for (location, drive) in numbered(controller, "drive") {
                let kind = fields.text_below(drive, "type").map(|found| DriveKind::of(found.value));
                let path = fields.text_below(drive, "pathname").map(|found| found.value);
                drives.push(Drive {
                    controller: ControllerKind::of(device),
                    instance,
                    number,
                    location,
                    kind,
                    path: path.filter(|path| !path.is_empty()),
                    offset: drive.offset(),
                });
            }
        }
    }
    drives
}

/// Returns the type of each device by its instance, from the manifest.
fn devices<'a>(configuration: &'a Configuration, fields: &mut Fields<'a>) -> BTreeMap<Uuid, Uuid> {
    let manifests = configuration.tree().find_all("/configuration/manifest");
    let entries = manifests.iter().flat_map(|manifest| numbered(*manifest, "vdev"));
    let mut devices = BTreeMap::new();
    for (_, entry) in entries {
        let device = fields.text_below(entry, "device").and_then(|text| fields.guid(&text));
        let instance = fields.text_below(entry, "instance").and_then(|text| fields.guid(&text));
        if let (Some(device), Some(instance)) = (device, instance) {
            devices.entry(instance).or_insert(device);
        }
    }
    devices
}

/// Returns the GUID in the name of a device's node: `_<GUID>_`, in any case.
pub(crate) fn instance_of(name: &str) -> Option<Uuid> {
    guid(name.strip_prefix('_')?.strip_suffix('_')?)
}

/// Returns the children whose name is `prefix` and a number, with the number.
fn numbered<'a>(node: Key<'a>, prefix: &str) -> impl Iterator<Item = (u32, Key<'a>)> {
    node.children().filter_map(move |key| {
        let (start, number) = key.name().split_at_checked(prefix.len())?;
        let is_number =
            start.eq_ignore_ascii_case(prefix) && number.bytes().all(|byte| byte.is_ascii_digit());
        Some((number.parse().ok().filter(|_| is_number)?, key))
    })
}
