//! A node: what is started in which order, and stopped in which order.
//!
//! Start: store and Raft groups, accounting, delivery, the gRPC socket, and listeners last, so
//! that nothing is accepted before it can be kept and sent. Stop: the other way round.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::cluster_rpc::{ClusterRpc, Listening};
use super::health::{self, Health};
use super::log::Log;
use super::rpc::{Rpc, ToCollector};
use super::stewardship::Stewardship;
use super::threads::Threads;
use super::versions::{self, Opening};
use super::{ports, reload, say, stewardship};
use crate::accounting::{Accounting, Foundation, Naming};
use crate::admin::Ports;
use crate::admin::monitor::{self, Monitor};
use crate::admin::ports::RunState;
use crate::admin::probes::Probes;
use crate::clock::Timestamp;
use crate::cluster::credentials::Credentials;
use crate::cluster::dial::transport;
use crate::cluster::doubt::{self, Foreign, Journal};
use crate::cluster::limits;
use crate::cluster::renewal;
use crate::cluster::steward::Steward;
use crate::config::settings::AcctTarget;
use crate::config::{Config, InForce};
use crate::delivery::Delivery;
use crate::dns::hickory::SystemResolver;
use crate::id::NodeId;
use crate::ingress::Ingress;
use crate::queue::cluster::Description;
use crate::queue::door::Meta as _;
use crate::queue::raft::Peers;
use crate::queue::raft::group::Timing;
use crate::queue::store::FatalHook;
use crate::queue::store::database::Sizes;
use crate::queue::{Queue, QueueOptions};

/// Until this much time has passed, a submission is answered only with its commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long clients and sessions may take to finish what they began.
pub(super) const GRACE: Duration = Duration::from_secs(60);
/// How long rows may take to reach the collector at a stop; what is left waits in the store.
const ACCOUNTING_GRACE: Duration = Duration::from_secs(10);
/// How often actors are looked after.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What outlives a reload and is asked by administration.
pub(super) struct Parts {
    pub(super) path: PathBuf,
    pub(super) started: Timestamp,
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) log: Arc<Log>,
    pub(super) queue: Arc<Queue>,
    /// The way to other nodes.
    pub(super) peers: Arc<dyn Peers>,
    pub(super) accounting: Arc<Accounting>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) limits: Arc<limits::Driver>,
    pub(super) ingress: Arc<Ingress>,
    /// What other nodes have told that they have in doubt.
    pub(super) foreign: Arc<Foreign>,
    pub(super) runtime: Handle,
    pub(super) credentials: Arc<Credentials>,
    pub(super) listening: watch::Sender<Listening>,
    pub(super) steward: Arc<Steward>,
    pub(super) description: watch::Sender<Option<Description>>,
    /// One reload at a time.
    pub(super) reloading: tokio::sync::Mutex<()>,
    /// The version of the shared configuration that the node runs with.
    pub(super) in_force: watch::Sender<InForce>,
    state: AtomicU8,
}

/// A running node.
pub(super) struct Node {
    parts: Arc<Parts>,
    rpc: Rpc,
    cluster: ClusterRpc,
    stewardship: Stewardship,
    /// `health-listener`, to the end: probes see that the node stops.
    probes: Option<Probes>,
    /// Shares limits with other nodes, until the last session has gone.
    limiting: JoinHandle<()>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// They go on until the last session has reported.
    doubting: Vec<JoinHandle<()>>,
}

impl Parts {
    pub(super) fn state(&self) -> RunState {
        match self.state.load(Ordering::Acquire) {
            0 => RunState::Running,
            1 => RunState::Draining,
            _ => RunState::Stopping,
        }
    }

    pub(super) fn set_state(&self, state: RunState) {
        let number = match state {
            RunState::Starting | RunState::Running => 0,
            RunState::Draining => 1,
            RunState::Stopping => 2,
        };
        self.state.store(number, Ordering::Release);
    }
}

