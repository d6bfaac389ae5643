//! `list`, `delete` and `show message`: commands on recipients that wait.

use std::sync::Arc;

use convoy_proto::admin as proto;
use tokio::sync::mpsc;
use tonic::Status;

use super::filter::Filter;
use super::service::{Ports, refused, stream};
use super::walk::{Walk, operate};
use crate::clock::Timestamp;
use crate::id::MessageId;
use crate::message::{Class, Envelope, Origin, Outcome, Recipient, Record, RecordType};
use crate::queue::model::{Operation, Stored, Target, Waiting};
use crate::queue::pattern::Held;

type Items<T> = mpsc::Sender<Result<T, Status>>;

/// Shows or changes the recipients that match.
pub(super) fn list(
    ports: &Arc<Ports>,
    request: &proto::ListRequest,
) -> Result<super::service::Stream<proto::ListItem>, Status> {
    let filter = Filter::read(request.filter.as_ref()).map_err(refused)?;
    let action = request.action();
    let most = if request.max_items == 0 { u64::MAX } else { request.max_items };
    let ports = Arc::clone(ports);
    Ok(stream(move |items| async move { list_pages(&ports, &filter, action, most, &items).await }))
}

async fn list_pages(
    ports: &Ports,
    filter: &Filter,
    action: proto::ListAction,
    most: u64,
    items: &Items<proto::ListItem>,
) -> Result<(), Status> {
    use proto::list_item::Item;
    let now = Timestamp::now();
    let mut walk = Walk::new(Arc::clone(&ports.queue));
    let mut done = proto::ListDone::default();
    'pages: while let Some(page) = walk.next().await {
        let mut targets = Vec::new();
        for stored in &page {
            for (waiting, recipient) in filter.select(stored, now) {
                if done.recipients + targets.len() as u64 >= most {
                    done.more = true;
                    break;
                }
                if action == proto::ListAction::Show || action == proto::ListAction::Unspecified {
                    let item = Some(Item::Row(row(stored, waiting, recipient)));
                    if items.send(Ok(proto::ListItem { item })).await.is_err() {
                        return Ok(());
                    }
                    done.recipients += 1;
                } else {
                    targets.push(target(stored, waiting, None));
                }
            }
        }
        done.recipients += change(ports, action, targets, now).await?;
        if done.more || items.is_closed() {
            break 'pages;
        }
    }
    let _gone = items.send(Ok(proto::ListItem { item: Some(Item::Done(done)) })).await;
    Ok(())
}

/// Holds, releases or schedules.
async fn change(
    ports: &Ports,
    action: proto::ListAction,
    targets: Vec<Target>,
    at: Timestamp,
) -> Result<u64, Status> {
    let queue = ports.queue.as_ref();
    match action {
        proto::ListAction::Unspecified | proto::ListAction::Show => Ok(0),
        proto::ListAction::Hold => {
            operate(queue, targets, |targets| Operation::Hold { targets, held: true }).await
        }
        proto::ListAction::Release => {
            operate(queue, targets, |targets| Operation::Hold { targets, held: false }).await
        }
        proto::ListAction::ScheduleNow => {
            operate(queue, targets, |targets| Operation::Schedule { targets, at }).await
        }
    }
}

fn target(stored: &Stored, waiting: &Waiting, record: Option<Record>) -> Target {
    Target { locator: stored.locator, recipient: waiting.recipient, record }
}

fn row(stored: &Stored, waiting: &Waiting, recipient: &Recipient) -> proto::ListRow {
    let envelope = &stored.envelope;
    proto::ListRow {
        message: envelope.id.to_string(),
        orig: envelope.sender.to_string(),
        rcpt: recipient.address.to_string(),
        queue: recipient.queue.to_string(),
        job_id: envelope.job.clone().unwrap_or_default(),
        env_id: envelope.envid.clone().unwrap_or_default(),
        received_ms: envelope.received_at.as_millis(),
        due_ms: waiting.due.as_millis(),
        bytes: envelope.size_bytes,
        attempts: waiting.attempts,
        held: waiting.held,
        last_error: waiting.last.as_ref().map(explanation).unwrap_or_default(),
    }
}

/// The reply that decided, or our reason.
fn explanation(outcome: &Outcome) -> String {
    if outcome.reply.is_empty() { outcome.reason.clone() } else { outcome.reply.clone() }
}

/// Deletes the recipients that match.
pub(super) fn delete(
    ports: &Arc<Ports>,
    request: &proto::DeleteRequest,
) -> Result<super::service::Stream<proto::DeleteProgress>, Status> {
    let filter = Filter::read(request.filter.as_ref()).map_err(refused)?;
    if filter.queue.is_none() && filter.job_id.is_none() {
        return Err(Status::invalid_argument(
            "delete needs --queue or --jobid; write --queue=*/* to mean everything",
        ));
    }
    let accounted = !request.no_accounting;
    let ports = Arc::clone(ports);
    Ok(stream(move |items| async move { delete_pages(&ports, &filter, accounted, &items).await }))
}

async fn delete_pages(
    ports: &Ports,
    filter: &Filter,
    accounted: bool,
    items: &Items<proto::DeleteProgress>,
) -> Result<(), Status> {
    let now = Timestamp::now();
    let mut walk = Walk::new(Arc::clone(&ports.queue));
    let mut progress = proto::DeleteProgress::default();
    while let Some(page) = walk.next().await {
        let mut targets = Vec::new();
        for stored in &page {
            for (waiting, recipient) in filter.select(stored, now) {
                let record = (accounted && wants_row(ports, recipient))
                    .then(|| deletion(ports, &stored.envelope, waiting, now));
                targets.push(target(stored, waiting, record));
            }
        }
        let delete = |targets| Operation::Delete { targets };
        progress.deleted += operate(ports.queue.as_ref(), targets, delete).await?;
        progress.examined = walk.examined;
        if items.send(Ok(progress)).await.is_err() {
            tracing::info!(
                "delete stopped: mtactl went away after {} recipients",
                progress.deleted
            );
            return Ok(());
        }
    }
    tracing::info!("{} recipients deleted by administrator", progress.deleted);
    progress.finished = true;
    let _gone = items.send(Ok(progress)).await;
    Ok(())
}

