//! A small NBD client that says exactly what it is told, also if that is wrong.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const CACHE: u16 = 5;
pub(crate) const WRITE_ZEROES: u16 = 6;
pub(crate) const BLOCK_STATUS: u16 = 7;

pub(crate) const FUA: u16 = 1;
pub(crate) const NO_HOLE: u16 = 2;
pub(crate) const DF: u16 = 4;
pub(crate) const REQ_ONE: u16 = 8;
pub(crate) const FAST_ZERO: u16 = 16;

pub(crate) const EPERM: u32 = 1;
pub(crate) const EIO: u32 = 5;
pub(crate) const EINVAL: u32 = 22;
pub(crate) const ENOSPC: u32 = 28;
pub(crate) const EOVERFLOW: u32 = 75;

/// A connection in any phase.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    is_structured: bool,
    cookie: u64,
}

/// The answer to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) error: Option<u32>,
    pub(crate) error_offset: Option<u64>,
    pub(crate) text: String,
    /// Content by offset; `None` for a hole of a length.
    pub(crate) chunks: BTreeMap<u64, (u32, Option<Vec<u8>>)>,
    /// Descriptors by the number of their context.
    pub(crate) statuses: BTreeMap<u32, Vec<(u32, u32)>>,
}

impl Client {
    /// Reads the greeting and answers it.
    pub(crate) fn greet(stream: UnixStream, flags: u32) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut client = Self { stream, is_structured: false, cookie: 0 };
        assert_eq!(&client.take::<16>().unwrap(), b"NBDMAGICIHAVEOPT");
        assert_eq!(client.take().map(u16::from_be_bytes).unwrap(), 3);
        client.stream.write_all(&flags.to_be_bytes()).unwrap();
        client
    }

    pub(crate) fn structured(stream: UnixStream, name: &str) -> Self {
        let mut client = Self::greet(stream, 3);
        assert_eq!(client.option(8, &[]).unwrap(), [(1, vec![])]);
        client.is_structured = true;
        let queries = ["base:allocation", "qemu:allocation-depth", "vhdx:layer"];
        let replies = client.option(10, &contexts(name, &queries)).unwrap();
        assert_eq!(replies.len(), 4, "{replies:?}");
        client.go(name);
        client
    }

    /// A client that knows only the oldest things.
    pub(crate) fn simple(stream: UnixStream, name: &str) -> Self {
        let mut client = Self::greet(stream, 3);
        client.go(name);
        client
    }

    pub(crate) fn go(&mut self, name: &str) {
        let replies = self.option(7, &info(name, &[])).unwrap();
        assert_eq!(replies.last().unwrap().0, 1, "{replies:?}");
    }

    pub(crate) fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_be_bytes(self.take()?))
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn bytes(&mut self, len: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends an option. Returns the kinds and the data of the replies, up to the last one.
    pub(crate) fn option(&mut self, number: u32, data: &[u8]) -> io::Result<Vec<(u32, Vec<u8>)>> {
        self.stream.write_all(&option(number, data.len() as u32, data))?;
        let mut replies = Vec::new();
        loop {
            assert_eq!(self.u64()?, 0x3e889045565a9);
            assert_eq!(self.u32()?, number);
            let (kind, len) = (self.u32()?, self.u32()?);
            replies.push((kind, self.bytes(len)?));
            if kind == 1 || kind >= 1 << 31 {
                return Ok(replies);
            }
        }
    }

    /// Sends a request and returns its cookie.
    pub(crate) fn send(&mut self, command: u16, flags: u16, offset: u64, len: u32, payload: &[u8]) -> u64 {
        self.cookie += 1;
        let mut bytes = request(command, flags, self.cookie, offset, len);
        bytes.extend(payload);
        self.stream.write_all(&bytes).unwrap();
        self.cookie
    }

    /// Receives one message: its cookie, whether it is the last of its reply, and its content.
    fn receive(
        &mut self,
        answers: &mut BTreeMap<u64, Answer>,
        lens: &BTreeMap<u64, u32>,
    ) -> io::Result<Option<u64>> {
        match self.u32()? {
            0x67446698 => {
                let (error, cookie) = (self.u32()?, self.u64()?);
                let answer = answers.entry(cookie).or_default();
                answer.error = (error != 0).then_some(error);
                if error == 0 && lens[&cookie] > 0 {
                    assert!(!self.is_structured, "content must be in chunks");
                    let len = lens[&cookie];
                    answers.get_mut(&cookie).unwrap().chunks.insert(0, (len, Some(self.bytes(len)?)));
                }
                Ok(Some(cookie))
            }
            0x668e33ef => {
                assert!(self.is_structured);
                let (flags, kind, cookie, len) = (self.u16()?, self.u16()?, self.u64()?, self.u32()?);
                let payload = self.bytes(len)?;
                let answer = answers.entry(cookie).or_default();
                answer.add(kind, &payload);
                Ok((flags & 1 == 1).then_some(cookie))
            }
            other => panic!("{other:#x} is no reply"),
        }
    }

    /// Waits for the answers to requests, with the length of the content of each.
    pub(crate) fn answers(&mut self, lens: &BTreeMap<u64, u32>) -> io::Result<BTreeMap<u64, Answer>> {
        let (mut answers, mut done) = (BTreeMap::new(), 0);
        while done < lens.len() {
            done += usize::from(self.receive(&mut answers, lens)?.is_some());
        }
        assert_eq!(answers.len(), lens.len());
        Ok(answers)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, command: u16, flags: u16, offset: u64, len: u32, payload: &[u8]) -> Answer {
        let cookie = self.send(command, flags, offset, len, payload);
        let content = if command == READ { len } else { 0 };
        self.answers(&[(cookie, content)].into()).unwrap().remove(&cookie).unwrap()
    }

    /// Reads a range. Panics if that fails.
    pub(crate) fn read(&mut self, offset: u64, len: u32) -> Vec<u8> {
        let answer = self.ask(READ, 0, offset, len, &[]);
        assert_eq!(answer.error, None, "{}", answer.text);
        if self.is_structured { answer.content(offset, len) } else { answer.content(0, len) }
    }

    /// Sends a request without content. Returns the error.
    pub(crate) fn change(&mut self, command: u16, flags: u16, offset: u64, len: u32) -> Option<u32> {
        self.ask(command, flags, offset, len, &[]).error
    }

    pub(crate) fn write(&mut self, flags: u16, offset: u64, payload: &[u8]) -> Option<u32> {
        self.ask(WRITE, flags, offset, payload.len() as u32, payload).error
    }

    /// Returns whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(0) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
            Ok(_) => false,
        }
    }
}

