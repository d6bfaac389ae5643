//! What all actors and sessions of delivery share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::agenda::Agenda;
use super::board::Board;
use super::claim::Claims;
use super::limits::{Limits, Shared};
use super::trace::Traces;
use crate::clock::{Instant, monotonic};
use crate::config::Config;
use crate::dns::Resolve;
use crate::queue::door::{Doubts, Work};
use crate::queue::model::Switches;
use crate::tls::connector::Connectors;

/// Hosts with broken TLS that are remembered.
const BROKEN_MAX: usize = 4096;

/// What outlives every actor.
pub(crate) struct Environment {
    pub(crate) config: Arc<ArcSwap<Config>>,
    pub(crate) work: Arc<dyn Work>,
    /// Told of every final dot.
    pub(crate) doubts: Arc<dyn Doubts>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) switches: watch::Receiver<Switches>,
    pub(crate) agenda: Mutex<Agenda>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) limits: Limits,
    pub(crate) connectors: Connectors,
    pub(crate) broken_tls: BrokenHosts,
    pub(crate) board: Arc<Board>,
    pub(crate) traces: Traces,
    /// True once the node stops.
    pub(crate) stopping: watch::Sender<bool>,
    /// Held by every session; taken when no new ones may begin.
    pub(crate) sessions: Mutex<Option<mpsc::Sender<()>>>,
    arbiters: Vec<ArbiterHandle>,
    next_arbiter: AtomicUsize,
    next_connection: AtomicU64,
    /// Connections begun, by virtual MTA.
    turns: Mutex<HashMap<String, usize>>,
}

impl Environment {
    pub(crate) fn new(
        config: Arc<ArcSwap<Config>>,
        work: Arc<dyn Work>,
        doubts: Arc<dyn Doubts>,
        resolver: Arc<dyn Resolve>,
        shared: Arc<dyn Shared>,
        arbiters: Vec<ArbiterHandle>,
        sessions: mpsc::Sender<()>,
    ) -> Self {
        Self {
            switches: work.switches(),
            agenda: Mutex::default(),
            claims: Arc::default(),
            limits: Limits::new(&config.load(), shared),
            connectors: Connectors::default(),
            broken_tls: BrokenHosts::default(),
            board: Arc::default(),
            traces: Traces::default(),
            stopping: watch::Sender::new(false),
            sessions: Mutex::new(Some(sessions)),
            arbiters,
            next_arbiter: AtomicUsize::new(0),
            next_connection: AtomicU64::new(1),
            turns: Mutex::default(),
            config,
            work,
            doubts,
            resolver,
        }
    }

    /// The threads of delivery in turn.
    pub(crate) fn arbiter(&self) -> &ArbiterHandle {
        let turn = self.next_arbiter.fetch_add(1, Ordering::Relaxed);
        &self.arbiters[turn % self.arbiters.len()]
    }

    /// A number for a connection, for the log.
    pub(crate) fn connection_number(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Which of its source addresses a virtual MTA that is configured uses next.
    pub(crate) fn turn(&self, vmta: &str) -> usize {
        let mut turns = self.turns.lock();
        let turn = turns.entry(vmta.to_owned()).or_default();
        *turn = turn.wrapping_add(1);
        *turn
    }

    /// Forgets virtual MTAs that are not configured any more.
    pub(crate) fn forget_turns(&self, config: &Config) {
        self.turns.lock().retain(|vmta, _| config.vmtas.contains_key(vmta));
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves when the node stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }
}

/// Hosts whose TLS failed, for opportunistic encryption.
#[derive(Debug, Default)]
pub(crate) struct BrokenHosts {
    /// Until when, by address and by whether certificates had to verify.
    until: Mutex<HashMap<(SocketAddr, bool), Instant>>,
}

impl BrokenHosts {
    pub(crate) fn remember(&self, host: SocketAddr, verifies: bool, until: Instant) {
        let mut known = self.until.lock();
        if known.len() >= BROKEN_MAX {
            let now = monotonic();
            known.retain(|_, until| *until > now);
        }
        if known.len() < BROKEN_MAX {
            known.insert((host, verifies), until);
        }
    }

    pub(crate) fn contains(&self, host: SocketAddr, verifies: bool) -> bool {
        let now = monotonic();
        self.until.lock().get(&(host, verifies)).is_some_and(|until| *until > now)
    }

    /// Settings have changed: everything may work again.
    pub(crate) fn clear(&self) {
        self.until.lock().clear();
    }
}
