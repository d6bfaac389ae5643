//! Three nodes in one process: real queues and Raft groups, links that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server, Uri};

use super::*;
use crate::clock::monotonic;
use crate::id::NodeId;
use crate::message::{Record, RecordType};
use crate::queue::cluster::Placement;
use crate::queue::door::{Meta as _, Work as _};
use crate::queue::model::Moved;
use crate::queue::raft::Peers;
use crate::queue::raft::group::Timing;
use crate::queue::store::FatalHook;
use crate::queue::store::database::Sizes;
use crate::queue::{Queue, QueueOptions};

const LONG: Duration = Duration::from_secs(60);
const NODES: u64 = 3;
const PARTITIONS: u32 = 3;

/// The network: who is where, and who is cut off.
#[derive(Default)]
struct Network {
    addresses: Mutex<BTreeMap<NodeId, SocketAddr>>,
    cut: Mutex<BTreeSet<NodeId>>,
    links: Mutex<Vec<(NodeId, NodeId, AbortHandle)>>,
}

impl Network {
    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let cut = self.cut.lock();
        from != to && (cut.contains(&from) || cut.contains(&to))
    }

    fn cut_off(&self, node: NodeId) {
        self.cut.lock().insert(node);
        self.links.lock().retain(|(from, to, link)| {
            let ends = self.is_cut(*from, *to);
            if ends {
                link.abort();
            }
            !ends
        });
    }

    fn heal(&self) {
        self.cut.lock().clear();
    }

    async fn dial(&self, from: NodeId, to: NodeId) -> std::io::Result<tokio::io::DuplexStream> {
        let address = self.addresses.lock().get(&to).copied();
        let address = address.filter(|_| !self.is_cut(from, to));
        let address = address.ok_or(std::io::ErrorKind::ConnectionRefused)?;
        let mut socket = TcpStream::connect(address).await?;
        let (near, mut far) = duplex(1 << 20);
        let link = tokio::spawn(async move {
            // Ends when either side does.
            let _ = copy_bidirectional(&mut far, &mut socket).await;
        });
        self.links.lock().push((from, to, link.abort_handle()));
        Ok(near)
    }
}

/// A node's way to the others.
struct Ways {
    me: NodeId,
    network: Arc<Network>,
    channels: Mutex<BTreeMap<NodeId, Channel>>,
}

impl Ways {
    fn new(me: NodeId, network: &Arc<Network>) -> Arc<Self> {
        Arc::new(Self { me, network: Arc::clone(network), channels: Mutex::default() })
    }
}

impl Peers for Ways {
    fn channel(&self, node: NodeId) -> Result<Channel, String> {
        let (me, network) = (self.me, Arc::clone(&self.network));
        let connect = || {
            let connector = tower::service_fn(move |_: Uri| {
                let network = Arc::clone(&network);
                async move { network.dial(me, node).await.map(TokioIo::new) }
            });
            Endpoint::from_static("http://node.test").connect_with_connector_lazy(connector)
        };
        Ok(self.channels.lock().entry(node).or_insert_with(connect).clone())
    }

    fn bulk(&self, node: NodeId) -> Result<Channel, String> {
        self.channel(node)
    }

    fn learn(&self, _: &BTreeMap<NodeId, String>) {}

    fn renew(&self, node: NodeId) {
        self.channels.lock().remove(&node);
    }
}

/// What `runtime` does on a whole node.
struct ToLeader {
    queue: Arc<Queue>,
}

impl Connect for ToLeader {
    fn leader(&self) -> Option<NodeId> {
        self.queue.leader(GroupId::ACCOUNTING)
    }

    fn collector(&self) -> BoxFuture<'_, Result<Channel, NoCollector>> {
        async move {
            let leader = self.leader().ok_or_else(|| NoCollector("nobody leads".to_owned()))?;
            self.queue.peers().channel(leader).map_err(NoCollector)
        }
        .boxed()
    }
}