impl Answer {
    fn add(&mut self, kind: u16, payload: &[u8]) {
        let u32_at = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_be_bytes(payload[at..at + 8].try_into().unwrap());
        match kind {
            0 => assert!(payload.is_empty()),
            1 => {
                let content = payload[8..].to_vec();
                assert!(self.chunks.insert(u64_at(0), (content.len() as u32, Some(content))).is_none());
            }
            2 => assert!(self.chunks.insert(u64_at(0), (u32_at(8), None)).is_none()),
            5 => {
                let descriptors = payload[4..].chunks(8).map(|pair| {
                    let (len, status) = pair.split_at(4);
                    (
                        u32::from_be_bytes(len.try_into().unwrap()),
                        u32::from_be_bytes(status.try_into().unwrap()),
                    )
                });
                assert!(self.statuses.insert(u32_at(0), descriptors.collect()).is_none());
            }
            0x8001 | 0x8002 => {
                self.error = Some(u32_at(0));
                let len = usize::from(u16::from_be_bytes([payload[4], payload[5]]));
                self.text = String::from_utf8(payload[6..6 + len].to_vec()).unwrap();
                self.error_offset = (kind == 0x8002).then(|| u64_at(6 + len));
            }
            other => panic!("chunk {other}"),
        }
    }

    /// Puts the chunks together. They must cover the range without gaps.
    pub(crate) fn content(&self, offset: u64, len: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (start, (chunk_len, content)) in &self.chunks {
            assert_eq!(*start, offset + bytes.len() as u64, "chunks follow each other");
            assert!(*chunk_len > 0);
            match content {
                Some(content) => bytes.extend(content),
                None => bytes.resize(bytes.len() + *chunk_len as usize, 0),
            }
        }
        assert_eq!(bytes.len(), len as usize);
        bytes
    }
}

pub(crate) fn option(number: u32, len: u32, data: &[u8]) -> Vec<u8> {
    [b"IHAVEOPT", &number.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

pub(crate) fn request(command: u16, flags: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = 0x25609513_u32.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
}

/// The data of `INFO` and `GO`.
pub(crate) fn info(name: &str, requests: &[u16]) -> Vec<u8> {
    let mut data = string(name);
    data.extend((requests.len() as u16).to_be_bytes());
    requests.iter().for_each(|request| data.extend(request.to_be_bytes()));
    data
}

/// The data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
pub(crate) fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = string(name);
    data.extend((queries.len() as u32).to_be_bytes());
    queries.iter().for_each(|query| data.extend(string(query)));
    data
}