/// Does some accounting file want a row for the deletion?
fn wants_row(ports: &Ports, recipient: &Recipient) -> bool {
    let lookup = ports.runtime.lookup();
    let queue = &recipient.queue;
    lookup.wants_records(RecordType::Bounce)
        && !lookup
            .queue(&queue.domain, &queue.vmta)
            .disable_acct_records
            .contains(&RecordType::Bounce)
}

/// The accounting row of a deletion.
fn deletion(ports: &Ports, envelope: &Envelope, waiting: &Waiting, now: Timestamp) -> Record {
    let number = usize::from(waiting.recipient);
    let mut record = Record::of(RecordType::Bounce, now, envelope, number);
    record.set_outcome(&Outcome {
        class: Class::Bounced,
        status: crate::message::Status(5, 0, 0),
        reply: String::new(),
        reason: "deleted by administrator".to_owned(),
        mta: String::new(),
    });
    record.first_attempt_at = waiting.first_attempt_at;
    let text = format!("{};{}", record.dsn_status, record.dsn_diag);
    record.bounce_cat = ports.runtime.lookup().bounce_category(&text).to_owned();
    record
}

/// One message with all its recipients. Looks through the store, since messages lie in order of
/// their arrival in the log.
pub(super) async fn message(ports: &Ports, id: &str) -> Result<proto::MessageReply, Status> {
    let id: MessageId = id.trim().parse().map_err(refused)?;
    let mut walk = Walk::new(Arc::clone(&ports.queue));
    while let Some(page) = walk.next().await {
        if let Some(stored) = page.iter().find(|stored| stored.envelope.id == id) {
            return Ok(describe(ports, stored));
        }
    }
    Err(Status::not_found(format!(
        "no message {id} waits in the partitions that this node leads: it is finished (see the \
         accounting files), or another node has it"
    )))
}

fn describe(ports: &Ports, stored: &Stored) -> proto::MessageReply {
    let envelope = &stored.envelope;
    let held = Held::new(&ports.queue.switches());
    let now = Timestamp::now();
    proto::MessageReply {
        id: envelope.id.to_string(),
        locator: stored.locator.to_string(),
        orig: envelope.sender.to_string(),
        received_ms: envelope.received_at.as_millis(),
        bytes: envelope.size_bytes,
        job_id: envelope.job.clone().unwrap_or_default(),
        env_id: envelope.envid.clone().unwrap_or_default(),
        vmta_pool: envelope.vmta_pool.clone().unwrap_or_default(),
        origin: origin(&envelope.origin),
        recipients: (0..envelope.recipients.len())
            .map(|number| recipient_state(stored, number, &held, now))
            .collect(),
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Smtp { helo, client, user, tls, .. } => {
            let user = user.as_ref().map(|u| format!(", user {u}")).unwrap_or_default();
            let tls = tls.as_ref().map(|t| format!(", {}", t.protocol)).unwrap_or_default();
            format!("smtp from {helo} ({client}){user}{tls}")
        }
        Origin::Internal => "internal".to_owned(),
    }
}

fn recipient_state(
    stored: &Stored,
    number: usize,
    held: &Held,
    now: Timestamp,
) -> proto::RecipientState {
    let recipient = &stored.envelope.recipients[number];
    let state = proto::RecipientState {
        rcpt: recipient.address.to_string(),
        queue: recipient.queue.to_string(),
        ..proto::RecipientState::default()
    };
    let Some(waiting) = stored.waiting.iter().find(|w| usize::from(w.recipient) == number) else {
        return proto::RecipientState { finished: true, ..state };
    };
    let last = waiting.last.as_ref();
    proto::RecipientState {
        due_ms: waiting.due.as_millis(),
        attempts: waiting.attempts,
        first_attempt_ms: waiting.first_attempt_at.map_or(0, Timestamp::as_millis),
        held: waiting.held,
        last_status: last.map(|o| o.status.to_string()).unwrap_or_default(),
        last_reply: last.map(explanation).unwrap_or_default(),
        last_mta: last.map(|o| o.mta.clone()).unwrap_or_default(),
        waiting_for: waiting_for(stored, waiting, recipient, held, now),
        ..state
    }
}

/// What the recipient waits for at this moment, and the command that ends the wait.
fn waiting_for(
    stored: &Stored,
    waiting: &Waiting,
    recipient: &Recipient,
    held: &Held,
    now: Timestamp,
) -> String {
    let job = stored.envelope.job.as_deref().filter(|job| held.is_job_paused(job));
    let queue = &recipient.queue;
    match (waiting.held, held.paused_by(queue), job) {
        (true, _, _) => {
            let address = &recipient.address;
            format!("until it is resumed: mtactl list --queue {queue} --rcpt {address} --resume")
        }
        (false, Some(pattern), _) => {
            format!("until its queue is resumed: mtactl resume queue '{pattern}'")
        }
        (false, None, Some(job)) => {
            format!("until its job is resumed: mtactl resume job '{job}'")
        }
        (false, None, None) if waiting.due > now => {
            format!("for its next attempt: mtactl schedule {queue} --retry-recipients")
        }
        (false, None, None) => {
            format!("for a connection of its queue: mtactl show queues {queue}")
        }
    }
}
