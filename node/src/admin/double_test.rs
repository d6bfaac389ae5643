//! Doubles of everything that administration asks, for tests.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;

use super::ports::*;
use super::window::Tally;
use crate::clock::Timestamp;
use crate::config::settings::Lookup;
use crate::config::{Bundle, Config, InForce};
use crate::dns::{DnsError, Mx, Resolve};
use crate::id::{GroupId, Locator, MessageId, NodeId, QueueName, Role};
use crate::message::{BodyType, Envelope, Notify, Origin, Recipient, Record};
use crate::queue::audit::Audited;
use crate::queue::cluster::{Change, Changed, Cluster, Configuration, Standing, VersionNote};
use crate::queue::door::{AuditError, AuditPoint, Examine, Inspect, Located, Meta, ReportError};
use crate::queue::model::{
    GroupFigures, Operation, OutboxPosition, Pressure, QueueFigures, Stored, Switches, Waiting,
};
use crate::smtp::address::{Address, ReversePath};

/// Message number `n`, received at `at_ms`, to a@yahoo.com, b@gmail.com and, by way of vm1,
/// c@yahoo.com; nothing was tried yet.
pub(super) fn stored(n: u64, at_ms: u64) -> Stored {
    let recipient = |address: &str, queue: &str| Recipient {
        address: Address::parse(address).unwrap(),
        notify: Notify::Unspecified,
        orcpt: None,
        queue: queue.parse().unwrap(),
    };
    let at = Timestamp(at_ms);
    let envelope = Envelope {
        id: MessageId::new(at, n.into()),
        received_at: at,
        sender: ReversePath::Address(Address::parse("sender@example.com").unwrap()),
        recipients: vec![
            recipient("a@yahoo.com", "yahoo.com"),
            recipient("b@gmail.com", "gmail.com"),
            recipient("c@yahoo.com", "yahoo.com/vm1"),
        ],
        size_bytes: 2048,
        body_type: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: Some("env1".into()),
        job: Some("job1".into()),
        vmta_pool: None,
        origin: Origin::Smtp {
            helo: "client.example".into(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            local: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user: None,
            tls: None,
        },
        suppress_dsn: false,
    };
    let waiting = |recipient| Waiting {
        recipient,
        due: at,
        attempts: 0,
        first_attempt_at: None,
        last: None,
        held: false,
        unknown: None,
    };
    Stored {
        locator: Locator { group: GroupId::partition(0), index: n, slot: 0 },
        envelope,
        waiting: (0..3).map(waiting).collect(),
    }
}

/// A queue in memory.
#[derive(Default)]
pub(super) struct Store {
    pub(super) messages: Mutex<BTreeMap<Locator, Stored>>,
    pub(super) switches: Mutex<Switches>,
    pub(super) operations: Mutex<Vec<Operation>>,
    pub(super) refuses: Mutex<Option<ReportError>>,
}

impl Store {
    pub(super) fn insert(&self, stored: Stored) {
        self.messages.lock().insert(stored.locator, stored);
    }

    /// Rows of all deletions so far.
    pub(super) fn rows(&self) -> Vec<Record> {
        let rows = |operation: &Operation| match operation {
            Operation::Delete { targets } => {
                targets.iter().filter_map(|t| t.record.clone()).collect()
            }
            Operation::Schedule { .. } | Operation::Hold { .. } => Vec::new(),
        };
        self.operations.lock().iter().flat_map(rows).collect()
    }

    fn apply(&self, operation: &Operation) -> u64 {
        let mut messages = self.messages.lock();
        let targets = match operation {
            Operation::Delete { targets }
            | Operation::Schedule { targets, .. }
            | Operation::Hold { targets, .. } => targets,
        };
        for target in targets {
            let Some(stored) = messages.get_mut(&target.locator) else { continue };
            let number = target.recipient;
            match operation {
                Operation::Delete { .. } => stored.waiting.retain(|w| w.recipient != number),
                Operation::Schedule { at, .. } => {
                    stored.waiting.iter_mut().filter(|w| w.recipient == number).for_each(|w| {
                        w.due = *at;
                    });
                }
                Operation::Hold { held, .. } => {
                    stored.waiting.iter_mut().filter(|w| w.recipient == number).for_each(|w| {
                        w.held = *held;
                    });
                }
            }
        }
        messages.retain(|_, stored| !stored.waiting.is_empty());
        targets.len() as u64
    }
}

impl Inspect for Store {
    fn queues(&self) -> Vec<(QueueName, QueueFigures)> {
        // One entry per recipient: the service adds up.
        let mut figures = Vec::new();
        for stored in self.messages.lock().values() {
            for waiting in &stored.waiting {
                let recipient = &stored.envelope.recipients[usize::from(waiting.recipient)];
                let one = QueueFigures {
                    recipients: 1,
                    bytes: stored.envelope.size_bytes,
                    next_due: Some(waiting.due),
                };
                figures.push((recipient.queue.clone(), one));
            }
        }
        figures
    }

    fn jobs(&self) -> Vec<(String, QueueFigures)> {
        let messages = self.messages.lock();
        let job = |stored: &Stored| {
            let recipients = stored.waiting.len() as u64;
            let bytes = recipients * stored.envelope.size_bytes;
            let figures = QueueFigures { recipients, bytes, next_due: None };
            Some((stored.envelope.job.clone()?, figures))
        };
        messages.values().filter_map(job).collect()
    }

    fn page(&self, after: Option<Locator>, limit: usize) -> BoxFuture<'_, Vec<Stored>> {
        let messages = self.messages.lock();
        let later = |locator: &Locator| after.is_none_or(|after| *locator > after);
        let page = messages.iter().filter(|(l, _)| later(l)).take(limit);
        ready(page.map(|(_, stored)| stored.clone()).collect()).boxed()
    }

    fn find(&self, id: MessageId) -> BoxFuture<'_, Option<Located>> {
        let messages = self.messages.lock();
        let found = messages.values().find(|stored| stored.envelope.id == id);
        let located = |stored: &Stored| Located {
            locator: stored.locator,
            term: Some(3),
            stored: Some(stored.clone()),
        };
        ready(found.map(located)).boxed()
    }

    fn operate(&self, operation: Operation) -> BoxFuture<'_, Result<u64, ReportError>> {
        if let Some(refusal) = self.refuses.lock().clone() {
            return ready(Err(refusal)).boxed();
        }
        let changed = self.apply(&operation);
        self.operations.lock().push(operation);
        ready(Ok(changed)).boxed()
    }

    fn switches(&self) -> Switches {
        self.switches.lock().clone()
    }

    fn set_switches(&self, switches: Switches) -> BoxFuture<'_, Result<(), ReportError>> {
        *self.switches.lock() = switches;
        ready(Ok(())).boxed()
    }
}

