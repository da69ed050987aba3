//! Defines [`Context`]: one kind of block status, and its values.

use vhdx::Source;

use super::protocol::state;

/// A kind of block status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Allocation,
    Depth,
    Layer,
}

/// The bit of the context `vhdx:layer` for a range that a file defines as zeros.
const LAYER_ZERO: u32 = 1 << 31;

impl Context {
    pub(super) const ALL: [Self; 3] = [Self::Allocation, Self::Depth, Self::Layer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allocation => "base:allocation",
            Self::Depth => "qemu:allocation-depth",
            Self::Layer => "vhdx:layer",
        }
    }

    /// The number in the messages of all connections.
    pub(super) fn id(self) -> u32 {
        match self {
            Self::Allocation => 1,
            Self::Depth => 2,
            Self::Layer => 3,
        }
    }

    /// Returns whether a query in a list matches: the whole name, or the part of it up to the colon.
    pub(super) fn matches(self, query: &[u8]) -> bool {
        let name = self.name().as_bytes();
        query == name || (query.ends_with(b":") && name.starts_with(query))
    }

    /// Returns the status of a range. `layers` is the number of files of the disk.
    pub(super) fn status(self, source: Source, layers: u32) -> u32 {
        let (layer, is_zero) = match source {
            Source::Data { layer, .. } => (Some(layer), false),
            Source::Zero { layer } => (Some(layer), true),
            Source::Unallocated => (None, true),
        };
        // A chain has far fewer files than 2^31.
        let layer = layer.map(|layer| u32::try_from(layer).unwrap_or(u32::MAX - 1));
        match (self, layer) {
            (Self::Allocation, None) => state::HOLE | state::ZERO,
            (Self::Allocation, Some(_)) => {
                if is_zero {
                    state::ZERO
                } else {
                    0
                }
            }
            (Self::Depth | Self::Layer, None) => 0,
            (Self::Depth, Some(layer)) => layer + 1,
            (Self::Layer, Some(layer)) => layers.saturating_sub(layer) | if is_zero { LAYER_ZERO } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhdx::FileOffset;

    #[test]
    fn the_values_are_those_of_the_documentation() {
        let data = Source::Data { layer: 0, offset: FileOffset::new(0) };
        let of = |source| Context::ALL.map(|context| context.status(source, 3));
        assert_eq!(of(data), [0, 1, 3]);
        assert_eq!(of(Source::Zero { layer: 2 }), [2, 3, 1 | LAYER_ZERO]);
        assert_eq!(of(Source::Unallocated), [3, 0, 0]);
    }

    #[test]
    fn a_query_is_a_name_or_a_namespace() {
        assert!(Context::Allocation.matches(b"base:allocation"));
        assert!(Context::Allocation.matches(b"base:"));
        assert!(!Context::Allocation.matches(b"base"));
        assert!(!Context::Allocation.matches(b"base:alloc"));
        assert!(!Context::Allocation.matches(b":"));
    }
}
