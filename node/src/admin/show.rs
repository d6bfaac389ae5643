//! `show queues`, `domains`, `vmtas` and `jobs`: what the queue holds, joined with what delivery
//! does about it, filtered, sorted and cut.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use convoy_proto::admin as proto;
use tonic::Status;

use super::ports::{Activity, Event, EventKind, Mode};
use super::service::{Ports, Stream, refused, stream};
use super::spread::{self, Scope};
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

/// Events of one queue that are shown.
const EVENTS: usize = 10;

/// Queues that match, over all nodes that are meant, by name; and the nodes that are missing.
async fn joined(
    ports: &Ports,
    scope: Scope,
    pattern: &str,
    wanted: impl Fn(&QueueName) -> bool,
) -> (Vec<Joined>, Vec<proto::Missing>) {
    let request = proto::QueuesRequest {
        pattern: pattern.to_owned(),
        unfiltered: true,
        mode_events: true,
        ..proto::QueuesRequest::default()
    };
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| {
        let request = request.clone();
        async move { spread::collect(peer.queues(request).await?.into_inner()).await }
    });
    let (own, (others, missing)) = tokio::join!(joined_here(ports, &wanted), others);
    if others.is_empty() {
        return (own, missing);
    }
    let mut all: BTreeMap<QueueName, Joined> =
        own.into_iter().map(|queue| (queue.name.clone(), queue)).collect();
    for (_, items) in others {
        let rows = items.into_iter().filter_map(|item| match item.item? {
            proto::queue_item::Item::Row(row) => Some(of_row(row)),
            proto::queue_item::Item::End(_) => None,
        });
        for queue in rows.filter(|queue| wanted(&queue.name)) {
            match all.entry(queue.name.clone()) {
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(queue)),
                std::collections::btree_map::Entry::Occupied(mut known) => {
                    known.get_mut().add(queue);
                }
            }
        }
    }
    (all.into_values().collect(), missing)
}

/// A queue as another node told it.
fn of_row(row: proto::QueueRow) -> Joined {
    let given = |ms: u64| (ms > 0).then_some(Timestamp(ms));
    let mode = if row.mode() == proto::QueueMode::Backoff { Mode::Backoff } else { Mode::Normal };
    let event = |event: proto::QueueEvent| Event {
        kind: match event.kind() {
            proto::EventKind::Unspecified | proto::EventKind::QueueEvent => EventKind::Queue,
            proto::EventKind::RecipientEvent => EventKind::Recipient,
            proto::EventKind::ModeEvent => EventKind::Mode,
        },
        at: Timestamp(event.at_ms),
        text: event.text,
    };
    Joined {
        // Any text is a name.
        name: match row.name.parse() {
            Ok(name) => name,
            Err(never) => match never {},
        },
        figures: QueueFigures {
            recipients: row.recipients,
            bytes: row.bytes,
            next_due: given(row.next_due_ms),
        },
        activity: Activity {
            connections: row.connections,
            mode,
            retry_at: given(row.retry_ms),
            last_error: given(row.last_error_ms).map(|at| (at, row.last_error)),
            events: row.events.into_iter().map(event).collect(),
        },
    }
}

impl Joined {
    /// Adds what another node has of the same queue.
    fn add(&mut self, other: Self) {
        add(&mut self.figures, other.figures);
        let (own, other) = (&mut self.activity, other.activity);
        own.connections += other.connections;
        if other.mode == Mode::Backoff {
            own.mode = Mode::Backoff;
        }
        own.retry_at = match (own.retry_at, other.retry_at) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        if other.last_error.as_ref().map(|(at, _)| *at) > own.last_error.as_ref().map(|(at, _)| *at)
        {
            own.last_error = other.last_error;
        }
        own.events.extend(other.events);
        own.events.sort_by_key(|event| event.at);
        let surplus = own.events.len().saturating_sub(EVENTS);
        own.events.drain(..surplus);
    }
}