/// Partitions that a test makes.
#[derive(Default)]
pub(super) struct Partitions {
    pub(super) audited: Mutex<Vec<Audited>>,
}

impl Examine for Partitions {
    fn audit(&self, point: AuditPoint) -> BoxFuture<'_, Result<Audited, AuditError>> {
        let audited = self.audited.lock();
        let found = audited.iter().find(|one| one.group == point.group).cloned();
        ready(found.ok_or(AuditError::NotReached)).boxed()
    }
}

/// A cluster of which a test says who else is in it.
#[derive(Default)]
pub(super) struct Others {
    pub(super) me: u64,
    pub(super) cluster: Mutex<Arc<Cluster>>,
    pub(super) others: Mutex<Vec<(NodeId, Result<Channel, String>)>>,
    pub(super) groups: Mutex<Vec<GroupFigures>>,
    pub(super) done: Mutex<Vec<String>>,
}

impl ClusterPort for Others {
    fn me(&self) -> NodeId {
        NodeId(self.me)
    }

    fn cluster(&self) -> Arc<Cluster> {
        self.cluster.lock().clone()
    }

    fn others(&self) -> Vec<(NodeId, Result<Channel, String>)> {
        self.others.lock().clone()
    }

    fn groups(&self) -> Vec<GroupFigures> {
        self.groups.lock().clone()
    }

