//! Changes the two headers so that one of them is valid at every instant ([MS-VHDX] 2.2.2.1).
//!
//! This is the only module that changes the headers of an existing file.

use std::io;
use std::sync::Arc;

use crate::error::{Bounded, Error, Result};
use crate::format::header::{self, Header};
use crate::rules::Rule;
use crate::storage::{Storage, put};
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

/// The two headers of a file that is open for writing.
pub(crate) struct Headers {
    storage: Arc<dyn Storage>,
    current: Header,
    number: u8,
}

impl Headers {
    /// Creates the value from the current header of a file and that header's number, 1 or 2.
    pub(crate) fn new(storage: Arc<dyn Storage>, current: Header, number: u8) -> Self {
        Self { storage, current, number }
    }

    /// Returns the current header.
    pub(crate) fn current(&self) -> &Header {
        &self.current
    }

    /// Changes both headers, first the one that is not current.
    ///
    /// Each header is synced before the next write.
    ///
    /// After a power failure the current header is the old one or the new one. The sequence number is set here, not by
    /// `change`.
    ///
    /// After an error either header may be current in the file. The file must be opened again.
    ///
    /// # Errors
    /// [`Error::Io`], also if a newer header has appeared since the file was opened; [`Error::Unsupported`] if the
    /// sequence number cannot grow. Nothing is written if a newer header has appeared or the sequence number cannot
    /// grow.
    pub(crate) fn update(&mut self, change: impl Fn(&mut Header)) -> Result<()> {
        ensure_sequence(&self.current, self.number, 2)?;
        let mut new = self.current.clone();
        change(&mut new);
        self.overwrite_torn()?;
        self.write_other(new.clone())?;
        self.write_other(new)
    }

    /// Overwrites the header that is not current with 0xff bytes if it is invalid, and syncs.
    ///
    /// A torn header may lack a single sector. A later write that is torn as well could restore exactly that sector and
    /// revive the lost header, with a DataWriteGuid that no child knows. So the whole header is overwritten first, with
    /// bytes that no header contains. This also repairs unreadable sectors.
    ///
    /// # Errors
    /// [`Error::Io`], also if the other header is newer than the current one.
    fn overwrite_torn(&self) -> Result<()> {
        let (number, mut bytes) = (3 - self.number, [0; header::SIZE]);
        let is_read = self.storage.read_exact_at(&mut bytes, place(number)).is_ok();
        let other = is_read.then(|| header::validate_copy(&bytes, number, &mut Violations::new())).flatten();
        match other.map(|other| other.sequence_number > self.current.sequence_number) {
            Some(false) => return Ok(()),
            Some(true) => {
                let newer = io::Error::other(
                    "another program has changed this file since it was opened; close that program and try again",
                );
                return Err(Error::io("write", place(number), newer));
            }
            None => put(&*self.storage, &[0xff; header::SIZE], place(number))?,
        }
        self.storage.sync().map_err(|e| Error::io("sync", None, e))
    }

    /// Writes `new` over the header that is not current, which makes it current.
    ///
    /// Sets the next sequence number.
    fn write_other(&mut self, mut new: Header) -> Result<()> {
        let number = 3 - self.number;
        new.sequence_number = self.current.sequence_number.plus(1)?;
        put(&*self.storage, &new.encode(), place(number))?;
        self.storage.sync().map_err(|e| Error::io("sync", None, e))?;
        (self.current, self.number) = (new, number);
        Ok(())
    }
}

/// The most that the sequence number grows in a replay and the session after it.
pub(super) const SESSION: u64 = 64;
/// More than the sequence number grows in all sessions of a merge, reruns included.
pub(super) const MERGE: u64 = SESSION << 16;

/// Ensures that the sequence number can grow by `updates`.
///
/// `number` is that of the current header.
///
/// # Errors
/// [`Error::Unsupported`] if it cannot.
pub(super) fn ensure_sequence(current: &Header, number: u8, updates: u64) -> Result<()> {
    if current.sequence_number.checked_add(updates).is_some() {
        return Ok(());
    }
    let violation = Violation::new(Structure::Header(number), place(number), Rule::HeaderSequence);
    Err(violation.number(current.sequence_number).into())
}

