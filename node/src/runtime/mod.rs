//! Start order, supervision, stop order, reload, logging: wires all other modules.
//!
//! - `check`: reading a configuration with the files that it names.
//! - `threads`: the multi-thread runtime and the arbiters.
//! - `node`: what is started in which order, and stopped in which order.
//! - `signals`: SIGTERM, SIGINT, SIGHUP, and the store's failure.
//! - `reload`: putting a new configuration to use.
//! - `versions`: which version of the shared configuration a node runs with.
//! - `split`: two files out of one.
//! - `health`: what probes ask, and word to the service manager.
//! - `cluster_port`: what administration asks of the cluster.
//! - `ports`: what administration asks, answered by the owners.
//! - `rpc`: the gRPC server on the Unix socket, and the way to the collector.
//! - `cluster_rpc`: the gRPC server on the cluster listener.
//! - `founding`: making a cluster and letting others in; `joining`: becoming a member.
//! - `log`: the log file.

mod acct_paths;
pub mod check;
mod cluster_port;
mod cluster_rpc;
mod delivery_port;
mod founding;
mod health;
mod joining;
pub mod log;
mod node;
mod ports;
mod reload;
mod rpc;
mod signals;
pub mod split;
mod stewardship;
mod threads;
mod versions;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::log::{Log, LogSettings};
use self::node::Node;
use self::signals::{Ended, Signals};
use self::threads::Threads;
use self::versions::Opening;
use crate::cluster::credentials::Credentials;

pub use joining::JoinWith;

/// Runs a node with the configuration in `path` until it is told to stop, after it has joined a
/// cluster if it is told to. False when the
/// configuration is refused or the node could not go on; what there is to say has been printed.
///
/// # Errors
///
/// When the node cannot start, or does not stop in order.
pub fn run(path: &Path, join: Option<JoinWith>) -> Result<bool> {
    let Some(opening) = versions::open(path, join.is_some()) else {
        eprintln!("mtad: {} is refused", path.display());
        return Ok(false);
    };
    let (log, layer) =
        Log::start(LogSettings::of(&opening.local.server)).context("cannot open the log file")?;
    tracing_subscriber::registry().with(layer).init();
    tracing::info!("mtad {} starting", env!("CARGO_PKG_VERSION"));

    let log = Arc::new(log);
    let ended = serve(path, opening, join, &log);
    if let Err(error) = &ended {
        tracing::error!("mtad cannot run: {}", explain(error));
    }
    log.stop();
    Ok(ended? == Ended::Asked)
}

/// Starts the node, and stops it when it is told to or cannot go on.
fn serve(path: &Path, opening: Opening, join: Option<JoinWith>, log: &Arc<Log>) -> Result<Ended> {
    let threads = Threads::start()?;
    let local = opening.local.clone();
    let credentials = Arc::new(Credentials::open(&local.server.spool)?);
    let ended = threads.block_on(async {
        let signals = Signals::listen()?;
        if let Some(with) = join {
            joining::join(&local, &credentials, with, threads.runtime())
                .await
                .context("this node did not join")?;
        }
        let log = Arc::clone(log);
        let failure = signals.failure();
        let node = Node::start(path, opening, credentials, log, &threads, failure).await?;
        node.announce();
        let ended = signals.wait(&node).await;
        node.stop(ended == Ended::Failed).await;
        Ok::<_, anyhow::Error>(ended)
    })?;
    threads.stop();
    Ok(ended)
}

/// Prints a line to standard output. A reader that has gone (`mtad --manual conf | head`) is no
/// reason for a node to end.
pub fn say(line: impl std::fmt::Display) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// An error and its causes in one line, each said once: many errors name their cause themselves.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}: {source}")]
    struct NamesItsCause {
        what: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn each_cause_is_said_once() {
        let cause = || std::io::Error::other("disk on fire");
        let named = NamesItsCause { what: "making /x", source: cause() };
        let check = |error: anyhow::Error, expected: &str| assert_eq!(explain(&error), expected);
        check(anyhow::Error::new(cause()), "disk on fire");
        check(anyhow::Error::new(cause()).context("opening"), "opening: disk on fire");
        check(named.into(), "making /x: disk on fire");
    }
}
