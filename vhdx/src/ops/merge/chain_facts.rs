//! Collects the facts about the chain of a merge that a plan reports to its user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unfinished::ensure_not_half_merged;
use crate::disk::{Chain, FoundBy};
use crate::error::{Error, Guaranteed, Result};
use crate::family::Relatives;
use crate::file::Vhdx;
use crate::rules::Rule;

/// Facts that do not stop a merge.
#[derive(Clone, Debug, Default)]
pub(super) struct ChainFacts {
    pub(super) tolerated_bat_rules: Vec<(PathBuf, Rule, u64)>,
    pub(super) found_by_guid: Vec<(PathBuf, PathBuf)>,
    pub(super) possible_merge: Option<Arc<Error>>,
}

impl ChainFacts {
    /// Collects the facts about a chain of files of the host. The plan must have been made: it validates the BATs.
    ///
    /// # Errors
    /// [`Error::Internal`] if a file has no path.
    pub(super) fn of(chain: &Chain, relatives: &Relatives) -> Result<Self> {
        let path = |vhdx: &Vhdx| vhdx.path().guaranteed("files of the host have paths").map(Path::to_owned);
        let layers = chain.layers();
        let mut facts = Self {
            possible_merge: ensure_not_half_merged(chain.leaf(), relatives).err().map(Arc::new),
            ..Self::default()
        };
        for vhdx in layers {
            for &(rule, count) in vhdx.tolerated_bat_rules() {
                facts.tolerated_bat_rules.push((path(vhdx)?, rule, count));
            }
        }
        for (child, (layer, parent)) in layers.iter().zip((1..).zip(layers.iter().skip(1))) {
            if chain.found_by(layer) == Some(FoundBy::Guid) {
                facts.found_by_guid.push((path(child)?, path(parent)?));
            }
        }
        Ok(facts)
    }
}