fn place(number: u8) -> FileOffset {
    let [first, second] = header::OFFSETS;
    if number == 2 { second } else { first }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::file::{NewDisk, OpenOptions, Vhdx, VhdxMut, VhdxWriter};
    use crate::storage::{Memory, ReadAt};
    use crate::testing::torn::{SECTOR, Torn};
    use crate::units::DiskOffset;

    /// Records all writes and syncs. All calls after the first `fails_from` ones fail.
    #[derive(Default)]
    struct Noting {
        file: Memory,
        calls: Mutex<Vec<String>>,
        fails_from: Mutex<Option<usize>>,
        /// An offset that cannot be read until something is written there.
        unreadable: Mutex<Option<FileOffset>>,
    }

    impl Noting {
        fn note(&self, call: String) -> io::Result<()> {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call);
            let fails = self.fails_from.lock().unwrap().is_some_and(|from| calls.len() > from);
            if fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    }

    impl ReadAt for Noting {
        fn size(&self) -> io::Result<u64> {
            ReadAt::size(&self.file)
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
            match *self.unreadable.lock().unwrap() == Some(offset) {
                true => Err(io::ErrorKind::Other.into()),
                false => self.file.read_exact_at(buf, offset),
            }
        }
    }

    impl Storage for Noting {
        fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
            self.note(format!("write {} at {offset}", buf.len()))?;
            self.unreadable.lock().unwrap().take_if(|at| *at == offset);
            self.file.write_all_at(buf, offset)
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("the headers are part of the file already")
        }

        fn sync(&self) -> io::Result<()> {
            self.note("sync".to_owned())
        }
    }

    /// A new file, in which header 2 is current.
    fn new_file() -> Arc<Noting> {
        let storage = Memory::default();
        VhdxWriter::new(&storage, &NewDisk::new(1 << 20)).unwrap().finish().unwrap();
        Arc::new(Noting { file: storage, ..Noting::default() })
    }

    fn open(storage: &Arc<Noting>) -> Vhdx {
        Vhdx::open_with(Arc::clone(storage), &OpenOptions::default()).unwrap()
    }

    fn headers(storage: &Arc<Noting>) -> Headers {
        let vhdx = open(storage);
        Headers::new(Arc::clone(storage) as Arc<dyn Storage>, vhdx.header.clone(), vhdx.header_number)
    }

    #[test]
    fn an_update_writes_the_other_header_first_and_syncs_each() {
        let storage = new_file();
        let mut headers = headers(&storage);
        let before = headers.current().clone();
        assert_eq!((headers.number, before.sequence_number), (2, 2));
        let guid = Uuid::new_v4();
        headers.update(|header| header.data_write_guid = guid).unwrap();
        let calls = ["write 4096 at 0x10000", "sync", "write 4096 at 0x20000", "sync"];
        assert_eq!(*storage.calls.lock().unwrap(), calls);
        let expected = Header { sequence_number: 4, data_write_guid: guid, ..before };
        assert_eq!((headers.current(), headers.number), (&expected, 2));
        assert_eq!((&open(&storage).header, open(&storage).header_number), (&expected, 2));
        for (at, sequence_number) in [(0x10000, 3), (0x20000, 4)] {
            let mut copy = [0; header::SIZE];
            storage.read_exact_at(&mut copy, FileOffset::new(at)).unwrap();
            assert_eq!(Header::parse(&copy).unwrap(), Header { sequence_number, ..expected.clone() });
        }
    }

    #[test]
    fn a_failed_update_leaves_the_old_or_the_new_header_and_can_be_repeated() {
        for fails_from in 0..4 {
            let storage = new_file();
            let mut headers = headers(&storage);
            let (old, new) = (open(&storage).file_write_guid(), Uuid::new_v4());
            *storage.fails_from.lock().unwrap() = Some(fails_from);
            headers.update(|header| header.file_write_guid = new).unwrap_err();
            let found = open(&storage).file_write_guid();
            assert_eq!(found, if fails_from == 0 { old } else { new }, "call {fails_from}");

            *storage.fails_from.lock().unwrap() = None;
            let newest = Uuid::new_v4();
            self::headers(&storage).update(|header| header.file_write_guid = newest).unwrap();
            assert_eq!(open(&storage).file_write_guid(), newest, "call {fails_from}");
            // `headers` was opened before that update, so it must not overwrite it.
            headers.update(|header| header.file_write_guid = new).unwrap_err();
            assert_eq!(open(&storage).file_write_guid(), newest, "call {fails_from}");
        }
    }

    #[test]
    fn an_unreadable_header_is_rewritten() {
        let storage = new_file();
        *storage.unreadable.lock().unwrap() = Some(place(1));
        let guid = Uuid::new_v4();
        headers(&storage).update(|header| header.file_write_guid = guid).unwrap();
        let calls = storage.calls.lock().unwrap();
        assert_eq!(calls[..3], ["write 4096 at 0x10000", "sync", "write 4096 at 0x10000"]);
        assert_eq!(open(&storage).file_write_guid(), guid);
        assert!(open(&storage).tolerated().is_empty());
    }

    /// Most of a header is zeros, so a torn write could leave exactly the sector that the lost header lacks.
    #[test]
    fn a_torn_write_does_not_complete_an_earlier_torn_header() {
        let new = new_file();
        let mut sound = vec![0; usize::try_from(ReadAt::size(&*new).unwrap()).unwrap()];
        new.read_exact_at(&mut sound, FileOffset::new(0)).unwrap();
        let old = open(&new).header().clone();
        let torn = Header { sequence_number: 3, data_write_guid: Uuid::new_v4(), ..old.clone() };
        for lost in 0..header::SIZE / SECTOR {
            let mut file = sound.clone();
            file[0x10000..][..header::SIZE].copy_from_slice(&torn.encode());
            file[0x10000 + lost * SECTOR..][..SECTOR].fill(0xee);
            let mut cleared = file.clone();
            cleared[0x10000..][..header::SIZE].fill(0xff);
            // In the second case the header was cleared before, but that sync failed and the host forgot it.
            for file in [Torn::new(file.clone()), Torn::forgotten(file, cleared)] {
                let file = Arc::new(file);
                let mut headers = Headers::new(Arc::clone(&file) as Arc<dyn Storage>, old.clone(), 2);
                headers.update(|header| header.file_write_guid = Uuid::new_v4()).unwrap();
                let mut images = 0;
                file.for_each_image(|image| {
                    let found =
                        Vhdx::open_with(image.to_vec(), &OpenOptions::default()).unwrap().data_write_guid();
                    assert_eq!(found, old.data_write_guid, "sector {lost} was lost");
                    images += 1;
                });
                assert!(images > 128, "{images}");
            }
        }
    }

    #[test]
    fn an_update_writes_nothing_if_the_sequence_number_cannot_grow() {
        let storage = new_file();
        for (sequence_number, works) in [(u64::MAX - 2, true), (u64::MAX - 1, false), (u64::MAX, false)] {
            storage.calls.lock().unwrap().clear();
            let current = Header { sequence_number, ..open(&storage).header().clone() };
            let mut headers = Headers::new(Arc::clone(&storage) as Arc<dyn Storage>, current, 1);
            let result = headers.update(|_| ());
            assert_eq!(result.is_ok(), works);
            let rule = result.err().and_then(|error| error.violation().map(|violation| violation.rule));
            assert_eq!(rule, (!works).then_some(Rule::HeaderSequence));
            assert_eq!(storage.calls.lock().unwrap().is_empty(), !works);
        }
    }

    /// Every file that can be opened for writing can also be closed.
    #[test]
    fn opening_fails_if_the_sequence_number_is_too_large_for_a_session() {
        for (sequence_number, works) in [(u64::MAX - SESSION, true), (u64::MAX - SESSION + 1, false)] {
            let new = new_file();
            let mut bytes = vec![0; usize::try_from(ReadAt::size(&*new).unwrap()).unwrap()];
            new.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
            let header = Header { sequence_number, ..open(&new).header().clone() };
            let storage = Arc::new(Memory::new(bytes));
            put(&*storage, &header.encode(), place(1)).unwrap();
            let opened = VhdxMut::open_with(storage, &OpenOptions::default());
            let Ok(mut disk) = opened else {
                assert!(!works);
                assert_eq!(opened.unwrap_err().violation().unwrap().rule, Rule::HeaderSequence);
                continue;
            };
            assert!(works);
            disk.write_all_at(&[1; 512], DiskOffset::new(0)).unwrap();
            disk.close().unwrap();
        }
    }
}
