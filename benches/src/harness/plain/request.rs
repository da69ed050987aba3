//! Turns pieces into reads.

use std::ops::Range;

use super::{Piece, Way};

/// The longest read.
const LONGEST: u64 = 1 << 20;
/// The longest read of an io_uring, which has a buffer for each read in flight.
const LONGEST_OF_URING: u64 = 256 << 10;

/// One read, and the pieces in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) source: usize,
    pub(super) from: u64,
    pub(super) len: usize,
    /// The indices of the pieces. The bytes between them are read and dropped.
    pub(super) pieces: Range<usize>,
}

/// Returns the pieces in the order of a way, each at most as long as a read, and the reads.
pub(super) fn requests(pieces: &[Piece], way: &Way) -> (Vec<Piece>, Vec<Request>) {
    let longest = if way.is_uring() { LONGEST_OF_URING } else { LONGEST };
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let starts = (0..piece.len).step_by(longest as usize);
        parts.extend(starts.map(|skipped| piece.part(skipped, longest)));
    }
    if way.file_order {
        parts.sort_unstable_by_key(|piece| (piece.source, piece.from));
    } else {
        parts.sort_unstable_by_key(|piece| piece.to);
    }
    let mut requests: Vec<Request> = Vec::with_capacity(parts.len());
    for (at, piece) in parts.iter().enumerate() {
        let source = piece.source as usize;
        if let Some(last) = requests.last_mut() {
            let gap = piece.from.checked_sub(last.from + last.len as u64);
            let joined = piece.from + piece.len - last.from.min(piece.from);
            if last.source == source && gap.is_some_and(|gap| gap <= way.gaps) && joined <= longest {
                last.len = joined as usize;
                last.pieces.end = at + 1;
                continue;
            }
        }
        requests.push(Request { source, from: piece.from, len: piece.len as usize, pieces: at..at + 1 });
    }
    (parts, requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(source: u64, from: u64, to: u64, len: u64) -> Piece {
        Piece { source, from, to, len }
    }

    #[test]
    fn long_pieces_are_split_and_neighbours_are_joined() {
        let (parts, made) = requests(&[piece(0, 0, 0, LONGEST + 5)], &Way::threads(1));
        assert_eq!(parts, [piece(0, 0, 0, LONGEST), piece(0, LONGEST, LONGEST, 5)]);
        assert_eq!(made.len(), 2, "a read of both would be too long");
        let neighbours = [piece(0, 10, 0, 5), piece(0, 15, 5, 5), piece(0, 22, 10, 5), piece(1, 27, 15, 5)];
        let (_, made) = requests(&neighbours, &Way::threads(1));
        assert_eq!(made.iter().map(|one| one.pieces.clone()).collect::<Vec<_>>(), [0..2, 2..3, 3..4]);
        let (_, made) = requests(&neighbours, &Way::threads(1).gaps(2));
        assert_eq!(made[0], Request { source: 0, from: 10, len: 17, pieces: 0..3 });
    }

    #[test]
    fn file_order_sorts_by_source_and_offset() {
        let pieces = [piece(1, 0, 0, 1), piece(0, 9, 1, 1), piece(0, 3, 2, 1)];
        let (sorted, _) = requests(&pieces, &Way::threads(1).file_order());
        assert_eq!(sorted, [pieces[2], pieces[1], pieces[0]]);
        let (sorted, _) = requests(&pieces, &Way::threads(1));
        assert_eq!(sorted, pieces);
    }
}
