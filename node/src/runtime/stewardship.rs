//! The steward of this node: what it is given, and what of it the rest of the node follows.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::node::Parts;
use crate::cluster::steward::{Sending, Steward};
use crate::delivery::Delivery;
use crate::id::GroupId;
use crate::queue::cluster::{Cluster, Description, Standing};
use crate::queue::door::Meta as _;

/// The sessions of this node.
struct Sessions(Arc<Delivery>);

impl Sending for Sessions {
    fn idle(&self, group: GroupId) -> BoxFuture<'_, ()> {
        Box::pin(self.0.idle(group))
    }
}

/// The steward and its tasks.
pub(super) struct Stewardship {
    steward: Arc<Steward>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stewardship {
    /// Starts the steward. To be called within the multi-thread runtime.
    pub(super) fn start(parts: &Arc<Parts>, description: watch::Receiver<Description>) -> Self {
        let steward = Arc::new(Steward {
            meta: parts.queue.clone(),
            groups: parts.queue.clone(),
            sending: Arc::new(Sessions(Arc::clone(&parts.delivery))),
            description,
        });
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(Arc::clone(&steward).run(stopped)),
            tokio::spawn(follow_standing(Arc::clone(parts))),
        ];
        Self { steward, stop, tasks }
    }

    /// The steward, for those who ask it to hand over a group.
    pub(super) fn steward(&self) -> &Arc<Steward> {
        &self.steward
    }

    /// Lets other nodes lead what this one leads, where there are any, and ends.
    pub(super) async fn hand_over(&self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
        let (handed, kept) = self.steward.hand_over_all().await;
        if !handed.is_empty() {
            info!("other nodes lead {} groups that were led here", handed.len());
        }
        let others = self.steward.meta.cluster().borrow().members.len() > 1;
        if others && !kept.is_empty() {
            warn!("no other node could take over {} groups", kept.len());
        }
    }

    /// Ends without a word to other nodes: the store has failed.
    pub(super) fn abandon(&self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A node that drains, or is being removed, takes no mail.
async fn follow_standing(parts: Arc<Parts>) {
    let mut cluster = parts.queue.cluster();
    let me = parts.queue.me();
    loop {
        let standing = standing_of(&cluster.borrow_and_update(), me);
        parts.ingress.decline(standing != Standing::Active);
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

fn standing_of(cluster: &Cluster, node: crate::id::NodeId) -> Standing {
    cluster.members.get(&node).map(|member| member.standing).unwrap_or_default()
}