impl Node {
    /// Starts everything in order.
    pub(super) async fn start(
        path: &Path,
        opening: Opening,
        credentials: Arc<Credentials>,
        log: Arc<Log>,
        threads: &Threads,
        fatal: FatalHook,
    ) -> Result<Self> {
        let runtime = threads.runtime().clone();
        let base = std::env::current_dir().context("the working directory is gone")?;
        let local = &opening.local;
        let foundation = Foundation::new(base, local.server.spool.join("accounting"));
        let peers: Arc<dyn Peers> = transport(&credentials);
        let queue = open_queue(local, &credentials, &foundation, &peers, fatal, &runtime).await?;
        let settled = versions::settle(opening, Arc::clone(&credentials), Arc::clone(&queue));
        let (config, in_force) = runtime.spawn(settled).await.context("the runtime ended")??;
        let socket = config.server.admin_socket.clone();
        let name_servers = config.server.name_servers.clone();
        let config = Arc::new(ArcSwap::from_pointee(config));

        let inside = runtime.enter();
        let resolver =
            SystemResolver::new(&name_servers).context("cannot set up name resolution")?;
        let resolver: Arc<dyn crate::dns::Resolve> = Arc::new(resolver);
        let accounting = start_accounting(&foundation, &queue, &config, &socket);
        drop(inside);
        let limits = limits::Driver::new(limits::Surroundings {
            meta: queue.clone(),
            work: queue.clone(),
            peers: Arc::clone(&peers),
            partitions: partitions(&queue),
        });
        let limiting = runtime.spawn(Arc::clone(&limits).run());
        let spool = config.load().server.spool.clone();
        let Doubting { journal, foreign, tasks: doubting } =
            keep_doubts(&spool, &queue, &runtime).await?;
        let delivery = Arc::new(Delivery::start(
            Arc::clone(&config),
            queue.clone(),
            journal,
            Arc::clone(&resolver),
            limits.clone(),
            threads.arbiters(),
        ));
        let ingress = Arc::new(
            Ingress::start(Arc::clone(&config), queue.clone(), threads.arbiters())
                .context("cannot accept mail")?,
        );
        let (description, described) = watch::channel(None);
        let steward = stewardship::steward(&queue, &delivery, described);
        let parts = Arc::new(Parts {
            path: path.to_owned(),
            started: Timestamp::now(),
            config,
            log,
            queue,
            peers,
            accounting,
            delivery,
            limits,
            ingress,
            foreign,
            runtime: runtime.clone(),
            credentials,
            listening: watch::Sender::new(Listening::Off),
            steward,
            description,
            reloading: tokio::sync::Mutex::new(()),
            in_force: watch::Sender::new(in_force),
            state: AtomicU8::new(0),
        });
        let monitor = Arc::new(Monitor::default());
        let asked = Arc::new(ports::of(&parts, resolver, Arc::clone(&monitor)));
        let watching = vec![
            runtime.spawn(monitor::run(
                monitor,
                Arc::clone(&asked.ingress),
                Arc::clone(&asked.delivery),
            )),
            runtime.spawn(watch_actors(Arc::clone(&parts))),
            runtime.spawn(renew(&parts)),
            runtime.spawn(reload::follow(Arc::clone(&parts))),
        ];
        let inside = runtime.enter();
        let cluster = ClusterRpc::start(Arc::clone(&parts), Arc::clone(&asked));
        let stewardship = Stewardship::begin(&parts);
        drop(inside);
        let probes = start_probes(&parts, &asked).await?;
        let accounting = Arc::clone(&parts.accounting);
        let rpc = runtime
            .spawn(async move { Rpc::start(socket, asked, &accounting).await })
            .await
            .context("the runtime ended")??;
        let tasks = Mutex::new(watching);
        Ok(Self { parts, rpc, cluster, stewardship, limiting, probes, tasks, doubting })
    }

