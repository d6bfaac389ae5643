//! Which recipients an operator means: `--queue --orig --rcpt --jobid --envid --older-than`. Pure.

use std::time::Duration;

use convoy_proto::admin as proto;

use crate::clock::Timestamp;
use crate::message::Recipient;
use crate::queue::model::{Stored, Waiting};
use crate::queue::pattern::{InvalidPattern, QueuePattern, matches};

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// The recipient's queue.
    pub queue: Option<QueuePattern>,
    /// `MAIL FROM`, with `*`; `<>` for the null path.
    pub orig: Option<String>,
    /// `RCPT TO`, with `*`.
    pub rcpt: Option<String>,
    /// Job, with `*`.
    pub job_id: Option<String>,
    /// Envelope id, with `*`.
    pub env_id: Option<String>,
    /// In the queue for at least this long.
    pub older_than: Option<Duration>,
    /// The last attempt has no known result.
    pub unknown: bool,
}

impl Filter {
    /// Reads a request; an empty field sets no condition.
    ///
    /// # Errors
    /// The queue is no pattern.
    pub(super) fn read(request: Option<&proto::Filter>) -> Result<Self, InvalidPattern> {
        let Some(request) = request else { return Ok(Self::default()) };
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Self {
            queue: given(&request.queue).map(|q| QueuePattern::parse(&q)).transpose()?,
            orig: given(&request.orig).map(bare),
            rcpt: given(&request.rcpt).map(bare),
            job_id: given(&request.job_id),
            env_id: given(&request.env_id),
            older_than: (request.older_than_ms > 0)
                .then(|| Duration::from_millis(request.older_than_ms)),
            unknown: request.unknown,
        })
    }

    /// Open recipients of `stored` that are meant.
    pub(super) fn select<'a>(
        &'a self,
        stored: &'a Stored,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Waiting, &'a Recipient)> {
        let message_meant = self.means_message(stored, now);
        stored
            .waiting
            .iter()
            .filter(move |waiting| message_meant && (!self.unknown || waiting.unknown.is_some()))
            .filter_map(|w| Some((w, stored.envelope.recipients.get(usize::from(w.recipient))?)))
            .filter(|(_, recipient)| self.means_recipient(recipient))
    }

    fn means_message(&self, stored: &Stored, now: Timestamp) -> bool {
        let envelope = &stored.envelope;
        let orig = envelope.sender.to_string();
        holds(self.orig.as_deref(), &orig)
            && holds(self.job_id.as_deref(), envelope.job.as_deref().unwrap_or_default())
            && holds(self.env_id.as_deref(), envelope.envid.as_deref().unwrap_or_default())
            && self.older_than.is_none_or(|age| now.since(envelope.received_at) >= age)
    }

    fn means_recipient(&self, recipient: &Recipient) -> bool {
        self.queue.as_ref().is_none_or(|pattern| pattern.matches(&recipient.queue))
            && self.rcpt.as_ref().is_none_or(|p| matches(p, &recipient.address.to_string()))
    }
}

fn holds(pattern: Option<&str>, text: &str) -> bool {
    pattern.is_none_or(|pattern| matches(pattern, text))
}

/// The address without its angle brackets.
fn bare(text: String) -> String {
    match text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) {
        Some(inner) => inner.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::double::stored;
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn check(request: proto::Filter, expected: &[u16]) {
        let filter = Filter::read(Some(&request)).unwrap();
        // Received an hour ago, to a@yahoo.com/{default}, b@gmail.com/{default}, c@yahoo.com/vm1.
        let stored = stored(1, 10 * HOUR_MS);
        let now = Timestamp(11 * HOUR_MS);
        let got: Vec<u16> = filter.select(&stored, now).map(|(w, _)| w.recipient).collect();
        assert_eq!(got, expected, "{request:?}");
    }

    fn filter(set: impl FnOnce(&mut proto::Filter)) -> proto::Filter {
        let mut filter = proto::Filter::default();
        set(&mut filter);
        filter
    }

    #[test]
    fn every_condition_that_is_given_must_hold() {
        check(filter(|_| ()), &[0, 1, 2]);
        check(filter(|f| f.queue = "yahoo.com".into()), &[0]);
        check(filter(|f| f.queue = "yahoo.com/*".into()), &[0, 2]);
        check(filter(|f| f.queue = "*/vm1".into()), &[2]);
        check(filter(|f| f.rcpt = "*@YAHOO.com".into()), &[0, 2]);
        check(filter(|f| f.rcpt = "<b@gmail.com>".into()), &[1]);
        check(filter(|f| f.orig = "sender@example.com".into()), &[0, 1, 2]);
        check(filter(|f| f.orig = "<sender@*>".into()), &[0, 1, 2]);
        check(filter(|f| f.orig = "<>".into()), &[]);
        check(filter(|f| f.orig = "other@*".into()), &[]);
        check(filter(|f| f.job_id = "job*".into()), &[0, 1, 2]);
        check(filter(|f| f.job_id = "job2".into()), &[]);
        check(filter(|f| f.env_id = "env1".into()), &[0, 1, 2]);
        check(filter(|f| f.older_than_ms = HOUR_MS), &[0, 1, 2]);
        check(filter(|f| f.older_than_ms = HOUR_MS + 1), &[]);
        check(
            filter(|f| {
                f.queue = "yahoo.com/*".into();
                f.rcpt = "c@*".into();
            }),
            &[2],
        );
    }
}