struct Node {
    id: NodeId,
    directory: tempfile::TempDir,
    queue: Arc<Queue>,
    accounting: Accounting,
    server: JoinHandle<()>,
}

fn sizes() -> Sizes {
    Sizes {
        body_buffer_bytes: 1 << 20,
        log_buffer_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        tail_bytes: 1 << 20,
        log_bytes: 1 << 24,
    }
}

fn layout(directory: &Path) -> Arc<wire::Layout> {
    let columns = wire::Columns { r#type: "d".into(), names: vec!["type".into(), "rcpt".into()] };
    let file = wire::AcctFile {
        path: "files/acct.csv".into(),
        records: vec![columns],
        max_size_bytes: 300,
        ..wire::AcctFile::default()
    };
    let pipe = wire::AcctFile {
        path: String::new(),
        command: vec![
            "/bin/sh".into(),
            "-c".into(),
            format!("cat >> {}/pipe", directory.display()),
        ],
        max_size_bytes: u64::MAX,
        write_timeout_ms: 60_000,
        retry_interval_ms: 10,
        ..file.clone()
    };
    Arc::new(wire::Layout { files: vec![file, pipe] })
}

impl Node {
    async fn start(id: NodeId, network: &Arc<Network>, pipes: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let foundation = Foundation::new(directory.path().into(), directory.path().join("state"));
        let options = QueueOptions {
            dir: directory.path().join("spool"),
            node: id,
            peers: Ways::new(id, network),
            founder: id == NodeId(1),
            partitions: PARTITIONS,
            accounting: Box::new(foundation.machine()),
            sizes: sizes(),
            timing: Timing::default(),
            commit_timeout: LONG,
            min_free_bytes: 0,
            fatal: FatalHook::new(|reason| panic!("the store failed: {reason}")),
        };
        let queue = Queue::open(options).await.unwrap();
        let layout = layout(pipes);
        let accounting = Accounting::start_with(
            &foundation,
            Arc::clone(&queue) as _,
            Arc::clone(&queue) as _,
            Arc::new(move || Arc::clone(&layout)),
            Arc::new(ToLeader { queue: Arc::clone(&queue) }),
        );
        accounting.give_way(id, Arc::clone(&queue) as _);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        network.addresses.lock().insert(id, listener.local_addr().unwrap());
        let router =
            Server::builder().add_service(queue.peer_service()).add_service(accounting.service());
        let server = tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { id, directory, queue, accounting, server }
    }

    async fn stop(self) {
        self.accounting.stop().await;
        self.queue.shutdown().await;
        self.server.abort();
    }

    /// Accounting files by name.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let Ok(entries) = std::fs::read_dir(self.directory.path().join("files")) else {
            return found;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
        found
    }
}

fn rows(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut rows = Vec::new();
    for bytes in files.values() {
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        rows.extend(reader.records().map(|row| row.unwrap()[1].to_owned()));
    }
    rows
}

struct Cluster {
    network: Arc<Network>,
    pipes: tempfile::TempDir,
    nodes: Vec<Node>,
    /// Rows that were certainly stored, and those whose answer was lost.
    stored: BTreeSet<String>,
    doubtful: BTreeSet<String>,
}

impl Cluster {
    async fn start() -> Self {
        let network = Arc::new(Network::default());
        let pipes = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for id in 1..=NODES {
            nodes.push(Node::start(NodeId(id), &network, pipes.path()).await);
        }
        let (stored, doubtful) = Default::default();
        let cluster = Self { network, pipes, nodes, stored, doubtful };
        for group in Self::groups() {
            cluster.spread(group).await;
        }
        cluster
    }

    fn groups() -> impl Iterator<Item = GroupId> {
        let partitions = (0..PARTITIONS).map(GroupId::partition);
        [GroupId::META, GroupId::ACCOUNTING].into_iter().chain(partitions)
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes.iter().find(|node| node.id == id).unwrap()
    }

