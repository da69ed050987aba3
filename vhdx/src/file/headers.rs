//! Writing the two headers, so that one of them is valid at every instant ([MS-VHDX] 2.2.2.1).

use std::io;
use std::sync::Arc;

use super::create::put;
use crate::error::{Error, Result};
use crate::format::header::{self, Header};
use crate::rules::Rule;
use crate::storage::Storage;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

/// The headers of a file that is being written. This is the only place that changes them.
pub(crate) struct Headers {
    storage: Arc<dyn Storage>,
    current: Header,
    number: u8,
}

impl Headers {
    /// Those of a file whose current header is `current`; `number`, 1 or 2, says which of the two it is.
    pub(crate) fn new(storage: Arc<dyn Storage>, current: Header, number: u8) -> Self {
        Self { storage, current, number }
    }

    /// The current header.
    pub(crate) fn current(&self) -> &Header {
        &self.current
    }

    /// Changes both headers, one after the other, the one that is not current first; each is durable before the next
    /// step. A power failure leaves the header from before or the new one. `change` need not mind the sequence number.
    ///
    /// After an error, either may be current in the file, which must be opened anew.
    ///
    /// # Errors
    /// [`Error::Io`]; with nothing written also if there is a newer header by now, and [`Error::Unsupported`] when the
    /// sequence number cannot grow.
    pub(crate) fn update(&mut self, change: impl Fn(&mut Header)) -> Result<()> {
        ensure_sequence(&self.current, self.number, 2)?;
        let mut new = self.current.clone();
        change(&mut new);
        self.unmake_torn()?;
        self.write_other(new.clone())?;
        self.write_other(new)
    }

    /// A header that was torn may lack a single sector, and the next one, torn in its place, may leave just that one: what
    /// was lost would count again, a DataWriteGuid that no child knows among it. So it is unmade first: by bytes that no
    /// header has, and all of it, which also mends what cannot be read.
    fn unmake_torn(&self) -> Result<()> {
        let (number, mut bytes) = (3 - self.number, [0; header::SIZE]);
        let is_read = self.storage.read_exact_at(&mut bytes, place(number)).is_ok();
        let other = is_read.then(|| header::validate_copy(&bytes, number, &mut Violations::new())).flatten();
        match other.map(|other| other.sequence_number > self.current.sequence_number) {
            Some(false) => return Ok(()),
            Some(true) => {
                let newer = io::Error::other("there is a newer header than when the file was opened");
                return Err(Error::io("write", place(number), newer));
            }
            None => put(&*self.storage, &[0xff; header::SIZE], place(number))?,
        }
        self.storage.sync().map_err(|e| Error::io("sync", None, e))
    }

    /// Puts `new` in the place of the header that is not current, with the next sequence number, which makes it current.
    fn write_other(&mut self, mut new: Header) -> Result<()> {
        let number = 3 - self.number;
        new.sequence_number = self.current.sequence_number.saturating_add(1);
        put(&*self.storage, &new.encode(), place(number))?;
        self.storage.sync().map_err(|e| Error::io("sync", None, e))?;
        (self.current, self.number) = (new, number);
        Ok(())
    }
}

/// How far the sequence number goes up at most in a replay and the session after it.
pub(super) const SESSION: u64 = 64;
/// More than the sessions of a merge come to, however often it is run again.
pub(super) const MERGE: u64 = SESSION << 16;

