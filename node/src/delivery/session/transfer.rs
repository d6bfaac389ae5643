//! One batch over an open session: load, send, report.

use bytes::Bytes;

use super::Spec;
use super::doubt::Doubt;
use super::open::Link;
use super::settle::settle;
use crate::clock::{Timestamp, monotonic};
use crate::delivery::board::EventKind;
use crate::delivery::classify::{self, QueueFailure};
use crate::delivery::feed::Batch;
use crate::delivery::limits::Stage;
use crate::delivery::message::BatchEnd;
use crate::delivery::record::{Attempt, Path};
use crate::delivery::report::{self, Tried};
use crate::delivery::trace::About;
use crate::message::{Class, Outcome};
use crate::queue::model::{Report, Stored, Waiting};
use crate::queue::pattern::Held;
use crate::smtp::client::{Event, Failure, Phase, Rcpt, Transaction, Verdict};

/// What the session is good for after a batch.
pub(super) enum After {
    Ready,
    Quit,
    Closed,
    HostUnavailable(QueueFailure),
}

pub(super) struct Transferred {
    pub(super) result: BatchEnd,
    pub(super) after: After,
}

/// A batch with what it is about.
pub(super) struct Loaded {
    pub(super) stored: Stored,
    pub(super) waiting: Vec<Waiting>,
    pub(super) body: Bytes,
}

/// Loads what of a batch is still to be done; or says why there is nothing to do.
pub(super) async fn load(spec: &Spec, batch: &Batch) -> Result<Loaded, BatchEnd> {
    let gone = BatchEnd::Reported { later: None };
    let locator = batch.claim.locator;
    let mut stored = spec.env.work.load(locator).await.ok_or(gone)?;
    let paused = stored
        .envelope
        .job
        .as_ref()
        .is_some_and(|job| Held::new(&spec.env.switches.borrow()).is_job_paused(job));
    if paused {
        return Err(BatchEnd::SetAside);
    }
    let wanted = |waiting: &Waiting| {
        let recipient = stored.envelope.recipients.get(usize::from(waiting.recipient));
        !waiting.held
            && batch.claim.recipients.contains(&waiting.recipient)
            && recipient.is_some_and(|recipient| recipient.queue == spec.queue)
    };
    let waiting: Vec<_> = stored.waiting.iter().filter(|w| wanted(w)).cloned().collect();
    if waiting.is_empty() {
        return Err(gone);
    }
    stored.waiting.clear();
    let body = spec.env.work.body(locator).await.ok_or(gone)?;
    Ok(Loaded { stored, waiting, body })
}

/// Builds and records the results of a batch.
pub(super) async fn report(
    spec: &Spec,
    batch: &Batch,
    loaded: &Loaded,
    path: &Path,
    outcomes: Vec<(usize, Outcome, bool)>,
) -> BatchEnd {
    let attempt = Attempt {
        config: &spec.config,
        settings: &spec.settings,
        stored: &loaded.stored,
        body: &loaded.body,
        path,
        now: Timestamp::now(),
    };
    let tried = outcomes
        .into_iter()
        .map(|(i, outcome, counts)| Tried { waiting: &loaded.waiting[i], outcome, counts })
        .collect();
    let reports = report::reports(&attempt, tried, rand::random());
    let results = || reports.iter().flat_map(|report| &report.results);
    let deferred = |class| class == Class::Deferred;
    let later = results().filter(|r| deferred(r.outcome.class)).map(|r| r.next_due).min();
    let delivered = results().filter(|r| r.outcome.class == Class::Delivered).count();
    note_refusals(spec, &reports, loaded);
    if !settle(&spec.env, batch.term, reports).await {
        return BatchEnd::Lost;
    }
    spec.env.board.counters.count_delivery(delivered, loaded.body.len());
    BatchEnd::Reported { later }
}

