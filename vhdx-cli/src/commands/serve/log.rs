//! Reports what happens in the server on stderr.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use vhdx_serve::{Client, ConnectionEnd, Events, RequestFailure};

use super::lines::Lines;
use crate::output::{Output, harmless};

/// The most different failures that are reported, of disks and of clients each. A client can cause any number.
const MOST: usize = 1000;

/// Prints one line, or one JSON document in one line, for each event.
pub(super) struct Log {
    output: Output,
    lines: Lines,
    /// Failures of disks and of the system, and mistakes of clients: a client must not hide the failures of a disk.
    failures: Reported,
    mistakes: Reported,
}

impl Log {
    pub(super) fn new(output: Output) -> Self {
        Self { output, lines: Lines::new(), failures: Reported::default(), mistakes: Reported::default() }
    }

    /// Reports something that is worth knowing, unless `--quiet` or `--json` is given.
    fn note(&self, text: &str) {
        if self.output.has_notes() {
            self.lines.print(format!("vhdx: {text}"));
        }
    }

    /// Reports a failure that is new.
    fn failure(&self, reported: &Reported, text: String, json: impl FnOnce() -> Value) {
        let shown = if self.output.json { json().to_string() } else { format!("vhdx: {}", harmless(&text)) };
        match reported.add(text) {
            Added::New => self.lines.print(shown),
            Added::Last => self.lines.print(match self.output.json {
                true => json!({ "event": "more_failures" }).to_string(),
                false => "vhdx: there are more failures, which are not shown".to_owned(),
            }),
            Added::Known => {}
        }
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
        // A damaged disk is no warning: `--quiet` does not hide it.
        if failure.is_client_error && self.output.quiet {
            return;
        }
        let reported = if failure.is_client_error { &self.mistakes } else { &self.failures };
        self.failure(reported, format!("{}: {failure}", client.export), || {
            json!({
                "event": "request_failed",
                "client": client.number,
                "export": client.export,
                "command": failure.command,
                "offset": failure.offset,
                "length": failure.len,
                "code": failure.code,
                "message": failure.reason,
            })
        });
    }

    fn accept_failed(&self, address: &str, error: &io::Error) {
        let message = format!("cannot accept a client on {address}: {error}");
        let json = || json!({ "event": "accept_failed", "message": message });
        self.failure(&self.failures, message.clone(), json);
    }
}

/// The failures that were reported. Each is reported once, because clients repeat requests that failed.
#[derive(Default)]
struct Reported(Mutex<HashSet<String>>);

enum Added {
    New,
    Known,
    /// The first one that is not reported.
    Last,
}

impl Reported {
    fn add(&self, failure: String) -> Added {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() > MOST || reported.contains(&failure) {
            return Added::Known;
        }
        reported.insert(failure);
        if reported.len() > MOST { Added::Last } else { Added::New }
    }
}
