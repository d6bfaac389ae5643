//! What is done when the core of a group ends without being told to.
//!
//! A core that has panicked is made again from what the store has, a few times; then the node
//! stops, as it does at once when the store itself has failed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;

use super::TypeConfig;
use super::group::{Core, Group};
use crate::clock::{Instant, monotonic};

/// Cores made anew within [`PERIOD`] before the node gives up.
const TRIES: usize = 3;
/// Failures that are older do not count.
const PERIOD: Duration = Duration::from_secs(600);

/// Looks after the core of a group as long as the group lives.
pub(super) fn watch(group: &Arc<Group>) {
    tokio::spawn(run(Arc::downgrade(group)));
}

async fn run(group: Weak<Group>) {
    let mut failures: Vec<Instant> = Vec::new();
    loop {
        let Some(error) = ended(&group).await else { return };
        let Some(group) = group.upgrade() else { return };
        let what = format!("group {}: {error}", group.id());
        let now = monotonic();
        failures.retain(|at| *at + PERIOD > now);
        failures.push(now);
        if matches!(error, Fatal::StorageError(_)) || failures.len() > TRIES {
            return group.parts.fatal.report(&what);
        }
        tracing::error!("{what}; the group is started again from the store");
        if let Err(reason) = rebuild(&group).await {
            return group.parts.fatal.report(&reason);
        }
    }
}

/// Waits until the core ends by itself; `None` when it was told to.
async fn ended(group: &Weak<Group>) -> Option<Fatal<TypeConfig>> {
    let mut metrics = group.upgrade()?.raft().metrics();
    loop {
        let state = metrics.borrow_and_update().running_state.clone();
        match state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return None,
            Err(error) => return Some(error),
        }
        if metrics.changed().await.is_err() {
            // The core is gone without a word: only a panic does that.
            let stopping = group.upgrade()?.stopping.load(Ordering::Acquire);
            return (!stopping).then_some(Fatal::Panicked);
        }
    }
}

/// Starts Raft again on the same log and state.
async fn rebuild(group: &Arc<Group>) -> Result<(), String> {
    group.parts.leadership.lost(group.parts.group);
    if let Some(mut watch) = group.take_watch() {
        watch.close().await;
    }
    // It has ended already; this waits for what belonged to it.
    let _ = group.raft().shutdown().await;
    let text = |e: &dyn std::fmt::Display| format!("group {}: {e}", group.id());
    // What the old core had under way must be in the store before a new one looks at it.
    group.parts.log.settled().await.map_err(|e| text(&e))?;
    group.parts.applier.apply(Vec::new()).await.map_err(|e| text(&e))?;
    let core = Core::start(&group.parts).await?;
    drop(group.replace(core));
    group.begin(false).await.map(drop)
}
