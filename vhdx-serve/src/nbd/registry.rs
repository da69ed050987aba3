//! Defines [`Registry`]: the clients of a server.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::socket::Socket;

/// The clients of a server, and whether new ones are accepted.
#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sockets: HashMap<u64, Arc<Socket>>,
    /// The number of clients so far.
    count: u64,
    /// Whether a client has chosen an export.
    has_served: bool,
    is_closed: bool,
}

/// The entry of a client, which ends with it.
pub(super) struct Entry {
    registry: Arc<Registry>,
    pub(super) number: u64,
    on_left: Box<dyn Fn() + Send>,
}

/// The reason why a client is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooMany,
    Closed,
}

impl Registry {
    /// Adds a client, if there are fewer than `most`. Calls `on_left` after it has left.
    pub(super) fn add(
        self: &Arc<Self>,
        socket: &Arc<Socket>,
        most: usize,
        on_left: Box<dyn Fn() + Send>,
    ) -> Result<Entry, Refused> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.sockets.len() >= most {
            return Err(Refused::TooMany);
        }
        state.count += 1; // never 2^64
        let number = state.count;
        state.sockets.insert(number, Arc::clone(socket));
        Ok(Entry { registry: Arc::clone(self), number, on_left })
    }

    /// Records that a client has chosen an export.
    pub(super) fn set_served(&self) {
        self.lock().has_served = true;
    }

    /// Returns whether clients were served and all of them have left.
    pub(super) fn has_served_all(&self) -> bool {
        let state = self.lock();
        state.has_served && state.sockets.is_empty()
    }

    /// Accepts no more clients, and no more requests of those that are there.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.sockets.values().for_each(|socket| socket.shut_down(Shutdown::Read));
    }

    /// Disconnects all clients.
    pub(super) fn cut(&self) {
        self.lock().sockets.values().for_each(|socket| socket.shut_down(Shutdown::Both));
    }

    /// Waits until all clients have left, at most for `time`. Returns whether they have.
    pub(super) fn wait_until_empty(&self, time: Duration) -> bool {
        let is_full = |state: &mut State| !state.sockets.is_empty();
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), time, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        state.sockets.is_empty()
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().sockets.remove(&self.number);
        self.registry.changed.notify_all();
        (self.on_left)();
    }
}
