//! `list` and `delete`: commands on recipients that wait, here and then on each other node.

use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin as proto;
use convoy_proto::admin::list_item::Item;
use tokio::sync::mpsc;
use tonic::Status;

use super::filter::Filter;
use super::service::{Ports, refused, stream};
use super::spread::{self, Peer, Scope};
use super::story;
use super::walk::{Walk, operate};
use crate::clock::Timestamp;
use crate::message::{Class, Envelope, Outcome, Recipient, Record, RecordType};
use crate::queue::model::{Operation, Stored, Target, Waiting};
use crate::queue::pattern::Held;

type Items<T> = mpsc::Sender<Result<T, Status>>;

/// Shows or changes the recipients that match.
pub(super) fn list(
    ports: &Arc<Ports>,
    scope: Scope,
    request: proto::ListRequest,
) -> Result<super::service::Stream<proto::ListItem>, Status> {
    let filter = Filter::read(request.filter.as_ref()).map_err(refused)?;
    let ports = Arc::clone(ports);
    Ok(stream(move |items| async move {
        let mut done = list_here(&ports, scope, &filter, &request, &items).await?;
        let (others, missing) = spread::others(&ports, scope);
        done.missing = missing;
        for (node, peer) in others {
            if done.more || items.is_closed() {
                break;
            }
            if let Err(status) = list_there(peer, &request, &mut done, &items).await {
                done.missing.push(spread::missing(node, &spread::reason(&status)));
            }
        }
        let _gone = items.send(Ok(proto::ListItem { item: Some(Item::Done(done)) })).await;
        Ok(())
    }))
}

const fn shows(action: proto::ListAction) -> bool {
    matches!(action, proto::ListAction::Show | proto::ListAction::Unspecified)
}

/// Passes on what another node lists, or what it changes.
async fn list_there(
    mut peer: Peer,
    request: &proto::ListRequest,
    done: &mut proto::ListDone,
    items: &Items<proto::ListItem>,
) -> Result<(), Status> {
    let left = request.max_items.saturating_sub(done.recipients);
    // Nothing is left to show or change, but is there more?
    let probes = request.max_items > 0 && left == 0;
    let passed = match probes {
        true => proto::ListRequest {
            max_items: 1,
            action: proto::ListAction::Show.into(),
            ..request.clone()
        },
        false => proto::ListRequest {
            max_items: if request.max_items == 0 { 0 } else { left },
            ..request.clone()
        },
    };
    let late = |_| spread::late(spread::DEADLINE);
    let called = tokio::time::timeout(spread::DEADLINE, peer.list(passed));
    let mut theirs = called.await.map_err(late)??.into_inner();
    loop {
        // Every page is a sign of life.
        let item =
            tokio::time::timeout(spread::DEADLINE, theirs.message()).await.map_err(late)??;
        match item.and_then(|item| item.item) {
            Some(Item::Row(_)) if probes => {
                done.more = true;
                return Ok(());
            }
            Some(Item::Row(row)) => {
                done.recipients += 1;
                let item = proto::ListItem { item: Some(Item::Row(row)) };
                if items.send(Ok(item)).await.is_err() {
                    return Ok(());
                }
            }
            Some(Item::Done(last)) => {
                if !shows(request.action()) && !probes {
                    done.recipients += last.recipients;
                }
                done.more |= last.more;
                return Ok(());
            }
            Some(Item::Examined(_)) => {}
            None => return Err(Status::unavailable("its answer broke off")),
        }
    }
}

/// Goes through the messages of this node.
async fn list_here(
    ports: &Ports,
    scope: Scope,
    filter: &Filter,
    request: &proto::ListRequest,
    items: &Items<proto::ListItem>,
) -> Result<proto::ListDone, Status> {
    let action = request.action();
    let most = if request.max_items == 0 { u64::MAX } else { request.max_items };
    let held = Held::new(&ports.queue.switches());
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
                if shows(action) {
                    let item = Some(Item::Row(row(stored, waiting, recipient, &held, now)));
                    if items.send(Ok(proto::ListItem { item })).await.is_err() {
                        return Ok(done);
                    }
                    done.recipients += 1;
                } else {
                    targets.push(target(stored, waiting, None));
                }
            }
        }
        done.recipients += change(ports, action, targets, now).await?;
        if scope == Scope::Here {
            let examined = Some(Item::Examined(walk.examined));
            let _gone = items.send(Ok(proto::ListItem { item: examined })).await;
        }
        if done.more || items.is_closed() {
            break 'pages;
        }
    }
    Ok(done)
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

