use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::*;
use crate::clock::Timestamp;
use crate::id::NodeId;
use crate::message::{Record, RecordType};
use crate::queue::door::{ReportError, Work as _};
use crate::queue::machine::{Committed, Machine as _, Memory};
use crate::queue::model::OutboxRow;
use crate::queue::raft::group::Timing;
use crate::queue::store::FatalHook;
use crate::queue::store::database::Sizes;
use crate::queue::{Queue, QueueOptions};

const LONG: Duration = Duration::from_secs(30);

/// The outboxes of all partitions that this node leads.
#[derive(Default)]
struct Rows {
    rows: Mutex<BTreeMap<GroupId, Vec<OutboxRow>>>,
    changed: Notify,
}

impl Rows {
    fn add(&self, group: GroupId, index: u64, count: u16) {
        let row = |n| OutboxRow {
            index,
            n,
            record: Record {
                rcpt: format!("{group}.{index}.{n}"),
                ..Record::new(RecordType::Delivery, Timestamp(0))
            },
        };
        self.rows.lock().entry(group).or_default().extend((0..count).map(row));
        self.changed.notify_one();
    }
}

impl Outbox for Rows {
    fn led(&self) -> Vec<GroupId> {
        self.rows.lock().keys().copied().collect()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }

    fn rows(
        &self,
        group: GroupId,
        after: OutboxPosition,
        limit: usize,
    ) -> BoxFuture<'_, Vec<OutboxRow>> {
        let all = self.rows.lock();
        let later = all[&group].iter().filter(|row| wire::place(row) > after);
        let rows = later.take(limit).cloned().collect();
        async move { rows }.boxed()
    }

    fn acknowledge(
        &self,
        group: GroupId,
        upto: OutboxPosition,
    ) -> BoxFuture<'_, Result<(), ReportError>> {
        if let Some(rows) = self.rows.lock().get_mut(&group) {
            rows.retain(|row| wire::place(row) > upto);
        }
        async { Ok(()) }.boxed()
    }
}

/// The accounting group with one replica.
struct Group {
    replica: Mutex<(CollectorMachine, Memory, u64)>,
    log: Mutex<Vec<Bytes>>,
    leads: AtomicBool,
    /// Without a majority nothing is committed, and the leader does not know why.
    hangs: AtomicBool,
    /// Every so many proposals the entry is committed and the answer says that it was not.
    loses_answers: AtomicU64,
}

impl Group {
    /// Applies what `other` has committed.
    fn follow(&self, other: &Self) {
        let log = other.log.lock().clone();
        let mut replica = self.replica.lock();
        let (machine, state, index) = &mut *replica;
        for payload in log {
            *index += 1;
            let group = GroupId::ACCOUNTING;
            let entry = Committed { group, index: *index, term: 1, payload, bodies: Vec::new() };
            machine.apply(&entry, state).unwrap();
        }
        machine.written().unwrap();
    }
}

impl Propose for Group {
    fn leads(&self, _: GroupId) -> Option<u64> {
        self.leads.load(Ordering::SeqCst).then_some(1)
    }

    fn propose(&self, group: GroupId, payload: Bytes) -> BoxFuture<'_, Result<u64, ReportError>> {
        if self.hangs.load(Ordering::SeqCst) {
            return std::future::pending().boxed();
        }
        let mut replica = self.replica.lock();
        let (machine, state, index) = &mut *replica;
        *index += 1;
        self.log.lock().push(payload.clone());
        let entry = Committed { group, index: *index, term: 1, payload, bodies: Vec::new() };
        machine.apply(&entry, state).unwrap();
        machine.written().unwrap();
        let every = self.loses_answers.load(Ordering::SeqCst);
        let lost = every > 0 && *index % every == 0;
        let answer = if lost { Err(ReportError::LostLeadership) } else { Ok(*index) };
        async move { answer }.boxed()
    }
}

/// Where the collector is, and which node it is.
struct Address(Mutex<Option<SocketAddr>>, AtomicU64);

impl Connect for Address {
    fn leader(&self) -> Option<NodeId> {
        Some(NodeId(self.1.load(Ordering::SeqCst)))
    }

    fn collector(&self) -> BoxFuture<'_, Result<Channel, NoCollector>> {
        let address = *self.0.lock();
        async move {
            let address = address.ok_or_else(|| NoCollector("no collector".into()))?;
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            endpoint.connect().await.map_err(|e| NoCollector(e.to_string()))
        }
        .boxed()
    }
}

/// Serves the collector at a free port.
async fn serve(
    accounting: &Accounting,
    address: &Address,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *address.0.lock() = Some(listener.local_addr().unwrap());
    let (shut, shutting) = oneshot::channel::<()>();
    let serving = Server::builder().add_service(accounting.service());
    let server = tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let shutting = async { shutting.await.unwrap() };
        serving.serve_with_incoming_shutdown(incoming, shutting).await.unwrap();
    });
    (shut, server)
}

