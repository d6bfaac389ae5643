//! When to try again, and when to stop trying. Pure: time and jitter are arguments.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::DomainSettings;

/// What becomes of a recipient that could not be delivered for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again then.
    Retry(Timestamp),
    /// It has waited for `bounce-after`.
    Expired,
}

/// At most this share of an interval, and at most [`JITTER_MAX`], is added to it, so that what
/// failed together does not come back together.
const JITTER_SHARE: f64 = 0.05;
const JITTER_MAX: Duration = Duration::from_secs(60);

/// The interval after `failures` failures in a row (at least one): the list of `retry-after`,
/// whose last value repeats.
fn interval(settings: &DomainSettings, failures: u32) -> Duration {
    let list = &settings.retry_after;
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    list.get(place).or(list.last()).copied().unwrap_or(Duration::from_secs(600))
}

/// `jitter` is from 0 to 1.
fn spread(interval: Duration, jitter: f64) -> Duration {
    let most = interval.mul_f64(JITTER_SHARE).min(JITTER_MAX);
    interval + most.mul_f64(jitter.clamp(0.0, 1.0))
}

/// How long a whole queue waits after it could not be reached `failures` times in a row.
pub(crate) fn queue_wait(settings: &DomainSettings, failures: u32, jitter: f64) -> Duration {
    spread(interval(settings, failures), jitter)
}

/// How long a queue waits after name resolution failed.
pub(crate) fn dns_wait(settings: &DomainSettings, jitter: f64) -> Duration {
    spread(settings.retry_after_dns_error, jitter)
}

/// When a message that came at `received_at` is given up.
pub(crate) fn expires_at(settings: &DomainSettings, received_at: Timestamp) -> Timestamp {
    received_at + settings.bounce_after
}

/// What to do with a recipient that got a temporary refusal in its attempt number `attempts`
/// (counted from 1). The last attempt is made when the message expires.
pub(crate) fn recipient(
    settings: &DomainSettings,
    now: Timestamp,
    received_at: Timestamp,
    attempts: u32,
    jitter: f64,
) -> Next {
    let end = expires_at(settings, received_at);
    if end <= now {
        return Next::Expired;
    }
    let wait = interval(settings, attempts).max(settings.retry_recipients_after);
    Next::Retry((now + spread(wait, jitter)).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Lookup};

    const MINUTE: u64 = 60_000;

    fn settings(text: &str) -> DomainSettings {
        let config = Config::from_text(&format!("<domain *>\n{text}\n</domain>\n")).unwrap();
        config.queue("x.example", "{default}").as_ref().clone()
    }

    #[test]
    fn intervals_walk_through_the_list_and_its_last_repeats() {
        let settings = settings("retry-after 1m, 5m, 1h");
        for (failures, minutes) in [(0, 1), (1, 1), (2, 5), (3, 60), (4, 60), (u32::MAX, 60)] {
            let expected = Duration::from_millis(minutes * MINUTE);
            assert_eq!(queue_wait(&settings, failures, 0.0), expected, "{failures}");
        }
        let jittered = queue_wait(&settings, 3, 1.0);
        assert_eq!(jittered, Duration::from_secs(3600 + 60), "at most a minute is added");
    }

    #[test]
    fn a_recipient_waits_its_minimum_and_is_given_up_in_the_end() {
        let text = "retry-after 1m, 30m\nretry-recipients-after 10m\nbounce-after 1h";
        let settings = settings(text);
        let check = |now: u64, attempts, expected| {
            let now = Timestamp(now * MINUTE);
            let next = recipient(&settings, now, Timestamp(0), attempts, 0.0);
            assert_eq!(next, expected, "{now:?} {attempts}");
        };
        let at = |minute: u64| Next::Retry(Timestamp(minute * MINUTE));
        check(0, 1, at(10));
        check(10, 2, at(40));
        check(40, 3, at(60));
        check(59, 4, at(60));
        check(60, 5, Next::Expired);
        check(500, 6, Next::Expired);
    }
}
