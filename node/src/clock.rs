//! The only place that reads a clock.
//!
//! Pure modules take the time as an argument; drivers and proposers ask here. Wall-clock time is
//! what is stored, shown and replicated ([`Timestamp`]); [`Instant`] is monotonic, for deadlines
//! inside one process.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

pub use std::time::Instant;

/// Wall-clock time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The wall-clock time now. A clock before 1970 reads as the epoch.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this module owns the clocks")]
    pub fn now() -> Self {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same instant in the local time zone, for files and people.
    #[must_use]
    pub fn local(self) -> jiff::ZonedDateTime {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis)
            .unwrap_or(jiff::Timestamp::MAX)
            .to_zoned_datetime(jiff::tz::TimeZone::system())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// `YYYY-MM-DD HH:MM:SS±ZZZZ` in the local zone, as accounting files print it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local().strftime("%Y-%m-%d %H:%M:%S%z"))
    }
}

/// Monotonic time now. Follows tokio's clock, so that paused time works in tests.
#[must_use]
pub fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}
