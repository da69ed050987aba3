//! Defines [`Transfer`]: the time that a client has to send a message or to take one.

use std::io;
use std::time::{Duration, Instant};

use super::budget::Account;

/// A client that is in the way of others has this part of the time of a message, and a second more for each MiB.
const HURRY: u32 = 12;
/// The longest and the shortest time until a thread that waits for a socket looks at the clock.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Returns the time-out of a socket for messages that have a certain time.
pub(super) fn wait_time(message_time: Duration) -> Duration {
    (message_time / HURRY).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

/// Returns whether a call ended because of the time-out of a socket, which can be used further. Systems have different
/// codes for that.
pub(super) fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Messages that follow each other without a pause of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    start: Instant,
    /// The bytes that were sent or received since.
    moved: u64,
}

impl Transfer {
    /// Begins now, or as if it had begun some time ago.
    pub(super) fn begun(ago: Duration) -> Self {
        let now = Instant::now();
        Self { start: now.checked_sub(ago).unwrap_or(now), moved: 0 }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
    }

    /// Returns an error if the client is too slow while others wait for the memory that it has.
    pub(super) fn ensure_not_in_the_way(&self, message_time: Duration, account: &Account) -> io::Result<()> {
        let enough = (message_time / HURRY).saturating_add(Duration::from_millis(self.moved >> 10));
        match self.elapsed() > enough && account.is_in_the_way() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}
