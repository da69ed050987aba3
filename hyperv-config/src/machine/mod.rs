//! The typed view of a virtual machine's configuration.

mod drives;

pub(crate) use drives::instance_of;
pub use drives::{ControllerKind, Drive, DriveKind};

use uuid::Uuid;

use crate::configuration::Configuration;
use crate::fields::Fields;
use crate::time::unix_seconds;
use crate::value::Value;
use crate::warning::Warnings;

/// The facts about a virtual machine that its configuration states.
///
/// Every field is optional: a saved state (`.vmrs`) has only the version, and a damaged file may lack any key. A value
/// that is not understood is a warning, and its key stays reachable through [`Configuration::tree`].
///
/// The configuration of a checkpoint has the same keys. Show [`AS_STORED`](crate::AS_STORED) beside its name and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Machine {
    /// The name. It can contain any character.
    pub name: Option<String>,
    /// The GUID, which is also the name of the file.
    pub id: Option<Uuid>,
    /// The generation: 1 or 2.
    pub generation: Option<u8>,
    /// The configuration version.
    pub version: Option<ConfigurationVersion>,
    /// When the machine was made, in seconds since 1970-01-01 UTC. Versions up to 5.0 do not store it.
    pub created: Option<i64>,
    /// The notes of the administrator.
    pub notes: Option<String>,
    /// The drives of all controllers, those without a medium included, in the order of their keys.
    pub drives: Vec<Drive>,
    /// Whether Hyper-V makes a checkpoint when the machine starts.
    pub automatic_checkpoints: Option<bool>,
    /// Whether Hyper-V still has to merge disks.
    pub merge_pending: Option<bool>,
    /// Values that were not understood.
    pub warnings: Warnings,
}

/// The version of a configuration, such as 9.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConfigurationVersion {
    /// The number before the point.
    pub major: u8,
    /// The number after the point.
    pub minor: u8,
}

impl std::fmt::Display for ConfigurationVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Machine {
    /// Returns the facts that a configuration states. Keys of other kinds of files are ignored.
    pub fn of(configuration: &Configuration) -> Self {
        let mut fields = Fields::new(configuration);
        let property = |name: &str| format!("/configuration/properties/{name}");
        let id = fields.text(&property("global_id"));
        let generation = fields.value(&property("subtype"), generation);
        let version = fields.value(&property("version"), version);
        let created = fields.value(&property("creation_time"), created);
        Self {
            name: fields.text(&property("name")).map(|found| found.value),
            id: id.and_then(|id| fields.guid(&id)),
            generation,
            version,
            created: created.flatten(),
            notes: fields.text(&property("notes")).map(|found| found.value),
            drives: drives::all(configuration, &mut fields),
            automatic_checkpoints: fields
                .value("/configuration/global_settings/snapshots/enable_automatic", truth),
            merge_pending: fields.value("/configuration/global_settings/disk_merge_pending", truth),
            warnings: fields.into_warnings(),
        }
    }
}

fn generation(value: &Value) -> Option<u8> {
    match value {
        Value::Int(0) => Some(1),
        Value::Int(1) => Some(2),
        _ => None,
    }
}

fn version(value: &Value) -> Option<ConfigurationVersion> {
    let Value::Int(version) = value else { return None };
    let [major, minor] = u16::try_from(*version).ok()?.to_be_bytes();
    Some(ConfigurationVersion { major, minor })
}

/// Returns the seconds of a FILETIME of 8 bytes. The inner `None` stands for the time 0, which means no time.
fn created(value: &Value) -> Option<Option<i64>> {
    let Value::Bytes(bytes) = value else { return None };
    match u64::from_le_bytes(bytes.as_slice().try_into().ok()?) {
        0 => Some(None),
        filetime => Some(Some(unix_seconds(filetime))),
    }
}

fn truth(value: &Value) -> Option<bool> {
    if let Value::Bool(truth) = value { Some(*truth) } else { None }
}
