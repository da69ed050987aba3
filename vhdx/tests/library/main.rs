//! The tests of the public library, in one program: that links once, and lets the long tests run beside each other.
//!
//! Tests that measure the memory of the whole process are in `limits/`.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod chain;
mod chunks;
mod create;
mod diff;
mod discovery;
mod doubles;
mod golden_child;
mod hash;
mod increment;
mod machines;
mod merge;
mod not_on_host;
mod parallel_reads;
mod properties;
mod prune;
#[cfg(target_os = "linux")]
mod reflink;
mod remembered;
mod reparent;
mod replay;
mod report;
mod revert;
mod serialized;
mod shared_fixtures;
mod shared_model;
mod shared_oracle;
mod sharing;
mod surface;
mod update;
mod workload;
mod write;
