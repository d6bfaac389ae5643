//! A cluster of real nodes: founding and joining, kill, pause, restart, wipe and replacement.

mod life;
mod status;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

pub use status::{GroupStatus, MemberStatus, Status};

use crate::disk::SmallDisk;
use crate::node::{Launch, Node, mtactl};
use crate::place::Place;
use crate::proxy::{Proxy, Way};
use crate::shim::Shim;

/// How long a cluster may take to be healthy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);
/// A replica that lags by so many entries at most is up to date.
const LAG: u64 = 100;

/// A cluster to be.
pub struct Plan {
    /// How many nodes found it; one node is no cluster.
    pub nodes: u8,
    /// Where they live.
    pub place: Place,
    /// Directory for the directories of the nodes.
    pub directory: PathBuf,
    /// Configuration that all share.
    pub shared: String,
    /// Loads this library into every node.
    pub shim: Option<Shim>,
    /// Gives every node a file system of so many MiB.
    pub disk_mib: Option<u32>,
    /// Puts a proxy before every cluster listener.
    pub proxies: bool,
}

/// A running cluster. Its nodes are numbered from 0 in the order in which they came; a number is
/// never used again.
pub struct Cluster {
    /// Where its nodes live.
    pub place: Place,
    members: Vec<Member>,
    plan: Template,
}

/// What every node gets.
struct Template {
    directory: PathBuf,
    shared: String,
    shim: Option<Shim>,
    disk_mib: Option<u32>,
    proxies: bool,
    clustered: bool,
}

/// A node, running or not.
pub struct Member {
    /// Its directory.
    pub directory: PathBuf,
    /// Its SMTP listener.
    pub smtp: SocketAddr,
    /// Its cluster listener.
    pub peer: SocketAddr,
    /// Its id in the cluster, `n1`; empty until it has joined.
    pub id: String,
    launch: Launch,
    state: State,
    proxy: Option<Proxy>,
    // Unmounted after the process has been killed, which the state does.
    disk: Option<SmallDisk>,
}

enum State {
    Running(Node),
    Paused(Node),
    /// It is to come back.
    Down,
    /// It never comes back.
    Gone,
}

impl Cluster {
    /// Starts the nodes, founds the cluster and waits until it is healthy.
    ///
    /// # Errors
    ///
    /// When a node or a command fails, or the cluster does not become healthy in time.
    pub async fn found(plan: Plan) -> Result<Self> {
        let Plan { nodes, place, directory, shared, shim, disk_mib, proxies } = plan;
        let clustered = nodes > 1;
        let plan = Template { directory, shared, shim, disk_mib, proxies, clustered };
        let mut cluster = Self { place, members: Vec::new(), plan };
        let first = cluster.prepare().await?;
        cluster.start(first).await?;
        if clustered {
            cluster.mtactl(first, &["cluster", "init"]).await?;
        }
        cluster.learn_id(first).await?;
        for _ in 1..nodes {
            cluster.join().await?;
        }
        cluster.wait_healthy().await?;
        Ok(cluster)
    }

    /// A directory and a configuration for one more node.
    async fn prepare(&mut self) -> Result<u8> {
        let number = u8::try_from(self.members.len())?;
        self.place.grow(number)?;
        let directory = self.plan.directory.join(format!("node{number}"));
        std::fs::create_dir_all(&directory)?;
        let mount = |mib| SmallDisk::mount(&directory, mib);
        let disk = self.plan.disk_mib.map(mount).transpose()?;
        let (smtp, peer) = (self.place.free_port(number)?, self.place.free_port(number)?);
        let mut launch = Launch {
            directory: directory.clone(),
            before: self.place.before(number),
            ..Launch::default()
        };
        if let Some(shim) = &self.plan.shim {
            launch.environment = shim.environment(&directory)?;
        }
        let proxy = if self.plan.proxies {
            Some(Proxy::start(SocketAddr::new(peer.ip(), 0), peer).await?)
        } else {
            None
        };
        let (id, state) = (String::new(), State::Down);
        let member = Member { directory, smtp, peer, id, launch, state, proxy, disk };
        std::fs::write(member.directory.join("config"), self.configuration(&member, number))?;
        self.members.push(member);
        Ok(number)
    }

