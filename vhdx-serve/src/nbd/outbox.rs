//! Defines [`Outbox`]: the replies to one client, and the requests that are not answered yet.
//!
//! Workers never wait for a client: they put replies into the outbox, and a thread of the connection sends them. So a
//! client that does not read its replies delays nobody else.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::budget::{Account, Permit};
use super::reply::Reply;
use super::transfer::{Transfer, is_time_out};

/// The replies to one client.
pub(super) struct Outbox {
    stream: Mutex<Box<dyn Write + Send>>,
    /// Called once, when a write fails.
    on_failure: Box<dyn Fn() + Send + Sync>,
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
    account: Arc<Account>,
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
        on_failure: Box<dyn Fn() + Send + Sync>,
        message_time: Duration,
        most_requests: usize,
        most_bytes: u64,
        account: Arc<Account>,
    ) -> Arc<Self> {
        Arc::new(Self {
            stream: Mutex::new(stream),
            on_failure,
            failure: OnceLock::new(),
            state: Mutex::default(),
            added: Condvar::new(),
            freed: Condvar::new(),
            message_time,
            most_requests,
            most_bytes,
            account,
        })
    }

    /// The memory of the client.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
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

    /// Sends the replies that are added, until [`end`](Self::end). After a failure they are dropped.
    pub(super) fn send_all(&self) {
        let mut transfer = Transfer::begun(Duration::ZERO);
        loop {
            let is_waiting = |state: &mut State| state.replies.is_empty() && !state.has_ended;
            let mut state = self.lock();
            if is_waiting(&mut state) {
                state = self.added.wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner);
                transfer = Transfer::begun(Duration::ZERO);
            }
            let replies = std::mem::take(&mut state.replies);
            drop(state);
            if replies.is_empty() {
                return;
            }
            for (reply, slot) in replies {
                self.send_within(&mut reply.slices(), &mut transfer);
                // The buffers first: the slot stands for their bytes.
                drop(reply);
                drop(slot);
            }
        }
    }

    /// Sends bytes at once: one or more whole replies. Does nothing after an earlier write failed.
    pub(super) fn send(&self, slices: &mut [IoSlice<'_>]) {
        self.send_within(slices, &mut Transfer::begun(Duration::ZERO));
    }

    fn send_within(&self, slices: &mut [IoSlice<'_>], transfer: &mut Transfer) {
        let result = match self.stream.lock() {
            _ if self.is_broken() => return,
            Ok(mut stream) => self.write_all(&mut *stream, slices, transfer),
            // If a thread panicked here, half a reply may have been sent.
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = result
            && self.failure.set(error.kind()).is_ok()
        {
            (self.on_failure)();
        }
    }

    /// Writes all bytes, unless the client takes them too slowly.
    fn write_all(
        &self,
        stream: &mut dyn Write,
        slices: &mut [IoSlice<'_>],
        transfer: &mut Transfer,
    ) -> io::Result<()> {
        let mut rest = slices;
        let start = Instant::now();
        while !rest.is_empty() {
            match stream.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    transfer.add(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Windows does not say how many bytes were sent before a time-out.
                Err(error) if is_time_out(&error) && !cfg!(windows) => {}
                Err(error) => return Err(error),
            }
            if !rest.is_empty() {
                if start.elapsed() > self.message_time {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                transfer.ensure_not_in_the_way(self.message_time, &self.account)?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    fn account() -> Arc<Account> {
        crate::nbd::budget::Budget::new(1, 1, 1).account()
    }

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
        let stream = Box::new(Narrow(Arc::clone(&sent)));
        let outbox = Outbox::new(stream, Box::new(|| {}), Duration::from_secs(5), 2, 100, account());
        let sender = Arc::clone(&outbox);
        let thread = thread::spawn(move || sender.send_all());
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
        let failures = Arc::new(AtomicU32::new(0));
        let of_outbox = Arc::clone(&failures);
        let on_failure = Box::new(move || {
            of_outbox.fetch_add(1, Ordering::Relaxed);
        });
        let outbox = Outbox::new(Box::new(Broken), on_failure, Duration::from_secs(5), 1, 100, account());
        let sender = Arc::clone(&outbox);
        let thread = thread::spawn(move || sender.send_all());
        for _ in 0..3 {
            let slot = outbox.begin(1000);
            outbox.push(Reply::of(vec![1]), slot);
        }
        outbox.end();
        thread.join().unwrap();
        assert_eq!(failures.load(Ordering::Relaxed), 1);
        assert!(outbox.is_broken());
    }
}
