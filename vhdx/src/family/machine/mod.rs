//! Joins Hyper-V's configuration files to the disks that they name.

pub(super) mod beside;
mod drives;
pub(super) mod facts;
pub(super) mod join;
pub(super) mod names;
mod owner;
pub(super) mod problem;
mod pruned;
mod read;
mod suffixes;
mod unread;
mod unused;