    fn transfer(&self, group: GroupId, node: NodeId) -> BoxFuture<'_, Result<(), Refusal>> {
        self.done.lock().push(format!("transfer {group} {node}"));
        ready(Ok(())).boxed()
    }

    fn set_standing(&self, node: NodeId, standing: Standing) -> BoxFuture<'_, Result<(), Refusal>> {
        self.done.lock().push(format!("{standing:?} {node}"));
        ready(Ok(())).boxed()
    }

    fn balance(&self) -> BoxFuture<'_, Result<u64, Refusal>> {
        ready(Ok(2)).boxed()
    }
}

/// Counters that a test sets.
#[derive(Default)]
pub(super) struct Ingress {
    pub(super) tally: Mutex<Tally>,
    pub(super) connections: Mutex<ConnectionFigures>,
}

impl IngressPort for Ingress {
    fn accepted(&self) -> Tally {
        *self.tally.lock()
    }

    fn connections(&self) -> ConnectionFigures {
        *self.connections.lock()
    }

    fn reset_top(&self) {
        let mut connections = self.connections.lock();
        connections.top = connections.current;
    }
}

/// A delivery that sends nothing.
#[derive(Default)]
pub(super) struct Delivery {
    pub(super) activity: Mutex<HashMap<QueueName, Activity>>,
    pub(super) woken: Mutex<Vec<QueueName>>,
    pub(super) trace: Mutex<Option<mpsc::Receiver<(Timestamp, String)>>>,
}

impl DeliveryPort for Delivery {
    fn delivered(&self) -> Tally {
        Tally::default()
    }

    fn connections(&self) -> ConnectionFigures {
        ConnectionFigures::default()
    }

    fn reset_top(&self) {}

    fn activity(&self) -> BoxFuture<'_, HashMap<QueueName, Activity>> {
        ready(self.activity.lock().clone()).boxed()
    }

    fn trace(
        &self,
        queue: QueueName,
    ) -> BoxFuture<'_, Result<mpsc::Receiver<(Timestamp, String)>, Refusal>> {
        let lines = self.trace.lock().take();
        let refusal = || Refusal::Unavailable(format!("{queue} is traced already"));
        ready(lines.ok_or_else(refusal)).boxed()
    }

    fn limits(&self) -> Vec<LimitFigures> {
        let limit = |queue: &str, source: &str| LimitFigures {
            name: "max-smtp-out".into(),
            queue: queue.parse().unwrap(),
            source: source.into(),
            limit: 20,
            period: Duration::ZERO,
            granted: 7,
            used: 2,
            coordinator: Some(NodeId(3)),
            state: LimitState::Granted,
        };
        vec![limit("yahoo.com/vm1", ""), limit("gmail.com", "10.0.0.1"), limit("*/vm1", "")]
    }

    fn wake(&self, queue: QueueName) {
        self.woken.lock().push(queue);
    }
}

/// An accounting that writes nothing.
#[derive(Default)]
pub(super) struct Accounting;

impl AccountingPort for Accounting {
    fn rotate(&self, file: Option<String>) -> BoxFuture<'_, Result<u64, Refusal>> {
        let result = match file.as_deref() {
            None => Ok(2),
            Some("acct.csv") => Ok(1),
            Some(other) => Err(Refusal::Refused(format!("no acct-file {other} is configured"))),
        };
        ready(result).boxed()
    }

    fn figures(&self) -> BoxFuture<'_, AcctFigures> {
        let file = AcctFileFigures { target: "acct.csv".into(), rows: 7, ..Default::default() };
        let figures = AcctFigures {
            collector: Some(NodeId(1)),
            keeps: true,
            waiting_rows: 3,
            files: vec![file],
            ..Default::default()
        };
        ready(figures).boxed()
    }

    fn marks(&self) -> BTreeMap<GroupId, OutboxPosition> {
        BTreeMap::from([(GroupId::partition(0), OutboxPosition { index: 5, n: 0 })])
    }
}

