//! Defines [`Limits`]: the bounds of what clients can use.

use std::time::Duration;

use crate::error::ServeError;

/// The bounds of what clients can use. The defaults suit a server for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most connections at the same time. Further clients are disconnected at once. The default is 128.
    ///
    /// A client that is there and sends nothing keeps its connection: a file system that it has mounted would fail
    /// otherwise. The connection of a client whose host is gone ends through keep-alive messages of TCP.
    pub connections: usize,
    /// The most bytes of payload in memory, for all connections. A client waits until there is room. The default is
    /// 256 MiB. It is never less than [`request_payload`](Self::request_payload).
    ///
    /// At most half of them are divided among all possible connections, so that small requests need not wait for others.
    pub bytes_in_flight: u64,
    /// The most requests of one connection that are executed or answered at the same time. The default is 128.
    pub requests_in_flight: usize,
    /// The time that a client has from the connection to the choice of an export. The default is 10 seconds, and the
    /// greatest value of every time 30 days.
    pub handshake_time: Duration,
    /// The time in which a client must send a whole request after its first byte, and take the whole reply. The
    /// default is 60 seconds. There is no limit between requests. While others wait for memory that a client has, it has
    /// a twelfth of the time, and a second more for each MiB.
    pub message_time: Duration,
    /// The time that requests have to end after the server was told to stop. The default is 10 seconds.
    pub stop_time: Duration,
    /// The greatest length of an option in the handshake, in bytes. The default is 64 KiB, and the greatest value 1 MiB.
    pub option_length: u32,
    /// The most options in one handshake. The default is 1000.
    pub options: usize,
    /// The most bytes that a request can read or write. The default is 32 MiB, the least that every client supports.
    /// The greatest value is 1 GiB.
    pub request_payload: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            bytes_in_flight: 256 << 20,
            requests_in_flight: 128,
            handshake_time: Duration::from_secs(10),
            message_time: Duration::from_secs(60),
            stop_time: Duration::from_secs(10),
            option_length: 64 << 10,
            options: 1000,
            request_payload: 32 << 20,
        }
    }
}

/// The longest time of a limit.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The greatest payload. A message with a few more bytes has a length of 32 bits.
const GREATEST_PAYLOAD: u32 = 1 << 30;

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), ServeError> {
        let is_time = |time: Duration| !time.is_zero() && time <= LONGEST;
        let checks = [
            ("connections", self.connections > 0),
            ("bytes_in_flight", self.bytes_in_flight >= u64::from(self.request_payload)),
            ("requests_in_flight", self.requests_in_flight > 0),
            ("handshake_time", is_time(self.handshake_time)),
            ("message_time", is_time(self.message_time)),
            ("stop_time", self.stop_time <= LONGEST),
            ("option_length", (4096 + 64..=1 << 20).contains(&self.option_length)),
            ("options", self.options > 0),
            // The least that the protocol allows without fragments.
            ("request_payload", (65536..=GREATEST_PAYLOAD).contains(&self.request_payload)),
        ];
        match checks.into_iter().find(|(_, is_valid)| !is_valid) {
            Some((name, _)) => Err(ServeError::Limit(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_no_use_are_refused() {
        let is_valid = |change: fn(&mut Limits)| {
            let mut limits = Limits { bytes_in_flight: u64::MAX, ..Limits::default() };
            change(&mut limits);
            limits.validate().is_ok()
        };
        assert!(is_valid(|_| ()));
        assert!(!is_valid(|limits| limits.message_time = Duration::MAX));
        assert!(!is_valid(|limits| limits.handshake_time = Duration::MAX));
        assert!(!is_valid(|limits| limits.stop_time = Duration::MAX));
        assert!(!is_valid(|limits| limits.message_time = Duration::ZERO));
        assert!(!is_valid(|limits| limits.request_payload = u32::MAX));
        assert!(!is_valid(|limits| limits.option_length = u32::MAX));
    }
}
