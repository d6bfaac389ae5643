//! A replica that cannot write must not be the collector: rows of all nodes would wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::board::Board;
use crate::clock::{Instant, monotonic};
use crate::id::{GroupId, NodeId};
use crate::queue::door::Groups;
use crate::queue::model::GroupFigures;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long writing may fail before another replica is asked to lead, and between two that are.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands the leadership of the accounting group over while this node cannot write its files.
pub(crate) struct GiveWay {
    pub board: Arc<Board>,
    pub groups: Arc<dyn Groups>,
    pub me: NodeId,
    /// Becomes true when the node stops.
    pub stopping: watch::Receiver<bool>,
}

impl GiveWay {
    /// Runs until the node stops.
    pub(crate) async fn run(mut self) {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
            }
            if self.board.error().is_none() {
                since = None;
            } else if since.get_or_insert_with(monotonic).elapsed() >= PATIENCE {
                since = Some(monotonic());
                self.look().await;
            }
        }
    }

    async fn look(&self) {
        let group = GroupId::ACCOUNTING;
        let figures = self.groups.figures();
        let of_group = |f: &&GroupFigures| f.group == group;
        // Asked of Raft: a leader that cannot apply does not lead for anybody else.
        if figures.iter().find(of_group).and_then(|f| f.leader) != Some(self.me) {
            return;
        }
        let Some(next) = self.groups.successors(group).first().copied() else {
            return warn!("Accounting files cannot be written, and no other node can collect.");
        };
        match self.groups.transfer(group, next).await {
            Ok(()) => info!("Accounting files cannot be written here: {next} is to collect rows."),
            Err(reason) => warn!("Error handing accounting over to {next}: {reason}"),
        }
    }
}