/// Recipients that were not delivered are events of their queue; one of a message is enough.
fn note_refusals(spec: &Spec, reports: &[Report], loaded: &Loaded) {
    let results = reports.iter().flat_map(|report| &report.results);
    let refused = results.filter(|result| result.outcome.class != Class::Delivered);
    let Some(result) = refused.into_iter().next() else { return };
    let recipient = &loaded.stored.envelope.recipients[usize::from(result.recipient)];
    let Outcome { reply, reason, .. } = &result.outcome;
    let what = if reply.is_empty() { reason } else { reply };
    let text = format!("{}: {what}", recipient.address);
    spec.env.board.event(&spec.queue, EventKind::Recipient, Timestamp::now(), &text);
}

fn transaction(loaded: &Loaded) -> Transaction {
    let envelope = &loaded.stored.envelope;
    let rcpt = |waiting: &Waiting| {
        let recipient = &envelope.recipients[usize::from(waiting.recipient)];
        Rcpt {
            address: recipient.address.clone(),
            notify: recipient.notify,
            orcpt: recipient.orcpt.clone(),
        }
    };
    Transaction {
        sender: envelope.sender.clone(),
        recipients: loaded.waiting.iter().map(rcpt).collect(),
        body: loaded.body.clone(),
        body_type: envelope.body_type,
        smtputf8: envelope.smtputf8,
        ret: envelope.ret,
        envid: envelope.envid.clone(),
    }
}

/// How a transaction ended.
enum Course {
    /// The machine has verdicts, and is ready for more or not.
    Verdicts(Vec<Verdict>, Option<Failure>),
    /// This node lost the right to send in the middle.
    Lost,
}

/// Sends a batch and reports it.
pub(super) async fn transfer(spec: &Spec, link: &mut Link, batch: &Batch) -> Transferred {
    let ready = |result| Transferred { result, after: After::Ready };
    if spec.permit.stage() > Stage::Stay {
        return Transferred { result: BatchEnd::NotTried, after: After::Quit };
    }
    let loaded = match load(spec, batch).await {
        Ok(loaded) => loaded,
        Err(result) => return ready(result),
    };
    let group = batch.claim.locator.group;
    if !spec.env.work.may_begin(group, batch.term) {
        return ready(BatchEnd::Lost);
    }
    link.messages += 1;
    let mut doubt = None;
    let (verdicts, failure) = match converse(spec, link, batch, &loaded, &mut doubt).await {
        Course::Verdicts(verdicts, failure) => (verdicts, failure),
        Course::Lost => return Transferred { result: BatchEnd::Lost, after: After::Closed },
    };
    if let Some(failure) = &failure {
        let text = format!("{failure} (connected to {})", link.mta);
        link.driver.dialogue.say(About::Connection, &text);
        spec.env.board.event(&spec.queue, EventKind::Queue, Timestamp::now(), &text);
        if spec.settings.log_transfer_failures {
            tracing::warn!("{}: {text}", spec.queue);
        }
        if let Some(early) = not_tried(spec, link, &verdicts, failure) {
            settle_doubt(doubt);
            return early;
        }
    } else {
        link.transfers += 1;
    }
    let outcomes = outcomes(spec, link, &verdicts);
    let some_left = outcomes.len() < verdicts.len();
    let result = report(spec, batch, &loaded, &link.path, outcomes).await;
    if result != BatchEnd::Lost {
        settle_doubt(doubt);
    }
    let left = some_left && result != BatchEnd::Lost;
    let result = if left { BatchEnd::NotTried } else { result };
    Transferred { result, after: after(spec, link, failure.as_ref(), result) }
}

/// The result of a final dot, if there was one, is on record or says nothing.
fn settle_doubt(doubt: Option<Doubt>) {
    if let Some(doubt) = doubt {
        doubt.settled();
    }
}

