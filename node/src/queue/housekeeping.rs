//! What the queue does from time to time: looks how full the store is, lets tokens expire, and
//! purges logs that grew too long.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::command::Draft;
use super::local::Queue;
use super::model::Pressure;
use super::proposer::When;
use super::room::Room;
use super::store::StoreError;
use super::store::database::Database;
use super::store::reader::Reader;
use crate::clock::Timestamp;

/// Between looks at the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between commands that let tokens expire.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Between looks at the length of the logs.
const BOUND_EVERY: Duration = Duration::from_secs(10);
/// How long a message's id is remembered, so that it is not stored twice, and how long a piece
/// of a long body waits for the rest.
const REMEMBER: Duration = Duration::from_secs(600);

/// Keeps the pressure current.
pub(super) fn watch_pressure(
    reader: Reader,
    dir: PathBuf,
    room: Arc<Room>,
    pressure: watch::Sender<Pressure>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            every.tick().await;
            let dir = dir.clone();
            let measured = room.clone();
            let look = move |database: &Arc<Database>| {
                let free_bytes = free_bytes(&dir)?;
                let enough = measured.measured(free_bytes, database.unwritten_bytes());
                Ok::<_, StoreError>((free_bytes, enough, database.stalled()))
            };
            let now = match reader.read(look).await {
                Ok((free_bytes, false, _)) => Pressure::DiskFull { free_bytes },
                Ok((_, true, true)) => Pressure::Stalled,
                Ok((_, true, false)) => Pressure::Normal,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!("The free space of the queue is not known: {error}.");
                    continue;
                }
            };
            pressure.send_if_modified(|shown| {
                let changed = *shown != now;
                if std::mem::discriminant(shown) != std::mem::discriminant(&now) {
                    announce(&now);
                }
                *shown = now;
                changed
            });
        }
    })
}

fn announce(pressure: &Pressure) {
    match pressure {
        Pressure::Normal => tracing::info!("The queue accepts messages again."),
        Pressure::DiskFull { free_bytes } => {
            let free = free_bytes >> 20;
            tracing::warn!(
                "The queue accepts no messages: {free} MB are free on its disk, too little for \
                 min-free-space or for what the store has to write yet."
            );
        }
        Pressure::Stalled => {
            tracing::warn!("The queue accepts no messages: the disk is too slow.");
        }
    }
}

pub(super) fn free_bytes(dir: &std::path::Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| StoreError::Database {
        context: "asking for free space",
        message: e.to_string(),
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Proposes, to the groups that this node leads, that old tokens and pieces are forgotten.
pub(super) fn expire(queue: Weak<Queue>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(EXPIRE_EVERY);
        loop {
            every.tick().await;
            let Some(queue) = queue.upgrade() else { return };
            let before = Timestamp::now() - REMEMBER;
            for (group, _) in queue.index.led() {
                if group.is_partition() {
                    // Whoever leads when it fails proposes the next one.
                    let _ = queue.propose(group, Draft::expire(before), When::Committed).await;
                }
            }
        }
    })
}

/// Keeps the logs from filling the disk with entries that everybody has applied.
pub(super) fn bound_logs(queue: Weak<Queue>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(BOUND_EVERY);
        loop {
            every.tick().await;
            let Some(queue) = queue.upgrade() else { return };
            queue.bound_logs().await;
        }
    })
}
