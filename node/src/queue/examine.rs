//! Looks at whole states: audits of partitions, on a thread of their own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::audit::{Audited, Source, Stop, audit};
use super::command::Draft;
use super::door::{AuditError, AuditPoint, Examine};
use super::local::Queue;
use super::proposer::When;
use super::store::database::{Database, Frozen};
use super::store::overlay::FrozenView;
use super::store::snapshot::{read_applied, read_epoch};
use super::store::{StoreError, keys};
use crate::clock::{self, Timestamp};
use crate::id::GroupId;

/// How long the other replicas have to begin to wait before the leader goes on to the entry.
const OTHERS: Duration = Duration::from_millis(300);
/// How long a replica waits for an entry.
const REACH: Duration = Duration::from_secs(10);
/// Entries that an audit adds to a log at most, to reach its point.
const NUDGES: usize = 5000;

impl Examine for Queue {
    fn audit(&self, point: AuditPoint) -> BoxFuture<'_, Result<Audited, AuditError>> {
        Box::pin(async move {
            if !self.members.contains_key(&point.group) || !point.group.is_partition() {
                return Err(AuditError::Failed(format!("there is no partition {}", point.group)));
            }
            let (tx, rx) = oneshot::channel();
            let (waiting_tx, waiting) = oneshot::channel();
            let start = self.reader.read(move |database: &Arc<Database>| {
                let database = Arc::clone(database);
                let look = move || {
                    let audited = look(&database, &point, waiting_tx, &|| tx.is_closed());
                    let _gone = tx.send(audited);
                };
                let thread = std::thread::Builder::new().name(format!("audit-{}", point.group));
                thread.spawn(look).map(drop).map_err(|e| StoreError::Damaged(e.to_string()))
            });
            start.await.map_err(|e| AuditError::Failed(e.to_string()))?;
            let stopped = |_| AuditError::Failed("the node is stopping".to_owned());
            let reaching = async {
                if let (Some(index), Ok(())) = (point.index, waiting.await) {
                    tokio::time::sleep(OTHERS).await;
                    self.reach(point.group, index).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                audited = rx => audited.map_err(stopped)?,
                () = reaching => Err(AuditError::NotReached),
            }
        })
    }
}

impl Queue {
    /// Brings the log to `index` by commands that change nothing, when this node leads: on a
    /// cluster without mail nothing else would.
    async fn reach(&self, group: GroupId, index: u64) {
        for _ in 0..NUDGES {
            if !self.index.led().iter().any(|(led, _)| *led == group) {
                return;
            }
            let nothing = Draft::expire(Timestamp(0));
            match self.propose(group, nothing, When::Applied).await {
                Ok(told) if told.at.index < index => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Takes a snapshot at the point and audits it. Blocks.
fn look(
    database: &Database,
    point: &AuditPoint,
    waiting: oneshot::Sender<()>,
    nobody_waits: &dyn Fn() -> bool,
) -> Result<Audited, AuditError> {
    let _one_of_few = database.captures.looks.try_acquire().map_err(|_| {
        AuditError::Failed("other audits are going on: try again when they have ended".to_owned())
    })?;
    let until = clock::monotonic() + point.most;
    let expired = || clock::monotonic() >= until || nobody_waits();
    let frozen = match point.index {
        None => database.snapshot(),
        Some(index) => frozen_at(database, point.group, index, waiting)?,
    };
    let store = |error: StoreError| AuditError::Failed(error.to_string());
    let applied = applied_index(&frozen, point.group).map_err(store)?;
    let epoch = read_epoch(&frozen, point.group).map_err(store)?;
    let view = FrozenView { frozen: &frozen, prefix: keys::state(point.group, epoch) };
    let body = |part| {
        let bytes = frozen.body(point.group, part)?;
        Ok(bytes.map(|bytes| bytes.len() as u64))
    };
    let source = Source {
        group: point.group,
        applied,
        view: &view,
        body: if point.bodies { Some(&body) } else { None },
        expired: &expired,
    };
    audit(&source).map_err(|stop| match stop {
        Stop::Machine(error) => AuditError::Failed(error.to_string()),
        Stop::Expired => AuditError::Expired,
    })
}

/// The database as it is when exactly entry `index` of the group is applied.
fn frozen_at<'a>(
    database: &'a Database,
    group: GroupId,
    index: u64,
    waiting: oneshot::Sender<()>,
) -> Result<Frozen<'a>, AuditError> {
    let capture = database.captures.register(group, index);
    let _gone = waiting.send(());
    let store = |error: StoreError| AuditError::Failed(error.to_string());
    let now = database.snapshot();
    let applied = applied_index(&now, group).map_err(store)?;
    if applied >= index {
        return if applied == index { Ok(now) } else { Err(AuditError::TooLate) };
    }
    drop(now);
    if !capture.wait(REACH) {
        return Err(AuditError::NotReached);
    }
    let frozen = database.snapshot();
    drop(capture);
    match applied_index(&frozen, group).map_err(store)? {
        applied if applied == index => Ok(frozen),
        _ => Err(AuditError::TooLate),
    }
}

fn applied_index(frozen: &Frozen<'_>, group: GroupId) -> Result<u64, StoreError> {
    let applied = read_applied(frozen, group)?;
    Ok(applied.and_then(|applied| applied.log_id).map_or(0, |id| id.index))
}

#[cfg(test)]
#[path = "examine_test.rs"]
mod tests;
