//! Sums over the last minute and the last hour, and the most that they ever were. Pure: the number
//! of seconds that passed is an argument.

/// What is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recipients.
    pub recipients: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            recipients: self.recipients.saturating_add(other.recipients),
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What came since `earlier`. A counter that went back (its owner was started again) counts
    /// from zero.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let went_back = self.recipients < earlier.recipients
            || self.messages < earlier.messages
            || self.bytes < earlier.bytes;
        if went_back {
            return self;
        }
        Self {
            recipients: self.recipients - earlier.recipients,
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            recipients: self.recipients.saturating_sub(other.recipients),
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// The greater of each count.
    fn most(self, other: Self) -> Self {
        Self {
            recipients: self.recipients.max(other.recipients),
            messages: self.messages.max(other.messages),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// A sum over the last N seconds.
#[derive(Clone, Debug)]
struct Window {
    /// One tally per second; `next` is the oldest.
    seconds: Box<[Tally]>,
    next: usize,
    sum: Tally,
    top: Tally,
}

impl Window {
    fn new(seconds: usize) -> Self {
        Self {
            seconds: vec![Tally::default(); seconds].into_boxed_slice(),
            next: 0,
            sum: Tally::default(),
            top: Tally::default(),
        }
    }

    /// Closes one second in which `tally` came.
    fn push(&mut self, tally: Tally) {
        let oldest = std::mem::replace(&mut self.seconds[self.next], tally);
        self.next = (self.next + 1) % self.seconds.len();
        self.sum = self.sum.minus(oldest).plus(tally);
        self.top = self.top.most(self.sum);
    }
}

/// One direction of traffic as `show status` prints it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// Since the start or the last reset.
    pub total: Tally,
    /// In the last 3600 seconds.
    pub last_hour: Tally,
    /// The most that `last_hour` ever was, count by count.
    pub top_hour: Tally,
    /// In the last 60 seconds.
    pub last_minute: Tally,
    /// The most that `last_minute` ever was, count by count.
    pub top_minute: Tally,
}

/// Turns a counter that only grows into [`Windows`].
#[derive(Clone, Debug)]
pub struct Meter {
    minute: Window,
    hour: Window,
    total: Tally,
    /// The counter at the last sample.
    seen: Tally,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            minute: Window::new(60),
            hour: Window::new(3600),
            total: Tally::default(),
            seen: Tally::default(),
        }
    }
}

impl Meter {
    /// Takes the counter's value after `seconds` have passed since the last sample. What came is
    /// put down to the last of these seconds; with none passed, it waits for the next sample.
    pub fn sample(&mut self, seconds: u64, counter: Tally) {
        if seconds == 0 {
            return;
        }
        let came = counter.since(self.seen);
        self.seen = counter;
        self.total = self.total.plus(came);
        // After a longer pause than the windows are wide, nothing of the old is left.
        for _ in 1..seconds.min(3601) {
            self.minute.push(Tally::default());
            self.hour.push(Tally::default());
        }
        self.minute.push(came);
        self.hour.push(came);
    }

    /// Forgets everything but where the counter stands.
    pub fn reset(&mut self, counter: Tally) {
        *self = Self { seen: counter, ..Self::default() };
    }

    /// The figures.
    #[must_use]
    pub const fn windows(&self) -> Windows {
        Windows {
            total: self.total,
            last_hour: self.hour.sum,
            top_hour: self.hour.top,
            last_minute: self.minute.sum,
            top_minute: self.minute.top,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(recipients: u64) -> Tally {
        Tally { recipients, messages: recipients / 2, bytes: recipients * 1000 }
    }

    /// Samples in order: seconds passed, counter; then recipients as total, hour, top hour,
    /// minute, top minute.
    fn check(samples: &[(u64, u64)], expected: [u64; 5]) {
        let mut meter = Meter::default();
        for (seconds, counter) in samples {
            meter.sample(*seconds, tally(*counter));
        }
        let w = meter.windows();
        let got = [w.total, w.last_hour, w.top_hour, w.last_minute, w.top_minute];
        assert_eq!(got.map(|t| t.recipients), expected, "{samples:?}");
    }

    #[test]
    fn sums_follow_the_clock() {
        check(&[], [0; 5]);
        check(&[(1, 10)], [10, 10, 10, 10, 10]);
        check(&[(1, 10), (59, 10)], [10, 10, 10, 10, 10]);
        check(&[(1, 10), (60, 10)], [10, 10, 10, 0, 10]);
        check(&[(1, 10), (60, 14)], [14, 14, 14, 4, 10]);
        check(&[(1, 10), (3600, 14)], [14, 4, 10, 4, 10]);
        check(&[(1, 10), (3599, 14)], [14, 14, 14, 4, 10]);
        check(&[(1, 10), (1_000_000_000, 14)], [14, 4, 10, 4, 10]);
    }

    #[test]
    fn a_sample_without_time_is_not_lost() {
        check(&[(1, 10), (0, 12), (1, 15)], [15, 15, 15, 15, 15]);
    }

    #[test]
    fn a_counter_that_starts_again_counts_from_zero() {
        check(&[(1, 10), (1, 4)], [14, 14, 14, 14, 14]);
    }

    #[test]
    fn all_three_counts_are_kept() {
        let mut meter = Meter::default();
        meter.sample(1, tally(8));
        assert_eq!(meter.windows().last_minute, tally(8));
    }

    #[test]
    fn reset_forgets_the_past_and_counts_on() {
        let mut meter = Meter::default();
        meter.sample(1, tally(8));
        meter.reset(tally(9));
        assert_eq!(meter.windows(), Windows::default());
        meter.sample(1, tally(10));
        assert_eq!(meter.windows().total.recipients, 1);
    }
}