    /// Says on standard output where the node listens and where it writes.
    pub(super) fn announce(&self) {
        let config = self.parts.config.load();
        for (listener, address) in config.listeners.iter().zip(self.parts.ingress.addresses()) {
            let how = match (listener.immediate_tls, &listener.tls) {
                (true, _) => "TLS at once",
                (false, Some(_)) => "STARTTLS where the source allows it",
                (false, None) => "in clear",
            };
            say(format_args!("mtad: smtp on {address} ({how})"));
        }
        // Whoever reads this need not know where the node was started.
        let here = std::env::current_dir().unwrap_or_default();
        say(format_args!(
            "mtad: mtactl --socket {}",
            here.join(&config.server.admin_socket).display()
        ));
        for file in &config.acct_files {
            match &file.target {
                AcctTarget::File(path) => {
                    let files = Naming::new(&here, &path.to_string_lossy()).pattern();
                    say(format_args!("mtad: accounting to {}", files.display()));
                }
                AcctTarget::Pipe(words) => {
                    say(format_args!("mtad: accounting to |{}", words.join(" ")))
                }
            }
        }
        if let Some(path) = &config.server.log_file {
            say(format_args!("mtad: log in {}", here.join(path).display()));
        }
        if let Some(probes) = &self.probes {
            say(format_args!("mtad: health on {}", probes.address()));
        }
        say(format_args!("mtad: ready"));
        info!("mtad ready");
        health::tell(NotifyState::Ready);
    }

    /// Reads the configuration again; what there is to say goes to the log.
    pub(super) fn reload_in_background(&self) {
        let parts = Arc::clone(&self.parts);
        self.parts.runtime.spawn(async move {
            // The findings are in the log already.
            let _ = reload::reload(&parts).await;
        });
    }

    /// Stops in order. After a failure of the store nothing waits for it any more.
    pub(super) async fn stop(self, failed: bool) {
        info!("mtad stopping");
        health::tell(NotifyState::Stopping);
        let parts = self.parts;
        parts.set_state(RunState::Stopping);
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        let grace = if failed { Duration::ZERO } else { GRACE };
        parts.ingress.drain(grace).await;
        self.stewardship.end();
        if !failed {
            stewardship::hand_over(&parts.steward).await;
        }
        if tokio::time::timeout(grace, parts.delivery.stop()).await.is_err() {
            warn!("some sessions did not finish in time; their messages stay queued");
        }
        self.limiting.abort();
        if !failed {
            let drained = parts.accounting.drain();
            if tokio::time::timeout(ACCOUNTING_GRACE, drained).await.is_err() {
                warn!("some accounting rows wait in the store for the next start");
            }
        }
        parts.accounting.stop().await;
        self.rpc.stop().await;
        for task in self.doubting {
            task.abort();
        }
        drop(self.probes);
        let queue = Arc::clone(&parts.queue);
        if parts.runtime.spawn(async move { queue.shutdown().await }).await.is_err() {
            warn!("the queue did not stop in order");
        }
        self.cluster.stop().await;
        info!("mtad stopped");
        parts.log.stop();
    }
}

/// To be called within the multi-thread runtime.
fn start_accounting(
    foundation: &Foundation,
    queue: &Arc<Queue>,
    config: &Arc<ArcSwap<Config>>,
    socket: &Path,
) -> Arc<Accounting> {
    let to_collector =
        ToCollector { meta: queue.clone(), peers: queue.peers(), socket: socket.to_owned() };
    let accounting = Accounting::start(
        foundation,
        queue.clone(),
        queue.clone(),
        Arc::clone(config),
        Arc::new(to_collector),
    );
    accounting.give_way(queue.me(), queue.clone());
    Arc::new(accounting)
}

/// Opens `health-listener`, if there is one.
async fn start_probes(parts: &Arc<Parts>, asked: &Arc<Ports>) -> Result<Option<Probes>> {
    let Some(address) = parts.config.load().server.health_listener else { return Ok(None) };
    let (asked, health) = (Arc::clone(asked), Arc::new(Health(Arc::clone(parts))));
    let started = parts.runtime.spawn(async move { Probes::start(address, asked, health).await });
    let probes = started.await.context("the runtime ended")?;
    Ok(Some(probes.with_context(|| format!("health-listener {address}"))?))
}

