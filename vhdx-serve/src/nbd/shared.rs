//! Defines [`Shared`]: the parts of a server that all its threads use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::budget::Budget;
use super::buffers::Buffers;
use super::offer::Offer;
use super::queue::FairQueue;
use crate::events::Events;
use crate::limits::Limits;

/// A request with everything that a worker needs to execute it.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The parts of a server that all its threads use.
pub(super) struct Shared {
    pub(super) offer: Offer,
    pub(super) limits: Limits,
    pub(super) events: Arc<dyn Events>,
    /// The requests that wait for a worker, by the number of their client.
    pub(super) jobs: FairQueue<Work>,
    pub(super) budget: Arc<Budget>,
    pub(super) buffers: Arc<Buffers>,
    is_stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(offer: Offer, limits: Limits, events: Arc<dyn Events>) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(
                limits.bytes_in_flight,
                limits.connections,
                Buffers::size(limits.request_payload as usize) as u64,
            ),
            offer,
            limits,
            events,
            jobs: FairQueue::new(),
            buffers: Arc::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// Returns whether no new request is executed.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Makes every new request fail.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }
}