/// Queues of this node that hold recipients or are in delivery's memory, by name.
async fn joined_here(ports: &Ports, wanted: impl Fn(&QueueName) -> bool) -> Vec<Joined> {
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
    proto::ListEnd { shown: rows.len() as u64, total, missing: Vec::new() }
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
    scope: Scope,
    request: proto::QueuesRequest,
) -> Result<Stream<proto::QueueItem>, Status> {
    use proto::queue_item::Item;
    let pattern = match request.pattern.as_str() {
        "" => QueuePattern::all(),
        text => QueuePattern::parse(text).map_err(refused)?,
    };
    let held = Held::new(&ports.queue.switches());
    let now = Timestamp::now();
    let (all, missing) = joined(ports, scope, &request.pattern, |name| pattern.matches(name)).await;
    let mut rows: Vec<proto::QueueRow> = all
        .into_iter()
        .map(|queue| queue_row(queue, &held, &request, now))
        .filter(|row| wants_queue(&request, row))
        .collect();
    let mut end =
        arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    end.missing = missing;
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
        retry_ms: match request.unfiltered {
            true => activity.retry_at,
            false => activity.retry_at.or(next_due),
        }
        .map_or(0, Timestamp::as_millis),
        next_due_ms: match request.unfiltered {
            true => figures.next_due.map_or(0, Timestamp::as_millis),
            false => 0,
        },
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
    if request.unfiltered {
        return true;
    }
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
    scope: Scope,
    request: proto::DomainsRequest,
) -> Result<Stream<proto::DomainItem>, Status> {
    use proto::domain_item::Item;
    let any = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
    let (domain, vmta) = (any(&request.pattern), any(&request.vmta));
    let wanted = |name: &QueueName| matches(&domain, &name.domain) && matches(&vmta, &name.vmta);
    let mut rows: BTreeMap<String, proto::DomainRow> = BTreeMap::new();
    let (all, missing) = joined(ports, scope, "", wanted).await;
    for queue in all {
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
    let mut end =
        arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    end.missing = missing;
    let item = |item| proto::DomainItem { item: Some(item) };
    Ok(send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e))))
}

/// `show vmtas`: queues added up over the domains.
pub(super) async fn vmtas(
    ports: &Ports,
    scope: Scope,
    request: proto::VmtasRequest,
) -> Result<Stream<proto::VmtaItem>, Status> {
    use proto::vmta_item::Item;
    let mut rows: BTreeMap<String, proto::VmtaRow> = BTreeMap::new();
    let mut all_recipients = 0;
    let holding = |q: &Joined| q.figures.recipients > 0 || q.activity.connections > 0;
    let (all, missing) = joined(ports, scope, "", |_| true).await;
    for queue in all.into_iter().filter(holding) {
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
    let mut end =
        arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    end.missing = missing;
    let item = |item| proto::VmtaItem { item: Some(item) };
    Ok(send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e))))
}

/// `show jobs`.
pub(super) async fn jobs(
    ports: &Ports,
    scope: Scope,
    request: &proto::JobsRequest,
) -> Stream<proto::JobItem> {
    use proto::job_item::Item;
    let held = Held::new(&ports.queue.switches());
    let mut figures: BTreeMap<String, QueueFigures> = BTreeMap::new();
    for (id, more) in ports.queue.jobs() {
        add(figures.entry(id).or_default(), more);
    }
    let (others, missing) = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        spread::collect(peer.jobs(proto::JobsRequest::default()).await?.into_inner()).await
    })
    .await;
    for item in others.into_iter().flat_map(|(_, items)| items) {
        if let Some(Item::Row(row)) = item.item {
            let more =
                QueueFigures { recipients: row.recipients, bytes: row.bytes, next_due: None };
            add(figures.entry(row.id).or_default(), more);
        }
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
    let mut end =
        arrange(&mut rows, request.sort(), request.max_items, |r| (r.recipients, r.bytes));
    end.missing = missing;
    let item = |item| proto::JobItem { item: Some(item) };
    send(rows, end, move |r| item(Item::Row(r)), move |e| item(Item::End(e)))
}
