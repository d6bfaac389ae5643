//! One run: a cluster, receivers, a load, faults, and what was seen of all that.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep, timeout};

use crate::certificates::Authority;
use crate::cluster::{Cluster, Plan, node_named};
use crate::history::{
    At, Fault, History, Limit, Minority, Recipient, Replica, Row, Sent, Transaction,
};
use crate::load::{Load, Source};
use crate::parcel;
use crate::place::Place;
use crate::receiver::{Ledger, Manner, Receiver};
use crate::rows;
use crate::shim::Shim;
use crate::sink::Tls;

/// What a node sent before it was killed reaches a receiver so much later at most.
const SLACK: Duration = Duration::from_millis(500);
/// Between two looks at whether all is done.
const PAUSE: Duration = Duration::from_millis(300);
/// How long it may take until somebody takes over.
const TAKEOVER: Duration = Duration::from_secs(120);
/// How long replicas of the accounting files may take to become the same.
const EQUAL_AFTER: Duration = Duration::from_secs(20);

/// A receiver to be, and what the configuration says of its domain.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The domain.
    pub domain: String,
    /// Directives of the domain.
    pub directives: String,
    /// It offers STARTTLS, and the domain requires it.
    pub encrypted: bool,
    /// How it treats what comes.
    pub manner: Manner,
}

/// What to set up.
pub struct Setting {
    /// Number of nodes.
    pub nodes: u8,
    /// Where they live.
    pub place: Place,
    /// Directory for everything.
    pub directory: PathBuf,
    /// Receivers.
    pub targets: Vec<Target>,
    /// More configuration.
    pub more: String,
    /// Loads this library into every node.
    pub shim: Option<Shim>,
    /// Gives every node a file system of so many MiB.
    pub disk_mib: Option<u32>,
    /// Puts a proxy before every cluster listener.
    pub proxies: bool,
}

impl Setting {
    /// A cluster without anything special.
    #[must_use]
    pub fn new(nodes: u8, place: Place, directory: PathBuf, targets: Vec<Target>) -> Self {
        let (more, shim, disk_mib, proxies) = (String::new(), None, None, false);
        Self { nodes, place, directory, targets, more, shim, disk_mib, proxies }
    }
}

/// A run that goes on.
pub struct Trial {
    /// The cluster.
    pub cluster: Cluster,
    /// The receivers, in the order of the targets.
    pub receivers: Vec<Receiver>,
    /// What they saw.
    pub ledger: Arc<Ledger>,
    /// All times count from here.
    pub start: Instant,
    /// Limits that hold during the run.
    pub limits: Vec<Limit>,
    faults: Vec<Fault>,
    minorities: Vec<Minority>,
    encrypted_only: Vec<u8>,
}

impl Trial {
    /// Starts receivers and cluster.
    ///
    /// # Errors
    ///
    /// When one of them cannot be started.
    pub async fn start(setting: Setting) -> Result<Self> {
        let Setting { nodes, place, directory, targets, more, shim, disk_mib, proxies } = setting;
        let start = Instant::now();
        let by_address: Vec<IpAddr> = (0..64).map(|node| place.address(node)).collect();
        let name_node = move |name: &str, source: IpAddr| {
            let at = by_address.iter().position(|address| *address == source);
            at.and_then(|n| u8::try_from(n).ok()).or_else(|| node_named(name))
        };
        let ledger = Ledger::new(start, Arc::new(name_node));
        let host = place.host();
        let authority = Authority::new("receivers")?;
        let mut receivers = Vec::new();
        for (target, number) in targets.iter().zip(0..) {
            let tls = if target.encrypted {
                let names = [target.domain.clone(), host.to_string()];
                let names = names.each_ref().map(String::as_str);
                Tls::Offered(authority.issue(&names)?.server_config(None)?)
            } else {
                Tls::NotOffered
            };
            let (domain, manner) = (&target.domain, target.manner.clone());
            receivers.push(Receiver::start(&ledger, number, domain, host, tls, manner).await?);
        }
        let shared = configuration(&targets, &receivers, &more);
        let encrypted = targets.iter().zip(0..).filter(|(target, _)| target.encrypted);
        let encrypted_only = encrypted.map(|(_, number)| number).collect();
        let plan = Plan { nodes, place, directory, shared, shim, disk_mib, proxies };
        let cluster = Cluster::found(plan).await?;
        let (limits, faults, minorities) = Default::default();
        Ok(Self { cluster, receivers, ledger, start, limits, faults, minorities, encrypted_only })
    }

