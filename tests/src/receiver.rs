//! Receiving servers for runs with faults: one per domain, all in one ledger, which remembers
//! every connection and every message without its body.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::history::{At, Connection, Recipient, Transaction};
use crate::parcel::{self, Kind};
use crate::sink::{Behaviour, Observer, Received, Sink, Tls};

/// How a receiver treats what comes.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Between the final dot and the reply.
    pub delay: RangeInclusive<Duration>,
    /// Share of recipients answered `452`, from 0 to 1.
    pub defer_recipients: f64,
    /// Share of messages answered `451` after the final dot, from 0 to 1.
    pub defer_messages: f64,
    /// Connections more than this are answered `421`.
    pub most_connections: u32,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO..=Duration::ZERO,
            defer_recipients: 0.0,
            defer_messages: 0.0,
            most_connections: u32::MAX,
        }
    }
}

/// Says which node a client is, by its name in `EHLO` and its address.
pub type NameNode = Arc<dyn Fn(&str, IpAddr) -> Option<u8> + Send + Sync>;

/// Everything that the receivers of a run saw.
pub struct Ledger {
    start: Instant,
    seen: Mutex<Seen>,
    name_node: NameNode,
}

#[derive(Default)]
struct Seen {
    connections: Vec<Connection>,
    transactions: Vec<Transaction>,
    /// Per connection: when `MAIL` came, and the last message.
    progress: Vec<Progress>,
    recipients_taken: usize,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    began: At,
    last: Option<usize>,
}

/// More connections and messages than any run has; a run that exceeds it is broken.
const MOST: usize = 2_000_000;

impl Ledger {
    /// An empty ledger; all its times count from `start`.
    #[must_use]
    pub fn new(start: Instant, name_node: NameNode) -> Arc<Self> {
        Arc::new(Self { start, seen: Mutex::default(), name_node })
    }

    fn now(&self) -> At {
        self.start.elapsed()
    }

    fn seen<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.seen.lock().expect("no holder panics"))
    }

    /// Connections and messages so far.
    #[must_use]
    pub fn copy(&self) -> (Vec<Connection>, Vec<Transaction>) {
        self.seen(|seen| (seen.connections.clone(), seen.transactions.clone()))
    }

    /// Recipients taken so far, copies included.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.seen(|seen| seen.recipients_taken)
    }

    /// The first message taken after `after` for which `wanted` holds.
    #[must_use]
    pub fn first_taken(&self, after: At, wanted: impl Fn(&Transaction) -> bool) -> Option<At> {
        self.seen(|seen| {
            let taken = seen.transactions.iter().filter(|t| t.taken && t.dot > after);
            taken.filter(|t| wanted(t)).map(|t| t.dot).min()
        })
    }

    /// Recipients of messages that were taken and answered before `before`.
    #[must_use]
    pub fn answered(&self, before: At) -> HashSet<Recipient> {
        self.seen(|seen| {
            let done = |t: &&Transaction| t.taken && t.replied.is_some_and(|at| at < before);
            let taken = seen.transactions.iter().filter(done);
            taken.flat_map(|t| t.recipients.iter().copied()).collect()
        })
    }
}

/// A receiver of one domain.
pub struct Receiver {
    /// Its domain.
    pub domain: String,
    /// Where it listens.
    pub address: SocketAddr,
    desk: Arc<Desk>,
    _sink: Sink,
}

/// What one receiver does with its ledger.
struct Desk {
    number: u8,
    ledger: Arc<Ledger>,
    manner: Mutex<Manner>,
    rng: Mutex<StdRng>,
    open: Mutex<u32>,
}

impl Receiver {
    /// Starts the receiver `number` of `domain` on a free port of `host`.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(
        ledger: &Arc<Ledger>,
        number: u8,
        domain: &str,
        host: IpAddr,
        tls: Tls,
        manner: Manner,
    ) -> Result<Self> {
        let desk = Arc::new(Desk {
            number,
            ledger: Arc::clone(ledger),
            manner: Mutex::new(manner),
            rng: Mutex::new(StdRng::seed_from_u64(number.into())),
            open: Mutex::new(0),
        });
        let listener = TcpListener::bind((host, 0)).await?;
        let observer = Arc::clone(&desk) as Arc<dyn Observer>;
        let behaviour = Behaviour { observer: Some(observer), ..Behaviour::new(tls) };
        let sink = Sink::on(listener, behaviour)?;
        Ok(Self { domain: domain.to_owned(), address: sink.address, desk, _sink: sink })
    }

    /// Changes how it treats what comes from now on.
    pub fn set_manner(&self, manner: Manner) {
        *self.desk.manner.lock().expect("no holder panics") = manner;
    }
}

