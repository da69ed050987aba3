//! Reports what happens in the server on stderr.

use std::collections::HashSet;
use std::io::{self, Write, stderr};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use vhdx_serve::{Client, ConnectionEnd, Events, RequestFailure};

use crate::output::{Output, harmless, json_on_stderr};

/// The most different failures that are reported. A client can cause any number.
const MAX_FAILURES: usize = 1000;

/// Writes one line, or one JSON document in one line, for each event.
pub(super) struct Log {
    output: Output,
    /// The failures that were reported. Each is reported once, because clients repeat requests that failed.
    reported: Mutex<HashSet<String>>,
}

impl Log {
    pub(super) fn new(output: Output) -> Self {
        Self { output, reported: Mutex::default() }
    }

    /// Reports something that is worth knowing, unless `--quiet` is given.
    fn note(&self, text: &str) {
        if self.output.has_notes() {
            let _ = writeln!(stderr(), "vhdx: {text}");
        }
    }

    /// Whether this failure is new, and not one too many.
    fn is_new(&self, failure: String) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() == MAX_FAILURES && reported.insert("the last one".to_owned()) {
            let _ = writeln!(stderr(), "vhdx: there are more failures, which are not shown");
        }
        reported.len() < MAX_FAILURES && reported.insert(failure)
    }
}

impl Events for Log {
    fn opened(&self, client: &Client) {
        self.note(&format!("client {} ({}) opened {}", client.number, client.peer, harmless(&client.export)));
    }

    fn closed(&self, client: &Client, end: &ConnectionEnd) {
        self.note(&format!("client {}: {}", client.number, harmless(&end.to_string())));
    }

    fn handshake_failed(&self, peer: &str, reason: &str) {
        self.note(&format!("a client ({peer}) was disconnected: {}", harmless(reason)));
    }

    fn request_failed(&self, client: &Client, failure: &RequestFailure) {
        let export = harmless(&client.export);
        if !self.is_new(format!("{export}: {failure}")) {
            return;
        }
        if self.output.json {
            json_on_stderr(
                &json!({ "event": "request_failed", "client": client.number, "export": client.export,
                "command": failure.command, "offset": failure.offset, "length": failure.len, "code": failure.code,
                "message": failure.reason }),
            );
        } else if !failure.is_client_error || !self.output.quiet {
            // A damaged disk is no warning: `--quiet` does not hide it.
            let _ = writeln!(
                stderr(),
                "vhdx: client {}, {export}: {}",
                client.number,
                harmless(&failure.to_string())
            );
        }
    }

    fn accept_failed(&self, address: &str, error: &io::Error) {
        let text = format!("cannot accept a client on {}: {error}", harmless(address));
        if self.is_new(text.clone()) {
            let _ = writeln!(stderr(), "vhdx: {text}");
        }
    }
}
