//! The actor of one queue (`domain/vmta`) while it has work.
//!
//! Owns alone: the queue's position in the store, its limits, which hosts are to be skipped, and
//! its sessions. Takes [`Kick`], [`FromSession`], [`Refresh`], [`TryNow`]; sends batches to
//! sessions and [`Idle`] to the scheduler. It reads from the queue no more than its sessions can
//! take soon. Every change ends in [`Destination::pump`], which decides what to do next.

mod hosts;
mod sessions;
mod slots;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler,
    SpawnHandle, WrapFuture as _,
};
use futures_util::future::join_all;

use crate::clock::{Instant, Timestamp, monotonic};
use crate::config::{Config, DomainSettings, Lookup as _};
use crate::delivery::agenda::Rest;
use crate::delivery::environment::Environment;
use crate::delivery::feed::{Batch, Feed, Page, Request};
use crate::delivery::limits::{OfQueue, OfSources, Permit};
use crate::delivery::message::{FromSession, Idle, Kick, Refresh, SessionEvent, TryNow};
use crate::delivery::scheduler::Scheduler;
use crate::id::{GroupId, QueueName};
use crate::queue::pattern::Held;
use hosts::Hosts;
use slots::Slots;

/// Batches kept ready; a page is read when there are fewer.
const READY_LOW: usize = 16;
/// Further connections wait this long at most when one failed and others work.
const CONNECT_HOLD_MAX: Duration = Duration::from_secs(60);
/// After work was lost to another node, or a sweep could not bounce anything.
const PAUSE: Duration = Duration::from_secs(1);
/// How often sessions that ended without a word are looked for.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// An idle session is kept this long for work that only a rate holds back.
const RATE_IDLE_MAX: Duration = Duration::from_secs(10);

/// Can the queue's hosts be reached?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Not known: one connection finds out.
    Probing,
    /// Yes.
    Open,
    /// Not before this time.
    Waiting(Timestamp),
}

/// The actor.
pub(crate) struct Destination {
    env: Arc<Environment>,
    scheduler: Addr<Scheduler>,
    queue: QueueName,
    config: Arc<Config>,
    settings: Arc<DomainSettings>,
    feed: Feed,
    ready: VecDeque<Batch>,
    slots: Slots,
    hosts: Hosts,
    reach: Reach,
    failures: u32,
    set_aside: bool,
    paused: bool,
    kicks: u64,
    limits: OfQueue,
    /// No further connection before this.
    connect_hold: Option<Instant>,
    /// No page before this.
    read_hold: Option<Instant>,
    /// No message before this: the rate.
    message_hold: Option<Instant>,
    reading: bool,
    sweeping: bool,
    acquiring: bool,
    resting: bool,
    timer: Option<SpawnHandle>,
}

impl Destination {
    pub(crate) fn new(
        env: Arc<Environment>,
        scheduler: Addr<Scheduler>,
        queue: QueueName,
        rest: &Rest,
    ) -> Self {
        let config = env.config.load_full();
        let settings = config.queue(&queue.domain, &queue.vmta);
        let mut feed = Feed::new(Arc::clone(&env.claims));
        for (group, due) in &rest.due {
            feed.note(*group, *due);
        }
        let mut destination = Self {
            feed,
            scheduler,
            queue,
            config,
            settings,
            ready: VecDeque::new(),
            slots: Slots::default(),
            hosts: Hosts::default(),
            reach: Reach::Probing,
            failures: rest.failures,
            set_aside: rest.set_aside,
            paused: false,
            kicks: 0,
            limits: OfQueue::default(),
            connect_hold: None,
            read_hold: None,
            message_hold: None,
            reading: false,
            sweeping: false,
            acquiring: false,
            resting: false,
            timer: None,
            env,
        };
        destination.refresh();
        destination
    }

    /// Takes settings and switches as they are now.
    fn refresh(&mut self) {
        self.config = self.env.config.load_full();
        self.settings = self.config.queue(&self.queue.domain, &self.queue.vmta);
        self.limits = OfQueue::new(&self.config, &self.settings, &self.queue);
        let held = Held::new(&self.env.switches.borrow());
        self.paused = held.paused_by(&self.queue).is_some();
    }