    /// Time since the start of the run.
    #[must_use]
    pub fn now(&self) -> At {
        self.start.elapsed()
    }

    /// Starts a load on the nodes that belong to the cluster now.
    #[must_use]
    pub fn load(&self, most: u32) -> Load {
        let domains: Vec<&str> = self.receivers.iter().map(|r| r.domain.as_str()).collect();
        Load::new(self.cluster.listeners(), &domains, most)
    }

    /// Starts a load.
    #[must_use]
    pub fn send(&self, load: Load) -> Source {
        Source::start(load, self.start)
    }

    /// Notes a fault that begins at `from` and whose effects at receivers are over now.
    pub fn note(&mut self, what: &str, node: Option<u8>, from: At) {
        let (what, until) = (what.to_owned(), self.now() + SLACK);
        self.faults.push(Fault { what, node, from, until, frozen: false });
    }

    /// Notes a fault that begins now and goes on; [`Trial::over`] ends it.
    pub fn begin(&mut self, what: &str, node: Option<u8>, frozen: bool) {
        let (what, from) = (what.to_owned(), self.now());
        self.faults.push(Fault { what, node, from, until: At::MAX, frozen });
    }

    /// Ends what [`Trial::begin`] began.
    pub fn over(&mut self) {
        let now = self.now() + SLACK;
        for fault in self.faults.iter_mut().filter(|fault| fault.until == At::MAX) {
            fault.until = now;
        }
    }

    /// Faults so far.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Notes that a node has been without a majority from `from` until now.
    pub fn note_minority(&mut self, node: u8, from: At) {
        let until = self.now();
        self.minorities.push(Minority { node, from, until });
    }