fn row(
    stored: &Stored,
    waiting: &Waiting,
    recipient: &Recipient,
    held: &Held,
    now: Timestamp,
) -> proto::ListRow {
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
        last_error: waiting.last.as_ref().map(story::explanation).unwrap_or_default(),
        unknown: waiting.unknown.map(story::unknown),
        next: story::waiting_for(stored, waiting, recipient, held, now),
    }
}

/// Deletes the recipients that match.
pub(super) fn delete(
    ports: &Arc<Ports>,
    scope: Scope,
    request: proto::DeleteRequest,
) -> Result<super::service::Stream<proto::DeleteProgress>, Status> {
    let filter = Filter::read(request.filter.as_ref()).map_err(refused)?;
    if filter.queue.is_none() && filter.job_id.is_none() {
        return Err(Status::invalid_argument(
            "delete needs --queue or --jobid; write --queue=*/* to mean everything",
        ));
    }
    let accounted = !request.no_accounting;
    let ports = Arc::clone(ports);
    Ok(stream(move |items| async move {
        let Some(mut progress) = delete_here(&ports, &filter, accounted, &items).await? else {
            return Ok(());
        };
        let (others, missing) = spread::others(&ports, scope);
        progress.missing = missing;
        for (node, peer) in others {
            let (examined, deleted) = (progress.examined, progress.deleted);
            let before = proto::DeleteProgress { examined, deleted, ..Default::default() };
            if let Err(status) = delete_there(peer, &request, &mut progress, &before, &items).await
            {
                progress.missing.push(spread::missing(node, &spread::reason(&status)));
            }
        }
        progress.finished = true;
        let _gone = items.send(Ok(progress)).await;
        Ok(())
    }))
}

/// Passes on what another node deletes.
async fn delete_there(
    mut peer: Peer,
    request: &proto::DeleteRequest,
    progress: &mut proto::DeleteProgress,
    before: &proto::DeleteProgress,
    items: &Items<proto::DeleteProgress>,
) -> Result<(), Status> {
    let late = |_| spread::late(DELETE_DEADLINE);
    let called = tokio::time::timeout(spread::DEADLINE, peer.delete(request.clone()));
    let mut theirs = called.await.map_err(late)??.into_inner();
    loop {
        let page =
            tokio::time::timeout(DELETE_DEADLINE, theirs.message()).await.map_err(late)??;
        let page = page.ok_or_else(|| Status::unavailable("its answer broke off"))?;
        progress.examined = before.examined + page.examined;
        progress.deleted = before.deleted + page.deleted;
        if page.finished || items.is_closed() {
            return Ok(());
        }
        let shown = proto::DeleteProgress { missing: Vec::new(), ..progress.clone() };
        let _gone = items.send(Ok(shown)).await;
    }
}

/// How long another node may take to delete what it finds on one page.
const DELETE_DEADLINE: Duration = Duration::from_secs(20);

/// Deletes on this node, page by page; nothing when the client has gone.
async fn delete_here(
    ports: &Ports,
    filter: &Filter,
    accounted: bool,
    items: &Items<proto::DeleteProgress>,
) -> Result<Option<proto::DeleteProgress>, Status> {
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
        if items.send(Ok(progress.clone())).await.is_err() {
            tracing::info!(
                "delete stopped: mtactl went away after {} recipients",
                progress.deleted
            );
            return Ok(None);
        }
    }
    tracing::info!("{} recipients deleted by administrator", progress.deleted);
    Ok(Some(progress))
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
