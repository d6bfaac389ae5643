//! What a limit is called, how much it allows, and in which units that is shared out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::Rate;
use crate::id::QueueName;

/// Recipients that may go in one step, as a part of what a period allows: the rest of the period is
/// slowed down by as much.
const STEP_PART: u64 = 50;

/// A limit of the cluster: the directive and what it is about. Nodes name it to each other by this
/// text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A limit of one queue.
    #[must_use]
    pub fn of_queue(directive: &str, queue: &QueueName) -> Self {
        Self(format!("{directive} {queue}").into())
    }

    /// A limit of one queue for one of its source addresses.
    #[must_use]
    pub fn of_source(directive: &str, queue: &QueueName, source: IpAddr) -> Self {
        Self(format!("{directive} {queue} {source}").into())
    }

    /// A limit of all queues of a virtual MTA together.
    #[must_use]
    pub fn of_vmta(directive: &str, vmta: &str) -> Self {
        Self(format!("{directive} */{vmta}").into())
    }

    /// As it came from another node.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The directive, what it is about, and the rest.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Connections that are open at the same time.
    Places,
    /// Events per period, spaced evenly.
    Events {
        /// Events that may go at once.
        step: u64,
        /// The least time from one step to the next when one node has the whole limit.
        gap: Duration,
    },
}

/// A limit as the configuration states it, in units that nodes can have a part of.
///
/// With `n` units of a rate a node sends at most `n` events in any period, whatever it did
/// before, so that parts add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Which limit.
    pub key: Key,
    /// What is counted.
    pub measure: Measure,
    /// All there is in the cluster; never 0.
    pub units: u64,
    /// Length of the period of a rate; zero for places.
    pub period: Duration,
}

impl Bound {
    /// A limit on connections.
    pub(crate) fn places(key: Key, limit: u32) -> Self {
        let units = u64::from(limit).max(1);
        Self { key, measure: Measure::Places, units, period: Duration::ZERO }
    }

    /// A limit on events per period.
    pub(crate) fn events(key: Key, rate: Rate) -> Self {
        let units = rate.events.max(1);
        let step = (units / STEP_PART).max(1);
        let gap = rate.period.mul_f64(precise(step) / precise(units));
        Self { key, measure: Measure::Events { step, gap }, units, period: rate.period }
    }

    /// Events that may go at once; no bound for places.
    pub(crate) const fn step(&self) -> u64 {
        match self.measure {
            Measure::Places => u64::MAX,
            Measure::Events { step, .. } => step,
        }
    }

    /// The pace of a node that has `share` units. None when they are too few for any event.
    pub(crate) fn pace(&self, share: u64) -> Option<Rate> {
        let Measure::Events { step, .. } = self.measure else { return None };
        let events = (share + 1).checked_sub(step).filter(|events| *events > 0)?;
        Some(Rate { events, period: self.period })
    }
}

/// Limits are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "limits of configurations are small")]
pub(crate) const fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_paces_together_keep_to_the_limit() {
        for events in [1, 3, 49, 50, 99, 1000, 100_000] {
            let rate = Rate { events, period: Duration::from_secs(3600) };
            let bound = Bound::events(Key::from_text("k"), rate);
            for share in 1..=events.min(2000) {
                let Some(pace) = bound.pace(share) else { continue };
                assert_eq!(pace.events + bound.step() - 1, share);
            }
            assert!(bound.pace(events).is_some() && bound.pace(0).is_none());
        }
    }

    #[test]
    fn keys_say_what_they_limit() {
        let queue: QueueName = "x.example/v".parse().unwrap();
        assert_eq!(Key::of_queue("max-msg-rate", &queue).as_str(), "max-msg-rate x.example/v");
        assert_eq!(Key::of_vmta("max-smtp-out", "v").as_str(), "max-smtp-out */v");
    }
}