/// Holds the dialogue. `doubt` is filled before the final dot is sent.
async fn converse(
    spec: &Spec,
    link: &mut Link,
    batch: &Batch,
    loaded: &Loaded,
    doubt: &mut Option<Doubt>,
) -> Course {
    let group = batch.claim.locator.group;
    let mut verdicts = Vec::new();
    link.driver.client.send(monotonic(), transaction(loaded));
    loop {
        match link.driver.event().await {
            Event::Finishing => {
                // What follows is the end of the message: from here on the server may have it.
                let recalled = spec.permit.stage() == Stage::Stop;
                if recalled || !spec.env.work.may_send(group, batch.term) {
                    return Course::Lost;
                }
                *doubt = Some(Doubt::begin(spec, batch.term, loaded));
                link.driver.client.finish(monotonic());
            }
            Event::Done(done) => verdicts = done,
            Event::Ready => return Course::Verdicts(verdicts, None),
            Event::Failed(failure) => return Course::Verdicts(verdicts, Some(failure)),
            // The machine does not tell these during a transaction.
            Event::Hello | Event::TlsRefused(_) | Event::StartTls | Event::Closed => {
                return Course::Verdicts(verdicts, Some(Failure::TimedOut(Phase::Idle)));
            }
        }
    }
}

/// Cases in which a session that failed says nothing about the message: it is still due, and
/// another connection takes it.
fn not_tried(
    spec: &Spec,
    link: &Link,
    verdicts: &[Verdict],
    failure: &Failure,
) -> Option<Transferred> {
    if !verdicts.iter().all(|verdict| matches!(verdict, Verdict::Broken(_))) {
        return None;
    }
    let result = BatchEnd::NotTried;
    let closed = matches!(failure, Failure::ServiceClosed { .. });
    if closed && spec.settings.smtp_421_means_mx_unavailable {
        let failure = classify::session(failure, &link.mta, &spec.settings);
        return Some(Transferred { result, after: After::HostUnavailable(failure) });
    }
    // A connection that was good for other messages has come to its end.
    let at_start = matches!(
        failure,
        Failure::ServiceClosed { phase: Phase::Idle | Phase::Reset | Phase::Mail, .. }
            | Failure::Closed { phase: Phase::Idle | Phase::Reset | Phase::Mail, .. }
    );
    (at_start && link.transfers > 0).then_some(Transferred { result, after: After::Closed })
}

/// Outcomes of the recipients that were decided. "Too many recipients" (RFC 5321 4.5.3.1.10)
/// leaves the rest for another transaction.
fn outcomes(spec: &Spec, link: &mut Link, verdicts: &[Verdict]) -> Vec<(usize, Outcome, bool)> {
    let someone_decided = verdicts.iter().any(|verdict| !is_too_many(verdict));
    let mut outcomes = Vec::with_capacity(verdicts.len());
    for (i, verdict) in verdicts.iter().enumerate() {
        if someone_decided && is_too_many(verdict) {
            continue;
        }
        let outcome = classify::recipient(verdict, &link.mta, &spec.settings);
        link.errors += u32::from(matches!(verdict, Verdict::Refused { .. }));
        outcomes.push((i, outcome, true));
    }
    outcomes
}

fn is_too_many(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Refused { phase: Phase::Rcpt, answer } => {
            let says_so = answer.enhanced.is_none_or(|e| (e.1, e.2) == (5, 3));
            says_so && answer.code == 452
        }
        Verdict::Refused { .. } | Verdict::Accepted(_) | Verdict::Lacks(_) | Verdict::Broken(_) => {
            false
        }
    }
}

fn after(spec: &Spec, link: &Link, failure: Option<&Failure>, result: BatchEnd) -> After {
    if failure.is_some() {
        return After::Closed;
    }
    let reached = |limit: Option<u32>, count| limit.is_some_and(|limit| count >= limit);
    let full = spec.permit.stage() > Stage::Stay
        || reached(spec.settings.max_msg_per_connection, link.messages)
        || reached(spec.settings.max_errors_per_connection, link.errors);
    if full || result == BatchEnd::Lost { After::Quit } else { After::Ready }
}
