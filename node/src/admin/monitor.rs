//! The monitor: samples the counters of ingress and delivery each second and keeps the windows
//! that `show status` prints. It never asks for more than two values and never blocks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ports::{DeliveryPort, IngressPort};
use super::window::{Meter, Tally, Windows};
use crate::clock::{self, Instant};

/// Traffic of both directions.
#[derive(Debug, Default)]
pub struct Monitor {
    meters: Mutex<Meters>,
}

#[derive(Debug, Default)]
struct Meters {
    inbound: Meter,
    outbound: Meter,
    /// Whole seconds up to here have been put into the windows.
    sampled_to: Option<Instant>,
}

impl Monitor {
    /// Takes the counters as they stand at `now`.
    pub fn sample(&self, now: Instant, inbound: Tally, outbound: Tally) {
        let mut meters = self.meters.lock();
        let seconds = match meters.sampled_to {
            Some(before) => now.saturating_duration_since(before).as_secs(),
            None => 1,
        };
        // The rest of a second stays for the next sample, so that late ticks do not add up.
        meters.sampled_to = Some(match meters.sampled_to {
            Some(before) => before + Duration::from_secs(seconds),
            None => now,
        });
        meters.inbound.sample(seconds, inbound);
        meters.outbound.sample(seconds, outbound);
    }

    /// Starts counting from zero.
    pub fn reset(&self, inbound: Tally, outbound: Tally) {
        let mut meters = self.meters.lock();
        meters.inbound.reset(inbound);
        meters.outbound.reset(outbound);
    }

    /// Inbound and outbound figures of the last sample.
    #[must_use]
    pub fn windows(&self) -> (Windows, Windows) {
        let meters = self.meters.lock();
        (meters.inbound.windows(), meters.outbound.windows())
    }
}

/// Samples each second until the task is dropped or aborted.
pub async fn run(
    monitor: Arc<Monitor>,
    ingress: Arc<dyn IngressPort>,
    delivery: Arc<dyn DeliveryPort>,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        monitor.sample(clock::monotonic(), ingress.accepted(), delivery.delivered());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(n: u64) -> Tally {
        Tally { recipients: n, messages: n, bytes: n }
    }

    #[test]
    fn late_samples_do_not_stretch_the_minute() {
        let monitor = Monitor::default();
        let start = clock::monotonic();
        // Fifty ticks of 1.2 s are 60 s: the tally of the first second has left the minute.
        for n in 0..=50u32 {
            let now = start + Duration::from_millis(1200) * n;
            monitor.sample(now, tally(100), tally(u64::from(n)));
        }
        let (inbound, outbound) = monitor.windows();
        assert_eq!(inbound.total, tally(100));
        assert_eq!(inbound.last_minute, tally(0));
        assert_eq!(inbound.top_minute, tally(100));
        assert_eq!(outbound.last_minute, tally(50));
    }

    #[test]
    fn reset_begins_at_the_present_counters() {
        let monitor = Monitor::default();
        let start = clock::monotonic();
        monitor.sample(start, tally(5), tally(6));
        monitor.reset(tally(5), tally(6));
        monitor.sample(start + Duration::from_secs(1), tally(7), tally(6));
        let (inbound, outbound) = monitor.windows();
        assert_eq!((inbound.total, outbound.total), (tally(2), tally(0)));
    }
}
