//! Defines [`Limits`]: the bounds of what clients can use.

use std::time::Duration;

use crate::error::ServeError;

/// The bounds of what clients can use. The defaults suit a server for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most connections at the same time. Further clients are disconnected at once. The default is 128.
    pub connections: usize,
    /// The most bytes of payload in memory, for all connections. A client waits until there is room. The default is
    /// 256 MiB. It is never less than [`request_payload`](Self::request_payload).
    pub bytes_in_flight: u64,
    /// The most requests of one connection that are executed or answered at the same time. The default is 128.
    pub requests_in_flight: usize,
    /// The time that a client has from the connection to its first request. The default is 10 seconds.
    pub handshake_time: Duration,
    /// The time in which a client must send a whole request after its first byte, and take the whole reply. The
    /// default is 60 seconds. There is no limit between requests.
    pub message_time: Duration,
    /// The time that requests have to end after the server was told to stop. The default is 10 seconds.
    pub stop_time: Duration,
    /// The greatest length of an option in the handshake, in bytes. The default is 64 KiB.
    pub option_length: u32,
    /// The most options in one handshake. The default is 1000.
    pub options: usize,
    /// The most bytes that a request can read or write. The default is 32 MiB, the least that every client supports.
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

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), ServeError> {
        let checks = [
            ("connections", self.connections > 0),
            ("bytes_in_flight", self.bytes_in_flight >= u64::from(self.request_payload)),
            ("requests_in_flight", self.requests_in_flight > 0),
            ("handshake_time", !self.handshake_time.is_zero()),
            ("message_time", !self.message_time.is_zero()),
            ("option_length", self.option_length >= 4096 + 64),
            ("options", self.options > 0),
            // The least that the protocol allows without fragments.
            ("request_payload", self.request_payload >= 65536),
        ];
        match checks.into_iter().find(|(_, is_valid)| !is_valid) {
            Some((name, _)) => Err(ServeError::Limit(name)),
            None => Ok(()),
        }
    }
}
