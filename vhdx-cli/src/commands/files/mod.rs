//! Finds files in disks, for `ls` and `cp`.

mod failure;
mod path;
mod tree;
mod volume;

pub(super) use failure::of as failure;
pub(super) use path::{find, place};
pub(super) use tree::Tree;
pub(super) use volume::open;

use vhdx_contents::files::Kind;

/// Returns a name inside a disk for text output.
pub(super) fn shown(name: &[u8]) -> String {
    crate::output::harmless(&String::from_utf8_lossy(name))
}

/// Returns the kind of a file as one word.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "link",
        Kind::Other(_) => "other",
    }
}
