//! A storage that is synced only if there is something to sync.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ReadAt, Storage};
use crate::units::FileOffset;

/// A storage that nobody else writes to while this lives: once it is synced, a sync has nothing to do until something is
/// written, and does not go through. The first one does, because of what others wrote before.
#[derive(Debug)]
pub(crate) struct OnlyWriter<S> {
    storage: S,
    /// How many writes there were, counted when they are over: what is counted is there to be synced.
    written: AtomicU64,
    /// How many of them are durable.
    synced: AtomicU64,
}

impl<S: Storage> OnlyWriter<S> {
    pub(crate) fn new(storage: S) -> Self {
        // What was written before counts as one.
        Self { storage, written: AtomicU64::new(1), synced: AtomicU64::new(0) }
    }

    /// After a failure, too: part of it may have been written.
    fn count<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.written.fetch_add(1, Ordering::SeqCst);
        result
    }
}

impl<S: Storage> ReadAt for OnlyWriter<S> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)
    }

    fn as_file(&self) -> Option<&File> {
        self.storage.as_file()
    }

    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        self.storage.hole_after(offset)
    }
}

impl<S: Storage> Storage for OnlyWriter<S> {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        self.count(self.storage.write_all_at(buf, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count(self.storage.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        let written = self.written.load(Ordering::SeqCst);
        if self.synced.load(Ordering::SeqCst) < written {
            self.storage.sync()?;
            self.synced.fetch_max(written, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Counted, because the next sync is the one that tells what this one meets.
    fn begin_sync(&self) -> io::Result<()> {
        self.count(self.storage.begin_sync())
    }

    fn zero_range(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.count(self.storage.zero_range(offset, len))
    }

    fn punch_hole(&self, offset: FileOffset, len: u64) -> io::Result<()> {
        self.count(self.storage.punch_hole(offset, len))
    }

    fn copy_from(&self, source: &dyn ReadAt, from: FileOffset, to: FileOffset, len: u64) -> io::Result<()> {
        self.count(self.storage.copy_from(source, from, to, len))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::storage::Memory;

    /// Counts its syncs, and refuses them if it is told to.
    #[derive(Default)]
    struct Counting {
        memory: Memory,
        syncs: AtomicU64,
        fails: AtomicBool,
    }

    impl ReadAt for Counting {
        fn len(&self) -> io::Result<u64> {
            ReadAt::len(&self.memory)
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
            self.memory.read_exact_at(buf, offset)
        }
    }

    impl Storage for Counting {
        fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
            if self.fails.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::Other.into());
            }
            self.memory.write_all_at(buf, offset)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.memory.set_len(len)
        }

        fn sync(&self) -> io::Result<()> {
            self.syncs.fetch_add(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    }

    fn syncs(file: &OnlyWriter<Counting>) -> u64 {
        file.storage.syncs.load(Ordering::SeqCst)
    }

    #[test]
    fn what_is_durable_is_not_synced_again_and_all_else_is() {
        let file = OnlyWriter::new(Counting::default());
        for _ in 0..3 {
            file.sync().unwrap();
        }
        assert_eq!(syncs(&file), 1, "what others wrote, once");
        let at = FileOffset::new;
        let changes: [&dyn Fn() -> io::Result<()>; 6] = [
            &|| file.write_all_at(b"0123", at(0)),
            &|| file.set_len(9000),
            &|| file.begin_sync(),
            &|| file.zero_range(at(1), 2),
            &|| file.punch_hole(at(2), 1),
            &|| file.copy_from(&b"4567".to_vec(), at(0), at(8), 4),
        ];
        for (before, change) in (1..).zip(changes) {
            change().unwrap();
            assert_eq!(syncs(&file), before);
            file.sync().unwrap();
            file.sync().unwrap();
            assert_eq!(syncs(&file), before + 1);
        }
    }

    #[test]
    fn a_failure_leaves_something_to_sync() {
        let file = OnlyWriter::new(Counting::default());
        file.sync().unwrap();
        file.storage.fails.store(true, Ordering::SeqCst);
        file.write_all_at(b"0123", FileOffset::new(0)).unwrap_err();
        file.sync().unwrap_err();
        file.sync().unwrap_err();
        assert_eq!(syncs(&file), 3);
        file.storage.fails.store(false, Ordering::SeqCst);
        file.sync().unwrap();
        file.sync().unwrap();
        assert_eq!(syncs(&file), 4);
    }
}
