//! The typed view of a host's register of virtual machines, `data.vmcx`.

use uuid::Uuid;

use crate::configuration::Configuration;
use crate::fields::Fields;
use crate::machine::instance_of;
use crate::tree::Key;
use crate::warning::Warnings;

/// The virtual machines that a host knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Register {
    /// The machines, in the order of their keys.
    pub machines: Vec<RegisteredMachine>,
    /// Keys that were not understood.
    pub warnings: Warnings,
}

/// A virtual machine in the register of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegisteredMachine {
    /// The GUID of the machine.
    pub id: Uuid,
    /// The path of its `.vmcx` on the host, usually absolute.
    pub path: String,
}

impl Register {
    /// Returns the machines that a configuration registers: none unless it is that of a host.
    pub fn of(configuration: &Configuration) -> Self {
        let mut fields = Fields::new(configuration);
        let mut machines = Vec::new();
        let nodes = configuration.tree().find_all("/Configurations/VirtualMachines");
        for key in nodes.iter().flat_map(Key::children) {
            let Some(id) = instance_of(key.name()) else {
                fields.unexpected(key);
                continue;
            };
            let path = fields.text_of(key);
            machines.extend(path.map(|path| RegisteredMachine { id, path: path.value }));
        }
        Self { machines, warnings: fields.into_warnings() }
    }
}