    /// Gives a group a replica on every node.
    async fn spread(&self, group: GroupId) {
        let voters = (1..=NODES).map(NodeId).collect();
        let placement = Placement { voters, ..Placement::default() };
        let queue = &self.nodes[0].queue;
        let moved = async {
            while queue.move_to(group, placement.clone()).await != Ok(Moved::There) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, moved).await.expect("the group is on all nodes");
    }

    /// Who leads, as the most recent of those see it that are not cut off.
    fn leader(&self, group: GroupId) -> Option<NodeId> {
        let cut = self.network.cut.lock().clone();
        let reached = self.nodes.iter().filter(|node| !cut.contains(&node.id));
        let mut seen = reached.filter_map(|node| node.queue.leader(group));
        seen.find(|leader| !cut.contains(leader))
    }

    /// Lets another node lead, if it will.
    async fn lead(&self, group: GroupId, next: NodeId) {
        let Some(leader) = self.leader(group).filter(|leader| *leader != next) else { return };
        if self.node(leader).queue.transfer(group, next).await.is_ok() {
            let until = monotonic() + Duration::from_secs(3);
            while self.leader(group) != Some(next) && monotonic() < until {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Records a row on some node, in some partition.
    async fn record(&mut self, node: usize, partition: u32, name: String) {
        let record =
            Record { rcpt: name.clone(), ..Record::new(RecordType::Delivery, Timestamp(0)) };
        let group = GroupId::partition(partition);
        let recording = self.nodes[node].queue.record(group, vec![record]);
        let stored = matches!(timeout(Duration::from_secs(2), recording).await, Ok(Ok(())));
        let rows = if stored { &mut self.stored } else { &mut self.doubtful };
        rows.insert(name);
    }

    /// Waits until all rows are in the files of all nodes.
    async fn settle(&self) {
        let settled = async {
            loop {
                let mut files = Vec::new();
                for node in &self.nodes {
                    node.accounting.drain().await;
                    files.push(node.files());
                }
                let have = rows(&files[0]).into_iter().collect();
                if files.iter().all(|f| *f == files[0]) && self.stored.is_subset(&have) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(LONG, settled).await.is_err() {
            for node in &self.nodes {
                let names: Vec<_> = node.files().into_iter().map(|(n, b)| (n, b.len())).collect();
                eprintln!("{}: {names:?} {:?}", node.id, node.accounting.status().await);
            }
            panic!("rows or files differ");
        }
    }

    /// The files are the same everywhere and have every row once.
    fn check(&self, context: &str) {
        let files = self.nodes[0].files();
        assert!(files.len() > 1, "{context}: files fill up");
        for node in &self.nodes {
            assert_eq!(node.files(), files, "{context}: {}", node.id);
        }
        let all = rows(&files);
        let once: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(all.len(), once.len(), "{context}: a row is there twice");
        let missing: Vec<_> = self.stored.difference(&once).collect();
        assert!(missing.is_empty(), "{context}: {missing:?} are missing");
        let known: BTreeSet<_> = self.stored.union(&self.doubtful).cloned().collect();
        assert!(once.is_subset(&known), "{context}: rows that nobody recorded");
        for partition in 0..PARTITIONS {
            let prefix = format!("{partition}-");
            let certain = all.iter().filter(|row| self.stored.contains(*row));
            let of_one = certain.filter(|row| row.starts_with(&prefix));
            let numbers: Vec<u32> =
                of_one.map(|row| row.rsplit('-').next().unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "{context}: rows of a partition keep their order");
        }
    }

    /// Rows that pipes were given. Headers of programs that were started are left out.
    fn piped(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.pipes.path().join("pipe")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.strip_prefix("d,"));
        lines.map(str::to_owned).collect()
    }

    async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_all_nodes_reach_the_collector_once_wherever_it_is() {
    let seed = 7;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut cluster = Cluster::start().await;
    for partition in 0..PARTITIONS {
        let group = GroupId::partition(partition);
        cluster.lead(group, NodeId(u64::from(partition) % NODES + 1)).await;
    }
    let mut number = 0;
    for round in 0..8 {
        for _ in 0..60 {
            number += 1;
            let partition = random.random_range(0..PARTITIONS);
            let node = random.random_range(0..cluster.nodes.len());
            let cut = cluster.network.cut.lock().contains(&cluster.nodes[node].id);
            let node = if cut { (node + 1) % cluster.nodes.len() } else { node };
            cluster.record(node, partition, format!("{partition}-{number}")).await;
        }
        let next = NodeId(random.random_range(1..=NODES));
        match round % 4 {
            0 => cluster.lead(GroupId::ACCOUNTING, next).await,
            1 => {
                let partition = random.random_range(0..PARTITIONS);
                cluster.lead(GroupId::partition(partition), next).await;
            }
            2 => {
                // The collector does not hear of its successor.
                let leader = cluster.leader(GroupId::ACCOUNTING);
                cluster.network.cut_off(leader.unwrap_or(next));
            }
            _ => cluster.network.heal(),
        }
    }
    cluster.network.heal();
    cluster.settle().await;
    cluster.check(&format!("seed {seed}"));
    let stored = cluster.stored.len();
    assert!(stored > 300, "only {stored} rows were stored");
    let piped = cluster.piped();
    let once: BTreeSet<&String> = piped.iter().collect();
    assert_eq!(piped.len(), once.len(), "a pipe gets a row at most once");
    assert!(!piped.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_write_holds_up_nobody_else() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader(GroupId::ACCOUNTING).unwrap();
    let term = cluster.node(leader).queue.leads(GroupId::ACCOUNTING);
    let hindered = cluster.nodes.iter().position(|node| node.id != leader).unwrap();
    // The directory of its files cannot be made.
    let obstacle = cluster.nodes[hindered].directory.path().join("files");
    std::fs::write(&obstacle, "").unwrap();
    for number in 0..50 {
        cluster.record(hindered, number % PARTITIONS, format!("{}-{number}", number % 3)).await;
    }
    assert_eq!(cluster.stored.len(), 50, "mail goes on everywhere");
    for node in &cluster.nodes {
        timeout(LONG, node.accounting.drain()).await.expect("the collector takes all rows");
    }
    let complains = async {
        while cluster.nodes[hindered].accounting.hindrance().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, complains).await.expect("the replica says what it lacks");
    assert!(cluster.nodes[hindered].files().is_empty());
    let still = cluster.node(leader).queue.leads(GroupId::ACCOUNTING);
    assert_eq!((still, term.is_some()), (term, true), "nobody was elected meanwhile");
    assert_eq!(cluster.node(leader).accounting.hindrance(), None);
    std::fs::remove_file(&obstacle).unwrap();
    cluster.settle().await;
    cluster.check("hindered");
    assert_eq!(cluster.nodes[hindered].accounting.hindrance(), None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_cannot_write_gives_way() {
    let mut cluster = Cluster::start().await;
    let first = cluster.leader(GroupId::ACCOUNTING).unwrap();
    let obstacle = cluster.node(first).directory.path().join("files");
    std::fs::write(&obstacle, "").unwrap();
    for number in 0..80 {
        cluster.record(1, 0, format!("0-{number}")).await;
    }
    for node in &cluster.nodes {
        timeout(LONG, node.accounting.drain()).await.expect("another one takes the rows");
    }
    let second = cluster.leader(GroupId::ACCOUNTING);
    assert!(second.is_some_and(|second| second != first), "{second:?}");
    assert!(!cluster.node(second.unwrap()).files().is_empty());
    std::fs::remove_file(&obstacle).unwrap();
    cluster.settle().await;
    cluster.check("gave way");
    cluster.stop().await;
}