    fn configuration(&self, member: &Member, number: u8) -> String {
        let (directory, smtp, peer) = (member.directory.display(), member.smtp, member.peer);
        let door = member.proxy.as_ref().map_or(peer, |proxy| proxy.address);
        let cluster = if self.plan.clustered {
            format!("cluster-listener {peer}\ncluster-address {door}\n")
        } else {
            String::new()
        };
        format!(
            "spool {directory}/spool\nlog-file {directory}/mtad.log\n\
             admin-socket {directory}/mtad.sock\nhost-name {}\nsmtp-listener {smtp}\n\
             {cluster}{}",
            host_name(number),
            self.plan.shared
        )
    }

    /// Starts a new node that joins the cluster; gives its number.
    ///
    /// # Errors
    ///
    /// When there is no token, or the node does not get ready.
    pub async fn join(&mut self) -> Result<u8> {
        let token = self.ask(&["cluster", "token"]).await?;
        self.join_with(token.trim()).await
    }

    async fn join_with(&mut self, token: &str) -> Result<u8> {
        let door = self.members[usize::from(self.running().context("no node runs")?)].peer;
        let number = self.prepare().await?;
        let member = &mut self.members[usize::from(number)];
        let words = ["--join", &door.to_string(), "--token", token];
        member.launch.arguments = words.map(str::to_owned).to_vec();
        self.start(number).await?;
        // Later starts need neither.
        self.member_mut(number).launch.arguments.clear();
        self.learn_id(number).await?;
        Ok(number)
    }

    async fn learn_id(&mut self, number: u8) -> Result<()> {
        let reply = self.mtactl(number, &["--json", "status"]).await?;
        let reply: serde_json::Value = serde_json::from_str(&reply)?;
        let id = reply.pointer("/data/mta/hostId").and_then(serde_json::Value::as_u64);
        let id = id.with_context(|| format!("no node id in {reply}"))?;
        self.member_mut(number).id = format!("n{id}");
        Ok(())
    }

    async fn start(&mut self, number: u8) -> Result<()> {
        let member = self.member_mut(number);
        let node = Node::launch(&member.launch).await;
        let node = node.with_context(|| {
            let log = std::fs::read_to_string(member.directory.join("mtad.log"));
            format!("node {number}; its log ends:\n{}", last_lines(&log.unwrap_or_default(), 30))
        })?;
        member.state = State::Running(node);
        Ok(())
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// When the number was never given.
    #[must_use]
    pub fn member(&self, number: u8) -> &Member {
        &self.members[usize::from(number)]
    }

    fn member_mut(&mut self, number: u8) -> &mut Member {
        &mut self.members[usize::from(number)]
    }

    /// Numbers of the nodes for which `wanted` holds.
    fn numbers(&self, wanted: impl Fn(&State) -> bool) -> Vec<u8> {
        let members = self.members.iter().zip(0..);
        members.filter(|(member, _)| wanted(&member.state)).map(|(_, number)| number).collect()
    }

    /// Nodes that run and are not paused.
    #[must_use]
    pub fn all_running(&self) -> Vec<u8> {
        self.numbers(|state| matches!(state, State::Running(_)))
    }

    /// Nodes that belong to the cluster, running or not.
    #[must_use]
    pub fn all(&self) -> Vec<u8> {
        self.numbers(|state| !matches!(state, State::Gone))
    }

    fn running(&self) -> Option<u8> {
        self.all_running().first().copied()
    }

    /// The node with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<u8> {
        let found = self.members.iter().position(|member| member.id == id);
        found.and_then(|number| u8::try_from(number).ok())
    }

