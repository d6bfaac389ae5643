//! The steward of this node: what it is given, and what of it the rest of the node follows.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::founding;
use super::node::Parts;
use crate::admin::ports::RunState;
use crate::cluster::steward::{Sending, Steward};
use crate::delivery::Delivery;
use crate::id::{GroupId, NodeId};
use crate::queue::Queue;
use crate::queue::cluster::{Cluster, Description, Member};
use crate::queue::door::Meta as _;

/// Between looks at what this node says of itself.
const DESCRIBE_EVERY: Duration = Duration::from_secs(1);

/// The sessions of this node.
struct Sessions(Arc<Delivery>);

impl Sending for Sessions {
    fn idle(&self, group: GroupId) -> BoxFuture<'_, ()> {
        Box::pin(self.0.idle(group))
    }
}

/// The steward of a node, before it is set to work.
pub(super) fn steward(
    queue: &Arc<Queue>,
    delivery: &Arc<Delivery>,
    description: watch::Receiver<Option<Description>>,
) -> Arc<Steward> {
    Arc::new(Steward {
        meta: queue.clone(),
        groups: queue.clone(),
        sending: Arc::new(Sessions(Arc::clone(delivery))),
        description,
    })
}

/// The tasks of a steward.
pub(super) struct Stewardship {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stewardship {
    /// Sets the steward to work. To be called within the multi-thread runtime.
    pub(super) fn begin(parts: &Arc<Parts>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(Arc::clone(&parts.steward).run(stopped)),
            tokio::spawn(follow_standing(Arc::clone(parts))),
            tokio::spawn(describe(Arc::clone(parts))),
        ];
        Self { stop, tasks }
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Lets other nodes lead what this one leads, where there are any. Gives how many groups were
/// handed over and how many stay.
pub(super) async fn hand_over(steward: &Steward) -> (usize, usize) {
    let alone = steward.meta.cluster().borrow().members.len() < 2;
    if alone {
        return (0, steward.groups.figures().len());
    }
    let (handed, kept) = steward.hand_over_all().await;
    if !handed.is_empty() {
        info!("other nodes lead {} groups that were led here", handed.len());
    }
    if !kept.is_empty() {
        warn!("no other node could take over {} groups", kept.len());
    }
    (handed.len(), kept.len())
}

/// Keeps what this node says of itself current.
async fn describe(parts: Arc<Parts>) {
    let mut tick = tokio::time::interval(DESCRIBE_EVERY);
    loop {
        tick.tick().await;
        describe_now(&parts);
    }
}

/// Says what this node is now.
pub(super) fn describe_now(parts: &Parts) {
    let now = Some(description(parts));
    parts.description.send_if_modified(|shown| {
        let changed = *shown != now;
        *shown = now;
        changed
    });
}

/// What this node is.
fn description(parts: &Parts) -> Description {
    let config = parts.config.load();
    let known = parts.queue.cluster().borrow().members.get(&parts.queue.me()).cloned();
    // The address that it was founded or joined with stays, unless the configuration names one.
    let address = config.server.cluster_address.clone();
    let address = address.or_else(|| known.map(|member| member.address));
    let address = address.or_else(|| config.server.reached_at()).unwrap_or_default();
    let in_force = parts.in_force.borrow().clone();
    Description {
        leaving: parts.state() != RunState::Running,
        configuration_version: in_force.version,
        configuration_refused: in_force.refused,
        ..founding::description(&config.server.host_name, address)
    }
}

/// A node that drains, or is being removed, takes no mail.
async fn follow_standing(parts: Arc<Parts>) {
    let mut cluster = parts.queue.cluster();
    let me = parts.queue.me();
    loop {
        let active = is_active(&cluster.borrow_and_update(), me);
        // A node that was told to drain declines, whatever the others know of it yet.
        parts.ingress.decline(!active || parts.state() == RunState::Draining);
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

/// A node that belongs to no cluster takes mail.
fn is_active(cluster: &Cluster, node: NodeId) -> bool {
    cluster.members.get(&node).is_none_or(Member::is_active)
}
