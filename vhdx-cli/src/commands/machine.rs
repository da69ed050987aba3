//! Formats the names of virtual machines.

use vhdx::MachineConfiguration;

use crate::output::{harmless, shown};

/// Returns the escaped name of a machine, or else its id, or else the path of its configuration.
pub(super) fn name(configuration: &MachineConfiguration) -> String {
    let name = configuration.name.as_deref().filter(|name| !name.is_empty()).map(harmless);
    let name = name.or_else(|| configuration.id.map(|id| id.to_string()));
    name.unwrap_or_else(|| shown(&configuration.path))
}
