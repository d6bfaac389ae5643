//! Carries asks and answers between this node's holder and the coordinators of all partitions.
//!
//! Every second, and at once when a queue needs more than it may use, each node that leads
//! partitions is asked for the limits that fall to them, in one call.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::limits as proto;
use convoy_proto::limits::limits_client::LimitsClient;
use convoy_proto::limits::limits_server::{Limits, LimitsServer};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status};

use super::coordinator::Coordinator;
use super::holder::{Holder, Sight};
use super::terms::{Answer, Ask, RIGHT_COUNTED};
use super::wire;
use crate::clock::{Instant, monotonic};
use crate::delivery::limits::{Bound, Share, Shared, Usage};
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::Cluster;
use crate::queue::door::{Meta, Work};
use crate::queue::raft::Peers;

/// How often coordinators are asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often while something is short here.
const SHORT_EVERY: Duration = Duration::from_millis(250);
/// Not more often than this.
const LEAST: Duration = Duration::from_millis(50);
/// An answer that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Asks in one call.
const ASKS_MAX: usize = 1024;
/// Bytes of one call: some thousand limits in each of many partitions.
const MESSAGE_MAX: usize = 64 << 20;

/// What the driver works with.
pub struct Surroundings {
    /// Members, and who leads what.
    pub meta: Arc<dyn Meta>,
    /// What this node leads.
    pub work: Arc<dyn Work>,
    /// The way to other nodes.
    pub peers: Arc<dyn Peers>,
    /// Partitions of the queue: the groups that limits are spread over.
    pub partitions: u32,
}

/// The limits of this node, and its part as a coordinator.
pub struct Driver {
    around: Surroundings,
    incarnation: u64,
    holder: Mutex<Holder>,
    leading: Mutex<Leading>,
    changed: watch::Sender<u64>,
    bell: Notify,
}

/// The partitions whose limits this node coordinates.
#[derive(Debug, Default)]
struct Leading {
    members: Vec<NodeId>,
    /// Members of before, and until when somebody may go by them.
    former: Vec<(Vec<NodeId>, Instant)>,
    coordinators: BTreeMap<GroupId, Coordinator>,
}

impl Leading {
    fn see(&mut self, members: &[NodeId], now: Instant) {
        self.former.retain(|(_, until)| *until > now);
        if self.members != members {
            let old = std::mem::replace(&mut self.members, members.to_vec());
            if !old.is_empty() {
                self.former.push((old, now + RIGHT_COUNTED));
            }
        }
    }
}

/// What came back from a node: the asks were sent at that time.
struct Reply {
    from: NodeId,
    sent: Instant,
    answers: Vec<(GroupId, Answer)>,
}

impl Driver {
    /// Knows the cluster as it is; [`Self::run`] does the rest.
    #[must_use]
    pub fn new(around: Surroundings) -> Arc<Self> {
        let me = around.meta.me();
        let members = members(me, &around.meta.cluster().borrow());
        let incarnation = rand::random();
        let holder = Holder::new(me, incarnation, around.partitions, members.clone());
        let leading = Leading { members, ..Leading::default() };
        Arc::new(Self {
            around,
            incarnation,
            holder: Mutex::new(holder),
            leading: Mutex::new(leading),
            changed: watch::Sender::new(0),
            bell: Notify::new(),
        })
    }

