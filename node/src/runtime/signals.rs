//! What ends a node or makes it read its configuration again.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::node::Node;
use crate::queue::store::FatalHook;

/// Why the node is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// SIGTERM or SIGINT.
    Asked,
    /// The store failed: nothing may be written any more.
    Failed,
}

/// The signals of the process and the store's failure.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    failed: mpsc::Receiver<String>,
    failure: FatalHook,
}

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> Result<Self> {
        let (report, failed) = mpsc::channel(1);
        let failure = FatalHook::new(move |reason| {
            // The first report is enough, and the receiver lives as long as the node.
            let _ = report.try_send(reason);
        });
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            failed,
            failure,
        })
    }

    /// What the store calls when it fails.
    pub(super) fn failure(&self) -> FatalHook {
        self.failure.clone()
    }

    /// Waits until the node is to stop; reloads on SIGHUP.
    pub(super) async fn wait(mut self, node: &Node) -> Ended {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ended::Asked,
                _ = self.interrupt.recv() => return Ended::Asked,
                _ = self.hangup.recv() => {
                    info!("SIGHUP: reading the configuration again");
                    node.reload_in_background();
                }
                Some(reason) = self.failed.recv() => {
                    error!("stopping, because the store failed: {reason}");
                    eprintln!("mtad: stopping, because the store failed: {reason}");
                    return Ended::Failed;
                }
            }
        }
    }
}
