//! Defines [`Events`]: the caller's view of what happens in a server.

use std::fmt;
use std::io;

/// Called by a server when something happens. All methods do nothing by default.
///
/// The methods are called from many threads, and a request waits for them: they must return soon.
pub trait Events: Send + Sync {
    /// A client has chosen an export.
    fn opened(&self, client: &Client) {
        let _ = client;
    }

    /// A client that had chosen an export is gone.
    fn closed(&self, client: &Client, end: &ConnectionEnd) {
        let _ = (client, end);
    }

    /// A client was disconnected before it chose an export. `peer` is its address, and `reason` a text for people.
    fn handshake_failed(&self, peer: &str, reason: &str) {
        let _ = (peer, reason);
    }

    /// A request was answered with an error.
    fn request_failed(&self, client: &Client, failure: &RequestFailure) {
        let _ = (client, failure);
    }

    /// A listener could not accept a client. The server tries again.
    fn accept_failed(&self, address: &str, error: &io::Error) {
        let _ = (address, error);
    }
}

/// [`Events`] that tell nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvents;

impl Events for NoEvents {}

/// A client that has chosen an export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The number of the connection, from 1 on.
    pub number: u64,
    /// The address of the client, or `unix` for a client of a Unix socket.
    pub peer: String,
    /// The name of the export.
    pub export: String,
}

/// A request that was answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFailure {
    /// The command, such as `read` or `write`.
    pub command: &'static str,
    /// The first byte of the range of the request.
    pub offset: u64,
    /// The length of the range in bytes.
    pub len: u64,
    /// The code of the answer, such as `EIO`.
    pub code: &'static str,
    /// Whether the client has made a mistake. Otherwise the disk or the server failed.
    pub is_client_error: bool,
    /// The reason. If a file could not be read or written, it names the file and the offset in it.
    pub reason: String,
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, offset, len, code, reason, .. } = self;
        write!(f, "{command} of {len} bytes at {offset} failed with {code}: {reason}")
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// The client said that it disconnects.
    Disconnected,
    /// The client closed the connection between two requests.
    Closed,
    /// The server was told to stop.
    Stopped,
    /// The client broke the protocol, was too slow, or the connection failed. The text is the reason.
    Failed(String),
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the client disconnected"),
            Self::Closed => f.write_str("the client closed the connection"),
            Self::Stopped => f.write_str("the server was stopped"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}