async fn open_queue(
    config: &Config,
    credentials: &Arc<Credentials>,
    foundation: &Foundation,
    peers: &Arc<dyn Peers>,
    fatal: FatalHook,
    runtime: &Handle,
) -> Result<Arc<Queue>> {
    // A node that never heard of a cluster is the first one of its own.
    let card = credentials.card();
    let card = card.as_ref();
    let dir = config.server.spool.join("store");
    if let Some(card) = card.filter(|card| card.started && !dir.join("CURRENT").exists()) {
        bail!(
            "{} of cluster {} has lost its queue: {} is gone. Under its number it would break \
             promises that it made to the others. Empty {} and join as a new node, with a token \
             of `mtactl cluster token --replaces {}`",
            card.node,
            card.cluster,
            dir.display(),
            config.server.spool.display(),
            card.node
        );
    }
    let options = QueueOptions {
        dir,
        node: card.map_or(NodeId(1), |card| card.node),
        peers: Arc::clone(peers),
        founder: card.is_none_or(|card| card.founder),
        partitions: card.map_or(config.server.partitions, |card| card.partitions),
        accounting: Box::new(foundation.machine()),
        sizes: Sizes::default(),
        timing: Timing::default(),
        commit_timeout: COMMIT_TIMEOUT,
        min_free_bytes: config.server.min_free_space_bytes,
        fatal,
    };
    let opened = runtime.spawn(Queue::open(options)).await.context("the runtime ended")?;
    let opened = opened
        .with_context(|| format!("cannot open the queue in {}", config.server.spool.display()))?;
    let credentials = Arc::clone(credentials);
    runtime
        .spawn_blocking(move || credentials.note_started())
        .await
        .context("the runtime ended")??;
    Ok(opened)
}

/// Keeps the node's certificate good.
fn renew(parts: &Arc<Parts>) -> impl Future<Output = ()> + use<> {
    let partitions = partitions(&parts.queue);
    renewal::run(Arc::clone(&parts.credentials), parts.queue.clone(), partitions)
}

/// Into how many the queue is split.
pub(super) fn partitions(queue: &Queue) -> u32 {
    let groups = queue.groups();
    let partitions = groups.iter().filter(|(group, _)| group.is_partition()).count();
    u32::try_from(partitions).unwrap_or(u32::MAX)
}

/// How long a start waits for marks on what a former run left open.
const MARK_GRACE: Duration = Duration::from_secs(2);

/// What is in doubt, here and elsewhere.
struct Doubting {
    journal: Arc<Journal>,
    foreign: Arc<Foreign>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens the journal of what is in doubt, marks what a former run left open, and starts the tasks
/// that keep marks up. Must be done before anything is sent again.
async fn keep_doubts(spool: &Path, queue: &Arc<Queue>, runtime: &Handle) -> Result<Doubting> {
    let path = spool.join("in-doubt");
    let journal =
        Journal::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let journal = Arc::new(journal);
    let (open, mark) = (Arc::clone(&journal), Arc::clone(queue));
    let marking = runtime.spawn(async move {
        let marked = doubt::mark_left_open(&open, mark.as_ref(), mark.as_ref());
        // Where no leader is known yet, the tasks go on.
        let _late = tokio::time::timeout(MARK_GRACE, marked).await;
    });
    marking.await.context("the runtime ended")?;
    let around = doubt::Surroundings {
        mark: queue.clone(),
        work: queue.clone(),
        meta: queue.clone(),
        peers: queue.peers(),
    };
    let foreign = Arc::new(Foreign::default());
    let _inside = runtime.enter();
    let tasks = doubt::start(&journal, &foreign, around);
    Ok(Doubting { journal, foreign, tasks })
}

/// Makes actors again that ended by a panic: actix does not.
async fn watch_actors(parts: Arc<Parts>) {
    let mut tick = tokio::time::interval(WATCH_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        parts.ingress.revive();
    }
}
