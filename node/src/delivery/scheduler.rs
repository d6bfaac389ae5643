//! The actor that knows which queue has work when, one per node.
//!
//! Owns alone: which queues somebody works on, and which wait for an operator. What is due when
//! stands in the agenda, which outlives it. Takes [`NewWork`], [`Idle`], [`Changed`], [`Hasten`];
//! sends [`Kick`], [`Refresh`], [`TryNow`] to destinations and starts them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, SpawnHandle};

use super::agenda::Rest;
use super::destination::Destination;
use super::environment::Environment;
use super::message::{Changed, Hasten, Idle, Kick, NewWork, Refresh, TryNow};
use crate::clock::Timestamp;
use crate::id::{GroupId, QueueName};
use crate::queue::pattern::Held;

/// Queues started in one go.
const START_MAX: usize = 1000;
/// How often destinations that are gone are looked for.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// After a destination's mailbox was full.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A destination at work.
struct Live {
    address: Addr<Destination>,
    /// Kicks sent.
    kicks: u64,
}

/// The actor.
pub(crate) struct Scheduler {
    env: Arc<Environment>,
    live: HashMap<QueueName, Live>,
    /// Queues that have work and are paused.
    parked: HashSet<QueueName>,
    /// Some destination has not heard of a change.
    must_refresh: bool,
    timer: Option<SpawnHandle>,
}

impl Scheduler {
    pub(crate) fn new(env: Arc<Environment>) -> Self {
        let (live, parked) = (HashMap::new(), HashSet::new());
        Self { env, live, parked, must_refresh: false, timer: None }
    }

    fn led(&self) -> Vec<GroupId> {
        self.env.work.led().into_iter().map(|(group, _)| group).collect()
    }

    /// Has work looked at from its beginning, in all partitions.
    fn hasten(&self, queues: impl IntoIterator<Item = QueueName>) {
        let groups = self.led();
        let mut agenda = self.env.agenda.lock();
        for queue in queues {
            agenda.hasten(&queue, &groups);
        }
    }

    /// Starts and kicks what is due.
    fn run(&mut self, ctx: &mut Context<Self>) {
        self.watch();
        if self.must_refresh {
            self.refresh();
        }
        let due = self.env.agenda.lock().take_due(Timestamp::now(), START_MAX);
        let held = Held::new(&self.env.switches.borrow());
        let mut again = Vec::new();
        for (queue, rest) in due {
            if held.paused_by(&queue).is_some() && !self.live.contains_key(&queue) {
                self.parked.insert(queue);
            } else if let Err(rest) = self.give(&queue, rest, ctx) {
                again.push((queue, rest));
            }
        }
        let full = !again.is_empty();
        let mut agenda = self.env.agenda.lock();
        for (queue, rest) in again {
            for (group, due) in rest.due {
                agenda.note(&queue, group, due);
            }
        }
        let next = agenda.next();
        drop(agenda);
        self.arm(next, full, ctx);
    }

    /// Hands work to the queue's destination. What its mailbox has no room for comes back.
    fn give(&mut self, queue: &QueueName, mut rest: Rest, ctx: &Context<Self>) -> Result<(), Rest> {
        let Some(live) = self.live.get_mut(queue) else {
            self.start(queue, rest, ctx);
            return Ok(());
        };
        while let Some((group, due)) = rest.due.pop_first() {
            let number = live.kicks + 1;
            if live.address.try_send(Kick { number, group, due }).is_err() {
                rest.due.insert(group, due);
                return Err(rest);
            }
            live.kicks = number;
        }
        Ok(())
    }

    fn start(&mut self, queue: &QueueName, rest: Rest, ctx: &Context<Self>) {
        if self.env.is_stopping() {
            return;
        }
        let (env, scheduler, name) = (Arc::clone(&self.env), ctx.address(), queue.clone());
        let address = Destination::start_in_arbiter(self.env.arbiter(), move |_| {
            Destination::new(env, scheduler, name, &rest)
        });
        self.live.insert(queue.clone(), Live { address, kicks: 0 });
    }

    /// Finds destinations that are gone without a word: they panicked.
    fn watch(&mut self) {
        let gone = |(_, live): &(&QueueName, &Live)| !live.address.connected();
        let gone: Vec<_> = self.live.iter().filter(gone).map(|(q, _)| q.clone()).collect();
        for queue in &gone {
            tracing::error!("{queue}: delivery failed unexpectedly and is started again");
            self.live.remove(queue);
        }
        self.hasten(gone);
    }

    fn arm(&mut self, next: Option<Timestamp>, full: bool, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let next = next.map_or(WATCH_INTERVAL, |next| next.since(Timestamp::now()));
        let least = if full { AGAIN_AFTER } else { Duration::from_millis(1) };
        let wait = next.clamp(least, WATCH_INTERVAL);
        self.timer = Some(ctx.run_later(wait, |this, ctx| {
            this.timer = None;
            this.run(ctx);
        }));
    }

    /// Lets all destinations hear of a change.
    fn refresh(&mut self) {
        self.must_refresh = !self.tell_all(|| Refresh);
    }

    /// False when some mailbox was full.
    fn tell_all<M>(&self, message: impl Fn() -> M) -> bool
    where
        M: Message<Result = ()> + Send + 'static,
        Destination: Handler<M>,
        Context<Destination>: ToEnvelope<Destination, M>,
    {
        let told =
            |live: &Live| live.address.try_send(message()).is_ok() || !live.address.connected();
        // Every one is told, whatever happened with the one before.
        self.live.values().filter(|live| !told(live)).count() == 0
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(256);
        // After an earlier scheduler: what it had given away is looked at again.
        let taken = self.env.agenda.lock().taken();
        self.hasten(taken);
        self.run(ctx);
    }
}

impl Handler<NewWork> for Scheduler {
    type Result = ();

    fn handle(&mut self, NewWork(wakes): NewWork, ctx: &mut Self::Context) {
        let mut agenda = self.env.agenda.lock();
        for wake in &wakes {
            agenda.note(&wake.queue, wake.group, wake.due);
        }
        drop(agenda);
        self.run(ctx);
    }
}

impl Handler<Idle> for Scheduler {
    type Result = bool;

    fn handle(&mut self, idle: Idle, ctx: &mut Self::Context) -> bool {
        let Idle { queue, from, kicks, rest } = idle;
        match self.live.get(&queue) {
            Some(live) if live.address != from => return true,
            Some(live) if live.kicks != kicks => return false,
            Some(_) | None => {}
        }
        self.live.remove(&queue);
        self.env.agenda.lock().put(&queue, rest);
        self.run(ctx);
        true
    }
}

impl Handler<Changed> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: Changed, ctx: &mut Self::Context) {
        self.refresh();
        let mut free = self.env.agenda.lock().set_aside();
        let parked = std::mem::take(&mut self.parked);
        free.extend(parked);
        self.hasten(free);
        self.run(ctx);
    }
}

impl Handler<Hasten> for Scheduler {
    type Result = ();

    fn handle(&mut self, Hasten(queue): Hasten, ctx: &mut Self::Context) {
        match self.live.get(&queue) {
            // A full mailbox means that the destination is anything but idle.
            Some(live) => drop(live.address.try_send(TryNow)),
            None => self.hasten([queue]),
        }
        self.run(ctx);
    }
}
