//! What part of a limit this node may use.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

use super::bound::{Bound, Key};
use crate::clock::Instant;

/// What a node does with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Units in use: open connections. 0 for rates.
    pub used: u64,
    /// Units that could be put to use now, those in use included.
    pub wanted: u64,
    /// The wish is over then, unless it is said again.
    pub wanted_until: Option<Instant>,
    /// A rate has nothing left before then.
    pub busy_until: Option<Instant>,
}

/// What a node may do with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Units that may be used. Nothing new may begin beyond them.
    pub units: u64,
    /// What is in use beyond this ends at once; what is beyond `units` when it is done.
    pub held: u64,
    /// The first event of a rate may go then. None when there is no such moment.
    pub ready_at: Option<Instant>,
}

/// Who shares the limits of the cluster out.
pub trait Shared: Send + Sync + fmt::Debug + 'static {
    /// The part of this node in `bound`; takes note of what it is used for. Cheap: it asks nobody.
    fn share(&self, bound: &Bound, usage: Usage, now: Instant) -> Share;

    /// Changes when shares have changed.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Nobody else is there: the whole limit is this node's.
#[derive(Debug)]
pub struct Alone {
    changed: watch::Sender<u64>,
}

impl Default for Alone {
    fn default() -> Self {
        Self { changed: watch::Sender::new(0) }
    }
}

impl Shared for Alone {
    fn share(&self, bound: &Bound, _: Usage, _: Instant) -> Share {
        Share { units: bound.units, held: u64::MAX, ready_at: None }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// How long a node that was refused goes on wanting, unless it asks again.
pub(super) const WISH: Duration = Duration::from_secs(5);

/// Names of limits for whoever shows them.
impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
