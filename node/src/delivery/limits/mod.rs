//! Limits on connections and rates that queues, and nodes, share.
//!
//! `total-max-smtp-out` is a limit of this node: waiters get their turn in the order in which they
//! came. All others hold for the cluster: what part of them this node may use, [`Shared`] says, and
//! `book` keeps to it.

mod book;
mod bound;
mod recall;
mod settings;
mod shared;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use bound::precise;
pub use bound::{Bound, Key, Measure};
pub(crate) use recall::Stage;
pub(crate) use settings::{OfQueue, OfSources};
pub use shared::{Alone, Share, Shared, Usage};

use crate::clock::{Instant, monotonic};
use crate::config::Config;
use book::{Book, Place};
use recall::Recall;

/// A limit that can change while permits are out.
#[derive(Debug)]
struct Gate {
    semaphore: Arc<Semaphore>,
    size: usize,
    /// Permits that are out beyond the size: they are dropped as they come back.
    excess: usize,
}

impl Gate {
    fn new(size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { semaphore: Arc::new(Semaphore::new(size)), size, excess: 0 }
    }

    fn resize(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        if size >= self.size {
            let more = size - self.size;
            let forgiven = more.min(self.excess);
            self.excess -= forgiven;
            self.semaphore.add_permits(more - forgiven);
        } else {
            self.excess += self.size - size;
        }
        self.size = size;
        self.settle();
    }

    /// Drops free permits that should not exist.
    fn settle(&mut self) {
        self.excess -= self.semaphore.forget_permits(self.excess);
    }
}

/// The right to one connection; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    recall: Arc<Recall>,
    places: Mutex<Vec<Place>>,
    _total: OwnedSemaphorePermit,
}

impl Permit {
    /// Resolves when the connection is to end after its current message.
    pub(crate) async fn recalled(&self) {
        self.recall.raised().await;
    }

    /// What the connection has to do, as of now: after a pause of this node, too.
    pub(crate) fn stage(&self) -> Stage {
        let now = monotonic();
        for place in &*self.places.lock() {
            place.look(now);
        }
        self.recall.stage()
    }
}

/// All shared limits of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    total: Mutex<Gate>,
    book: Arc<Book>,
}

impl Limits {
    pub(crate) fn new(config: &Config, shared: Arc<dyn Shared>) -> Self {
        let total = Mutex::new(Gate::new(config.server.total_max_smtp_out));
        Self { total, book: Arc::new(Book::new(shared)) }
    }

    /// Takes the limits of a new configuration; connections beyond them are left to end. The
    /// limits of queues are named anew by whoever asks for them.
    pub(crate) fn reconfigure(&self, config: &Config) {
        self.total.lock().resize(config.server.total_max_smtp_out);
    }

    /// Changes when [`Self::settle`] has something to do.
    pub(crate) fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.book.shared().changed()
    }

    /// Does what changed shares ask for.
    pub(crate) fn settle(&self) {
        self.book.settle(monotonic());
    }

    /// Waits for the right to a connection under all of `bounds`. `more` is how many could be used
    /// now. None when the node stops.
    pub(crate) async fn acquire(&self, bounds: &[Bound], more: u64) -> Option<Permit> {
        let recall = Arc::new(Recall::default());
        let places = loop {
            match self.book.take(bounds, &recall, more, monotonic()) {
                Ok(places) => break places,
                // Told, or forgotten with its limit: either way it is tried again.
                Err(place) => drop(place.await),
            }
        };
        let total = {
            let mut total = self.total.lock();
            total.settle();
            Arc::clone(&total.semaphore)
        };
        // Always in this order: nobody holds the scarcer right while waiting for the other.
        let total = total.acquire_owned().await.ok()?;
        Some(Permit { recall, places: Mutex::new(places), _total: total })
    }

    /// Takes further limits for a connection that has a permit: those of its source address. False
    /// when one of them has no place left.
    pub(crate) fn extend(&self, permit: &Permit, bounds: &[Bound]) -> bool {
        let Some(places) = self.book.try_take(bounds, &permit.recall, monotonic()) else {
            return false;
        };
        permit.places.lock().extend(places);
        true
    }

    /// Gives back the places of `bounds`, for a connection that did not come about.
    pub(crate) fn give_back(&self, permit: &Permit, bounds: &[Bound]) {
        let of_bounds = |place: &Place| bounds.iter().any(|bound| place.is_of(&bound.key));
        let gone: Vec<Place> = permit.places.lock().extract_if(.., |p| of_bounds(p)).collect();
        // Outside of the lock, since that looks at the limits.
        drop(gone);
    }

    /// Takes `events` of each of `bounds`, or says when that may be tried again.
    pub(crate) fn spend(&self, bounds: &[Bound], events: u32, now: Instant) -> Result<(), Instant> {
        self.book.spend(bounds, events, now)
    }
}

#[cfg(test)]
#[path = "limits_test.rs"]
mod tests;