/// A runtime with a configuration that a test makes.
pub(super) struct Runtime {
    pub(super) config: Mutex<Arc<Config>>,
    pub(super) findings: Mutex<Vec<Finding>>,
    /// What is found in any shared configuration.
    pub(super) verified: Mutex<Vec<Finding>>,
    pub(super) in_force: watch::Sender<InForce>,
}

impl Runtime {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config: Mutex::new(Arc::new(config)),
            findings: Mutex::default(),
            verified: Mutex::default(),
            in_force: watch::Sender::new(InForce::default()),
        }
    }
}

impl RuntimePort for Runtime {
    fn figures(&self) -> NodeFigures {
        NodeFigures {
            node: NodeId(1),
            host_name: "mx.example.com".into(),
            most_inbound: 1200,
            most_outbound: 2400,
            build: "test".into(),
            started: Timestamp(1000),
            state: RunState::Running,
            pressure: Pressure::Normal,
            free_bytes: 5_000_000_000,
            partitions: vec![PartitionFigures { name: "p0".into(), led: true, term: 3 }],
        }
    }

    fn lookup(&self) -> Arc<dyn Lookup + Send + Sync> {
        self.config.lock().clone()
    }

    fn settings(&self, domain: &str, vmta: &str) -> Result<EffectiveSettings, Refusal> {
        let setting = |name: &str, value: &str| EffectiveSetting {
            name: name.into(),
            value: value.into(),
            origin: format!("{domain}/{vmta}"),
        };
        Ok(EffectiveSettings {
            vmta: vec![setting("host-name", "vm.example.com")],
            queue: vec![
                setting("auth-password", "secret"),
                setting("max-smtp-out", "20"),
                setting("old-password", "\"\""),
            ],
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        ready(Ok(self.findings.lock().clone())).boxed()
    }

    fn check(&self, source: CheckSource) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        let finding = |text: &str| Finding {
            is_error: true,
            file: String::new(),
            line: 1,
            column: 1,
            text: text.to_owned(),
        };
        let result = match source {
            CheckSource::Running => Ok(Vec::new()),
            CheckSource::Text(text) => Ok(vec![finding(&text)]),
            CheckSource::File(path) => {
                Err(Refusal::Refused(format!("{}: no such file", path.display())))
            }
        };
        ready(result).boxed()
    }

    fn verify(&self, _: Bundle) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        ready(Ok(self.verified.lock().clone())).boxed()
    }

    fn in_force(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    fn rotate_log(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        ready(Ok(())).boxed()
    }

    fn drain(&self) -> BoxFuture<'_, Result<Drained, Refusal>> {
        ready(Ok(Drained { handed_over: 0, kept: 1 })).boxed()
    }
}

/// A node that lets in whoever asks, and knows how long.
pub(super) struct Founding;

impl FoundingPort for Founding {
    fn init(&self, address: Option<String>) -> BoxFuture<'_, Result<Founded, Refusal>> {
        let address = address.unwrap_or_else(|| "mx1:2526".to_owned());
        ready(Ok(Founded { cluster: "c1".to_owned(), address })).boxed()
    }

    fn token(&self, ttl: Duration, _: Option<NodeId>) -> BoxFuture<'_, Result<Pass, Refusal>> {
        ready(Ok(Pass { text: "cj1-x".to_owned(), expires_at: Timestamp(0) + ttl })).boxed()
    }

    fn operator(&self, name: &str, role: Role, ttl: Duration) -> Result<Pass, Refusal> {
        Ok(Pass { text: format!("{name} {role}"), expires_at: Timestamp(0) + ttl })
    }

    fn address(&self) -> String {
        "mx1:2526".to_owned()
    }
}

