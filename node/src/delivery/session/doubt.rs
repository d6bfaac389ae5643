//! A transaction between its final dot and its report. From the one to the other only this session
//! knows whether the server took the message: others remember that there is something to know.

use std::sync::Arc;

use super::Spec;
use super::transfer::Loaded;
use crate::clock::Timestamp;
use crate::queue::door::{Doubts, Ticket};
use crate::queue::model::FinalDot;

/// Dropped without being settled, its result will never be known.
pub(super) struct Doubt {
    doubts: Arc<dyn Doubts>,
    ticket: Ticket,
    known: bool,
}

impl Doubt {
    /// The final dot comes next.
    pub(super) fn begin(spec: &Spec, term: u64, loaded: &Loaded) -> Self {
        let recipients = loaded.waiting.iter().map(|w| (w.recipient, w.attempts)).collect();
        let locator = loaded.stored.locator;
        let dot = FinalDot { locator, term, at: Timestamp::now(), recipients };
        let doubts = Arc::clone(&spec.env.doubts);
        let ticket = doubts.begin(dot);
        Self { doubts, ticket, known: false }
    }

    /// What became of it is on record.
    pub(super) fn settled(mut self) {
        self.known = true;
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.doubts.end(self.ticket, self.known);
    }
}
