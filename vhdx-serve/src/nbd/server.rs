//! Defines [`Server`]: the exports, the threads and the end of a server.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::accept::Acceptor;
use super::listener::{Listener, MadeSocket};
use super::offer::Offer;
use super::shared::Shared;
use super::stop::Stop;
use crate::error::ServeError;
use crate::events::Events;
use crate::export::Export;
use crate::limits::Limits;
use crate::shared_disk::SharedDisk;

/// The least number of workers by default. A worker waits while a device answers.
const FEWEST_WORKERS: usize = 4;
/// The greatest number of workers by default.
const MOST_WORKERS: usize = 16;
/// The time that clients have to notice that they were disconnected.
const CUT_TIME: Duration = Duration::from_secs(2);
/// The time that a request may still run when its disk is flushed at the end.
const FREE_TIME: Duration = Duration::from_secs(60);

/// An NBD server.
pub struct Server {
    exports: Vec<Export>,
    default: usize,
    limits: Limits,
    events: Arc<dyn Events>,
    workers: Option<NonZero<usize>>,
    ends_after_last_client: bool,
}

impl Server {
    /// Returns a server for some exports.
    ///
    /// `default` is the number of the export that the empty name chooses. `workers` is the number of threads that
    /// execute the requests of all connections; by default, it suits the storages of the disks.
    ///
    /// # Errors
    /// [`ServeError::NoDefault`], [`ServeError::DuplicateName`] and [`ServeError::Limit`].
    pub fn new(
        exports: Vec<Export>,
        default: usize,
        limits: Limits,
        events: Arc<dyn Events>,
        workers: Option<NonZero<usize>>,
    ) -> Result<Self, ServeError> {
        limits.validate()?;
        ensure_default(&exports, default)?;
        let mut names = HashSet::new();
        if let Some(twice) = exports.iter().map(Export::name).find(|name| !names.insert(*name)) {
            return Err(ServeError::DuplicateName(twice.to_owned()));
        }
        Ok(Self { exports, default, limits, events, workers, ends_after_last_client: false })
    }

    /// Makes [`run`](Self::run) return when the last client has left, after at least one has chosen an export.
    pub fn end_after_last_client(mut self) -> Self {
        self.ends_after_last_client = true;
        self
    }

    /// Serves clients until [`Stop::stop`] is called.
    ///
    /// Then no further client and no further request is accepted, and running requests are finished and answered, at
    /// most for [`Limits::stop_time`]. At the end the changes of all writable disks are made durable. The caller closes
    /// the disks ([`SharedDisk::close`](crate::SharedDisk::close)).
    ///
    /// # Errors
    /// [`ServeError::Io`] if a thread cannot be started; [`ServeError::Flush`] for the first disk that cannot be
    /// flushed.
    pub fn run(&self, listeners: Vec<Listener>, stop: &Stop) -> Result<(), ServeError> {
        let offer = Offer::new(self.exports.clone(), self.default)
            .ok_or(ServeError::NoDefault { default: self.default, exports: self.exports.len() })?;
        let shared = Shared::new(offer, self.limits.clone(), Arc::clone(&self.events));
        let acceptor = Acceptor {
            shared: Arc::clone(&shared),
            registry: Arc::default(),
            stop: stop.clone(),
            has_ended: Arc::new(AtomicBool::new(false)),
        };
        let mut threads = Threads { acceptor, workers: Vec::new(), listeners: Vec::new(), files: Vec::new() };
        let begun = self.begin(&mut threads, listeners);
        if begun.is_ok() {
            let registry = &threads.acceptor.registry;
            stop.wait_or(|| self.ends_after_last_client && registry.has_served_all());
        }
        threads.end();
        begun?;
        self.flush()
    }

    fn begin(&self, threads: &mut Threads, listeners: Vec<Listener>) -> Result<(), ServeError> {
        let workers = self.number_of_workers();
        threads.acceptor.shared.jobs.set_workers(workers);
        for _ in 0..workers {
            let shared = Arc::clone(&threads.acceptor.shared);
            let work = move || {
                while let Some(job) = shared.jobs.pop() {
                    (job.work)();
                    shared.jobs.finish(job.is_long);
                }
            };
            threads.workers.push(spawn("nbd-worker", work)?);
        }
        for mut listener in listeners {
            let acceptor = threads.acceptor.clone();
            // The file is removed at the end, even if the thread does not end.
            threads.files.extend(listener.take_made());
            threads.listeners.push(spawn("nbd-accept", move || acceptor.run(&listener))?);
        }
        Ok(())
    }

    fn number_of_workers(&self) -> usize {
        let most_parallel = || {
            let parallelism = self.exports.iter().map(|export| export.disk().parallelism());
            parallelism.max().unwrap_or(1).clamp(FEWEST_WORKERS, MOST_WORKERS)
        };
        self.workers.map_or_else(most_parallel, NonZero::get)
    }

    fn flush(&self) -> Result<(), ServeError> {
        let flush = |disk: &SharedDisk| disk.wait_until_free(FREE_TIME).and_then(|()| disk.flush());
        let flush = |export: &Export| match flush(export.disk()) {
            Ok(()) => Ok(()),
            Err(error) => {
                Err(ServeError::Flush { export: export.name().to_owned(), reason: error.to_string() })
            }
        };
        // Every disk is flushed, also after an error.
        let results: Vec<_> = self.exports.iter().map(flush).collect();
        results.into_iter().collect()
    }
}

fn ensure_default(exports: &[Export], default: usize) -> Result<(), ServeError> {
    match default < exports.len() {
        true => Ok(()),
        false => Err(ServeError::NoDefault { default, exports: exports.len() }),
    }
}

/// The threads of a server that runs.
struct Threads {
    acceptor: Acceptor,
    workers: Vec<JoinHandle<()>>,
    listeners: Vec<JoinHandle<()>>,
    /// The files of the listeners.
    files: Vec<MadeSocket>,
}

impl Threads {
    /// Ends all threads. A thread that waits for ever, for example for a device, is left alone.
    fn end(self) {
        let Acceptor { shared, registry, has_ended, .. } = self.acceptor;
        has_ended.store(true, Ordering::Release);
        shared.stop();
        self.listeners.into_iter().for_each(join_soon);
        drop(self.files);
        registry.close();
        let all_left = registry.wait_until_empty(shared.limits.stop_time) || {
            registry.cut();
            registry.wait_until_empty(CUT_TIME)
        };
        shared.jobs.end();
        if all_left {
            self.workers.into_iter().for_each(|worker| drop(worker.join()));
        }
    }
}

/// Waits for the end of a thread that ends soon, unless the caller's [`Events`] hold it up. It is left alone then.
fn join_soon(thread: JoinHandle<()>) {
    let until = Instant::now() + CUT_TIME;
    while !thread.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    if thread.is_finished() {
        let _ = thread.join(); // it has no result
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ServeError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(|error| ServeError::io("start a thread", error))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exports, default, limits, workers, .. } = self;
        f.debug_struct("Server")
            .field("exports", exports)
            .field("default", default)
            .field("limits", limits)
            .field("workers", workers)
            .finish_non_exhaustive()
    }
}
