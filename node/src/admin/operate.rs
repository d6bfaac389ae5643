//! `pause`, `resume`, `set queue --mode` and `schedule`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin as proto;
use tonic::Status;

use super::service::{Ports, not_recorded, refused};
use super::spread::{self, Scope};
use super::switch::{self, Switched, TooMany};
use super::walk::{Walk, operate};
use crate::clock::Timestamp;
use crate::id::QueueName;
use crate::queue::model::{Operation, Switches, Target};
use crate::queue::pattern::QueuePattern;

/// The longest job id that can be paused, in bytes.
const LONGEST_JOB: usize = 512;

/// A change of the switches: read, change, write, one at a time on this node.
async fn change(
    ports: &Ports,
    make: impl FnOnce(&mut Switches) -> Result<Switched, TooMany>,
) -> Result<proto::SwitchReply, Status> {
    let _one_at_a_time = ports.switching.lock().await;
    let mut switches = ports.queue.switches();
    let switched =
        make(&mut switches).map_err(|full| Status::resource_exhausted(full.to_string()))?;
    if switched.changed {
        ports.queue.set_switches(switches).await.map_err(not_recorded)?;
    }
    Ok(proto::SwitchReply { changed: switched.changed, still_held_by: switched.still_held_by })
}

/// Holds the queues that match, those to come included.
pub(super) async fn pause_queue(ports: &Ports, text: &str) -> Result<proto::SwitchReply, Status> {
    let pattern = QueuePattern::parse(text).map_err(refused)?.to_string();
    let reply = change(ports, |s| switch::hold(&mut s.paused_queues, &pattern)).await?;
    tracing::info!("queue(s) {pattern} paused by administrator");
    Ok(reply)
}

/// Lets the queues that match go.
pub(super) async fn resume_queue(ports: &Ports, text: &str) -> Result<proto::SwitchReply, Status> {
    let pattern = QueuePattern::parse(text).map_err(refused)?;
    let reply = change(ports, |s| Ok(switch::let_go(&mut s.paused_queues, &pattern))).await?;
    tracing::info!("queue(s) {pattern} resumed by administrator");
    Ok(reply)
}

/// Holds the recipients of a job.
pub(super) async fn pause_job(ports: &Ports, id: &str) -> Result<proto::SwitchReply, Status> {
    let id = job(id)?;
    let reply = change(ports, |s| switch::hold(&mut s.paused_jobs, id)).await?;
    tracing::info!("job {id} paused by administrator");
    Ok(reply)
}

/// Lets the recipients of a job go.
pub(super) async fn resume_job(ports: &Ports, id: &str) -> Result<proto::SwitchReply, Status> {
    let id = job(id)?;
    let reply = change(ports, |s| Ok(switch::let_job_go(&mut s.paused_jobs, id))).await?;
    tracing::info!("job {id} resumed by administrator");
    Ok(reply)
}

fn job(id: &str) -> Result<&str, Status> {
    if id.is_empty() || id.len() > LONGEST_JOB || id.contains(char::is_control) {
        return Err(Status::invalid_argument(format!(
            "a job id is text of 1 to {LONGEST_JOB} bytes"
        )));
    }
    Ok(id)
}

/// Sets the queues that match to normal or back-off mode.
pub(super) async fn set_mode(
    ports: &Ports,
    request: &proto::SetQueueModeRequest,
) -> Result<proto::SwitchReply, Status> {
    let pattern = QueuePattern::parse(&request.pattern).map_err(refused)?;
    let text = pattern.to_string();
    match request.mode() {
        proto::QueueMode::Unspecified => {
            Err(Status::invalid_argument("say --mode=normal or --mode=backoff"))
        }
        proto::QueueMode::Backoff => {
            let reply = change(ports, |s| switch::hold(&mut s.backoff_queues, &text)).await?;
            tracing::info!("queue(s) {text} set to backoff mode by administrator");
            Ok(reply)
        }
        proto::QueueMode::Normal => {
            let reply =
                change(ports, |s| Ok(switch::let_go(&mut s.backoff_queues, &pattern))).await?;
            tracing::info!("queue(s) {text} set to normal mode by administrator");
            Ok(reply)
        }
    }
}