    /// Kills a node and notes it; gives the moment.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn kill(&mut self, node: u8) -> Result<At> {
        let from = self.now();
        self.cluster.kill(node).await?;
        self.note("kill -9", Some(node), from);
        Ok(from)
    }

    /// From the kill of a node until another one brings a message that the dead one had accepted and
    /// whose delivery it had not recorded.
    ///
    /// # Errors
    ///
    /// When the dead node had nothing to send, or nobody takes over within two minutes.
    pub async fn takeover(&self, sent: &[Sent], victim: u8, killed: At) -> Result<Duration> {
        let done = self.ledger.answered(killed);
        let by_victim = |sent: &&Sent| {
            sent.is_accepted() && sent.attempts.last().is_some_and(|last| last.node == victim)
        };
        let accepted = sent.iter().filter(by_victim).flat_map(Sent::recipients);
        let waiting: HashSet<Recipient> = accepted.filter(|to| !done.contains(to)).collect();
        ensure!(!waiting.is_empty(), "the killed node had nothing to send");
        let wanted = |transaction: &Transaction| {
            let theirs = transaction.node != Some(victim);
            theirs && transaction.recipients.iter().any(|to| waiting.contains(to))
        };
        let resumed = async {
            loop {
                if let Some(at) = self.ledger.first_taken(killed, wanted) {
                    return at - killed;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TAKEOVER, resumed).await.context("nobody took over")
    }

    /// Waits until all that was accepted has a row; gives what still has none when time is up.
    pub async fn settle(&self, sent: &[Sent], patience: Duration) -> HashSet<Recipient> {
        let accepted = sent.iter().filter(|sent| sent.is_accepted());
        let wanted: HashSet<Recipient> = accepted.flat_map(Sent::recipients).collect();
        let end = Instant::now() + patience;
        loop {
            let mut missing = wanted.clone();
            for node in self.cluster.all() {
                for row in read(&self.cluster.member(node).directory).unwrap_or_default() {
                    missing.remove(&row.recipient);
                }
            }
            if missing.is_empty() || Instant::now() > end {
                return missing;
            }
            sleep(PAUSE).await;
        }
    }

    /// Everything that was seen.
    ///
    /// # Errors
    ///
    /// When an accounting file cannot be read.
    pub async fn history(&self, sent: Vec<Sent>) -> Result<History> {
        let queued = self.cluster.queued().await.unwrap_or(0);
        let replicas = self.replicas().await?;
        let nodes = replicas.iter().map(|replica| replica.node);
        let best = nodes.map(|node| read(&self.cluster.member(node).directory));
        let best = best.collect::<Result<Vec<_>>>()?.into_iter().max_by_key(Vec::len);
        let (connections, transactions) = self.ledger.copy();
        Ok(History {
            sent,
            connections,
            transactions,
            faults: self.faults.clone(),
            minorities: self.minorities.clone(),
            limits: self.limits.clone(),
            encrypted_only: self.encrypted_only.clone(),
            queued,
            rows: best.unwrap_or_default(),
            replicas,
        })
    }

    /// The files of the nodes that have a replica of the accounting group, once they are the same,
    /// or as they are when that takes too long.
    async fn replicas(&self) -> Result<Vec<Replica>> {
        let voters = self.accounting_voters().await;
        let load = || voters.iter().map(|node| replica(*node, self.cluster.member(*node)));
        let equal = async {
            loop {
                let found = load().collect::<Result<Vec<_>>>()?;
                if found.windows(2).all(|pair| pair[0].files == pair[1].files) {
                    return anyhow::Ok(());
                }
                sleep(PAUSE).await;
            }
        };
        // Files that stay different are for the laws to judge.
        if let Ok(read) = timeout(EQUAL_AFTER, equal).await {
            read?;
        }
        load().collect()
    }

    async fn accounting_voters(&self) -> Vec<u8> {
        let status = self.cluster.status().await.unwrap_or_default();
        let voters = status.group("accounting").map(|group| group.voters.clone());
        match voters {
            Some(ids) => ids.iter().filter_map(|id| self.cluster.by_id(id)).collect(),
            None => self.cluster.all_running(),
        }
    }
}

fn configuration(targets: &[Target], receivers: &[Receiver], more: &str) -> String {
    let mut text = String::from(
        "<source 0/0>\n always-allow-relaying yes\n</source>\n\
         <acct-file acct.csv>\n records d, b\n</acct-file>\n",
    );
    for (target, receiver) in targets.iter().zip(receivers) {
        let Target { domain, directives, encrypted, .. } = target;
        let (ip, port) = (receiver.address.ip(), receiver.address.port());
        let tls = if *encrypted { " use-starttls yes\n require-starttls yes\n" } else { "" };
        text += &format!(
            "<domain {domain}>\n smtp-hosts [{ip}]:{port}\n retry-after 1s\n\
             \x20retry-recipients-after 1s\n{tls}\
             {directives}\n</domain>\n"
        );
    }
    text + more
}

/// Terminal rows of a node, in the order of the files.
fn read(directory: &Path) -> Result<Vec<Row>> {
    let row = |row: rows::Row| {
        let (_, recipient) = parcel::recognise(row.get("rcpt")?)?;
        Some(Row { recipient, delivered: row.get("type")? == "d" })
    };
    Ok(rows::read(directory, "acct")?.into_iter().filter_map(row).collect())
}

fn replica(node: u8, member: &crate::cluster::Member) -> Result<Replica> {
    let paths = rows::files(&member.directory, "acct")?;
    let content = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        anyhow::Ok((name, bytes))
    };
    Ok(Replica { node, files: paths.into_iter().map(content).collect::<Result<_>>()? })
}
