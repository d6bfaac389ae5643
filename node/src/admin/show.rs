//! `show queues`, `domains`, `vmtas` and `jobs`: what the queue holds, joined with what delivery
//! does about it, filtered, sorted and cut.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use convoy_proto::admin as proto;
use tonic::Status;

use super::ports::{Activity, EventKind, Mode};
use super::service::{Ports, Stream, refused, stream};
use crate::clock::Timestamp;
use crate::id::QueueName;
use crate::queue::model::QueueFigures;
use crate::queue::pattern::{Held, QueuePattern, matches};

/// One queue: what it holds and what is done about it.
struct Joined {
    name: QueueName,
    figures: QueueFigures,
    activity: Activity,
}

/// Queues that hold recipients or are in delivery's memory, by name.
async fn joined(ports: &Ports, wanted: impl Fn(&QueueName) -> bool) -> Vec<Joined> {
    let mut activity: HashMap<QueueName, Activity> = ports.delivery.activity().await;
    let mut figures: BTreeMap<QueueName, QueueFigures> = BTreeMap::new();
    for (name, more) in ports.queue.queues() {
        if wanted(&name) {
            add(figures.entry(name).or_default(), more);
        }
    }
    for name in activity.keys().filter(|name| wanted(name)) {
        figures.entry(name.clone()).or_default();
    }
    figures
        .into_iter()
        .map(|(name, figures)| {
            let activity = activity.remove(&name).unwrap_or_default();
            Joined { name, figures, activity }
        })
        .collect()
}

/// Adds the figures of another partition.
fn add(sum: &mut QueueFigures, more: QueueFigures) {
    sum.recipients += more.recipients;
    sum.bytes += more.bytes;
    sum.next_due = match (sum.next_due, more.next_due) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

/// Sorts by name, or by the greatest first, and cuts; gives how many there were.
fn arrange<T>(
    rows: &mut Vec<T>,
    sort: proto::Sort,
    most: u32,
    size: impl Fn(&T) -> (u64, u64),
) -> proto::ListEnd {
    match sort {
        // The rows come sorted by name.
        proto::Sort::Unspecified | proto::Sort::Name => {}
        proto::Sort::Recipients => rows.sort_by_key(|row| Reverse(size(row).0)),
        proto::Sort::Size => rows.sort_by_key(|row| Reverse(size(row).1)),
    }
    let total = rows.len() as u64;
    if most > 0 {
        rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    proto::ListEnd { shown: rows.len() as u64, total }
}

/// Streams rows and their end.
fn send<R, I>(
    rows: Vec<R>,
    end: proto::ListEnd,
    row_item: impl Fn(R) -> I + Send + 'static,
    end_item: impl FnOnce(proto::ListEnd) -> I + Send + 'static,
) -> Stream<I>
where
    R: Send + 'static,
    I: Send + 'static,
{
    stream(move |items| async move {
        for row in rows {
            if items.send(Ok(row_item(row))).await.is_err() {
                return Ok(());
            }
        }
        let _gone = items.send(Ok(end_item(end))).await;
        Ok(())
    })
}

/// `show queues`.
pub(super) async fn queues(
    ports: &Ports,
    request: proto::QueuesRequest,
) -> Result<Stream<proto::QueueItem>, Status> {
    use proto::queue_item::Item;
    let pattern = match request.pattern.as_str() {
        "" => QueuePattern::all(),
        text => QueuePattern::parse(text).map_err(refused)?,
    };
    let held = Held::new(&ports.queue.switches());
    let now = Timestamp::now();
    let mut rows: Vec<proto::QueueRow> = joined(ports, |name| pattern.matches(name))
        .await
        .into_iter()
        .map(|queue| queue_row(queue, &held, &request, now))
        .filter(|row| wants_queue(&request, row))
        .collect();
    let end = arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    let item = |item| proto::QueueItem { item: Some(item) };
    Ok(send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e))))
}

fn queue_row(
    queue: Joined,
    held: &Held,
    request: &proto::QueuesRequest,
    now: Timestamp,
) -> proto::QueueRow {
    let Joined { name, figures, activity } = queue;
    let backoff = activity.mode == Mode::Backoff || held.is_backoff(&name);
    let idle = activity.connections == 0;
    let next_due = figures.next_due.filter(|due| idle && *due > now);
    let (error_at, last_error) = activity.last_error.unwrap_or_default();
    proto::QueueRow {
        recipients: figures.recipients,
        bytes: figures.bytes,
        connections: activity.connections,
        paused: held.paused_by(&name).is_some(),
        mode: if backoff { proto::QueueMode::Backoff } else { proto::QueueMode::Normal }.into(),
        retry_ms: activity.retry_at.or(next_due).map_or(0, Timestamp::as_millis),
        last_error,
        last_error_ms: error_at.as_millis(),
        events: activity
            .events
            .into_iter()
            .filter(|event| match event.kind {
                EventKind::Queue => true,
                EventKind::Recipient => !request.no_recipient_events,
                EventKind::Mode => request.mode_events,
            })
            .map(|event| proto::QueueEvent {
                kind: event_kind(event.kind).into(),
                at_ms: event.at.as_millis(),
                text: event.text,
            })
            .collect(),
        name: name.to_string(),
    }
}