/// How long another node may take to go through its store.
const SCHEDULE_DEADLINE: Duration = Duration::from_secs(60);

/// Makes the queues that match try now, on all nodes that are meant.
pub(super) async fn schedule(
    ports: &Ports,
    scope: Scope,
    request: &proto::ScheduleRequest,
) -> Result<proto::ScheduleReply, Status> {
    let others = spread::ask(ports, scope, SCHEDULE_DEADLINE, |mut peer| {
        let request = request.clone();
        async move { Ok(peer.schedule(request).await?.into_inner()) }
    });
    let (own, (others, missing)) = tokio::join!(schedule_here(ports, request), others);
    let own = own?;
    if scope == Scope::Here {
        return Ok(own);
    }
    let all: Vec<_> = std::iter::once(own).chain(others.into_iter().map(|(_, r)| r)).collect();
    let distinct = |of: fn(&proto::ScheduleReply) -> &Vec<String>| {
        all.iter().flat_map(of).collect::<BTreeSet<_>>().len() as u64
    };
    Ok(proto::ScheduleReply {
        scheduled: distinct(|reply| &reply.scheduled_queues),
        matching: distinct(|reply| &reply.matching_queues),
        recipients: all.iter().map(|reply| reply.recipients).sum(),
        missing,
        scheduled_queues: Vec::new(),
        matching_queues: Vec::new(),
    })
}

/// A recipient that a server deferred by an answer of its own keeps its time unless
/// `retry_recipients` is set.
async fn schedule_here(
    ports: &Ports,
    request: &proto::ScheduleRequest,
) -> Result<proto::ScheduleReply, Status> {
    let pattern = QueuePattern::parse(&request.pattern).map_err(refused)?;
    let now = Timestamp::now();
    let mut matching: BTreeSet<QueueName> =
        ports.queue.queues().into_iter().map(|(name, _)| name).collect();
    matching.retain(|name| pattern.matches(name));
    let activity = ports.delivery.activity().await;
    let waiting_queue = |name: &&QueueName| {
        activity.get(*name).and_then(|a| a.retry_at).is_some_and(|retry| retry > now)
    };
    let mut scheduled: BTreeSet<QueueName> =
        matching.iter().filter(waiting_queue).cloned().collect();
    let recipients =
        make_due(ports, &pattern, request.retry_recipients, now, &mut scheduled).await?;
    for name in &matching {
        ports.delivery.wake(name.clone());
    }
    // A queue may have filled since it was listed.
    matching.extend(scheduled.iter().cloned());
    let names = |queues: &BTreeSet<QueueName>| queues.iter().map(ToString::to_string).collect();
    Ok(proto::ScheduleReply {
        scheduled: scheduled.len() as u64,
        matching: matching.len() as u64,
        recipients,
        missing: Vec::new(),
        scheduled_queues: names(&scheduled),
        matching_queues: names(&matching),
    })
}

/// Makes recipients due that wait for later, and notes their queues.
pub(super) async fn make_due(
    ports: &Ports,
    pattern: &QueuePattern,
    retry_recipients: bool,
    now: Timestamp,
    queues: &mut BTreeSet<QueueName>,
) -> Result<u64, Status> {
    let mut walk = Walk::new(Arc::clone(&ports.queue));
    let mut changed = 0;
    while let Some(page) = walk.next().await {
        let mut targets = Vec::new();
        for stored in &page {
            for waiting in &stored.waiting {
                let name = &stored.envelope.recipients[usize::from(waiting.recipient)].queue;
                let later = waiting.due > now && (retry_recipients || waiting.attempts == 0);
                if !later || !pattern.matches(name) {
                    continue;
                }
                if !queues.contains(name) {
                    queues.insert(name.clone());
                }
                targets.push(Target {
                    locator: stored.locator,
                    recipient: waiting.recipient,
                    record: None,
                });
            }
        }
        let schedule = |targets| Operation::Schedule { targets, at: now };
        changed += operate(ports.queue.as_ref(), targets, schedule).await?;
    }
    Ok(changed)
}
