//! Accepts clients on one listener.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::listener::Listener;
use super::registry::{Refused, Registry};
use super::session::serve;
use super::shared::Shared;
use super::socket::Socket;
use super::stop::Stop;

/// The time until the next attempt if a client cannot be accepted, for example because there are too many files.
const PAUSE: Duration = Duration::from_millis(100);
/// The time after which a thread that waits for clients looks whether the server ends.
const LOOK: Duration = Duration::from_millis(50);

/// The part of a server that accepts clients.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Arc<Registry>,
    /// Told when a client has left.
    pub(super) stop: Stop,
    /// Whether this ends.
    pub(super) has_ended: Arc<AtomicBool>,
}

impl Acceptor {
    /// Accepts clients until `has_ended` is set, and a short time after that.
    ///
    /// Nobody connects to the listener to wake this: its path or its address may be that of another server by now.
    pub(super) fn run(&self, listener: &Listener) {
        let mut has_failed = false;
        loop {
            let accepted = listener.accept(LOOK);
            if self.has_ended.load(Ordering::Acquire) {
                return;
            }
            match accepted {
                Ok((socket, peer)) => {
                    has_failed = false;
                    self.begin(Arc::new(socket), peer);
                }
                // There was no client, or it left before it was accepted.
                Err(error) if is_nobody(error.kind()) => {}
                Err(error) => {
                    if !has_failed {
                        self.shared.events.accept_failed(&listener.address().to_string(), &error);
                    }
                    has_failed = true;
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Serves a client in a new thread.
    fn begin(&self, socket: Arc<Socket>, peer: String) {
        let stop = self.stop.clone();
        let on_left = Box::new(move || stop.look_again());
        let entry = match self.registry.add(&socket, self.shared.limits.connections, on_left) {
            Ok(entry) => entry,
            Err(Refused::TooMany) => {
                let limit = self.shared.limits.connections;
                let reason = format!("there are {limit} connections already");
                return self.shared.events.handshake_failed(&peer, &reason);
            }
            Err(Refused::Closed) => return,
        };
        let (shared, registry) = (Arc::clone(&self.shared), Arc::clone(&self.registry));
        let of_thread = peer.clone();
        let client = move || {
            serve(&shared, &socket, entry.number, of_thread, || registry.set_served());
            drop(socket);
            drop(entry); // after the socket, so that no file is open when the server has ended
        };
        if let Err(error) = thread::Builder::new().name("nbd-client".to_owned()).spawn(client) {
            self.shared.events.handshake_failed(&peer, &format!("no thread could be started: {error}"));
        }
    }
}

fn is_nobody(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(kind, WouldBlock | ConnectionAborted | Interrupted)
}
