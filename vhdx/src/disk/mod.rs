//! Opens a file and all its parents as one disk: finds the parents, checks every link, and reads the chain.

mod by_guid;
mod chain;
mod chain_mut;
mod copies;
pub(crate) mod folders;
mod linkage;
pub(crate) mod locator;
pub(crate) mod lookup;
pub(crate) mod mark;
mod open;
mod read;
mod reader;
mod resolved;
mod resolver;
mod traits;

pub use chain::Chain;
pub use chain_mut::ChainMut;
pub(crate) use copies::{LONGEST_COMPARED, same_bytes};
pub use folders::FolderIndex;
pub(crate) use open::inspect_chain_below;
pub use open::{InspectedLayer, Link, MAX_CHAIN_LENGTH, inspect_chain};
pub use reader::ChainReader;
pub use resolver::{
    Candidate, Candidates, FolderResolver, FoundBy, GuidSearch, ParentRequest, ParentResolver,
};
pub use traits::{Disk, DiskMut, RawDisk};