struct Node {
    directory: tempfile::TempDir,
    rows: Arc<Rows>,
    group: Arc<Group>,
    address: Arc<Address>,
    accounting: Accounting,
    shut: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Node {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let foundation = Foundation::new(directory.path().into(), directory.path().join("state"));
        let mut machine = foundation.machine();
        let state = Memory::default();
        machine.opened(&state).unwrap();
        let group = Arc::new(Group {
            replica: Mutex::new((machine, state, 0)),
            log: Mutex::default(),
            leads: AtomicBool::new(true),
            hangs: AtomicBool::new(false),
            loses_answers: AtomicU64::new(0),
        });
        let rows = Arc::new(Rows::default());
        let address = Arc::new(Address(Mutex::new(None), AtomicU64::new(1)));
        let layout = Arc::new(wire::Layout { files: vec![definition()] });
        let accounting = Accounting::start_with(
            &foundation,
            Arc::clone(&rows) as _,
            Arc::clone(&group) as _,
            Arc::new(move || Arc::clone(&layout)),
            Arc::clone(&address) as _,
        );
        let (shut, server) = serve(&accounting, &address).await;
        Self { directory, rows, group, address, accounting, shut, server }
    }

    async fn drained(&self) {
        let drained = timeout(LONG, self.accounting.drain()).await;
        assert!(drained.is_ok(), "rows are left: {:?}", self.accounting.status().await);
    }

    /// Recipients in all files, in order of the files.
    fn written(&self) -> Vec<String> {
        written(self.directory.path())
    }
}

fn written(directory: &Path) -> Vec<String> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let mut reader = csv::Reader::from_path(file).unwrap();
        rows.extend(reader.records().map(|row| row.unwrap()[1].to_owned()));
    }
    rows
}

fn definition() -> wire::AcctFile {
    wire::AcctFile {
        path: "acct.csv".into(),
        records: vec![wire::Columns {
            r#type: "d".into(),
            names: vec!["type".into(), "rcpt".into()],
        }],
        max_size_bytes: 1_000_000,
        ..wire::AcctFile::default()
    }
}

fn partition(n: u32) -> GroupId {
    GroupId::partition(n)
}

