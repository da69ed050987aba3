//! Reads ahead for sequential readers, so that many short reads become fewer long ones.

use std::ops::Range;

use crate::error::{Bounded, Guaranteed, Result, Times, in_memory};
use crate::storage::{ReadAt, read_into};
use crate::units::FileOffset;

/// The length in bytes of the longest read, unless the reader asks for more.
const LONGEST: usize = 64 << 10;

/// The bytes that were read last.
///
/// While reads continue where these end, each is twice as long as the one before.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    start: FileOffset,
    bytes: Vec<u8>,
    /// The range of them that was asked for last.
    asked: Range<usize>,
}

impl ReadAhead {
    /// Returns the bytes that were asked for last.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if they could not be read.
    pub(super) fn bytes(&self) -> Result<&[u8]> {
        self.bytes.get(self.asked.clone()).guaranteed("bytes are used only after they were read")
    }

    /// Returns the `len` bytes from `at` on.
    ///
    /// Reads at most `most` bytes, unless `len` is larger.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub(super) fn read(
        &mut self,
        storage: &dyn ReadAt,
        at: FileOffset,
        len: usize,
        most: usize,
    ) -> Result<&[u8]> {
        let end = self.start.plus(self.bytes.len() as u64)?;
        if at < self.start || at.plus(len as u64)? > end {
            let now = if at == end { self.bytes.len().times(2)? } else { len };
            self.bytes.resize(now.min(LONGEST).min(most).max(len), 0);
            let read = read_into(storage, &mut self.bytes, at);
            if let Err(error) = read {
                self.bytes.clear();
                return Err(error);
            }
            self.start = at;
        }
        let first = in_memory(at.minus(self.start)?)?;
        self.asked = first..first.plus(len)?;
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    /// A storage that records all reads.
    struct Noted(Vec<u8>, Mutex<Vec<(u64, usize)>>);

    impl ReadAt for Noted {
        fn size(&self) -> io::Result<u64> {
            ReadAt::size(&self.0)
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
            self.1.lock().unwrap().push((offset.get(), buf.len()));
            self.0.read_exact_at(buf, offset)
        }
    }

    #[test]
    fn sequential_reads_double_in_length() {
        let noted = Noted((0..1000).map(|at| at as u8).collect(), Mutex::default());
        let mut ahead = ReadAhead::default();
        for at in (0..160).step_by(10) {
            let bytes = ahead.read(&noted, FileOffset::new(at), 10, 1000 - at as usize).unwrap();
            assert_eq!(bytes, &noted.0[at as usize..][..10]);
        }
        let expected = [(0, 10), (10, 20), (30, 40), (70, 80), (150, 160)];
        assert_eq!(*noted.1.lock().unwrap(), expected);
        assert_eq!(ahead.read(&noted, FileOffset::new(900), 50, 100).unwrap(), &noted.0[900..950]);
        assert_eq!(ahead.read(&noted, FileOffset::new(950), 50, 50).unwrap(), &noted.0[950..]);
        assert_eq!(noted.1.lock().unwrap()[5..], [(900, 50), (950, 50)]);
    }

    #[test]
    fn a_failed_read_leaves_no_bytes() {
        let bytes = vec![7; 100];
        let mut ahead = ReadAhead::default();
        assert_eq!(ahead.read(&bytes, FileOffset::new(0), 60, 100).unwrap(), [7; 60]);
        ahead.read(&bytes, FileOffset::new(60), 60, 60).unwrap_err();
        assert_eq!(ahead.read(&bytes, FileOffset::new(60), 40, 40).unwrap(), [7; 40]);
    }
}