    /// Decides what to do next.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.reap();
        if let Reach::Waiting(until) = self.reach
            && until <= Timestamp::now()
        {
            self.reach = Reach::Probing;
            self.hosts.clear();
        }
        if self.may_work() {
            self.read(ctx);
            self.assign();
            self.open(ctx);
        }
        self.release();
        self.rest(ctx);
        self.arm(ctx);
    }

    fn may_work(&self) -> bool {
        let waiting = matches!(self.reach, Reach::Waiting(_));
        !self.paused && !waiting && !self.sweeping && !self.env.is_stopping()
    }

    /// Forgets sessions that ended without a word: their task panicked.
    fn reap(&mut self) {
        if self.slots.reap() {
            self.feed.rewind();
        }
    }

    /// Reads pages while few batches are ready.
    fn read(&mut self, ctx: &mut Context<Self>) {
        let held = self.read_hold.is_some_and(|hold| hold > monotonic());
        if self.reading || held || self.ready.len() >= READY_LOW {
            return;
        }
        let in_work = self.ready.iter().map(|batch| batch.claim.recipients.len()).sum::<usize>()
            + self.slots.recipients();
        let now = Timestamp::now();
        let requests = self.feed.requests(now, in_work);
        if requests.is_empty() {
            return;
        }
        self.reading = true;
        let pages = pages(Arc::clone(&self.env), self.queue.clone(), requests, now);
        ctx.spawn(pages.into_actor(self).map(|pages, this, ctx| {
            this.reading = false;
            for page in pages {
                this.ready.extend(this.feed.take(&page, this.limits.step));
            }
            this.pump(ctx);
        }));
    }

    /// Gives ready batches to idle sessions, as far as the rate allows.
    fn assign(&mut self) {
        let now = monotonic();
        self.message_hold = None;
        for (number, source) in self.slots.idle() {
            let Some(batch) = self.ready.pop_front() else { return };
            let count = u32::try_from(batch.claim.recipients.len()).unwrap_or(u32::MAX);
            if let Err(when) = self.may_send(count, source, now) {
                // A session with another address may be allowed what this one is not.
                self.message_hold = Some(self.message_hold.map_or(when, |hold| hold.min(when)));
                self.ready.push_front(batch);
                continue;
            }
            if let Err(batch) = self.slots.give(number, batch) {
                // The session is on its way out; another one takes the batch.
                self.ready.push_front(batch);
            }
        }
    }

    /// Counts recipients that go now, unless a rate is against it.
    fn may_send(&self, count: u32, source: Option<IpAddr>, now: Instant) -> Result<(), Instant> {
        let of_sources = OfSources::new(&self.settings, &self.queue);
        let of_source = source.map(|source| of_sources.messages(source)).unwrap_or_default();
        if of_source.is_empty() {
            return self.env.limits.spend(&self.limits.messages, count, now);
        }
        let all: Vec<_> = self.limits.messages.iter().cloned().chain(of_source).collect();
        self.env.limits.spend(&all, count, now)
    }

    /// Opens connections while there are more batches than sessions to take them.
    fn open(&mut self, ctx: &mut Context<Self>) {
        let now = monotonic();
        let most = match self.reach {
            Reach::Probing => 1,
            Reach::Open => self.settings.max_smtp_out.map_or(usize::MAX, |most| most as usize),
            Reach::Waiting(_) => 0,
        };
        let enough = self.ready.len() <= self.slots.available() || self.slots.len() >= most;
        let held = [self.connect_hold, self.message_hold].into_iter().flatten().any(|h| h > now);
        if self.acquiring || enough || held {
            return;
        }
        self.acquiring = true;
        let (env, places) = (Arc::clone(&self.env), self.limits.places.clone());
        let more = (self.ready.len() - self.slots.available()).min(most - self.slots.len()) as u64;
        let acquiring = async move { env.limits.acquire(&places, more).await };
        ctx.spawn(acquiring.into_actor(self).map(|permit, this, ctx| {
            this.acquiring = false;
            if let Some(permit) = permit
                && this.may_work()
                && !this.ready.is_empty()
            {
                match this.env.limits.spend(this.limits.counted_here(), 1, monotonic()) {
                    Ok(()) => this.start_session(permit, ctx),
                    Err(when) => this.connect_hold = Some(when),
                }
            }
            this.pump(ctx);
        }));
    }

    fn start_session(&mut self, permit: Permit, ctx: &Context<Self>) {
        let Some(alive) = self.env.sessions.lock().clone() else { return };
        let (number, assignments, presence) = self.slots.add();
        let spec = super::session::Spec {
            env: Arc::clone(&self.env),
            config: Arc::clone(&self.config),
            settings: Arc::clone(&self.settings),
            queue: self.queue.clone(),
            number,
            destination: ctx.address(),
            skipped: self.hosts.skipped(monotonic()),
            connects: self.limits.connects.clone(),
            permit,
            presence,
            alive,
        };
        // On failure the arbiter has stopped, and with it the node.
        self.env.arbiter().spawn(super::session::run(spec, assignments));
    }

    /// Lets sessions go that have nothing to do, and work that cannot be done now.
    fn release(&mut self) {
        let stopping = self.paused || self.env.is_stopping();
        if !self.may_work() && !self.ready.is_empty() {
            self.ready.clear();
            self.feed.rewind();
        }
        let patience = if stopping { Duration::ZERO } else { self.patience() };
        self.slots.let_go(patience, monotonic());
    }

    /// How long a session may be without work.
    fn patience(&self) -> Duration {
        let idle = self.settings.connection_idle_timeout;
        let soon = self.reading || self.feed.next().is_some_and(|at| at <= Timestamp::now());
        if soon || !self.ready.is_empty() { idle.max(RATE_IDLE_MAX) } else { idle }
    }

    /// Tells the scheduler when there is nothing to do for now.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        let active = self.reading || self.sweeping || self.acquiring || self.resting;
        let now = Timestamp::now();
        let soon = self.may_work() && self.feed.next().is_some_and(|at| at <= now);
        if active || soon || !self.ready.is_empty() || self.slots.len() > 0 {
            return;
        }
        // Somebody else held claims, a session of an earlier life perhaps: look again.
        if self.may_work() && self.feed.take_missed() {
            self.feed.rewind();
            self.read_hold = Some(monotonic() + PAUSE);
            return;
        }
        self.resting = true;
        let not_before = match self.reach {
            Reach::Waiting(until) => until,
            Reach::Probing | Reach::Open => Timestamp(0),
        };
        let rest = Rest {
            due: self.feed.rest(),
            not_before,
            failures: self.failures,
            set_aside: self.set_aside,
        };
        let (queue, from) = (self.queue.clone(), ctx.address());
        let idle = Idle { queue, from, kicks: self.kicks, rest };
        let asking = self.scheduler.send(idle).into_actor(self);
        ctx.spawn(asking.map(|answer, this, ctx| {
            this.resting = false;
            // Without a scheduler the next one starts a new destination.
            if answer.unwrap_or(true) {
                ctx.stop();
            } else {
                this.pump(ctx);
            }
        }));
    }

    /// Sets the timer for what only waits for time.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let now = monotonic();
        let until = |at: Timestamp| now + at.since(Timestamp::now());
        let feed = self.feed.next().filter(|_| self.may_work() && !self.reading).map(until);
        let waiting = match self.reach {
            Reach::Waiting(at) => Some(until(at)),
            Reach::Probing | Reach::Open => None,
        };
        let feed = feed.map(|at| self.read_hold.map_or(at, |hold| hold.max(at)));
        let full = self.ready.len() >= READY_LOW;
        let times = [
            feed.filter(|_| !full),
            waiting,
            self.connect_hold.filter(|_| !self.ready.is_empty()),
            self.message_hold,
            self.slots.next_expiry(self.patience()),
            (self.slots.len() > 0).then(|| now + HEARTBEAT),
        ];
        if let Some(at) = times.into_iter().flatten().min() {
            let wait = at.saturating_duration_since(now).max(Duration::from_millis(5));
            self.timer = Some(ctx.run_later(wait, |this, ctx| {
                this.timer = None;
                this.pump(ctx);
            }));
        }
    }
}

