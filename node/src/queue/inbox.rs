//! The way in.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
use crate::id::{GroupId, MessageId};

/// Recipients of one message. A report on all of them fits into one entry.
const MAX_RECIPIENTS: usize = 50_000;
/// Pieces of one body on their way at a time.
const PIECES_IN_FLIGHT: usize = 4;
/// Ids that are remembered as perhaps stored.
const UNCERTAIN: usize = 65_536;

/// Ids of messages that may be stored although nobody was told so. A message with such an id is
/// answered only when the state has said whether it was there.
#[derive(Default)]
pub(super) struct Uncertain(Mutex<Ids>);

#[derive(Default)]
struct Ids {
    known: HashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl Uncertain {
    fn contains(&self, id: MessageId) -> bool {
        self.0.lock().known.contains(&id)
    }

    fn insert(&self, id: MessageId) {
        let mut ids = self.0.lock();
        if !ids.known.insert(id) {
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
    id: Option<MessageId>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.uncertain.insert(id);
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
            let group = self.partition_for(id)?;
            let _room = self.room.take(submission.body.len()).ok_or(SubmitError::Busy)?;
            let mut guard = Guard { uncertain: self.uncertain.clone(), id: Some(id) };
            let stored = self.store(group, &submission);
            let result = match tokio::time::timeout(self.commit_timeout, stored).await {
                Ok(result) => result,
                Err(_) => Err(SubmitError::Unknown),
            };
            if result != Err(SubmitError::Unknown) {
                guard.id = None;
            }
            result
        })
    }

    fn pressure(&self) -> Pressure {
        self.pressure.borrow().clone()
    }
}

impl Queue {
    /// A partition that this node leads. The same id gives the same one, as long as leadership
    /// does not change, so that a repeated message meets its own token.
    fn partition_for(&self, id: MessageId) -> Result<GroupId, SubmitError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(SubmitError::Stopping);
        }
        let mut led: Vec<_> = self.index.led().into_iter().map(|(group, _)| group).collect();
        led.retain(|group| group.is_partition());
        let count = u128::try_from(led.len()).unwrap_or(0);
        if count == 0 {
            return Err(SubmitError::NoQuorum);
        }
        let number = usize::try_from(id.0 % count).expect("less than a length");
        Ok(led[number])
    }

    async fn store(
        &self,
        group: GroupId,
        submission: &Submission,
    ) -> Result<Accepted, SubmitError> {
        let id = submission.envelope.id;
        let pieces =
            self.store_pieces(group, id, &submission.body, None).await.map_err(|failure| {
                match failure {
                    // Pieces alone are no message.
                    Failure::Unknown | Failure::NotLeader => SubmitError::NoQuorum,
                    Failure::Busy => SubmitError::Busy,
                    Failure::Stopping => SubmitError::Stopping,
                }
            })?;
        let exact = pieces.is_some() || self.uncertain.contains(id);
        let when = if exact { When::Applied } else { When::Committed };
        let draft = Draft::submit(submission, pieces);
        let member = self.members.get(&group).ok_or(SubmitError::NoQuorum)?;
        let told = match member.proposer.offer(draft, when) {
            Ok(answer) => answer.await.unwrap_or(Err(Failure::Unknown)),
            Err(failure) => Err(failure),
        };
        accepted(told)
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

fn accepted(told: Result<Told, Failure>) -> Result<Accepted, SubmitError> {
    match told {
        Ok(Told { at, answer: None }) => Ok(Accepted { locator: at, repeated: false }),
        Ok(Told { answer: Some(answer), .. }) => match answer {
            Answer::Stored(locator) => Ok(Accepted { locator, repeated: false }),
            Answer::Repeated(locator) => Ok(Accepted { locator, repeated: true }),
            // Its pieces have expired.
            Answer::Refused => Err(SubmitError::NoQuorum),
            Answer::Done | Answer::Changed(_) | Answer::Number(_) | Answer::Piece(_) => {
                Err(SubmitError::Failed("a submission was answered as something else".into()))
            }
        },
        Err(Failure::Busy) => Err(SubmitError::Busy),
        Err(Failure::NotLeader) => Err(SubmitError::NoQuorum),
        Err(Failure::Stopping) => Err(SubmitError::Stopping),
        Err(Failure::Unknown) => Err(SubmitError::Unknown),
    }
}
