//! Makes VHDX images and chains for tests, with the bytes that they must read as.
//!
//! [`Image`] describes one file, valid or damaged. [`ChainModel`] is a chain with a plain-array model of its content;
//! [`chains`] makes random ones. [`Counting`] records what is read. [`crash`] simulates power failures. [`container`]
//! makes Hyper-V's configuration files, and [`estate`] whole folders of machines and checkpoints. [`http`] serves files,
//! with delays and faults.

mod build;
pub mod container;
pub mod crash;
pub mod estate;
mod family;
mod gzip;
pub mod http;
mod image;
mod log;
mod machine;
mod model;
mod packed;
mod random;
pub mod shared;
mod sparse;
mod storage;
mod strategy;
mod unpacked;
mod workload;

pub use family::{ByRelativePath, Expected, Family, Leaf, find_difference};
pub use gzip::gunzip;
pub use image::{Block, ExtraItem, ExtraRegion, Headers, Image, Layout, Part, RegionTables, windows_locator};
pub use log::DirtyLog;
pub use machine::ConfiguredMachine;
pub use model::{ChainModel, LayerModel, Operation, name};
pub use packed::{pack, seal_structures, unpack};
pub use random::{Random, content};
pub use sparse::SparseImage;
pub use storage::{Counting, Counts};
pub use strategy::{chains, families, workloads};
pub use unpacked::UnpackedFile;
pub use workload::{Step, Workload};
