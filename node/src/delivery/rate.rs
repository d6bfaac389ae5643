//! Keeps to N events per period.

use std::time::Duration;

use crate::clock::Instant;
use crate::config::settings::Rate;

/// How much may be caught up after a late wake-up: so much of the period, within these bounds.
const SLACK_PART: u32 = 100;
const SLACK_MIN: Duration = Duration::from_millis(5);
const SLACK_MAX: Duration = Duration::from_millis(100);
/// The receiver's clock may be slower than ours by as much.
const CLOCKS: f64 = 1.002;

/// Spaces events evenly, so that no window of the period's length ever holds more than the limit
/// (but for a step of several events, which goes through whole and is paid for afterwards).
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    next: Instant,
}

impl Pace {
    /// The first event may go at `next`.
    pub(crate) const fn new(rate: Rate, next: Instant) -> Self {
        Self { rate, next }
    }

    /// The same history under another limit: what is left to pay for is paid at the new rate.
    pub(crate) fn set_rate(&mut self, rate: Rate, now: Instant) {
        if rate == self.rate {
            return;
        }
        let debt = self.next.saturating_duration_since(now).as_secs_f64();
        let events = debt / self.cost(1).as_secs_f64();
        self.rate = rate;
        self.next = self.next.min(now) + scaled(self.cost(1), events);
    }

    /// No event before `at`.
    pub(crate) fn hold_until(&mut self, at: Instant) {
        self.next = self.next.max(at);
    }

    /// When the next event may go.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// May something go now? Else when.
    pub(crate) fn ready(&self, now: Instant) -> Result<(), Instant> {
        if now < self.next { Err(self.next) } else { Ok(()) }
    }

    /// Counts `events`, which go now.
    pub(crate) fn charge(&mut self, events: u32, now: Instant) {
        let earliest = now.checked_sub(self.slack());
        let start = earliest.map_or(self.next, |earliest| earliest.max(self.next));
        self.next = start + self.cost(events);
    }

    fn slack(&self) -> Duration {
        (self.rate.period / SLACK_PART).clamp(SLACK_MIN, SLACK_MAX)
    }

    fn cost(&self, events: u32) -> Duration {
        let seconds = (self.rate.period + self.slack()).as_secs_f64() * CLOCKS;
        let each = seconds / super::limits::precise(self.rate.events.max(1));
        scaled(Duration::from_secs_f64(each), f64::from(events))
    }
}

fn scaled(duration: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * by).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    fn take(pace: &mut Pace, events: u32, now: Instant) -> Result<(), Instant> {
        pace.ready(now)?;
        pace.charge(events, now);
        Ok(())
    }

    /// Events taken within `seconds`, asking every `step_ms`.
    fn taken(events: u64, period_s: u64, seconds: u64, step_ms: u64) -> u64 {
        let start = monotonic();
        let mut pace = Pace::new(Rate { events, period: Duration::from_secs(period_s) }, start);
        let steps = seconds * 1000 / step_ms;
        (0..steps)
            .filter(|i| take(&mut pace, 1, start + Duration::from_millis(i * step_ms)).is_ok())
            .count() as u64
    }

    #[test]
    fn no_period_holds_more_than_the_limit() {
        for (events, period, step) in [(1, 60, 10), (10, 1, 1), (100, 60, 7), (3600, 3600, 500)] {
            let count = taken(events, period, period, step);
            assert!(count <= events, "{count} of {events} per {period}");
            assert!(count * 10 >= events * 9, "{count} of {events} per {period}: too few");
        }
    }

    #[test]
    fn several_at_once_are_paid_for() {
        let now = monotonic();
        let mut pace = Pace::new(Rate { events: 60, period: Duration::from_secs(60) }, now);
        assert!(take(&mut pace, 30, now).is_ok());
        let when = take(&mut pace, 1, now).unwrap_err();
        assert!(when >= now + Duration::from_secs(29), "{:?}", when - now);
        assert!(take(&mut pace, 1, when).is_ok());
    }

    #[test]
    fn a_debt_is_paid_at_the_new_rate() {
        let now = monotonic();
        let minute = Duration::from_secs(60);
        let mut pace = Pace::new(Rate { events: 60, period: minute }, now);
        assert!(take(&mut pace, 10, now).is_ok());
        pace.set_rate(Rate { events: 6, period: minute }, now);
        assert!(pace.next() >= now + Duration::from_secs(100));
        pace.set_rate(Rate { events: 600, period: minute }, now);
        assert!(pace.next() <= now + Duration::from_millis(1010), "{:?}", pace.next() - now);
    }
}
