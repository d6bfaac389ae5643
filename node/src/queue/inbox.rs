//! The way in.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use convoy_proto::storage as proto;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::command::{CHUNK_BYTES, Draft};
use super::door::Inbox;
use super::local::Queue;
use super::machine::Answer;
use super::model::{Accepted, Pressure, Submission, SubmitError};
use super::proposer::{Failure, Told, When};
use super::raft::group::Group;
use crate::clock;
use crate::id::{GroupId, MessageId};

/// Recipients of one message. A report on all of them fits into one entry.
const MAX_RECIPIENTS: usize = 50_000;
/// Pieces of one body on their way at a time.
const PIECES_IN_FLIGHT: usize = 4;
/// How long a message waits for a leader before its client is told to come back. An election takes
/// a second or two.
const QUORUM_PATIENCE: Duration = Duration::from_secs(5);
/// Between tries to store a message.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Ids that are remembered as perhaps stored.
const UNCERTAIN: usize = 65_536;

/// Ids of messages that may be stored although nobody was told so, and where. A message with such
/// an id goes to the same group again, and is answered only when the state has said whether it was
/// there.
#[derive(Default)]
pub(super) struct Uncertain(Mutex<Ids>);

#[derive(Default)]
struct Ids {
    known: HashMap<MessageId, GroupId>,
    order: VecDeque<MessageId>,
}

impl Uncertain {
    fn group_of(&self, id: MessageId) -> Option<GroupId> {
        self.0.lock().known.get(&id).copied()
    }

    fn insert(&self, id: MessageId, group: GroupId) {
        let mut ids = self.0.lock();
        if ids.known.insert(id, group).is_some() {
            return;
        }
        ids.order.push_back(id);
        if ids.order.len() > UNCERTAIN
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.known.remove(&oldest);
        }
    }
}

/// Makes the id uncertain unless the outcome becomes known: also when the future is dropped.
struct Guard {
    uncertain: Arc<Uncertain>,
    id: MessageId,
    /// Where it is being stored.
    group: Option<GroupId>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            self.uncertain.insert(self.id, group);
        }
    }
}

impl Inbox for Queue {
    fn submit(&self, mut submission: Submission) -> BoxFuture<'_, Result<Accepted, SubmitError>> {
        Box::pin(async move {
            let count = submission.envelope.recipients.len();
            if count == 0 || count > MAX_RECIPIENTS {
                return Err(SubmitError::Failed(format!("a message with {count} recipients")));
            }
            submission.envelope.size_bytes = submission.body.len() as u64;
            let id = submission.envelope.id;
            let _room = self.room.take(submission.body.len()).ok_or(SubmitError::Busy)?;
            let mut guard = Guard { uncertain: self.uncertain.clone(), id, group: None };
            let stored = self.store_somewhere(&submission, &mut guard);
            let result = match tokio::time::timeout(self.commit_timeout, stored).await {
                Ok(result) => result,
                Err(_) => Err(SubmitError::Unknown),
            };
            if result != Err(SubmitError::Unknown) {
                guard.group = None;
            }
            result
        })
    }

    fn pressure(&self) -> Pressure {
        self.pressure.borrow().clone()
    }
}

impl Queue {
    /// A partition that this node leads, or else one that another node leads.
    fn partition_for(&self, id: MessageId) -> Option<GroupId> {
        let led: Vec<_> = self.index.led().into_iter().map(|(group, _)| group).collect();
        let mut fit: Vec<_> = led.into_iter().filter(|group| group.is_partition()).collect();
        if fit.is_empty() {
            let others = self.groups.iter().filter(|(id, _)| id.is_partition());
            let led = |group: &Arc<Group>| group.leader().is_some_and(|node| node != self.node);
            fit = others.filter(|(_, group)| led(group)).map(|(id, _)| *id).collect();
        }
        let count = u128::try_from(fit.len()).unwrap_or(0);
        let number = id.0.checked_rem(count)?;
        fit.get(usize::try_from(number).ok()?).copied()
    }

