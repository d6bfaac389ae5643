//! What sessions tell their destination, and what follows from it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};

use super::slots::State;
use super::{CONNECT_HOLD_MAX, Destination, PAUSE, Reach};
use crate::clock::{Timestamp, monotonic};
use crate::delivery::classify::QueueFailure;
use crate::delivery::message::{BatchEnd, SessionEnd};
use crate::delivery::record::{self, Path};
use crate::delivery::retry;
use crate::delivery::sweep::Sweep;
use crate::id::GroupId;
use crate::message::Outcome;

impl Destination {
    pub(super) fn session_ready(
        &mut self,
        number: u64,
        unreachable: &[SocketAddr],
        source: Option<IpAddr>,
    ) {
        let until = monotonic() + retry::queue_wait(&self.settings, 1, 0.0);
        self.hosts.skip(unreachable, until);
        self.reach = Reach::Open;
        self.failures = 0;
        self.env.board.reached(&self.queue);
        self.slots.set_source(number, source);
        self.slots.set(number, State::idle(monotonic()));
    }

    pub(super) fn batch_ended(&mut self, number: u64, result: BatchEnd, last: bool) {
        let key = self.slots.ended(number, last);
        match (result, key) {
            (BatchEnd::Reported { later: Some(later) }, Some(key)) => {
                self.feed.note(key.group, later);
            }
            (BatchEnd::Reported { .. }, _) | (BatchEnd::SetAside, None) => {}
            (BatchEnd::SetAside, Some(key)) => {
                self.set_aside = true;
                self.feed.set_aside(key.group, key.due, &key.recipients);
            }
            (BatchEnd::NotTried, _) => self.feed.rewind(),
            (BatchEnd::Lost, _) => {
                self.feed.rewind();
                self.read_hold = Some(monotonic() + PAUSE);
            }
        }
    }

    pub(super) fn session_gone(&mut self, number: u64, end: SessionEnd, ctx: &mut Context<Self>) {
        if self.slots.remove(number) {
            // It had a batch and did not say what became of it.
            self.feed.rewind();
        }
        match end {
            SessionEnd::Finished => {}
            SessionEnd::Held { until } => self.connect_hold = Some(until),
            SessionEnd::Failed { failure, path } => self.failed(failure, path, ctx),
            SessionEnd::HostUnavailable { host, failure, path } => {
                let until = monotonic() + retry::queue_wait(&self.settings, 1, 0.0);
                self.hosts.skip(&[host], until);
                self.record(&failure.while_waiting(), &path);
            }
        }
        if self.slots.len() == 0 && self.reach == Reach::Open {
            self.reach = Reach::Probing;
        }
    }

    /// A connection attempt came to nothing.
    fn failed(&mut self, failure: QueueFailure, path: Box<Path>, ctx: &mut Context<Self>) {
        // Several connections fail for the same reason: the first one has said it.
        if matches!(self.reach, Reach::Waiting(_)) {
            return;
        }
        let outcome = failure.outcome();
        let text = if outcome.reply.is_empty() { &outcome.reason } else { &outcome.reply };
        let now = Timestamp::now();
        let jitter = rand::random();
        if self.slots.working() > 0 {
            // Others work: perhaps the server does not take that many at once.
            self.env.board.failed(&self.queue, now, text, None);
            let wait = retry::queue_wait(&self.settings, 1, jitter).min(CONNECT_HOLD_MAX);
            self.connect_hold = Some(monotonic() + wait);
            self.record(&failure.while_waiting(), &path);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = match &failure {
            QueueFailure::RetryDns(_) => retry::dns_wait(&self.settings, jitter),
            QueueFailure::Retry(_) | QueueFailure::Bounce { .. } => {
                retry::queue_wait(&self.settings, self.failures, jitter)
            }
        };
        let until = now + wait;
        self.reach = Reach::Waiting(until);
        let retry_at = (!failure.bounces_all()).then_some(until);
        self.env.board.failed(&self.queue, now, text, retry_at);
        tracing::info!("{}: {text}", self.queue);
        if !failure.bounces_all() {
            self.record(&failure.while_waiting(), &path);
        }
        self.sweep(&failure, path, ctx);
    }

    /// Bounces what the failure decides, and what has waited too long.
    fn sweep(&mut self, failure: &QueueFailure, path: Box<Path>, ctx: &mut Context<Self>) {
        self.ready.clear();
        self.feed.rewind();
        self.sweeping = true;
        let bounces_all = failure.bounces_all();
        let sweep = Sweep::after(
            failure,
            Arc::clone(&self.env),
            Arc::clone(&self.config),
            Arc::clone(&self.settings),
            self.queue.clone(),
            path,
        );
        let running = sweep.run(self.feed.groups());
        ctx.spawn(running.into_actor(self).map(move |bounced, this, ctx| {
            this.sweeping = false;
            if bounces_all && bounced > 0 {
                // Each new message finds out for itself.
                this.reach = Reach::Probing;
                this.failures = 0;
            }
            this.pump(ctx);
        }));
    }

    /// The accounting row of a failure of the whole queue.
    fn record(&self, outcome: &Outcome, path: &Path) {
        let now = Timestamp::now();
        let row = record::of_queue(&self.config, &self.settings, &self.queue, path, outcome, now);
        let led: Vec<GroupId> = self.env.work.led().into_iter().map(|(group, _)| group).collect();
        let of_queue = self.feed.groups().into_iter().find(|group| led.contains(group));
        let (Some(row), Some(group)) = (row, of_queue) else { return };
        let work = Arc::clone(&self.env.work);
        let recording = async move {
            if let Err(error) = work.record(group, vec![row]).await {
                tracing::warn!("an accounting row of type tq was not written: {error}");
            }
        };
        // Not as a part of the actor, which may be gone before the row is written.
        self.env.arbiter().spawn(recording);
    }
}
