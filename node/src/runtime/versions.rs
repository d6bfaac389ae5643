//! Which version of the shared configuration a node runs with.
//!
//! The store has to be open before it is known whether there is one, and the store's place is in
//! the node's own file. So the file is read alone first: if it is good as it stands, or at least
//! in what is node-local, the store opens, and then the whole is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::check::{self, Checked, Shared};
use super::cluster_rpc::Early;
use super::reload;
use crate::admin::ports::Refusal;
use crate::cluster::credentials::Credentials;
use crate::config::{Bundle, Config, Diagnostic, InForce};
use crate::queue::Queue;
use crate::queue::cluster::{Cluster, Configuration};
use crate::queue::door::Meta;

/// A node's own file before its store is open.
pub(super) struct Opening {
    path: PathBuf,
    /// The file as one with everything.
    alone: Checked,
    /// What is needed to open the store.
    pub(super) local: Config,
}

/// How long a new member waits for what its cluster shares.
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(60);

/// Reads the file for a start. None when it cannot be used in any case; what there is to say has
/// been printed.
pub(super) fn open(path: &Path, joining: bool) -> Option<Opening> {
    let alone = check::read(path, None);
    let local = alone.config.clone().or_else(|| {
        // What it lacks may be shared, which is known only when the store is open.
        let possible = |config: &Config| {
            let there = |name| config.server.spool.join(name).is_dir();
            joining || there("store") || there("cluster")
        };
        check::read_local(path).filter(possible)
    });
    if local.is_none() {
        print(&alone.diagnostics);
    }
    Some(Opening { path: path.to_owned(), alone, local: local? })
}

/// The whole configuration of a starting node: with the newest version of the shared one that can
/// be used here. To be called within the multi-thread runtime.
///
/// # Errors
/// When there is none, or the file is refused; what there is to say has been printed.
pub(super) async fn settle(
    opening: Opening,
    credentials: Arc<Credentials>,
    queue: Arc<Queue>,
) -> Result<(Config, InForce)> {
    let Opening { path, alone, local } = opening;
    let joined = credentials.card().is_some_and(|card| !card.founder);
    if joined && !queue.cluster().borrow().members.contains_key(&queue.me()) {
        await_admission(&local, &credentials, &queue).await?;
    }
    let cluster = Arc::clone(&queue.cluster().borrow());
    let Some(active) = cluster.configuration.as_ref().map(|c| c.version) else {
        print(&alone.diagnostics);
        let Some(config) = alone.config else { bail!("{} is refused", path.display()) };
        return Ok((config, InForce::default()));
    };
    newest_usable(&path, &cluster, active, &*queue).await
}

/// Waits until the admission of this node is applied here, and with it all that was pushed before.
/// Only then is it known which configuration is the cluster's.
async fn await_admission(
    local: &Config,
    credentials: &Arc<Credentials>,
    queue: &Arc<Queue>,
) -> Result<()> {
    let address = local.server.cluster_listener.context("a member needs a cluster-listener")?;
    let early = Early::start(address, credentials, queue)
        .await
        .with_context(|| format!("cluster-listener {address}"))?;
    info!("waiting for what the cluster shares");
    let me = queue.me();
    let mut cluster = queue.cluster();
    let admitted = cluster.wait_for(|cluster| cluster.members.contains_key(&me));
    let in_time = timeout(NEWCOMER_PATIENCE, admitted).await.is_ok_and(|known| known.is_ok());
    early.stop().await;
    if !in_time {
        bail!(
            "the cluster did not reach this node within {} s: do cluster-listener and \
             cluster-address say where it is?",
            NEWCOMER_PATIENCE.as_secs()
        );
    }
    Ok(())
}

async fn newest_usable(
    path: &Path,
    cluster: &Cluster,
    active: u64,
    meta: &dyn Meta,
) -> Result<(Config, InForce)> {
    let mut refused = String::new();
    for version in cluster.history.iter().rev().map(|note| note.version) {
        let Some(configuration) = meta.configuration(version).await else { continue };
        let shared = shared(configuration)?;
        let path = path.to_owned();
        let checked = reload::read(move || check::read(&path, Some(&shared))).await?;
        print(&checked.diagnostics);
        if let Some(config) = checked.config {
            if version != active {
                warn!("version {version} of the configuration is in force instead of {active}");
            }
            return Ok((config, InForce { version, tried: active, refused }));
        }
        error!("version {version} of the configuration is refused");
        if version == active {
            refused = reason(&checked.diagnostics);
        }
    }
    bail!("{} is refused with every version of the cluster's configuration", path.display())
}

/// The version of the shared configuration that should be in force, if there is any.
pub(super) fn active(meta: &dyn Meta) -> Result<Option<Shared>, Refusal> {
    let active = meta.cluster().borrow().configuration.clone();
    active.map(shared).transpose()
}

fn shared(configuration: Configuration) -> Result<Shared, Refusal> {
    let version = configuration.version;
    let bundle = Bundle::new(configuration.files)
        .map_err(|error| Refusal::Failed(format!("configuration, version {version}: {error}")))?;
    Ok(Shared { bundle, version: Some(version) })
}

/// The first error, and how many more there are.
pub(super) fn reason(diagnostics: &[Diagnostic]) -> String {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let first = errors.next().map(first_line).unwrap_or_default();
    match errors.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    }
}

pub(super) fn first_line(diagnostic: &Diagnostic) -> String {
    diagnostic.to_string().lines().next().unwrap_or_default().to_owned()
}

fn print(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        eprintln!("{diagnostic}");
    }
}
