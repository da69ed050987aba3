//! Opens a file and all its parents as one disk: finds the parents, checks every link, and reads the chain.

mod by_guid;
mod chain;
mod chain_mut;
mod copies;
mod extent_cache;
pub(crate) mod folders;
mod found_by;
mod link_check;
mod linkage;
pub(crate) mod locator;
pub(crate) mod lookup;
pub(crate) mod mark;
mod open;
mod outcome;
mod read;
mod read_extents;
mod reader;
mod resolver;
pub(crate) mod routes;
mod traits;

pub use chain::Chain;
pub use chain_mut::ChainMut;
pub(crate) use copies::{LONGEST_COMPARED, same_bytes};
pub use folders::FolderIndex;
pub use found_by::FoundBy;
pub(crate) use open::inspect_chain_with_marks;
pub use open::{InspectedLayer, Link, MAX_CHAIN_LENGTH, inspect_chain, inspect_leaf};
pub(crate) use read_extents::{announce_by_layer, read_by_layer};
pub use reader::ChainReader;
pub use resolver::{Candidate, Candidates, FolderResolver, GuidSearch, ParentRequest, ParentResolver};
pub use traits::{Disk, DiskMut, RawDisk};