impl Desk {
    fn happens(&self, share: f64) -> bool {
        share > 0.0 && self.rng.lock().expect("no holder panics").random_bool(share.min(1.0))
    }

    fn manner(&self) -> Manner {
        self.manner.lock().expect("no holder panics").clone()
    }

    fn delay(&self, range: &RangeInclusive<Duration>) -> Duration {
        let within = range.end().saturating_sub(*range.start());
        if within.is_zero() {
            return *range.start();
        }
        let part: f64 = self.rng.lock().expect("no holder panics").random();
        *range.start() + within.mul_f64(part)
    }
}

impl Observer for Desk {
    fn opened(&self, peer: SocketAddr) -> Result<u32, String> {
        let most = self.manner().most_connections;
        let mut open = self.open.lock().expect("no holder panics");
        if *open >= most {
            return Err("421 4.3.2 too many connections".to_owned());
        }
        *open += 1;
        let opened = self.ledger.now();
        self.ledger.seen(|seen| {
            assert!(seen.connections.len() < MOST, "more connections than a run may have");
            seen.connections.push(Connection {
                receiver: self.number,
                node: None,
                source: peer.ip(),
                opened,
                ended: None,
                mails_in_clear: 0,
            });
            seen.progress.push(Progress::default());
            Ok(u32::try_from(seen.connections.len() - 1).unwrap_or(u32::MAX))
        })
    }

    fn command(&self, connection: u32, line: &str, encrypted: bool) {
        let now = self.ledger.now();
        let at = connection as usize;
        self.ledger.seen(|seen| {
            if let Some(last) = seen.progress[at].last {
                seen.transactions[last].next.get_or_insert(now);
            }
            let connection = &mut seen.connections[at];
            if let Some(name) = line.strip_prefix("EHLO ") {
                let node = (self.ledger.name_node)(&name.to_ascii_lowercase(), connection.source);
                connection.node = node;
            } else if line.starts_with("MAIL FROM:") {
                seen.progress[at].began = now;
                connection.mails_in_clear += u32::from(!encrypted);
            } else if line == "QUIT" {
                connection.ended.get_or_insert(now);
            }
        });
    }

    fn recipient(&self, argument: &str) -> Option<String> {
        if let Some((Kind::Bounce, _)) = parcel::recognise(argument) {
            return Some("550 5.1.1 no such user".to_owned());
        }
        let defers = self.happens(self.manner().defer_recipients);
        defers.then(|| "452 4.2.2 not now".to_owned())
    }

    fn arrived(&self, connection: u32, message: &Received) -> (Duration, String) {
        let manner = self.manner();
        let taken = !self.happens(manner.defer_messages);
        let recipients: Vec<_> = message
            .recipients
            .iter()
            .filter_map(|argument| parcel::recognise(argument))
            .map(|(_, recipient)| recipient)
            .collect();
        let intact = parcel::is_intact(&message.data);
        let dot = self.ledger.now();
        let at = connection as usize;
        self.ledger.seen(|seen| {
            assert!(seen.transactions.len() < MOST, "more messages than a run may have");
            seen.recipients_taken += if taken { recipients.len() } else { 0 };
            seen.progress[at].last = Some(seen.transactions.len());
            seen.transactions.push(Transaction {
                receiver: self.number,
                node: seen.connections[at].node,
                source: seen.connections[at].source,
                recipients,
                began: seen.progress[at].began,
                dot,
                replied: None,
                taken,
                next: None,
                intact,
                encrypted: message.encrypted,
            });
        });
        let reply = if taken { "250 2.0.0 taken" } else { "451 4.3.0 not now" };
        (self.delay(&manner.delay), reply.to_owned())
    }

    fn replied(&self, connection: u32) {
        let now = self.ledger.now();
        self.ledger.seen(|seen| {
            if let Some(last) = seen.progress[connection as usize].last {
                seen.transactions[last].replied.get_or_insert(now);
            }
        });
    }

    fn closed(&self, connection: u32) {
        let now = self.ledger.now();
        let mut open = self.open.lock().expect("no holder panics");
        *open = open.saturating_sub(1);
        self.ledger.seen(|seen| {
            seen.connections[connection as usize].ended.get_or_insert(now);
        });
    }
}
