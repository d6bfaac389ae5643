//! Who may come in and how much may be in memory: permits for connections and handshakes, and the
//! bytes of messages that are received and not stored yet.
//!
//! Everything taken here is given back by dropping what stands for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::counters::Counters;

/// TLS handshakes with clients at the same time: they cost the most processor time that a stranger
/// can ask for.
const MAX_HANDSHAKES: usize = 256;

/// The limits shared by all connections.
pub(super) struct Admission {
    counters: Arc<Counters>,
    bytes_in_flight: Arc<AtomicU64>,
    handshakes: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            bytes_in_flight: Arc::new(AtomicU64::new(0)),
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
        }
    }

    /// A place for one connection, unless `total_max` are open.
    pub(super) fn connection(&self, total_max: u32) -> Option<ConnectionPermit> {
        let permit = || ConnectionPermit { counters: Arc::clone(&self.counters) };
        self.counters.open_connection(u64::from(total_max)).then(permit)
    }

    /// An empty lease of message bytes.
    pub(super) fn lease(&self) -> ByteLease {
        ByteLease { total: Arc::clone(&self.bytes_in_flight), held_bytes: 0 }
    }

    pub(super) fn bytes_in_flight(&self) -> u64 {
        self.bytes_in_flight.load(Ordering::Acquire)
    }

    pub(super) fn handshakes_exhausted(&self) -> bool {
        self.handshakes.available_permits() == 0
    }

    /// Waits for the turn to do a handshake. The caller limits the time.
    pub(super) async fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handshakes).acquire_owned().await.ok()
    }
}

/// One open connection.
pub(super) struct ConnectionPermit {
    counters: Arc<Counters>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counters.close_connection();
    }
}

/// Message bytes that one connection or one submission has in memory.
pub(super) struct ByteLease {
    total: Arc<AtomicU64>,
    held_bytes: u64,
}

impl ByteLease {
    /// Makes the lease stand for `bytes`. False when more was asked for and the total would exceed
    /// `max_total`: then it stands for what it stood for before.
    pub(super) fn resize(&mut self, bytes: u64, max_total: u64) -> bool {
        if let Some(more) = bytes.checked_sub(self.held_bytes) {
            let before = self.total.fetch_add(more, Ordering::AcqRel);
            if more > 0 && before.saturating_add(more) > max_total {
                self.total.fetch_sub(more, Ordering::AcqRel);
                return false;
            }
        } else {
            self.total.fetch_sub(self.held_bytes - bytes, Ordering::AcqRel);
        }
        self.held_bytes = bytes;
        true
    }
}

impl Drop for ByteLease {
    fn drop(&mut self) {
        self.total.fetch_sub(self.held_bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_free_again_when_its_connection_ends() {
        let counters = Arc::new(Counters::default());
        let admission = Admission::new(Arc::clone(&counters));
        let first = admission.connection(2).unwrap();
        let _second = admission.connection(2).unwrap();
        assert!(admission.connection(2).is_none());
        drop(first);
        assert!(admission.connection(2).is_some());
        let figures = counters.figures();
        assert_eq!((figures.connections, figures.top_connections), (1, 2));
        assert_eq!((figures.accepted_connections, figures.refused_connections), (3, 1));
    }

    #[test]
    fn bytes_are_counted_over_all_leases() {
        let admission = Admission::new(Arc::new(Counters::default()));
        let (mut one, mut other) = (admission.lease(), admission.lease());
        assert!(one.resize(60, 100));
        assert!(other.resize(40, 100));
        assert!(!other.resize(41, 100));
        assert!(!one.resize(61, 100));
        assert_eq!(admission.bytes_in_flight(), 100);
        assert!(one.resize(10, 100));
        assert!(other.resize(90, 100));
        drop(other);
        assert_eq!(admission.bytes_in_flight(), 10);
        assert!(one.resize(10, 5), "what is held already needs no room");
    }
}
