//! Several nodes in one process, over real connections that tests can cut.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;

use super::limits::{Driver, Surroundings};
use super::steward::{Sending, Steward};
use super::transport::{Dial, Io, Transport};
use crate::clock::Timestamp;
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{Change, Changed, Description, Identity};
use crate::queue::door::{Groups as _, Meta as _, Propose as _};
use crate::queue::fixture as testing;
use crate::queue::model::GroupFigures;
use crate::queue::raft::group::Timing;
use crate::queue::store::FatalHook;
use crate::queue::store::database::Sizes;
use crate::queue::{Queue, QueueOptions};

/// Long enough for a busy machine; tests wait for events, not for this.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Slower than in production: elections that a busy machine causes are not what is tested.
const TIMING: Timing = Timing { heartbeat_ms: 100, election_min_ms: 500, election_max_ms: 900 };

/// Connections between nodes.
#[derive(Default)]
struct Net {
    state: Mutex<NetState>,
}

#[derive(Default)]
struct NetState {
    cut: HashSet<(NodeId, NodeId)>,
    open: HashMap<(NodeId, NodeId), Vec<AbortHandle>>,
}

struct NetDial {
    net: Arc<Net>,
    from: NodeId,
}

impl Dial for NetDial {
    fn dial(&self, node: NodeId, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let (net, from) = (Arc::clone(&self.net), self.from);
        Box::pin(async move {
            if net.state.lock().cut.contains(&(from, node)) {
                return Err(io::ErrorKind::HostUnreachable.into());
            }
            let mut far = TcpStream::connect(address).await?;
            far.set_nodelay(true)?;
            let (near, mut other) = tokio::io::duplex(1 << 20);
            let copying = tokio::spawn(async move {
                let _ended = tokio::io::copy_bidirectional(&mut far, &mut other).await;
            });
            let mut state = net.state.lock();
            state.open.entry((from, node)).or_default().push(copying.abort_handle());
            Ok(Box::new(near) as Box<dyn Io>)
        })
    }
}

struct NothingSent;

impl Sending for NothingSent {
    fn idle(&self, _: GroupId) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A node at work.
pub(super) struct Running {
    pub(super) queue: Arc<Queue>,
    pub(super) steward: Arc<Steward>,
    pub(super) limits: Arc<Driver>,
    limiting: JoinHandle<()>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    _description: watch::Sender<Option<Description>>,
}

/// All nodes and what is between them.
pub(super) struct World {
    dir: TempDir,
    net: Arc<Net>,
    addresses: BTreeMap<NodeId, String>,
    pub(super) nodes: BTreeMap<NodeId, Running>,
    partitions: u32,
}

impl World {
    /// A cluster of one node.
    pub(super) async fn founded(partitions: u32) -> Self {
        let mut world = Self {
            dir: TempDir::new().unwrap(),
            net: Arc::default(),
            addresses: BTreeMap::new(),
            nodes: BTreeMap::new(),
            partitions,
        };
        let first = NodeId(1);
        world.start(first).await;
        let identity = Identity {
            id: "test".to_owned(),
            authority_certificate_pem: String::new(),
            authority_key_pem: String::new(),
            founded_at: Timestamp::now(),
        };
        let description = world.describe(first);
        let found = Change::found(&identity, first, &description);
        assert_eq!(world.queue(first).change(found).await, Ok(Changed::Number(1)));
        world
    }

    /// A cluster of `count` nodes in which every group is where it belongs.
    pub(super) async fn of(count: u64, partitions: u32) -> Self {
        let mut world = Self::founded(partitions).await;
        for _ in 1..count {
            world.join().await;
        }
        world.settled().await;
        world
    }

    fn describe(&self, node: NodeId) -> Description {
        Description { address: self.addresses[&node].clone(), level: 1, ..Description::default() }
    }

