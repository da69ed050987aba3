//! Defines [`Offer`], everything that clients can choose from, and [`Agreement`], the choice of one client.

use super::context::Context;
use super::protocol::transmission_flag;
use crate::export::Export;

/// The exports of a server.
#[derive(Debug)]
pub(super) struct Offer {
    exports: Vec<Export>,
    /// The number of the export that the empty name chooses. It exists.
    default: usize,
}

/// The choice of a client at the end of the handshake.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) export: Export,
    /// Whether the client understands replies that consist of chunks.
    pub(super) is_structured: bool,
    /// The kinds of block status that the client has asked for.
    pub(super) contexts: Vec<Context>,
}

impl Offer {
    /// Returns `None` if there is no export with the number `default`.
    pub(super) fn new(exports: Vec<Export>, default: usize) -> Option<Self> {
        (default < exports.len()).then_some(Self { exports, default })
    }

    pub(super) fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// Returns the export with a name. The empty name is the default export.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Export> {
        if name.is_empty() {
            return self.exports.get(self.default);
        }
        self.exports.iter().find(|export| export.name().as_bytes() == name)
    }
}

/// Returns the flags of an export.
///
/// Every connection uses the same [`SharedDisk`](crate::SharedDisk), so several connections see the same content, and a
/// flush of one covers the writes of all. This is also true while the disk is written to.
pub(super) fn transmission_flags(export: &Export, is_structured: bool) -> u16 {
    use transmission_flag as flag;
    let mut flags = flag::HAS_FLAGS | flag::CAN_MULTI_CONN | flag::SEND_CACHE;
    if export.disk().is_read_only() {
        flags |= flag::READ_ONLY;
    } else {
        flags |= flag::SEND_FLUSH | flag::SEND_FUA | flag::SEND_TRIM;
        // Not SEND_FAST_ZERO: a fixed disk and a part of a block get their zeros by a write.
        flags |= flag::SEND_WRITE_ZEROES;
    }
    if is_structured {
        flags |= flag::SEND_DF;
    }
    flags
}
