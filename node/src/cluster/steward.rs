//! What a node does to keep the cluster as it should be.
//!
//! A task on every node looks, once a second and whenever the cluster's state changes, at what is
//! its own to do: the leader of the meta group says where groups should be and forgets members that
//! have left; the leader of any group moves the group there, step by step, and hands leadership to
//! the node that is preferred, or to any other when its own node drains. Nothing is remembered
//! between two looks, so that whoever leads next takes up what was left undone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::placement;
use crate::clock::{Instant, monotonic};
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{Change, Changed, Cluster, Description, Member, Placement, Standing};
use crate::queue::door::{Groups, Meta};
use crate::queue::model::{GroupFigures, Moved};

/// Between looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A step that takes longer is looked at again.
const STEP: Duration = Duration::from_secs(10);
/// How long a leader stays before it gives way to the preferred one.
const SETTLE: Duration = Duration::from_secs(10);
/// Between two groups that a node gives away to balance.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long sessions may take to finish before leadership is handed over.
const FINISH: Duration = Duration::from_secs(30);
/// How long a successor may take to lead.
const TAKE_OVER: Duration = Duration::from_secs(3);
const TAKE_OVER_POLL: Duration = Duration::from_millis(10);

/// What delivery does for a group.
pub trait Sending: Send + Sync + 'static {
    /// Resolves when no session works on messages of `group` any more.
    fn idle(&self, group: GroupId) -> BoxFuture<'_, ()>;
}

/// What a steward needs.
pub struct Steward {
    /// The meta group.
    pub meta: Arc<dyn Meta>,
    /// The groups of this node.
    pub groups: Arc<dyn Groups>,
    /// Delivery.
    pub sending: Arc<dyn Sending>,
    /// What this node says of itself; none until it is known.
    pub description: watch::Receiver<Option<Description>>,
}

/// Why leadership stayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// This node does not lead the group.
    #[error("{0} is not led here")]
    NotLed(GroupId),
    /// No other voter has the log and answers.
    #[error("no other node can lead {0} now")]
    NoSuccessor(GroupId),
    /// The successor did not take over in time.
    #[error("{1} did not take over {0}")]
    NotTaken(GroupId, NodeId),
    /// Raft refused.
    #[error("{0}")]
    Failed(String),
}

/// What is remembered between two looks; only to wait, never to decide.
#[derive(Default)]
struct Memory {
    led_since: BTreeMap<GroupId, Instant>,
    last_transfer: Option<Instant>,
    said: BTreeMap<GroupId, String>,
    /// The cluster has heard of this node since its start.
    described: bool,
}