/// All rows of events `1..=events`, of these partitions.
fn all(partitions: u32, events: u64, count: u16) -> Vec<String> {
    let mut rows = Vec::new();
    for p in 0..partitions {
        for index in 1..=events {
            rows.extend((0..count).map(|n| format!("{}.{index}.{n}", partition(p))));
        }
    }
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_flow_from_the_outboxes_to_the_files() {
    let node = Node::start().await;
    for index in 1..=2000 {
        node.rows.add(partition((index % 3) as u32), index, 2);
    }
    node.drained().await;
    let rows = node.written();
    let mut sorted = rows.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((rows.len(), sorted.len()), (4000, 4000));
    let of_one: Vec<u64> = rows
        .iter()
        .filter_map(|row| row.strip_prefix("p1."))
        .map(|rest| rest.split('.').next().unwrap().parse().unwrap())
        .collect();
    assert!(of_one.is_sorted(), "rows of a partition keep their order");
    let status = node.accounting.status().await;
    assert!(status.is_collector);
    assert_eq!((status.waiting_rows, status.error), (0, None));
    assert_eq!(status.files[0].rows, 4000);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_lost_leadership_repeat_nothing() {
    let node = Node::start().await;
    node.group.loses_answers.store(3, Ordering::SeqCst);
    for index in 1..=60 {
        node.rows.add(partition(0), index, 3);
        node.rows.add(partition(1), index, 3);
        if index % 20 == 0 {
            node.group.leads.store(false, Ordering::SeqCst);
            node.rows.add(partition(2), index, 1);
            tokio::task::yield_now().await;
            node.group.leads.store(true, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
    node.drained().await;
    let mut rows = node.written();
    rows.retain(|row| !row.starts_with("p2."));
    rows.sort();
    assert_eq!(rows, all(2, 60, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_begins_new_files() {
    let node = Node::start().await;
    node.rows.add(partition(0), 1, 1);
    node.drained().await;
    let first = node.accounting.rotate(Some("acct.csv")).await.unwrap();
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("acct-") && first[0].ends_with("-0000.csv"), "{first:?}");
    assert_eq!(node.accounting.rotate(None).await, Ok(Vec::new()), "nothing is open");
    node.rows.add(partition(0), 2, 1);
    node.drained().await;
    let files = node.accounting.status().await.files;
    let current = files[0].current.clone().unwrap();
    assert!(current.to_string_lossy().ends_with("-0001.csv"), "{current:?}");
    let unknown = node.accounting.rotate(Some("other.csv")).await;
    assert_eq!(unknown, Err(RotateError::Unknown("no accounting file \"other.csv\"".into())));
    node.group.leads.store(false, Ordering::SeqCst);
    let refused = node.accounting.rotate(None).await;
    assert!(matches!(refused, Err(RotateError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_streams_so_that_the_server_ends() {
    let node = Node::start().await;
    node.rows.add(partition(0), 1, 1);
    node.drained().await;
    timeout(LONG, node.accounting.stop()).await.expect("the tasks end");
    node.shut.send(()).unwrap();
    timeout(LONG, node.server).await.expect("no stream holds the server").unwrap();
    assert_eq!(written(node.directory.path()), ["p0.1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_without_a_majority_stops_and_is_left() {
    let (node, next) = (Node::start().await, Node::start().await);
    node.rows.add(partition(0), 1, 1);
    node.drained().await;
    node.group.hangs.store(true, Ordering::SeqCst);
    node.rows.add(partition(0), 2, 1);
    let sent = async {
        while node.accounting.status().await.lags.values().all(|lag| lag.in_flight == 0) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, sent).await.expect("a row is under way");
    // Another node leads; this one has not heard of it. What was committed before is there too.
    next.group.follow(&node.group);
    *node.address.0.lock() = *next.address.0.lock();
    node.address.1.store(2, Ordering::SeqCst);
    node.drained().await;
    assert_eq!(next.written(), ["p0.1.0", "p0.2.0"]);
    timeout(LONG, node.accounting.stop()).await.expect("the old collector ends");
}

#[test]
fn a_reload_describes_the_files_anew() {
    let text = |fields: &str| {
        format!(
            "<acct-file /var/log/pmta/acct.csv>\n records d, b\n record-fields {fields}\n \
             move-to /done\n move-interval 5m\n queue-filter !a.example/*, */*\n</acct-file>\n"
        )
    };
    let config = |fields: &str| Arc::new(Config::from_text(&text(fields)).unwrap());
    let current = Arc::new(ArcSwap::new(config("delivery timeLogged,orig,rcpt,header_X-A")));
    let layouts = configured(Arc::clone(&current));
    let names = |layout: &wire::Layout| layout.files[0].records[0].names.join(",");

    let first = layouts();
    assert_eq!(names(&first), "type,timeLogged,orig,rcpt,header_X-A");
    let file = &first.files[0];
    assert_eq!(file.records[1].r#type, "b");
    assert_eq!(file.records[1].names.len(), 23, "all fields when none are named");
    assert_eq!((file.move_to.as_str(), file.move_interval_s), ("/done", 300));
    assert_eq!(file.queue_filter[0].pattern, "a.example/*");
    assert!(file.queue_filter[0].negated && !file.queue_filter[1].negated);
    assert!(Arc::ptr_eq(&first, &layouts()), "nothing has changed");

    current.store(config("d *, !dlvSize, header_x-a"));
    let second = names(&layouts());
    assert!(second.ends_with("vmtaPool,header_x-a") && !second.contains("dlvSize"), "{second}");
}

async fn open_queue(directory: &Path, foundation: &Foundation) -> Arc<Queue> {
    let options = QueueOptions {
        dir: directory.join("spool"),
        node: NodeId(1),
        peers: Arc::new(crate::queue::raft::Alone),
        founder: true,
        partitions: 2,
        accounting: Box::new(foundation.machine()),
        sizes: Sizes {
            body_buffer_bytes: 1 << 20,
            log_buffer_bytes: 1 << 20,
            cache_bytes: 1 << 20,
            tail_bytes: 1 << 20,
            log_bytes: 1 << 24,
        },
        timing: Timing::default(),
        commit_timeout: LONG,
        min_free_bytes: 0,
        fatal: FatalHook::new(|reason| panic!("the store failed: {reason}")),
    };
    Queue::open(options).await.unwrap()
}

/// Records rows in a real queue, and stops when they are written, or at once.
async fn run_on_a_queue(directory: &Path, run: u64, drains: bool) {
    let foundation = Foundation::new(directory.into(), directory.join("state"));
    let queue = open_queue(directory, &foundation).await;
    let layout = Arc::new(wire::Layout { files: vec![definition()] });
    let address = Arc::new(Address(Mutex::new(None), AtomicU64::new(1)));
    let accounting = Accounting::start_with(
        &foundation,
        Arc::clone(&queue) as _,
        Arc::clone(&queue) as _,
        Arc::new(move || Arc::clone(&layout)),
        Arc::clone(&address) as _,
    );
    let (shut, server) = serve(&accounting, &address).await;
    for n in 0..40 {
        let record = Record {
            rcpt: format!("{run}.{n}"),
            ..Record::new(RecordType::Delivery, Timestamp(0))
        };
        queue.record(partition(n % 2), vec![record]).await.unwrap();
    }
    if drains {
        timeout(LONG, accounting.drain()).await.expect("all rows are written");
    }
    accounting.stop().await;
    shut.send(()).unwrap();
    server.await.unwrap();
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_queue_are_written_once_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    for (run, drains) in [(0, true), (1, false), (2, false), (3, true)] {
        run_on_a_queue(directory.path(), run, drains).await;
    }
    let mut rows = written(directory.path());
    rows.sort();
    let mut expected: Vec<String> =
        (0..4).flat_map(|run| (0..40).map(move |n| format!("{run}.{n}"))).collect();
    expected.sort();
    assert_eq!(rows, expected);
}
