//! A file as it reads after its replay log was applied. The file itself is not changed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::source::Source;

/// A source with the data of the replay log laid over it.
#[derive(Debug)]
pub(crate) struct Replayed {
    source: Arc<dyn Source>,
    /// The length of the source.
    source_size: u64,
    /// The length after the replay, which can make a file longer.
    size: u64,
    /// The data of the log by their offsets. They do not overlap.
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Replayed {
    /// Returns the source without any data of a log.
    ///
    /// # Errors
    /// If the length of the source cannot be determined.
    pub(crate) fn new(source: Arc<dyn Source>) -> io::Result<Self> {
        let size = source.size()?;
        Ok(Self { source, source_size: size, size, pieces: BTreeMap::new() })
    }

    /// Returns the length in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// If the source cannot be read, or the file ends before.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = end_of(offset, buf).filter(|end| *end <= self.size).ok_or(io::ErrorKind::UnexpectedEof)?;
        let of_source = self.source_size.checked_sub(offset).and_then(|left| usize::try_from(left).ok());
        let of_source = match of_source {
            Some(left) => left.min(buf.len()),
            None if offset > self.source_size => 0,
            None => buf.len(), // more than this host can address is left
        };
        if let Some((of_source, past_end)) = buf.split_at_mut_checked(of_source) {
            if !of_source.is_empty() {
                self.source.read_exact_at(of_source, offset)?;
            }
            past_end.fill(0);
        }
        let before = self.pieces.range(..offset).next_back();
        for (start, piece) in before.into_iter().chain(self.pieces.range(offset..end)) {
            lay_over(buf, offset, *start, piece);
        }
        Ok(())
    }

    /// Adds data of the log, except where there are data already: the caller begins with the newest entry.
    ///
    /// Returns `None`, and adds nothing, if the data would end past the largest offset.
    pub(super) fn add_older(&mut self, start: u64, data: &[u8]) -> Option<()> {
        let end = end_of(start, data)?;
        let mut at = start;
        while at < end {
            let before = self.pieces.range(..=at).next_back();
            if let Some(covered) =
                before.and_then(|(start, piece)| end_of(*start, piece)).filter(|end| *end > at)
            {
                at = covered;
                continue;
            }
            let next = self.pieces.range(at..end).next().map_or(end, |(start, _)| *start);
            let from = usize::try_from(at.checked_sub(start)?).ok()?;
            let to = usize::try_from(next.checked_sub(start)?).ok()?;
            self.pieces.insert(at, data.get(from..to)?.to_vec());
            at = next;
        }
        self.size = self.size.max(end);
        Some(())
    }
}

fn end_of(start: u64, bytes: &[u8]) -> Option<u64> {
    start.checked_add(u64::try_from(bytes.len()).ok()?)
}

/// Copies the part of `piece` that overlaps `buf`. Both begin at an offset in the file.
fn lay_over(buf: &mut [u8], buf_start: u64, piece_start: u64, piece: &[u8]) {
    let skipped = |start: u64, other: u64| usize::try_from(other.saturating_sub(start)).ok();
    // Saturating: the one that begins later skips nothing.
    let (Some(of_buf), Some(of_piece)) = (skipped(buf_start, piece_start), skipped(piece_start, buf_start))
    else {
        return;
    };
    if let (Some(buf), Some(piece)) = (buf.get_mut(of_buf..), piece.get(of_piece..)) {
        buf.iter_mut().zip(piece).for_each(|(byte, new)| *byte = *new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of overlaps, against a plain array.
    #[test]
    fn the_newest_data_win() {
        let ranges = [(2, 3), (4, 6), (0, 5), (3, 9), (9, 12), (5, 7), (0, 1)];
        for first in ranges {
            for second in ranges {
                for third in ranges {
                    let mut model = vec![9; 10];
                    let mut file = Replayed::new(Arc::new(model.clone())).unwrap();
                    let entries = [(first, 1u8), (second, 2), (third, 3)];
                    for ((start, end), byte) in entries {
                        model.resize(model.len().max(end), 0);
                        model[start..end].fill(byte);
                    }
                    for ((start, end), byte) in entries.into_iter().rev() {
                        file.add_older(start as u64, &vec![byte; end - start]).unwrap();
                    }
                    assert_eq!(file.size(), model.len() as u64);
                    for start in 0..model.len() {
                        for end in start..=model.len() {
                            let mut buf = vec![7; end - start];
                            file.read_exact_at(&mut buf, start as u64).unwrap();
                            assert_eq!(buf, model[start..end], "{entries:?} {start}..{end}");
                        }
                    }
                    assert!(file.read_exact_at(&mut [0; 2], file.size() - 1).is_err());
                }
            }
        }
        let mut file = Replayed::new(Arc::new(Vec::new())).unwrap();
        assert_eq!(file.add_older(u64::MAX, &[1]), None);
        assert!(file.read_exact_at(&mut [0; 2], u64::MAX).is_err());
    }
}