    pub(super) fn queue(&self, node: NodeId) -> &Arc<Queue> {
        &self.nodes[&node].queue
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Admits a node and starts it.
    pub(super) async fn join(&mut self) -> NodeId {
        let hash = rand::random();
        let expires = Timestamp::now() + PATIENCE;
        let any = self.nodes.values().next().unwrap().queue.clone();
        assert_eq!(any.change(Change::add_token(hash, expires, None)).await, Ok(Changed::Done));
        // The address is known once the node listens; it says so itself.
        let admitted = any.change(Change::admit(hash, hash, "127.0.0.1:1", "", 1, "")).await;
        let Ok(Changed::Number(number)) = admitted else { panic!("{admitted:?}") };
        self.start(NodeId(number)).await;
        let described = Change::describe(NodeId(number), &self.describe(NodeId(number)));
        assert_eq!(any.change(described).await, Ok(Changed::Done));
        NodeId(number)
    }

    /// Starts a node, or starts it again on its disk and at its address.
    pub(super) async fn start(&mut self, node: NodeId) {
        let wanted = self.addresses.get(&node).cloned();
        let listener = TcpListener::bind(wanted.as_deref().unwrap_or("127.0.0.1:0")).await.unwrap();
        self.addresses.insert(node, listener.local_addr().unwrap().to_string());
        let dial = NetDial { net: Arc::clone(&self.net), from: node };
        let peers = Transport::new(Arc::new(dial));
        let options = QueueOptions {
            dir: self.dir.path().join(node.to_string()),
            node,
            peers: peers.clone(),
            founder: node == NodeId(1),
            partitions: self.partitions,
            accounting: Box::new(testing::Last),
            sizes: Sizes { log_bytes: 4 << 20, ..testing::SIZES },
            timing: TIMING,
            commit_timeout: Duration::from_secs(20),
            min_free_bytes: 0,
            fatal: FatalHook::new(|reason| panic!("the store failed: {reason}")),
        };
        let queue = Queue::open(options).await.unwrap();
        let (meta, work) = (queue.clone(), queue.clone());
        let limits = Surroundings { meta, work, peers, partitions: self.partitions };
        let limits = Driver::new(limits);
        let limiting = tokio::spawn(Arc::clone(&limits).run());
        let router = tonic::transport::Server::builder()
            .add_service(queue.peer_service())
            .add_service(limits.service());
        let server = tokio::spawn(async move {
            let _ended = router.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        let (told, description) = watch::channel(Some(self.describe(node)));
        let steward = Arc::new(Steward {
            meta: queue.clone(),
            groups: queue.clone(),
            sending: Arc::new(NothingSent),
            description,
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Arc::clone(&steward).run(stopped));
        let _description = told;
        let running = Running { queue, steward, limits, limiting, stop, server, _description };
        self.nodes.insert(node, running);
    }

    /// Lets a node that does not run listen elsewhere when it is started again.
    pub(super) fn forget_address(&mut self, node: NodeId) {
        self.addresses.remove(&node);
    }

    /// Ends a node without a word to the others.
    pub(super) async fn kill(&mut self, node: NodeId) {
        let running = self.nodes.remove(&node).unwrap();
        running.stop.send_replace(true);
        running.server.abort();
        running.limiting.abort();
        for other in self.addresses.keys() {
            self.drop_connections(*other, node);
            self.drop_connections(node, *other);
        }
        running.queue.shutdown().await;
        drop(running);
    }

    fn drop_connections(&self, from: NodeId, to: NodeId) {
        let open = self.net.state.lock().open.remove(&(from, to)).unwrap_or_default();
        for connection in open {
            connection.abort();
        }
    }

    /// Cuts what goes from `from` to `to`: calls fail, open ones break.
    pub(super) fn cut(&self, from: NodeId, to: NodeId) {
        self.net.state.lock().cut.insert((from, to));
        self.drop_connections(from, to);
    }

    /// Cuts a node off from all others.
    pub(super) fn isolate(&self, node: NodeId) {
        for other in self.addresses.keys().filter(|other| **other != node) {
            self.cut(node, *other);
            self.cut(*other, node);
        }
    }

    /// Lets everybody reach everybody again.
    pub(super) fn heal(&self) {
        self.net.state.lock().cut.clear();
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        (0..self.partitions + GroupId::FIRST_PARTITION).map(GroupId).collect()
    }

    pub(super) fn figures(&self, node: NodeId, group: GroupId) -> GroupFigures {
        let figures = self.queue(node).figures();
        figures.into_iter().find(|figures| figures.group == group).unwrap()
    }

    /// The node that says of itself that it leads in the latest term, if one of those that run
    /// does.
    pub(super) fn leader(&self, group: GroupId) -> Option<NodeId> {
        let nodes = self.nodes.iter();
        let leading = nodes.filter_map(|(node, running)| {
            let leads = running.queue.leader(group) == Some(*node);
            leads.then_some(()).and_then(|()| Some((running.queue.leads(group)?, *node)))
        });
        leading.max().map(|(_, node)| node)
    }

    /// Waits until every group has the members that it should have, and a leader.
    pub(super) async fn settled(&self) {
        let first = *self.nodes.keys().next().unwrap();
        self.until("all groups are where they belong", || {
            let cluster = self.queue(first).cluster().borrow().clone();
            self.groups().iter().all(|group| {
                let reached = cluster.placement.get(group).is_some_and(|placement| {
                    placement.reached && placement.voters.len() == self.addresses.len().min(3)
                });
                reached && self.leader(*group).is_some()
            })
        })
        .await;
    }

    /// Waits until all running replicas of all groups have applied the same.
    pub(super) async fn converged(&self) {
        self.until("all replicas have applied the same", || {
            self.groups().iter().all(|group| {
                let applied: HashSet<u64> =
                    self.ids().iter().map(|node| self.figures(*node, *group).applied).collect();
                applied.len() == 1
            })
        })
        .await;
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            for node in self.ids() {
                for figures in self.queue(node).figures() {
                    eprintln!("{node}: {figures:?}");
                }
            }
            panic!("in {PATIENCE:?} not: {what}");
        }
    }

    /// Waits until another node than `node` leads `group`.
    pub(super) async fn led_by_another(&self, group: GroupId, node: NodeId) -> NodeId {
        self.until("another node leads", || {
            self.leader(group).is_some_and(|leader| leader != node)
        })
        .await;
        self.leader(group).unwrap()
    }
}
