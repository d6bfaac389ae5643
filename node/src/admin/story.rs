//! `show message`: all that the cluster knows of one message.

use std::time::Duration;

use convoy_proto::admin as proto;
use tonic::Status;

use super::ports::Activity;
use super::service::{Ports, refused};
use super::spread::{self, Scope};
use crate::clock::Timestamp;
use crate::id::{MessageId, NodeId};
use crate::message::{Origin, Outcome, Recipient};
use crate::queue::door::Located;
use crate::queue::model::{Stored, UnknownAttempt, Waiting};
use crate::queue::pattern::Held;

/// How long another node may take to find a message.
const DEADLINE: Duration = Duration::from_secs(5);

/// One message with all its recipients, as the node tells it that leads its partition; without a
/// leader, as any replica knows it.
pub(super) async fn message(
    ports: &Ports,
    scope: Scope,
    id: &str,
) -> Result<proto::MessageReply, Status> {
    let id: MessageId = id.trim().parse().map_err(refused)?;
    let others = spread::ask(ports, scope, DEADLINE, |mut peer| async move {
        let request = proto::MessageRequest { id: id.to_string() };
        match peer.message(request).await {
            Ok(reply) => Ok(Some(reply.into_inner())),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    });
    let (own, (others, missing)) = tokio::join!(here(ports, id), others);
    let own = own.map(|reply| (ports.cluster.me(), reply));
    let theirs = others.into_iter().filter_map(|(node, reply)| Some((node, reply?)));
    // The leader knows best: other replicas may be behind.
    let rank = |(node, reply): &(NodeId, proto::MessageReply)| {
        (reply.leader == node.0, reply.finished.is_empty())
    };
    match own.into_iter().chain(theirs).max_by_key(rank) {
        Some((_, reply)) => Ok(proto::MessageReply { missing, ..reply }),
        None => Err(Status::not_found(absent(ports, id, &missing).await)),
    }
}

/// Why a message was not found, and where to look.
async fn absent(ports: &Ports, id: MessageId, missing: &[proto::Missing]) -> String {
    let gone: Vec<String> =
        missing.iter().map(|gone| format!("n{}: {}", gone.node, gone.reason)).collect();
    let gone = match gone.is_empty() {
        true => String::new(),
        false => format!(" (these nodes were not asked: {})", gone.join("; ")),
    };
    let place = accounting_place(ports).await;
    format!("no message {id} waits{gone}: it is finished, or never was here; {place}")
}

/// Where rows of finished messages are.
async fn accounting_place(ports: &Ports) -> String {
    let figures = ports.accounting.figures().await;
    let node = figures.collector.map(|node| format!(" of {node}")).unwrap_or_default();
    let files: Vec<String> = figures.files.into_iter().map(|file| file.target).collect();
    if files.is_empty() {
        return format!("look in the accounting files{node}");
    }
    format!("look in the accounting files{node}: {}", files.join(", "))
}

/// What this node knows of a message.
async fn here(ports: &Ports, id: MessageId) -> Option<proto::MessageReply> {
    let Located { locator, term, stored } = ports.queue.find(id).await?;
    let groups = ports.cluster.groups();
    let group = groups.into_iter().find(|one| one.group == locator.group);
    let me = ports.cluster.me();
    let leader = match term {
        Some(_) => Some(me),
        None => group.as_ref().and_then(|group| group.leader),
    };
    let replicas = group.iter().flat_map(|g| g.voters.union(&g.learners));
    let replicas = replicas.map(|node| node.0).collect();
    let place = proto::MessageReply {
        id: id.to_string(),
        locator: locator.to_string(),
        partition: locator.group.to_string(),
        leader: leader.map_or(0, |node| node.0),
        term: term.or(group.map(|group| group.term)).unwrap_or_default(),
        replicas,
        ..proto::MessageReply::default()
    };
    let Some(stored) = stored else {
        let place_of_rows = accounting_place(ports).await;
        let finished = format!("all its recipients are finished; {place_of_rows}");
        return Some(proto::MessageReply { finished, ..place });
    };
    Some(describe(ports, &stored, leader, place).await)
}

async fn describe(
    ports: &Ports,
    stored: &Stored,
    leader: Option<NodeId>,
    place: proto::MessageReply,
) -> proto::MessageReply {
    let activity = ports.delivery.activity().await;
    let envelope = &stored.envelope;
    let held = Held::new(&ports.queue.switches());
    let now = Timestamp::now();
    let recipient = |number: usize| {
        let recipient = &envelope.recipients[number];
        let around = Around {
            held: &held,
            now,
            leader,
            here: leader == Some(ports.cluster.me()),
            activity: activity.get(&recipient.queue),
            most: ports
                .runtime
                .lookup()
                .queue(&recipient.queue.domain, &recipient.queue.vmta)
                .max_smtp_out,
        };
        recipient_state(stored, number, &around)
    };
    proto::MessageReply {
        orig: envelope.sender.to_string(),
        received_ms: envelope.received_at.as_millis(),
        bytes: envelope.size_bytes,
        job_id: envelope.job.clone().unwrap_or_default(),
        env_id: envelope.envid.clone().unwrap_or_default(),
        vmta_pool: envelope.vmta_pool.clone().unwrap_or_default(),
        origin: origin(&envelope.origin),
        recipients: (0..envelope.recipients.len()).map(recipient).collect(),
        ..place
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

/// What decides whether a recipient is sent now.
struct Around<'a> {
    held: &'a Held,
    now: Timestamp,
    leader: Option<NodeId>,
    /// This node leads: it knows what delivery does.
    here: bool,
    activity: Option<&'a Activity>,
    /// Connections that the queue may have.
    most: Option<u32>,
}

fn recipient_state(stored: &Stored, number: usize, around: &Around<'_>) -> proto::RecipientState {
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
        waiting_for: why_not_now(stored, waiting, recipient, around),
        unknown: waiting.unknown.map(unknown),
        ..state
    }
}

/// The reply that decided, or our reason.
pub(super) fn explanation(outcome: &Outcome) -> String {
    if outcome.reply.is_empty() { outcome.reason.clone() } else { outcome.reply.clone() }
}

pub(super) fn unknown(attempt: UnknownAttempt) -> proto::UnknownAttempt {
    proto::UnknownAttempt {
        node: attempt.node.0,
        term: attempt.term,
        at_ms: attempt.at.as_millis(),
    }
}

/// Why the recipient is not sent at this moment, with what delivery knows of its queue.
fn why_not_now(
    stored: &Stored,
    waiting: &Waiting,
    recipient: &Recipient,
    around: &Around<'_>,
) -> String {
    let Around { held, now, leader, here, activity, most } = around;
    let queue = &recipient.queue;
    let stands = waiting_for(stored, waiting, recipient, held, *now);
    let ready = !waiting.held
        && held.paused_by(queue).is_none()
        && stored.envelope.job.as_deref().is_none_or(|job| !held.is_job_paused(job))
        && waiting.due <= *now;
    if leader.is_none() {
        return format!("for a leader of {}: see mtactl cluster status", stored.locator.group);
    }
    let Some(activity) = activity.filter(|_| ready && *here) else { return stands };
    let error = match &activity.last_error {
        Some((_, text)) => format!(" ({text})"),
        None => String::new(),
    };
    if let Some(until) = activity.retry_at.filter(|until| until > now) {
        return format!(
            "until its queue is tried again at {until}{error}: mtactl schedule {queue}"
        );
    }
    if most.is_some_and(|most| activity.connections >= most) {
        let most = activity.connections;
        return format!("for one of the {most} connections of its queue: max-smtp-out");
    }
    match activity.events.last() {
        Some(event) => format!("{stands} (last: {})", event.text),
        None => stands,
    }
}

/// What the recipient waits for at this moment, and the command that ends the wait.
pub(super) fn waiting_for(
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