/// Reads what was asked for.
async fn pages(
    env: Arc<Environment>,
    queue: QueueName,
    requests: Vec<Request>,
    now: Timestamp,
) -> Vec<Page> {
    let terms: BTreeMap<GroupId, u64> = env.work.led().into_iter().collect();
    let read = |request: Request| {
        let (env, queue, term) = (&env, queue.clone(), terms.get(&request.group).copied());
        async move {
            let Request { group, from, limit } = request;
            if term.is_none() {
                return Page { request, term, rows: Vec::new(), later: None };
            }
            let rows = env.work.due(group, queue.clone(), from, now, limit).await;
            let later =
                if rows.len() < limit { env.work.next_due(group, queue, now).await } else { None };
            Page { request, term, rows, later }
        }
    };
    join_all(requests.into_iter().map(read)).await
}

impl Actor for Destination {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Two messages per session at most wait at a time; more senders wait their turn.
        ctx.set_mailbox_capacity(64);
        self.pump(ctx);
    }
}

impl Handler<Kick> for Destination {
    type Result = ();

    fn handle(&mut self, Kick { number, group, due }: Kick, ctx: &mut Self::Context) {
        self.kicks = number;
        self.feed.note(group, due);
        self.pump(ctx);
    }
}

impl Handler<Refresh> for Destination {
    type Result = ();

    fn handle(&mut self, _: Refresh, ctx: &mut Self::Context) {
        self.refresh();
        if std::mem::take(&mut self.set_aside) {
            self.feed.rewind();
        }
        self.pump(ctx);
    }
}

impl Handler<TryNow> for Destination {
    type Result = ();

    fn handle(&mut self, _: TryNow, ctx: &mut Self::Context) {
        if let Reach::Waiting(_) = self.reach {
            self.reach = Reach::Probing;
        }
        self.hosts.clear();
        self.connect_hold = None;
        self.pump(ctx);
    }
}

impl Handler<FromSession> for Destination {
    type Result = ();

    fn handle(&mut self, FromSession { session, what }: FromSession, ctx: &mut Self::Context) {
        match what {
            SessionEvent::Ready { unreachable, source } => {
                self.session_ready(session, &unreachable, source);
            }
            SessionEvent::Ended { result, last } => self.batch_ended(session, result, last),
            SessionEvent::Gone(end) => self.session_gone(session, end, ctx),
        }
        self.pump(ctx);
    }
}