const fn event_kind(kind: EventKind) -> proto::EventKind {
    match kind {
        EventKind::Queue => proto::EventKind::QueueEvent,
        EventKind::Recipient => proto::EventKind::RecipientEvent,
        EventKind::Mode => proto::EventKind::ModeEvent,
    }
}

fn wants_queue(request: &proto::QueuesRequest, row: &proto::QueueRow) -> bool {
    let mode = request.mode();
    // A queue without recipients is shown to those who ask for connections or errors.
    (row.recipients > 0 || request.connected || request.errors)
        && (!request.connected || row.connections > 0)
        && (!request.paused || row.paused)
        && (!request.errors || !row.last_error.is_empty())
        && (mode == proto::QueueMode::Unspecified || row.mode() == mode)
}

/// `show domains`: queues added up over the virtual MTAs.
pub(super) async fn domains(
    ports: &Ports,
    request: proto::DomainsRequest,
) -> Result<Stream<proto::DomainItem>, Status> {
    use proto::domain_item::Item;
    let any = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
    let (domain, vmta) = (any(&request.pattern), any(&request.vmta));
    let wanted = |name: &QueueName| matches(&domain, &name.domain) && matches(&vmta, &name.vmta);
    let mut rows: BTreeMap<String, proto::DomainRow> = BTreeMap::new();
    for queue in joined(ports, wanted).await {
        let row = rows.entry(queue.name.domain.clone()).or_insert_with(|| proto::DomainRow {
            name: queue.name.domain.clone(),
            ..proto::DomainRow::default()
        });
        row.recipients += queue.figures.recipients;
        row.bytes += queue.figures.bytes;
        row.connections += queue.activity.connections;
        if let Some((at, error)) = queue.activity.last_error
            && at.as_millis() >= row.last_error_ms
        {
            (row.last_error, row.last_error_ms) = (error, at.as_millis());
        }
    }
    let mut rows: Vec<_> = rows
        .into_values()
        .filter(|row| row.recipients > 0 || request.connected || request.errors)
        .filter(|row| !request.connected || row.connections > 0)
        .filter(|row| !request.errors || !row.last_error.is_empty())
        .collect();
    let end = arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    let item = |item| proto::DomainItem { item: Some(item) };
    Ok(send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e))))
}

/// `show vmtas`: queues added up over the domains.
pub(super) async fn vmtas(
    ports: &Ports,
    request: proto::VmtasRequest,
) -> Result<Stream<proto::VmtaItem>, Status> {
    use proto::vmta_item::Item;
    let mut rows: BTreeMap<String, proto::VmtaRow> = BTreeMap::new();
    let mut all_recipients = 0;
    let holding = |q: &Joined| q.figures.recipients > 0 || q.activity.connections > 0;
    for queue in joined(ports, |_| true).await.into_iter().filter(holding) {
        all_recipients += queue.figures.recipients;
        let row = rows.entry(queue.name.vmta.clone()).or_insert_with(|| proto::VmtaRow {
            name: queue.name.vmta.clone(),
            ..proto::VmtaRow::default()
        });
        // A queue is a domain of its virtual MTA.
        row.domains += 1;
        row.recipients += queue.figures.recipients;
        row.bytes += queue.figures.bytes;
        row.connections += queue.activity.connections;
    }
    let mut rows: Vec<_> =
        rows.into_values().map(|row| proto::VmtaRow { all_recipients, ..row }).collect();
    let end = arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    let item = |item| proto::VmtaItem { item: Some(item) };
    Ok(send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e))))
}

/// `show jobs`.
pub(super) fn jobs(ports: &Ports, request: &proto::JobsRequest) -> Stream<proto::JobItem> {
    use proto::job_item::Item;
    let held = Held::new(&ports.queue.switches());
    let mut figures: BTreeMap<String, QueueFigures> = BTreeMap::new();
    for (id, more) in ports.queue.jobs() {
        add(figures.entry(id).or_default(), more);
    }
    let mut rows: Vec<_> = figures
        .into_iter()
        .map(|(id, figures)| proto::JobRow {
            paused: held.is_job_paused(&id),
            id,
            recipients: figures.recipients,
            bytes: figures.bytes,
        })
        .collect();
    let end = arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    let item = |item| proto::JobItem { item: Some(item) };
    send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e)))
}