    /// Listeners of all nodes that belong to the cluster.
    #[must_use]
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.all().into_iter().map(|number| self.member(number).smtp).collect()
    }

    /// Runs `mtactl` against a node.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub async fn mtactl(&self, number: u8, arguments: &[&str]) -> Result<String> {
        mtactl(&self.member(number).directory, arguments).await
    }

    /// Runs `mtactl` against nodes in turn until one answers.
    ///
    /// # Errors
    ///
    /// When none does; the error is that of the last.
    pub async fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut last = anyhow::anyhow!("no node runs");
        for number in self.all_running() {
            match self.mtactl(number, arguments).await {
                Ok(text) => return Ok(text),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the first node that answers says of the cluster.
    ///
    /// # Errors
    ///
    /// When none does.
    pub async fn status(&self) -> Result<Status> {
        Status::parse(&self.ask(&["--json", "cluster", "status"]).await?)
    }

    /// The node that leads a group.
    ///
    /// # Errors
    ///
    /// When nobody leads it, or no node answers.
    pub async fn leader(&self, group: &str) -> Result<u8> {
        let status = self.status().await?;
        let leader = status.leader(group).with_context(|| format!("nobody leads {group}"))?;
        self.by_id(leader).with_context(|| format!("{leader} is none of ours"))
    }

    /// Recipients that are queued, as the cluster counts them.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn queued(&self) -> Result<usize> {
        let reply: serde_json::Value =
            serde_json::from_str(&self.ask(&["--json", "status"]).await?)?;
        let count = |kind: &str| {
            let found = reply.pointer(&format!("/data/status/queue/{kind}/rcp"));
            found.and_then(serde_json::Value::as_u64)
        };
        let (smtp, other) = (count("smtp"), count("other"));
        let total = smtp.with_context(|| format!("no queue in {reply}"))? + other.unwrap_or(0);
        Ok(usize::try_from(total)?)
    }

    /// Why the cluster is not healthy; none when it is: all members that run are reached, every
    /// group is led and has its replicas, and no replica lags.
    pub async fn ailment(&self) -> Option<String> {
        if !self.plan.clustered {
            return None;
        }
        let status = match self.status().await {
            Ok(status) => status,
            Err(error) => return Some(format!("{error:#}")),
        };
        let running: Vec<&str> =
            self.all_running().iter().map(|n| self.member(*n).id.as_str()).collect();
        for id in &running {
            match status.members.iter().find(|member| member.id == **id) {
                None => return Some(format!("{id} is no member")),
                Some(member) if !member.reachable => return Some(format!("{id} is not reached")),
                Some(_) => {}
            }
        }
        let wanted = running.len().min(3);
        status.groups.iter().find_map(|group| ailing(group, &running, wanted))
    }

    /// Waits until the cluster is healthy.
    ///
    /// # Errors
    ///
    /// When it is not within two minutes; the error says what is wrong.
    pub async fn wait_healthy(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.ailment().await {
                None => return Ok(()),
                Some(why) if Instant::now() > end => bail!("the cluster is not healthy: {why}"),
                Some(_) => sleep(PAUSE).await,
            }
        }
    }
}

fn ailing(group: &GroupStatus, running: &[&str], wanted: usize) -> Option<String> {
    let GroupStatus { name, leader, voters, lag, .. } = group;
    let Some(leader) = leader else { return Some(format!("nobody leads {name}")) };
    if !running.contains(&leader.as_str()) {
        return Some(format!("{leader}, which does not run, leads {name}"));
    }
    let present = voters.iter().filter(|voter| running.contains(&voter.as_str())).count();
    if present < wanted {
        return Some(format!("{name} has {present} voters that run, not {wanted}"));
    }
    (*lag > LAG).then(|| format!("a replica of {name} lags by {lag}"))
}

/// The name that a node says in `EHLO`.
#[must_use]
pub fn host_name(number: u8) -> String {
    format!("node{number}.cluster.example")
}

/// The node that says this name in `EHLO`.
#[must_use]
pub fn node_named(name: &str) -> Option<u8> {
    name.strip_prefix("node")?.strip_suffix(".cluster.example")?.parse().ok()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A fresh directory for a cluster, emptied of an earlier one.
///
/// # Errors
///
/// When the earlier one cannot be removed.
pub fn fresh_directory(name: &str) -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(name);
    crate::disk::sweep(&directory);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(Path::new(&directory).to_owned())
}
