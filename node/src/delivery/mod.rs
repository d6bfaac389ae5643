//! Outbound: scheduler, destinations, sessions, limits and routes.
//!
//! The scheduler knows which queue has work when. It starts one destination per queue with work;
//! a destination reads the queue page by page, keeps to its limits, and gives batches to sessions.
//! A session is a task with one connection and one [`crate::smtp::client::Client`]; it reports
//! what it did to the queue. `message` lists what they say to each other.
//!
//! Refuses to send what another node is responsible for: every transaction asks
//! [`Work::may_send`] before its start and before its end.

mod agenda;
mod board;
mod claim;
mod classify;
mod destination;
mod environment;
mod feed;
#[cfg(test)]
mod fixture;
pub mod limits;
mod message;
pub(crate) mod rate;
mod record;
mod report;
mod retry;
mod route;
mod scheduler;
mod session;
mod sweep;
mod trace;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor as _, Addr};
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use board::{Activity, Counters, Event, EventKind};
pub use trace::TraceLine;

use crate::config::Config;
use crate::dns::Resolve;
use crate::id::{GroupId, QueueName};
use crate::queue::door::{Doubts, Work};
use environment::Environment;
use limits::Shared;
use message::{Changed, Hasten, NewWork};
use scheduler::Scheduler;

/// How often the scheduler is looked after.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often a hand-over looks whether work on a group has ended.
const IDLE_POLL: Duration = Duration::from_millis(10);

/// Outbound delivery of this node.
pub struct Delivery {
    env: Arc<Environment>,
    scheduler: Arc<Mutex<Addr<Scheduler>>>,
    arbiter: ArbiterHandle,
    /// Ends when the last session has.
    sessions: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Delivery {
    /// Starts delivery on the threads of `arbiters`. `shared` says what part of each limit this
    /// node has.
    ///
    /// # Panics
    ///
    /// When `arbiters` is empty.
    #[must_use]
    pub fn start(
        config: Arc<ArcSwap<Config>>,
        work: Arc<dyn Work>,
        doubts: Arc<dyn Doubts>,
        resolver: Arc<dyn Resolve>,
        shared: Arc<dyn Shared>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Self {
        let arbiter = arbiters.first().expect("delivery needs a thread").clone();
        let (alive, sessions) = mpsc::channel(1);
        let env = Environment::new(config, work, doubts, resolver, shared, arbiters, alive);
        let env = Arc::new(env);
        let scheduler = Arc::new(Mutex::new(start_scheduler(&env, &arbiter)));
        arbiter.spawn(supervise(Arc::clone(&env), Arc::clone(&scheduler), arbiter.clone()));
        arbiter.spawn(keep_limits(Arc::clone(&env)));
        Self { env, scheduler, arbiter, sessions: tokio::sync::Mutex::new(sessions) }
    }

    /// Takes a new configuration to use: files of TLS are read again, limits and settings hold
    /// from the next connection or message on.
    pub fn config_changed(&self) {
        self.env.limits.reconfigure(&self.env.config.load());
        self.env.connectors.clear();
        self.env.broken_tls.clear();
        self.env.forget_turns(&self.env.config.load());
        self.tell(Changed);
    }

    /// Figures of the node.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.env.board.counters
    }

    /// What is known about queues: connections, last errors, recent events.
    #[must_use]
    pub fn activity(&self) -> HashMap<QueueName, Activity> {
        self.env.board.activity()
    }

    /// The dialogue of the queue's next connection. The channel is bounded: a reader that is too
    /// slow misses lines. None when too many operators wait already.
    #[must_use]
    pub fn trace(&self, queue: QueueName) -> Option<mpsc::Receiver<TraceLine>> {
        self.env.traces.subscribe(queue)
    }

    /// Tries a queue now that waits because its hosts could not be reached.
    pub fn wake(&self, queue: QueueName) {
        self.tell(Hasten(queue));
    }

    /// Resolves when no message of `group` is in work any more. New work is the queue's to keep
    /// back.
    pub async fn idle(&self, group: GroupId) {
        while self.env.claims.any_of(group) {
            tokio::time::sleep(IDLE_POLL).await;
        }
    }

    /// Ends delivery in order: no new work, sessions finish their message and quit. Resolves when
    /// the last one has.
    pub async fn stop(&self) {
        self.env.stopping.send_replace(true);
        drop(self.env.sessions.lock().take());
        self.tell(Changed);
        let mut sessions = self.sessions.lock().await;
        while sessions.recv().await.is_some() {}
    }

    fn tell<M>(&self, message: M)
    where
        M: actix::Message<Result = ()> + Send + 'static,
        Scheduler: actix::Handler<M>,
    {
        let scheduler = self.scheduler.lock().clone();
        self.arbiter.spawn(async move {
            // A scheduler that is gone is replaced by one that looks at everything.
            let _gone = scheduler.send(message).await;
        });
    }
}

fn start_scheduler(env: &Arc<Environment>, arbiter: &ArbiterHandle) -> Addr<Scheduler> {
    let env = Arc::clone(env);
    Scheduler::start_in_arbiter(arbiter, move |_| Scheduler::new(env))
}

/// Brings new work and changed switches to the scheduler, and starts it again when it is gone.
async fn supervise(
    env: Arc<Environment>,
    scheduler: Arc<Mutex<Addr<Scheduler>>>,
    arbiter: ArbiterHandle,
) {
    let mut switches = env.switches.clone();
    let (mut undelivered, mut must_tell) = (Vec::new(), false);
    loop {
        let address = scheduler.lock().clone();
        if !address.connected() {
            tracing::error!("the scheduler failed unexpectedly and is started again");
            *scheduler.lock() = start_scheduler(&env, &arbiter);
            continue;
        }
        if !undelivered.is_empty() {
            if address.send(NewWork(undelivered.clone())).await.is_ok() {
                undelivered.clear();
            }
            continue;
        }
        if must_tell {
            must_tell = address.send(Changed).await.is_err();
            continue;
        }
        tokio::select! {
            () = env.stopped() => return,
            wakes = env.work.wakes() => undelivered = wakes,
            changed = switches.changed() => match changed {
                Ok(()) => must_tell = true,
                Err(_) => return,
            },
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}

/// Lets connections begin or end when shares of limits change.
async fn keep_limits(env: Arc<Environment>) {
    let mut changed = env.limits.changed();
    loop {
        tokio::select! {
            () = env.stopped() => return,
            change = changed.changed() => if change.is_err() { return },
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
        env.limits.settle();
    }
}

#[cfg(test)]
#[path = "delivery_test.rs"]
mod tests;
