//! Finds files in disks, for `ls` and `cp`.

mod failure;
mod path;
mod text;
mod tree;
mod volume;

pub(super) use failure::failure;
pub(super) use path::{find, place};
pub(super) use text::{shown, word};
pub(super) use tree::Tree;
pub(super) use volume::open;
