//! Keeps to N events per period.

use std::time::Duration;

use crate::clock::Instant;
use crate::config::settings::Rate;

/// How much may be caught up after a late wake-up.
const SLACK: Duration = Duration::from_millis(100);

/// Spaces events evenly, so that no window of the period's length ever holds more than the limit
/// (but for a step of several events, which goes through whole and is paid for afterwards).
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    next: Instant,
}

impl Pace {
    pub(crate) const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, next: now }
    }

    /// The same history under another limit.
    pub(crate) const fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Takes `events` now, or says when that may be tried again.
    pub(crate) fn take(&mut self, events: u32, now: Instant) -> Result<(), Instant> {
        if now < self.next {
            return Err(self.next);
        }
        let start = now.checked_sub(SLACK).map_or(self.next, |earliest| earliest.max(self.next));
        self.next = start + self.cost(events);
        Ok(())
    }

    fn cost(&self, events: u32) -> Duration {
        let seconds = (self.rate.period + SLACK).as_secs_f64() * f64::from(events);
        let limit = self.rate.events.max(1);
        Duration::try_from_secs_f64(seconds / precise(limit)).unwrap_or(Duration::MAX / 4)
    }
}

/// Limits are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "limits of configurations are small")]
const fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    /// Events taken within `seconds`, asking every `step_ms`.
    fn taken(events: u64, period_s: u64, seconds: u64, step_ms: u64) -> u64 {
        let start = monotonic();
        let mut pace = Pace::new(Rate { events, period: Duration::from_secs(period_s) }, start);
        let steps = seconds * 1000 / step_ms;
        (0..steps)
            .filter(|i| pace.take(1, start + Duration::from_millis(i * step_ms)).is_ok())
            .count() as u64
    }

    #[test]
    fn no_period_holds_more_than_the_limit() {
        for (events, period, step) in [(1, 60, 10), (10, 1, 1), (100, 60, 7), (3600, 3600, 500)] {
            let count = taken(events, period, period, step);
            assert!(count <= events, "{count} of {events} per {period}");
            assert!(count * 10 >= events * 8, "{count} of {events} per {period}: too few");
        }
    }

    #[test]
    fn several_at_once_are_paid_for() {
        let now = monotonic();
        let mut pace = Pace::new(Rate { events: 60, period: Duration::from_secs(60) }, now);
        assert!(pace.take(30, now).is_ok());
        let when = pace.take(1, now).unwrap_err();
        assert!(when >= now + Duration::from_secs(29), "{:?}", when - now);
        assert!(pace.take(1, when).is_ok());
    }
}
