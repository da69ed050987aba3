//! Words and names for text output.

use vhdx_contents::files::Kind;

/// Returns a name inside a disk for text output.
pub(in crate::commands) fn shown(name: &[u8]) -> String {
    crate::output::harmless(&String::from_utf8_lossy(name))
}

/// Returns the kind of a file as one word.
pub(in crate::commands) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "link",
        Kind::Other(_) => "other",
    }
}
