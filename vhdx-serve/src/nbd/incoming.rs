//! Defines [`Incoming`]: the requests of a client, as they come from its stream.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use super::budget::Account;
use super::protocol::REQUEST_HEADER;
use super::request::Header;
use super::transfer::{Transfer, is_time_out};

/// The bytes that are read from the stream at once. A request with more payload is read around the buffer.
const BUFFER: usize = 64 << 10;

/// Reads requests.
///
/// If the stream has a read time-out, it only makes this look at the clock: a client may wait as long as it likes between
/// two requests, and has a limited time within one.
pub(super) struct Incoming<R> {
    stream: R,
    buf: Vec<u8>,
    /// The part of `buf` that was received and not used yet.
    start: usize,
    end: usize,
    message_time: Duration,
    /// The time that the client has taken for the header of the current request.
    spent: Duration,
    account: Arc<Account>,
}

impl<R: Read> Incoming<R> {
    pub(super) fn new(stream: R, message_time: Duration, account: Arc<Account>) -> Self {
        let buf = vec![0; BUFFER];
        Self { stream, buf, start: 0, end: 0, message_time, spent: Duration::ZERO, account }
    }

    /// Returns how many bytes can be used without waiting for the client.
    pub(super) fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Waits for the next request. Returns `None` if the client closed the stream, or if `is_stopped` while it waits.
    ///
    /// # Errors
    /// That of the stream; `InvalidData` if something else than a request came, `TimedOut` if the client was too slow, and
    /// `UnexpectedEof` if the stream ended within a request.
    pub(super) fn header(&mut self, is_stopped: impl Fn() -> bool) -> io::Result<Option<Header>> {
        // From the first byte on: the client may wait before it.
        let mut transfer = None;
        while self.buffered() < REQUEST_HEADER {
            // What is left is less than a header.
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match self.stream.read(&mut self.buf[self.end..]) {
                Ok(0) if self.end == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if is_time_out(&error) && is_stopped() => return Ok(None),
                Err(error) if is_time_out(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if (1..REQUEST_HEADER).contains(&self.end) {
                let transfer = transfer.get_or_insert_with(|| Transfer::begun(Duration::ZERO));
                self.ensure_in_time(transfer)?;
            }
        }
        self.spent = transfer.map_or(Duration::ZERO, |transfer| transfer.elapsed());
        let bytes = self.buf[self.start..self.end].first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let header = Header::parse(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        self.start += REQUEST_HEADER;
        Ok(Some(header))
    }

    /// Reads the payload of a request.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub(super) fn payload(&mut self, target: &mut [u8]) -> io::Result<()> {
        let len = self.buffered().min(target.len());
        let (received, mut rest) = target.split_at_mut(len);
        received.copy_from_slice(&self.buf[self.start..self.start + len]);
        self.start += len;
        if rest.is_empty() {
            return Ok(());
        }
        // The time in which the request waited for memory is not that of the client.
        let mut transfer = Transfer::begun(self.spent);
        while !rest.is_empty() {
            match self.stream.read(rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    rest = &mut rest[read..];
                    transfer.add(read);
                }
                Err(error) if is_time_out(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if !rest.is_empty() {
                self.ensure_in_time(&transfer)?;
            }
        }
        Ok(())
    }

    /// Reads the payload of a request that is refused, and forgets it.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub(super) fn skip_payload(&mut self, len: u32) -> io::Result<()> {
        let mut rest = u64::from(len);
        let mut transfer = None;
        loop {
            let buffered = rest.min(self.buffered() as u64);
            self.start += buffered as usize; // at most the buffer
            rest -= buffered;
            if rest == 0 {
                return Ok(());
            }
            (self.start, self.end) = (0, 0);
            let transfer = transfer.get_or_insert_with(|| Transfer::begun(self.spent));
            match self.stream.read(&mut self.buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.end = read;
                    transfer.add(read);
                }
                Err(error) if is_time_out(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let transfer = *transfer;
            self.ensure_in_time(&transfer)?;
        }
    }

    /// Returns an error if a request takes too long.
    fn ensure_in_time(&self, transfer: &Transfer) -> io::Result<()> {
        if transfer.elapsed() > self.message_time {
            return Err(io::ErrorKind::TimedOut.into());
        }
        transfer.ensure_not_in_the_way(self.message_time, &self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nbd::protocol::{REQUEST_MAGIC, command};

    /// Gives a few bytes at a time, and a time-out before each of them.
    struct Slow {
        bytes: Vec<u8>,
        at: usize,
        waits: bool,
    }

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.waits = !self.waits;
            if self.waits {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let len = (self.bytes.len() - self.at).min(buf.len()).min(5);
            buf[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
            self.at += len;
            Ok(len)
        }
    }

    fn write_request(len: u32) -> Vec<u8> {
        let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(command::WRITE.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(len.to_be_bytes());
        bytes.extend((0..len).map(|number| number as u8));
        bytes
    }

    fn incoming(bytes: Vec<u8>, time: Duration) -> Incoming<Slow> {
        let account = crate::nbd::budget::Budget::new(1, 1, 1).account();
        Incoming::new(Slow { bytes, at: 0, waits: false }, time, account)
    }

    #[test]
    fn requests_are_put_together_from_pieces() {
        let bytes = [write_request(100), write_request(3), write_request(0)].concat();
        let mut incoming = incoming(bytes, Duration::from_secs(60));
        let mut payload = [0; 100];
        assert_eq!(incoming.header(|| false).unwrap().unwrap().payload(), 100);
        incoming.payload(&mut payload).unwrap();
        assert_eq!(payload, std::array::from_fn(|number| number as u8));
        assert_eq!(incoming.header(|| false).unwrap().unwrap().payload(), 3);
        incoming.skip_payload(3).unwrap();
        assert_eq!(incoming.header(|| false).unwrap().unwrap().payload(), 0);
        assert_eq!(incoming.header(|| false).unwrap(), None);
    }

    #[test]
    fn half_messages_and_other_bytes_are_errors() {
        let kind = |bytes: Vec<u8>| {
            let mut incoming = incoming(bytes, Duration::from_secs(60));
            let header = incoming.header(|| false).map_err(|error| error.kind())?.unwrap();
            incoming.skip_payload(header.payload()).map_err(|error| error.kind())
        };
        assert_eq!(kind(write_request(9)[..20].to_vec()), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(write_request(9)[..30].to_vec()), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(kind(vec![1; 28]), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(write_request(9)), Ok(()));
    }

    #[test]
    fn a_slow_message_is_too_late_and_waiting_is_not() {
        let mut late = incoming(write_request(0), Duration::ZERO);
        assert_eq!(late.header(|| false).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut stopped = incoming(Vec::new(), Duration::ZERO);
        assert_eq!(stopped.header(|| true).unwrap(), None);
    }
}
