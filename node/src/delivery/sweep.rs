//! Bounces the messages of a queue that cannot be reached: those that have waited too long, or
//! all of them.
//!
//! A queue of a million messages is not loaded to find the few old ones: messages of a partition
//! are stored in the order in which they came, so behind a young one there is nothing old.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::classify::{self, QueueFailure};
use super::environment::Environment;
use super::record::{Attempt, Path};
use super::report::{self, Tried};
use super::session::settle;
use crate::clock::Timestamp;
use crate::config::{Config, DomainSettings};
use crate::id::{GroupId, QueueName};
use crate::message::Outcome;
use crate::queue::model::{Due, Stored};

const PAGE_ROWS: usize = 512;
/// Messages that are bounced at the same time.
const AT_ONCE: usize = 16;

/// What to do with a queue.
pub(crate) struct Sweep {
    pub(crate) env: Arc<Environment>,
    pub(crate) config: Arc<Config>,
    pub(crate) settings: Arc<DomainSettings>,
    pub(crate) queue: QueueName,
    pub(crate) path: Box<Path>,
    outcome: Outcome,
    /// Messages of this age bounce.
    after: Duration,
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Bounced,
    /// Too young. Its position in the log.
    Young(u64),
    /// In work, gone, or not recorded.
    Left,
}

impl Sweep {
    /// The sweep that a failure calls for.
    pub(crate) fn after(
        failure: &QueueFailure,
        env: Arc<Environment>,
        config: Arc<Config>,
        settings: Arc<DomainSettings>,
        queue: QueueName,
        path: Box<Path>,
    ) -> Self {
        let end = settings.bounce_after;
        let (outcome, after) = match failure {
            QueueFailure::Retry(outcome) | QueueFailure::RetryDns(outcome) => {
                (classify::expired(Some(outcome)), end)
            }
            QueueFailure::Bounce { outcome, after } => (outcome.clone(), end.min(*after)),
        };
        Self { env, config, settings, queue, path, outcome, after }
    }

    /// Goes through the queue in the partitions that this node leads. Gives the number of messages
    /// that bounced.
    pub(crate) async fn run(self, groups: Vec<GroupId>) -> usize {
        let mut bounced = 0;
        for (group, term) in self.env.work.led() {
            if groups.contains(&group) {
                bounced += self.group(group, term).await;
            }
        }
        bounced
    }

    async fn group(&self, group: GroupId, term: u64) -> usize {
        let now = Timestamp::now();
        let (mut from, mut bounced, mut young_from) = (Timestamp(0), 0, u64::MAX);
        loop {
            let due = self.env.work.due(group, self.queue.clone(), from, now, PAGE_ROWS).await;
            let Some(last) = due.last().cloned() else { return bounced };
            let full = due.len() >= PAGE_ROWS;
            let fates = self.page(term, due, young_from).await;
            let of_page = fates.iter().filter(|fate| **fate == Fate::Bounced).count();
            let young = fates.iter().filter_map(|fate| match fate {
                Fate::Young(index) => Some(*index),
                Fate::Bounced | Fate::Left => None,
            });
            young_from = young.fold(young_from, u64::min);
            bounced += of_page;
            if !full || self.env.is_stopping() {
                return bounced;
            }
            // What was bounced is not there any more; what was not is passed by.
            let stuck = of_page == 0 && last.at == from;
            from = if stuck { Timestamp(last.at.0 + 1) } else { last.at };
        }
    }

    async fn page(&self, term: u64, due: Vec<Due>, young_from: u64) -> Vec<Fate> {
        let old = |row: &&Due| self.after.is_zero() || row.locator.index < young_from;
        let rows: Vec<_> = due.iter().filter(old).collect();
        let messages: Vec<(Due, Vec<u16>)> = rows
            .chunk_by(|a, b| a.locator == b.locator)
            .map(|rows| (rows[0].clone(), rows.iter().map(|row| row.recipient).collect()))
            .collect();
        let fates = messages.into_iter().map(|(first, all)| self.message(term, first, all));
        stream::iter(fates).buffer_unordered(AT_ONCE).collect().await
    }

    async fn message(&self, term: u64, first: Due, recipients: Vec<u16>) -> Fate {
        let Some(claim) = self.env.claims.take(first.locator, recipients) else {
            return Fate::Left;
        };
        let Some(stored) = self.env.work.load(first.locator).await else { return Fate::Left };
        let now = Timestamp::now();
        if stored.envelope.received_at + self.after > now {
            return Fate::Young(first.locator.index);
        }
        let Some(body) = self.env.work.body(first.locator).await else { return Fate::Left };
        let reports = self.bounce(&stored, &body, &claim.recipients, now);
        if settle(&self.env, term, reports).await { Fate::Bounced } else { Fate::Left }
    }

    fn bounce(
        &self,
        stored: &Stored,
        body: &Bytes,
        recipients: &[u16],
        now: Timestamp,
    ) -> Vec<crate::queue::model::Report> {
        let attempt = Attempt {
            config: &self.config,
            settings: &self.settings,
            stored,
            body,
            path: &self.path,
            now,
        };
        let open = stored.waiting.iter().filter(|w| recipients.contains(&w.recipient));
        let tried = open
            .map(|waiting| Tried { waiting, outcome: self.outcome.clone(), counts: false })
            .collect();
        report::reports(&attempt, tried, 0.0)
    }
}