/// Refuses headers whose sequence number cannot go up by `updates`; `number` says which of the two is current.
///
/// # Errors
/// [`Error::Unsupported`].
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
    use crate::file::create::NewDisk;
    use crate::file::{Vhdx, VhdxMut, VhdxWriter};
    use crate::storage::torn::{SECTOR, Torn};
    use crate::storage::{Memory, ReadAt};
    use crate::units::DiskOffset;

    /// Notes what is asked of it; from call number `fails_from` on, nothing works.
    #[derive(Default)]
    struct Noting {
        file: Memory,
        calls: Mutex<Vec<String>>,
        fails_from: Mutex<Option<usize>>,
        /// What cannot be read before something is written there.
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
        fn len(&self) -> io::Result<u64> {
            ReadAt::len(&self.file)
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
            unreachable!("headers have their place")
        }

        fn sync(&self) -> io::Result<()> {
            self.note("sync".to_owned())
        }
    }

    /// A file as it is new, where header 2 is current.
    fn new_file() -> Arc<Noting> {
        let storage = Memory::default();
        VhdxWriter::new(&storage, &NewDisk::new(1 << 20)).unwrap().finish().unwrap();
        Arc::new(Noting { file: storage, ..Noting::default() })
    }

    fn open(storage: &Arc<Noting>) -> Vhdx {
        Vhdx::from_storage(Arc::clone(storage)).unwrap()
    }

    fn headers(storage: &Arc<Noting>) -> Headers {
        let vhdx = open(storage);
        Headers::new(Arc::clone(storage) as Arc<dyn Storage>, vhdx.header.clone(), vhdx.header_number)
    }

    #[test]
    fn the_header_that_is_not_current_comes_first_and_each_is_synced() {
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
    fn an_update_that_failed_anywhere_is_old_or_new_and_can_be_done_again() {
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
            // What was opened before knows nothing of that.
            headers.update(|header| header.file_write_guid = new).unwrap_err();
            assert_eq!(open(&storage).file_write_guid(), newest, "call {fails_from}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_is_written_anew() {
        let storage = new_file();
        *storage.unreadable.lock().unwrap() = Some(place(1));
        let guid = Uuid::new_v4();
        headers(&storage).update(|header| header.file_write_guid = guid).unwrap();
        let calls = storage.calls.lock().unwrap();
        assert_eq!(calls[..3], ["write 4096 at 0x10000", "sync", "write 4096 at 0x10000"]);
        assert_eq!(open(&storage).file_write_guid(), guid);
        assert!(open(&storage).tolerated().is_empty());
    }

    /// Most of a header is zeros, so one that is torn might leave just what the other lacks.
    #[test]
    fn a_header_that_lacks_a_sector_does_not_get_it_from_a_torn_one_in_its_place() {
        let new = new_file();
        let mut sound = vec![0; usize::try_from(ReadAt::len(&*new).unwrap()).unwrap()];
        new.read_exact_at(&mut sound, FileOffset::new(0)).unwrap();
        let old = open(&new).header().clone();
        let torn = Header { sequence_number: 3, data_write_guid: Uuid::new_v4(), ..old.clone() };
        for lost in 0..header::SIZE / SECTOR {
            let mut file = sound.clone();
            file[0x10000..][..header::SIZE].copy_from_slice(&torn.encode());
            file[0x10000 + lost * SECTOR..][..SECTOR].fill(0xee);
            let mut cleared = file.clone();
            cleared[0x10000..][..header::SIZE].fill(0xff);
            // It may also have been unmade, and the host has forgotten that the medium does not know.
            for file in [Torn::new(file.clone()), Torn::forgotten(file, cleared)] {
                let file = Arc::new(file);
                let mut headers = Headers::new(Arc::clone(&file) as Arc<dyn Storage>, old.clone(), 2);
                headers.update(|header| header.file_write_guid = Uuid::new_v4()).unwrap();
                let mut images = 0;
                file.for_each_image(|image| {
                    let found = Vhdx::from_storage(image.to_vec()).unwrap().data_write_guid();
                    assert_eq!(found, old.data_write_guid, "sector {lost} was lost");
                    images += 1;
                });
                assert!(images > 128, "{images}");
            }
        }
    }

    #[test]
    fn a_sequence_number_that_cannot_grow_is_refused_with_nothing_written() {
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

    /// A file that is opened for writing can be closed again.
    #[test]
    fn a_session_that_the_sequence_number_would_not_outlast_does_not_begin() {
        for (sequence_number, works) in [(u64::MAX - SESSION, true), (u64::MAX - SESSION + 1, false)] {
            let new = new_file();
            let mut bytes = vec![0; usize::try_from(ReadAt::len(&*new).unwrap()).unwrap()];
            new.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
            let header = Header { sequence_number, ..open(&new).header().clone() };
            let storage = Arc::new(Memory::new(bytes));
            put(&*storage, &header.encode(), place(1)).unwrap();
            let opened = VhdxMut::from_storage(storage);
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