    /// Stores a message in some partition. When it is not known whether a try succeeded, the next
    /// one goes to the same partition, which recognises the message by its id.
    async fn store_somewhere(
        &self,
        submission: &Submission,
        guard: &mut Guard,
    ) -> Result<Accepted, SubmitError> {
        let id = submission.envelope.id;
        let until = clock::monotonic() + QUORUM_PATIENCE;
        let mut maybe_at = self.uncertain.group_of(id);
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Err(SubmitError::Stopping);
            }
            let stored = match maybe_at.or_else(|| self.partition_for(id)) {
                Some(group) => {
                    guard.group = Some(group);
                    let stored = self.store(group, submission, maybe_at.is_some()).await;
                    if matches!(stored, Err(Failure::Unknown)) {
                        maybe_at = Some(group);
                    }
                    stored
                }
                None => Err(Failure::NotLeader),
            };
            match stored {
                Ok(told) => return accepted(told),
                Err(Failure::Busy) => return Err(SubmitError::Busy),
                Err(Failure::Stopping) => return Err(SubmitError::Stopping),
                Err(Failure::Unknown) => {}
                Err(Failure::NotLeader) if clock::monotonic() < until => {}
                Err(Failure::NotLeader) if maybe_at.is_some() => return Err(SubmitError::Unknown),
                Err(Failure::NotLeader) => return Err(SubmitError::NoQuorum),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn store(
        &self,
        group: GroupId,
        submission: &Submission,
        repeated: bool,
    ) -> Result<Told, Failure> {
        let id = submission.envelope.id;
        let pieces = self.store_pieces(group, id, &submission.body, None).await;
        let pieces = pieces.map_err(|failure| match failure {
            // Pieces alone are no message.
            Failure::Unknown | Failure::NotLeader => Failure::NotLeader,
            Failure::Busy | Failure::Stopping => failure,
        })?;
        let exact = pieces.is_some() || repeated;
        let when = if exact { When::Applied } else { When::Committed };
        let draft = Draft::submit(submission, pieces);
        let member = self.members.get(&group).ok_or(Failure::NotLeader)?;
        match member.group.leader() {
            Some(node) if node != self.node => self.propose_at(node, group, &draft, when).await,
            Some(_) | None => {
                let answer = member.proposer.offer(draft, when)?;
                answer.await.unwrap_or(Err(Failure::Unknown))
            }
        }
    }

    /// Stores the body of a long message piece by piece; `None` for a body that fits.
    pub(super) async fn store_pieces(
        &self,
        group: GroupId,
        id: MessageId,
        body: &Bytes,
        term: Option<u64>,
    ) -> Result<Option<Vec<proto::BodyRef>>, Failure> {
        if body.len() <= CHUNK_BYTES {
            return Ok(None);
        }
        let starts = (0..body.len()).step_by(CHUNK_BYTES);
        let pieces = starts.map(|start| {
            let piece = body.slice(start..body.len().min(start + CHUNK_BYTES));
            async move {
                let size_bytes = piece.len() as u64;
                let mut draft = Draft::chunk(id, piece);
                draft.term = term;
                // Applied, since the answer says where the bytes are within the entry.
                let told = self.propose(group, draft, When::Applied).await?;
                match told.answer {
                    Some(Answer::Piece(part)) => {
                        Ok(proto::BodyRef { index: part.index, part: part.part.into(), size_bytes })
                    }
                    _ => Err(Failure::Unknown),
                }
            }
        });
        stream::iter(pieces).buffered(PIECES_IN_FLIGHT).try_collect().await.map(Some)
    }
}

fn accepted(told: Told) -> Result<Accepted, SubmitError> {
    match told.answer {
        None => Ok(Accepted { locator: told.at, repeated: false }),
        Some(Answer::Stored(locator)) => Ok(Accepted { locator, repeated: false }),
        Some(Answer::Repeated(locator)) => Ok(Accepted { locator, repeated: true }),
        // Its pieces have expired.
        Some(Answer::Refused) => Err(SubmitError::NoQuorum),
        Some(Answer::Done | Answer::Changed(_) | Answer::Number(_) | Answer::Piece(_)) => {
            Err(SubmitError::Failed("a submission was answered as something else".into()))
        }
    }
}
