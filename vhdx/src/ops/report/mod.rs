//! Reports on the checkpoints of a forest: their age and size, the space they take, and what is wrong.
//!
//! A report is plain data. It reads no disk: only [`DiskMap`] reads the block allocation tables of a chain.

mod collect;
mod data;
mod disk_map;
mod fact;
mod finding;
mod kind;
mod limits;
mod message;
mod volumes;

pub use collect::report;
pub use data::{Report, ReportedDisk, ReportedFamily};
pub use disk_map::{CellOwner, DiskMap, LayerShare, MAX_CELLS, MapCell};
pub use fact::FindingFact;
pub use finding::Finding;
pub use kind::{FindingKind, FindingSeverity};
pub use limits::{MinFree, ReportLimits};
pub use volumes::Volume;