/// Knows yahoo.com with two exchangers, of which one is this host, and null.example.
#[derive(Default)]
pub(super) struct Dns {
    pub(super) cleared: Mutex<bool>,
}

impl Resolve for Dns {
    fn mx(&self, domain: String) -> BoxFuture<'_, Result<Vec<Mx>, DnsError>> {
        let mx = |preference, host: &str| Mx { preference, host: host.into() };
        let found = match domain.as_str() {
            "yahoo.com" => Ok(vec![mx(20, "mx2.yahoo.com"), mx(10, "mx1.yahoo.com")]),
            "null.example" => Ok(vec![mx(0, "")]),
            "plain.example" => Err(DnsError::NoRecords),
            _ => Err(DnsError::NoSuchDomain),
        };
        ready(found).boxed()
    }

    fn addresses(&self, host: String) -> BoxFuture<'_, Result<Vec<IpAddr>, DnsError>> {
        let found = match host.as_str() {
            "mx1.yahoo.com" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            _ => Err(DnsError::Temporary("time-out".into())),
        };
        ready(found).boxed()
    }

    fn names(&self, _: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>> {
        ready(Err(DnsError::NoRecords)).boxed()
    }

    fn clear_cache(&self) {
        *self.cleared.lock() = true;
    }
}

/// What the meta group of a few nodes knows of configurations.
#[derive(Default)]
pub(super) struct Board {
    cluster: watch::Sender<Arc<Cluster>>,
    versions: Mutex<Vec<Configuration>>,
    /// Somebody else is quicker with the next push.
    pub(super) overtaken: Mutex<bool>,
    /// The answer to the next push is lost: before it is made (false), or after (true).
    pub(super) lost: Mutex<Option<bool>>,
}

impl Board {
    /// Changes what is known of the cluster.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Cluster)) {
        self.cluster.send_modify(|cluster| edit(Arc::make_mut(cluster)));
    }

    fn add(&self, configuration: Configuration) -> u64 {
        let version = self.versions.lock().len() as u64 + 1;
        let configuration = Configuration { version, ..configuration };
        self.versions.lock().push(configuration.clone());
        self.edit(|cluster| {
            cluster.history.push(VersionNote {
                version,
                pushed_at: configuration.pushed_at,
                author: configuration.author.clone(),
                comment: configuration.comment.clone(),
            });
            cluster.configuration = Some(configuration);
        });
        version
    }

    fn configure(&self, change: Change) -> Changed {
        use convoy_proto::storage::cluster_change::Kind;
        let Some(Kind::Configure(configure)) = change.0.kind else { return Changed::Refused };
        let configuration = Configuration::from(configure.configuration.unwrap());
        if std::mem::take(&mut *self.overtaken.lock()) {
            self.add(configuration.clone());
        }
        if configure.expected_version != self.versions.lock().len() as u64 {
            return Changed::Refused;
        }
        Changed::Number(self.add(configuration))
    }
}

/// The door of one node to the board.
pub(super) struct Door {
    pub(super) me: NodeId,
    pub(super) board: Arc<Board>,
}

impl Meta for Door {
    fn me(&self) -> NodeId {
        self.me
    }

    fn cluster(&self) -> watch::Receiver<Arc<Cluster>> {
        self.board.cluster.subscribe()
    }

    fn change(&self, change: Change) -> BoxFuture<'_, Result<Changed, ReportError>> {
        match self.board.lost.lock().take() {
            Some(made) => {
                made.then(|| self.board.configure(change));
                ready(Err(ReportError::LostLeadership)).boxed()
            }
            None => ready(Ok(self.board.configure(change))).boxed(),
        }
    }

    fn configuration(&self, version: u64) -> BoxFuture<'_, Option<Configuration>> {
        let versions = self.board.versions.lock();
        ready(versions.iter().find(|known| known.version == version).cloned()).boxed()
    }

    fn leader(&self, _: GroupId) -> Option<NodeId> {
        None
    }
}
