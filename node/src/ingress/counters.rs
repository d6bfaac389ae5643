//! What came in, counted for operators.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures since the start of the node. Read by `admin` through the runtime.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    top_connections: AtomicU64,
    accepted_connections: AtomicU64,
    refused_connections: AtomicU64,
    messages: AtomicU64,
    recipients: AtomicU64,
    bytes: AtomicU64,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Open connections.
    pub connections: u64,
    /// Most connections that were open at the same time.
    pub top_connections: u64,
    /// Connections taken.
    pub accepted_connections: u64,
    /// Connections refused for want of a permit.
    pub refused_connections: u64,
    /// Messages accepted.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Their bytes as stored.
    pub bytes: u64,
}

impl Counters {
    /// All figures. They are read one after the other, so they may differ by what happens between.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            connections: read(&self.connections),
            top_connections: read(&self.top_connections),
            accepted_connections: read(&self.accepted_connections),
            refused_connections: read(&self.refused_connections),
            messages: read(&self.messages),
            recipients: read(&self.recipients),
            bytes: read(&self.bytes),
        }
    }

    /// Lets the most connections at the same time begin again at those that are open.
    pub fn reset_top(&self) {
        self.top_connections.store(self.connections.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Forgets sums and tops (`mtactl reset counters`); open connections stay counted.
    pub fn reset(&self) {
        self.top_connections.store(self.connections.load(Ordering::Relaxed), Ordering::Relaxed);
        let sums = [
            &self.accepted_connections,
            &self.refused_connections,
            &self.messages,
            &self.recipients,
            &self.bytes,
        ];
        for sum in sums {
            sum.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a connection, unless `max` are open already.
    pub(super) fn open_connection(&self, max: u64) -> bool {
        let opened = self
            .connections
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        match opened {
            Ok(before) => {
                self.top_connections.fetch_max(before + 1, Ordering::Relaxed);
                self.accepted_connections.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.refused_connections.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    pub(super) fn close_connection(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn message(&self, recipients: usize, size_bytes: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.recipients.fetch_add(recipients as u64, Ordering::Relaxed);
        self.bytes.fetch_add(size_bytes, Ordering::Relaxed);
    }
}
