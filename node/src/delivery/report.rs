//! What an attempt tells the queue: results with their rows, and the notices that they cause
//! (RFC 3461 5 and 6).

use std::time::Duration;

use bytes::Bytes;

use super::classify;
use super::record::{self, Attempt};
use super::retry::{self, Next};
use crate::clock::Timestamp;
use crate::config::{Config, Lookup};
use crate::id::{DEFAULT_VMTA, MessageId, QueueName};
use crate::message::dsn::{self, Kind, Notice, Reported};
use crate::message::headers::Headers;
use crate::message::{
    BodyType, Class, Envelope, Notify, Origin, Outcome, Recipient, RecordType, Ret,
};
use crate::queue::model::{RecipientResult, Report, Submission, Waiting};
use crate::smtp::address::{Address, ReversePath};

/// A notice of delay goes out once in this time, to those who asked for one.
const DELAY_NOTICE_INTERVAL: Duration = Duration::from_secs(4 * 3600);

/// The result of an attempt for one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Tried<'a> {
    pub(crate) waiting: &'a Waiting,
    pub(crate) outcome: Outcome,
    /// The attempt reached the recipient's own transaction.
    pub(crate) counts: bool,
}

/// The reports of an attempt: one, or one more for each kind of notice that it causes. `jitter`
/// is from 0 to 1.
pub(crate) fn reports(attempt: &Attempt<'_>, tried: Vec<Tried<'_>>, jitter: f64) -> Vec<Report> {
    let headers = needs_headers(attempt.config).then(|| Headers::parse(attempt.body));
    let mut groups: [Vec<(RecipientResult, &Waiting)>; 4] = Default::default();
    for one in tried {
        let result = result(attempt, headers.as_ref(), &one, jitter);
        let group = match notice_kind(attempt, &result) {
            None => 0,
            Some(Kind::Failure) => 1,
            Some(Kind::Delay) => 2,
            Some(Kind::Success) => 3,
        };
        groups[group].push((result, one.waiting));
    }
    let kinds = [None, Some(Kind::Failure), Some(Kind::Delay), Some(Kind::Success)];
    let full = kinds.into_iter().zip(groups).filter(|(_, group)| !group.is_empty());
    full.map(|(kind, group)| report(attempt, kind, group)).collect()
}

fn needs_headers(config: &Config) -> bool {
    let kinds = [RecordType::Delivery, RecordType::Bounce, RecordType::Transient];
    kinds.into_iter().any(|kind| !config.accounting_headers(kind).is_empty())
}

/// The result as the queue takes it; an attempt that was the last one bounces.
fn result(
    attempt: &Attempt<'_>,
    headers: Option<&Headers<'_>>,
    tried: &Tried<'_>,
    jitter: f64,
) -> RecipientResult {
    let Tried { waiting, outcome, counts } = tried;
    let mut outcome = outcome.clone();
    let mut next_due = attempt.now;
    if outcome.class == Class::Deferred {
        let attempts = waiting.attempts.saturating_add(u32::from(*counts));
        let received_at = attempt.stored.envelope.received_at;
        match retry::recipient(attempt.settings, attempt.now, received_at, attempts, jitter) {
            Next::Retry(at) => next_due = at,
            Next::Expired => outcome = classify::expired(Some(&outcome)),
        }
    }
    RecipientResult {
        recipient: waiting.recipient,
        record: record::of(attempt, headers, waiting, &outcome),
        outcome,
        next_due,
        counts_as_attempt: *counts,
    }
}

/// The kind of notice that a result causes.
fn notice_kind(attempt: &Attempt<'_>, result: &RecipientResult) -> Option<Kind> {
    let envelope = &attempt.stored.envelope;
    if envelope.suppress_dsn || envelope.sender == ReversePath::Null {
        return None;
    }
    let notify = envelope.recipients[usize::from(result.recipient)].notify;
    let kind = match result.outcome.class {
        Class::Bounced if notify.failure() => Kind::Failure,
        Class::Delivered if notify.success() && !attempt.path.passes_dsn => Kind::Success,
        Class::Deferred if notify.delay() && is_late(attempt, result.next_due) => Kind::Delay,
        Class::Bounced | Class::Delivered | Class::Deferred => return None,
    };
    Some(kind)
}

/// True in the last attempt before the message has waited for another interval: so there is one
/// notice per interval, without a memory of those sent.
fn is_late(attempt: &Attempt<'_>, next_due: Timestamp) -> bool {
    let received_at = attempt.stored.envelope.received_at;
    let intervals =
        |at: Timestamp| at.since(received_at).as_millis() / DELAY_NOTICE_INTERVAL.as_millis();
    intervals(attempt.now) < intervals(next_due)
}

fn report(
    attempt: &Attempt<'_>,
    kind: Option<Kind>,
    group: Vec<(RecipientResult, &Waiting)>,
) -> Report {
    let results: Vec<_> = group.into_iter().map(|(result, _)| result).collect();
    let notice = kind.and_then(|kind| notice(attempt, kind, &results));
    Report { locator: attempt.stored.locator, results, notice }
}

fn notice(attempt: &Attempt<'_>, kind: Kind, results: &[RecipientResult]) -> Option<Submission> {
    let Attempt { config, settings, stored, body, path, now } = *attempt;
    let sender = stored.envelope.sender.address()?;
    let id = MessageId::new(now, rand::random());
    let reported = results.iter().map(|result| Reported {
        recipient: usize::from(result.recipient),
        outcome: &result.outcome,
        final_delivery: path.is_final,
    });
    let text = dsn::compose(&Notice {
        kind,
        id,
        envelope: &stored.envelope,
        reported: reported.collect(),
        original: body,
        host_name: &config.server.host_name,
        from: config.server.dsn_from.as_deref(),
        default_return: Ret::Headers,
        at: now,
        give_up_at: (kind == Kind::Delay)
            .then(|| retry::expires_at(settings, stored.envelope.received_at)),
    });
    let body = Bytes::from(text);
    Some(Submission {
        envelope: notice_envelope(config, sender, id, &body, now),
        body,
        records: vec![],
    })
}

fn notice_envelope(
    config: &Config,
    to: &Address,
    id: MessageId,
    body: &Bytes,
    now: Timestamp,
) -> Envelope {
    let domain = config.queue_domain(&to.domain_key(), DEFAULT_VMTA);
    let recipient = Recipient {
        address: to.clone(),
        notify: Notify::Never,
        orcpt: None,
        queue: QueueName { domain, vmta: DEFAULT_VMTA.to_owned() },
    };
    let body_type = if body.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime };
    Envelope {
        id,
        received_at: now,
        sender: ReversePath::Null,
        recipients: vec![recipient],
        size_bytes: body.len() as u64,
        body_type,
        smtputf8: !to.is_ascii(),
        ret: None,
        envid: None,
        job: None,
        vmta_pool: None,
        origin: Origin::Internal,
        suppress_dsn: true,
    }
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
