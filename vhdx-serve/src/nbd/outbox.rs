//! Defines [`Outbox`]: the replies to one client, and the requests that are not answered yet.
//!
//! Workers never wait for a client: they put replies into the outbox, and a thread of the connection sends them. So a
//! client that does not read its replies delays nobody else.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::budget::Permit;
use super::reply::Reply;

/// The replies to one client.
pub(super) struct Outbox {
    stream: Mutex<Box<dyn Write + Send>>,
    /// The first error of a write. Nothing more is sent then.
    failure: OnceLock<io::ErrorKind>,
    state: Mutex<State>,
    /// For the thread that sends: a reply was added, or this has ended.
    added: Condvar,
    /// For the thread that reads requests: a slot is free.
    freed: Condvar,
    message_time: Duration,
    most_requests: usize,
    most_bytes: u64,
}

#[derive(Default)]
struct State {
    replies: VecDeque<(Reply, Slot)>,
    /// The requests that are not answered yet, and the bytes of their payloads.
    requests: usize,
    bytes: u64,
    has_ended: bool,
    /// Whether a thread waits for a slot. Without one, a slot is given back without a call of the system.
    is_awaited: bool,
}

/// The place of a request between its arrival and its reply. It is given back when this is dropped.
pub(super) struct Slot {
    outbox: Arc<Outbox>,
    bytes: u64,
    /// Taken after the place, so that a client that waits for its own replies takes nothing from the others.
    pub(super) permit: Option<Permit>,
}

impl Outbox {
    pub(super) fn new(
        stream: Box<dyn Write + Send>,
        message_time: Duration,
        most_requests: usize,
        most_bytes: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream: Mutex::new(stream),
            failure: OnceLock::new(),
            state: Mutex::default(),
            added: Condvar::new(),
            freed: Condvar::new(),
            message_time,
            most_requests,
            most_bytes,
        })
    }

    /// Waits until the client may have another request with a payload of `bytes`.
    pub(super) fn begin(self: &Arc<Self>, bytes: u64) -> Slot {
        let is_over = |state: &mut State| {
            // A single request is always possible.
            state.requests > 0
                && (state.requests >= self.most_requests
                    || state.bytes.saturating_add(bytes) > self.most_bytes)
        };
        let mut state = self.wait_until_free(is_over);
        state.requests += 1;
        state.bytes = state.bytes.saturating_add(bytes);
        Slot { outbox: Arc::clone(self), bytes, permit: None }
    }

    /// Returns whether nothing more can be sent.
    pub(super) fn is_broken(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Returns the error of the write that failed, if one has.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failure.get().map(|&kind| kind.into())
    }

    /// Adds a reply, which [`send_all`](Self::send_all) sends.
    pub(super) fn push(&self, reply: Reply, slot: Slot) {
        self.lock().replies.push_back((reply, slot));
        self.added.notify_one();
    }

    /// Sends the replies that are added, until [`end`](Self::end). Calls `on_failure` once if a write fails.
    pub(super) fn send_all(&self, on_failure: impl FnOnce()) {
        let mut on_failure = Some(on_failure);
        loop {
            let is_waiting = |state: &mut State| state.replies.is_empty() && !state.has_ended;
            let mut state =
                self.added.wait_while(self.lock(), is_waiting).unwrap_or_else(PoisonError::into_inner);
            let replies = std::mem::take(&mut state.replies);
            drop(state);
            if replies.is_empty() {
                return;
            }
            for (reply, slot) in replies {
                if self.send(&mut reply.slices()).is_err()
                    && let Some(on_failure) = on_failure.take()
                {
                    on_failure();
                }
                // The buffers first: the slot stands for their bytes.
                drop(reply);
                drop(slot);
            }
        }
    }

    /// Sends bytes at once: one or more whole replies.
    ///
    /// # Errors
    /// That of the stream, or [`BrokenPipe`](io::ErrorKind::BrokenPipe) if an earlier write failed.
    pub(super) fn send(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        // If a thread panicked here, half a reply may have been sent.
        let Ok(mut stream) = self.stream.lock() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        if self.is_broken() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let result = write_all(&mut *stream, slices, self.message_time);
        if let Err(error) = &result {
            let _ = self.failure.set(error.kind()); // the first one counts
        }
        result
    }

    /// Waits until every request is answered, and ends the thread that sends the replies.
    pub(super) fn end(&self) {
        let mut state = self.wait_until_free(|state| state.requests > 0);
        state.has_ended = true;
        drop(state);
        self.added.notify_all();
    }

    /// Waits while slots are taken. Only the thread that reads requests does so.
    fn wait_until_free(&self, mut is_over: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while is_over(&mut state) {
            state.is_awaited = true;
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_awaited = false;
        state
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.outbox.lock();
        state.requests -= 1;
        state.bytes = state.bytes.saturating_sub(self.bytes);
        let is_awaited = state.is_awaited;
        drop(state);
        if is_awaited {
            self.outbox.freed.notify_all();
        }
    }
}

/// Writes all bytes. If they do not fit at once, the client has `time` to take them.
fn write_all(stream: &mut dyn Write, slices: &mut [IoSlice<'_>], time: Duration) -> io::Result<()> {
    let mut rest = slices;
    let mut until = None;
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !rest.is_empty() && Instant::now() > *until.get_or_insert_with(|| Instant::now() + time) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Takes a few bytes at a time.
    struct Narrow(Arc<Mutex<Vec<u8>>>);

    impl Write for Narrow {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let len = buf.len().min(3);
            self.0.lock().unwrap().extend(&buf[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_reply_is_sent_whole_and_frees_its_slot() {
        let sent = Arc::default();
        let outbox = Outbox::new(Box::new(Narrow(Arc::clone(&sent))), Duration::from_secs(5), 2, 100);
        let sender = Arc::clone(&outbox);
        let thread = thread::spawn(move || sender.send_all(|| {}));
        for byte in 0..20 {
            // The third waits until one of the others is sent.
            let slot = outbox.begin(60);
            outbox.push(Reply::of(vec![byte; 7]), slot);
        }
        outbox.end();
        thread.join().unwrap();
        let expected: Vec<u8> = (0..20).flat_map(|byte| [byte; 7]).collect();
        assert_eq!(*sent.lock().unwrap(), expected);
    }

    #[test]
    fn after_a_failure_nothing_is_sent_and_the_slots_are_free() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let outbox = Outbox::new(Box::new(Broken), Duration::from_secs(5), 1, 100);
        let sender = Arc::clone(&outbox);
        let thread = thread::spawn(move || {
            let mut failures = 0;
            sender.send_all(|| failures += 1);
            failures
        });
        for _ in 0..3 {
            let slot = outbox.begin(1000);
            outbox.push(Reply::of(vec![1]), slot);
        }
        outbox.end();
        assert_eq!(thread.join().unwrap(), 1);
        assert!(outbox.is_broken());
    }
}