impl Steward {
    /// Runs until `stopped` becomes true.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut cluster = self.meta.cluster();
        let mut description = self.description.clone();
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                changed = cluster.changed() => if changed.is_err() { return },
                changed = description.changed() => if changed.is_err() { return },
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let seen = cluster.borrow_and_update().clone();
            if seen.identity.is_none() {
                continue;
            }
            tokio::select! {
                () = self.look(&seen, &mut memory) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    async fn look(&self, cluster: &Cluster, memory: &mut Memory) {
        self.describe(cluster, memory).await;
        let groups = self.groups.figures();
        let me = self.meta.me();
        let led: Vec<_> = groups.iter().filter(|figures| figures.leader == Some(me)).collect();
        memory.led_since.retain(|group, _| led.iter().any(|figures| figures.group == *group));
        for figures in &led {
            memory.led_since.entry(figures.group).or_insert_with(monotonic);
        }
        if led.iter().any(|figures| figures.group == GroupId::META) {
            self.plan(cluster, &groups).await;
        }
        for figures in led {
            self.keep(cluster, figures, memory).await;
        }
    }

    async fn change(&self, change: Change) -> Option<Changed> {
        match timeout(STEP, self.meta.change(change)).await {
            Ok(Ok(changed)) => Some(changed),
            Ok(Err(error)) => {
                debug!("the cluster's state was not changed: {error}");
                None
            }
            Err(_) => None,
        }
    }

    /// Says what this node is, when the cluster knows something else, and once after every start:
    /// a node that nobody can reach does not hear what is known of it.
    async fn describe(&self, cluster: &Cluster, memory: &mut Memory) {
        let Some(description) = self.description.borrow().clone() else { return };
        let Some(known) = cluster.members.get(&self.meta.me()) else { return };
        if !memory.described || known.description() != description {
            let change = Change::describe(self.meta.me(), &description);
            memory.described |= self.change(change).await == Some(Changed::Done);
        }
    }

    /// The meta group's leader says where groups should be, and who has left.
    async fn plan(&self, cluster: &Cluster, groups: &[GroupFigures]) {
        let groups: Vec<GroupId> = groups.iter().map(|figures| figures.group).collect();
        for (group, placement) in placement::changes(cluster, &groups) {
            info!("{group} belongs on {}", names(&placement));
            self.change(Change::place(group, &placement)).await;
        }
        let leaving = cluster.members.iter().filter(|(_, m)| m.standing == Standing::Removing);
        for (node, _) in leaving {
            if cluster.may_forget(*node)
                && self.change(Change::forget(*node)).await == Some(Changed::Done)
            {
                info!("{node} has left the cluster");
            }
        }
    }

    /// A leader moves its group to where it should be, and gives way.
    async fn keep(&self, cluster: &Cluster, figures: &GroupFigures, memory: &mut Memory) {
        let group = figures.group;
        let Some(placement) = cluster.placement.get(&group) else { return };
        let me = self.meta.me();
        let stays = placement.voters.contains(&me);
        let settled = stays
            && figures.voters == placement.voters.iter().copied().collect()
            && figures.learners == placement.learners.iter().copied().collect();
        if !settled && (stays || !self.give_way_before_leaving(figures, placement).await) {
            match timeout(STEP, self.groups.move_to(group, placement.clone())).await {
                Ok(Ok(moved)) => memory.tell(group, &moved),
                Ok(Err(reason)) => debug!("{reason}"),
                Err(_) => debug!("{group}: a change of members takes long"),
            }
            return;
        }
        if settled && !placement.reached {
            self.change(Change::reached(group, placement)).await;
        }
        let drains = cluster.members.get(&me).is_some_and(|m| !m.is_active());
        self.balance(cluster, figures, placement, drains, memory).await;
    }

    /// A leader that will not be a member any more lets one lead that will. True when somebody
    /// else leads now.
    async fn give_way_before_leaving(&self, figures: &GroupFigures, placement: &Placement) -> bool {
        let fit = self.groups.successors(figures.group);
        let next = placement.voters.iter().find(|node| fit.contains(node));
        match next {
            Some(next) => self.hand_over(figures.group, *next).await.is_ok(),
            None => false,
        }
    }

    async fn balance(
        &self,
        cluster: &Cluster,
        figures: &GroupFigures,
        placement: &Placement,
        drains: bool,
        memory: &mut Memory,
    ) {
        let group = figures.group;
        let fit = self.groups.successors(group);
        let is_active = |node: &NodeId| cluster.members.get(node).is_some_and(Member::is_active);
        let preferred = placement.voters.first().filter(|node| fit.contains(node));
        let next = match preferred {
            Some(preferred) if is_active(preferred) => *preferred,
            _ if drains => match fit.iter().find(|node| is_active(node)) {
                Some(other) => *other,
                None => return,
            },
            _ => return,
        };
        let patient = memory.led_since.get(&group).is_some_and(|since| since.elapsed() >= SETTLE)
            && memory.last_transfer.is_none_or(|at| at.elapsed() >= BETWEEN);
        if next == self.meta.me() || !(drains || patient) {
            return;
        }
        memory.last_transfer = Some(monotonic());
        match self.hand_over(group, next).await {
            Ok(()) => info!("{next} leads {group} now"),
            Err(kept) => debug!("{kept}"),
        }
    }

    /// Hands the leadership of a group to `next`: no new transaction begins, those under way are
    /// finished and recorded, then the other node leads.
    ///
    /// # Errors
    ///
    /// When leadership stays here; then this node goes on sending.
    pub async fn hand_over(&self, group: GroupId, next: NodeId) -> Result<(), Kept> {
        if self.meta.leader(group) != Some(self.meta.me()) {
            return Err(Kept::NotLed(group));
        }
        if !self.groups.successors(group).contains(&next) {
            return Err(Kept::NoSuccessor(group));
        }
        self.groups.retire(group);
        if timeout(FINISH, self.sending.idle(group)).await.is_err() {
            warn!("{group} is handed over while sessions still work on it");
        }
        let handed = self.transfer(group, next).await;
        if handed.is_err() {
            self.groups.resume(group);
        }
        handed
    }

    async fn transfer(&self, group: GroupId, next: NodeId) -> Result<(), Kept> {
        self.groups.transfer(group, next).await.map_err(Kept::Failed)?;
        let taken = async {
            while self.meta.leader(group).is_none_or(|leader| leader == self.meta.me()) {
                tokio::time::sleep(TAKE_OVER_POLL).await;
            }
        };
        timeout(TAKE_OVER, taken).await.map_err(|_| Kept::NotTaken(group, next))
    }

    /// Hands over every group that this node leads, to whoever can take it; for a drain and a
    /// stop. Gives the groups that were handed over and those that nobody could take.
    pub async fn hand_over_all(&self) -> (Vec<GroupId>, Vec<GroupId>) {
        let me = self.meta.me();
        let led = self.groups.figures().into_iter().filter(|f| f.leader == Some(me));
        let led: Vec<GroupId> = led.map(|figures| figures.group).collect();
        for group in &led {
            // All at once: sessions of all groups finish together.
            self.groups.retire(*group);
        }
        let (mut handed, mut kept) = (Vec::new(), Vec::new());
        for group in led {
            let fit = self.groups.successors(group);
            let cluster = self.meta.cluster().borrow().clone();
            let active = fit.iter().find(|node| cluster.active().any(|a| a == **node));
            match active.or_else(|| fit.first()) {
                Some(next) if self.hand_over(group, *next).await.is_ok() => handed.push(group),
                _ => {
                    self.groups.resume(group);
                    kept.push(group);
                }
            }
        }
        (handed, kept)
    }
}

impl Memory {
    /// Logs what became of a step, once.
    fn tell(&mut self, group: GroupId, moved: &Moved) {
        let text = match moved {
            Moved::There => {
                self.said.remove(&group);
                return;
            }
            Moved::Step(what) | Moved::Waiting(what) => what,
        };
        if self.said.get(&group) != Some(text) {
            info!("{group}: {text}");
            self.said.insert(group, text.clone());
        }
    }
}

fn names(placement: &Placement) -> String {
    let text: Vec<String> = placement.voters.iter().map(NodeId::to_string).collect();
    text.join(" ")
}
