//! Opens two points in time of one disk.

use std::path::Path;

use vhdx::{Chain, FolderResolver, Vhdx};

use super::reading::Reading;
use crate::args::Parents;
use crate::exit::Failure;

/// An older and a newer disk. Files that both need are opened once.
pub(super) struct Points {
    pub(super) old: Chain,
    pub(super) new: Chain,
}

impl Points {
    /// Opens both disks to read their metadata. Locks their files against writers until the disks are closed.
    ///
    /// `--parent` names the parents of the newer disk.
    pub(super) fn open(
        reading: &mut Reading<'_>,
        old: &Path,
        new: &Path,
        parents: &Parents,
    ) -> Result<Self, Failure> {
        let resolver = parents.resolver();
        let newer = reading.lock_chain(new, &resolver)?;
        reading.report_chain(new, &newer)?;
        if let Some(ancestor) = ancestor(&newer, old)? {
            return Ok(Self { old: ancestor, new: newer });
        }
        let without_names = FolderResolver { named: Vec::new(), ..resolver };
        let older = reading.lock_chain(old, &without_names)?;
        reading.report_chain(old, &older)?;
        Ok(Self { old: older, new: newer })
    }

    /// Validates the places of all blocks of both disks, before their content is read.
    pub(super) fn validate(&self, reading: &mut Reading<'_>) -> Result<(), Failure> {
        for chain in [&self.new, &self.old] {
            chain.validate_placement()?;
            reading.report_entries(chain);
        }
        Ok(())
    }

    /// Checks that no file has changed since it was opened.
    pub(super) fn ensure_unchanged(&self) -> vhdx::Result<()> {
        self.old.ensure_unchanged()?;
        self.new.ensure_unchanged()
    }
}

/// Returns the part of the chain that begins with the file at `path`, if the file is in the chain.
fn ancestor(chain: &Chain, path: &Path) -> vhdx::Result<Option<Chain>> {
    let identity = Vhdx::open(path)?.identity();
    let position = chain.layers().iter().position(|layer| identity.is_some() && layer.identity() == identity);
    let layers = position.and_then(|position| chain.layers().get(position..));
    layers.map(|layers| Chain::from_layers(layers.to_vec())).transpose()
}