    /// The service for other nodes, for the cluster's listener.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> LimitsServer<Service> {
        LimitsServer::new(Service(Arc::clone(self))).max_decoding_message_size(MESSAGE_MAX)
    }

    /// All limits that are in use here or leased, by name, with the node that coordinates each.
    #[must_use]
    pub fn sights(&self) -> Vec<(Sight, Option<NodeId>)> {
        let sights = self.holder.lock().sights(monotonic());
        let leader = |group| self.around.meta.leader(group);
        sights.into_iter().map(|sight| (leader(sight.group), sight)).map(|(l, s)| (s, l)).collect()
    }

    /// Asks and takes answers, for ever. To be spawned on the multi-thread runtime.
    pub async fn run(self: Arc<Self>) {
        let mut cluster = self.around.meta.cluster();
        let mut calls = FuturesUnordered::new();
        let mut calling = HashSet::new();
        let mut next = monotonic();
        loop {
            let now = monotonic();
            if next <= now {
                self.refresh(now);
                for (node, asks) in self.asks(&calling, now) {
                    if node == self.around.meta.me() {
                        self.take(self.ask_myself(asks, now));
                    } else if let Some(call) = self.call(node, asks, now) {
                        calling.insert(node);
                        calls.push(call);
                    }
                }
                next = now + self.pause(now);
                self.changed.send_modify(|count| *count += 1);
            }
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.bell.notified() => next = next.min((now + LEAST).max(monotonic())),
                change = cluster.changed() => match change {
                    Ok(()) => next = monotonic(),
                    // The queue is gone, and the node with it.
                    Err(_) => return,
                },
                Some(reply) = calls.next() => {
                    let reply: Reply = reply;
                    calling.remove(&reply.from);
                    self.take(reply);
                    self.changed.send_modify(|count| *count += 1);
                }
            }
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        if self.holder.lock().is_short(now) { SHORT_EVERY } else { EVERY }
    }

    /// Takes the members as they are, and forgets what is over.
    fn refresh(&self, now: Instant) {
        let members = members(self.around.meta.me(), &self.around.meta.cluster().borrow());
        self.leading.lock().see(&members, now);
        let mut holder = self.holder.lock();
        holder.set_members(members, now);
        holder.tidy(now);
    }

    /// What is to be asked of each node, but for those that are being asked.
    fn asks(
        &self,
        calling: &HashSet<NodeId>,
        now: Instant,
    ) -> BTreeMap<NodeId, Vec<(GroupId, Ask)>> {
        let mut asks: BTreeMap<NodeId, Vec<(GroupId, Ask)>> = BTreeMap::new();
        let groups = (0..self.around.partitions).map(GroupId::partition);
        let led = groups.filter_map(|group| Some((group, self.around.meta.leader(group)?)));
        let led: Vec<_> = led.filter(|(_, leader)| !calling.contains(leader)).collect();
        let mut holder = self.holder.lock();
        for (group, leader) in led {
            if let Some(ask) = holder.ask(group, now) {
                asks.entry(leader).or_default().push((group, ask));
            }
        }
        asks
    }

    fn ask_myself(&self, asks: Vec<(GroupId, Ask)>, sent: Instant) -> Reply {
        let answer = |(group, ask): (GroupId, Ask)| Some((group, self.answer(group, &ask)?));
        let answers = asks.into_iter().filter_map(answer).collect();
        Reply { from: self.around.meta.me(), sent, answers }
    }

    /// Asks another node. None when there is no way to it.
    fn call(
        &self,
        node: NodeId,
        asks: Vec<(GroupId, Ask)>,
        sent: Instant,
    ) -> Option<impl Future<Output = Reply> + use<>> {
        let channel = self.around.peers.channel(node).ok()?;
        let request = proto::ShareRequest {
            node_id: self.around.meta.me().0,
            incarnation: self.incarnation,
            asks: asks.iter().map(|(group, ask)| wire::ask(*group, ask)).collect(),
        };
        Some(async move {
            let mut client = LimitsClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
            let asked = tokio::time::timeout(TIMEOUT, client.share(request)).await;
            let answers = match asked {
                Ok(Ok(reply)) => reply.into_inner().answers,
                Ok(Err(status)) => {
                    tracing::debug!("{node} was not asked for limits: {status}");
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            let answers = answers.into_iter().map(wire::from_answer).collect();
            Reply { from: node, sent, answers }
        })
    }

    fn take(&self, reply: Reply) {
        let mut holder = self.holder.lock();
        for (group, answer) in &reply.answers {
            holder.answer(*group, answer, reply.sent, monotonic());
        }
        if holder.is_urgent() {
            self.bell.notify_one();
        }
    }

    /// Answers as the coordinator of a group. None when this node does not lead it for certain.
    fn answer(&self, group: GroupId, ask: &Ask) -> Option<Answer> {
        let led = self.around.work.led();
        let (_, term) = led.into_iter().find(|(led, _)| *led == group)?;
        let members = members(self.around.meta.me(), &self.around.meta.cluster().borrow());
        let mut leading = self.leading.lock();
        // With the lock held: what is granted now was granted under the lease of the quorum, and
        // before anybody else can have begun to lead.
        if !self.around.work.may_send(group, term) {
            return None;
        }
        let now = monotonic();
        leading.see(&members, now);
        let Leading { former, coordinators, .. } = &mut *leading;
        let coordinator = coordinators
            .entry(group)
            .or_insert_with(|| Coordinator::new(term, &members, former.clone(), now));
        if coordinator.epoch() != term {
            *coordinator = Coordinator::new(term, &members, former.clone(), now);
        }
        coordinator.ask(ask, &members, now)
    }
}

/// The members of the cluster. A node that founded none, or joined none yet, is alone if it is the
/// first; any other has not heard of its cluster yet.
fn members(me: NodeId, cluster: &Cluster) -> Vec<NodeId> {
    if cluster.members.is_empty() && me == NodeId(1) {
        return vec![me];
    }
    cluster.members.keys().copied().collect()
}

impl Shared for Driver {
    fn share(&self, bound: &Bound, usage: Usage, now: Instant) -> Share {
        let mut holder = self.holder.lock();
        let share = holder.share(bound, usage, now);
        if holder.is_urgent() {
            self.bell.notify_one();
        }
        share
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}

/// The service that other nodes ask.
#[derive(Clone, Debug)]
pub struct Service(Arc<Driver>);

#[tonic::async_trait]
impl Limits for Service {
    async fn share(
        &self,
        request: Request<proto::ShareRequest>,
    ) -> Result<Response<proto::ShareReply>, Status> {
        let proto::ShareRequest { node_id, incarnation, asks } = request.into_inner();
        if asks.len() > ASKS_MAX {
            return Err(Status::invalid_argument("too many asks in one call"));
        }
        let asks = asks.into_iter().map(|ask| wire::from_ask(NodeId(node_id), incarnation, ask));
        let answer = |(group, ask): (GroupId, Ask)| {
            self.0.answer(group, &ask).map(|answer| wire::answer(group, &answer))
        };
        Ok(Response::new(proto::ShareReply { answers: asks.filter_map(answer).collect() }))
    }
}
