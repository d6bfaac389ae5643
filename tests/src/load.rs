//! A load source: many connections to several nodes at once, and a record of how every message
//! was answered.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::history::{Answer, At, Attempt, Recipient, Sent};
use crate::parcel::{self, Kind};

/// How messages come.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends the next message when the last is answered.
    Closed,
    /// So many messages a second over all connections, whether or not earlier ones are answered;
    /// the source falls behind by one second at most and then lets messages out.
    Open(f64),
}

/// What to send, and how.
#[derive(Clone)]
pub struct Load {
    /// Listeners of the nodes, in order of their numbers.
    pub nodes: Vec<SocketAddr>,
    /// Speaks STARTTLS with this configuration and server name.
    pub tls: Option<(Arc<rustls::ClientConfig>, String)>,
    /// Connections at a time, dealt out to the nodes in turn.
    pub connections: usize,
    /// Messages over one connection.
    pub per_connection: u32,
    /// Recipient domains; the recipients of a message go to them in turn.
    pub domains: Vec<String>,
    /// Recipients of a message.
    pub recipients: RangeInclusive<u16>,
    /// Sizes of bodies in bytes, each as likely as the others.
    pub sizes: Vec<usize>,
    /// Share of recipients that the receiver is to refuse, from 0 to 1.
    pub bounces: f64,
    /// When the next message comes.
    pub pace: Pace,
    /// How often a message is sent again that was not answered `250`.
    pub retries: u32,
    /// A connection that cannot be had goes to the next node instead.
    pub moves_on: bool,
    /// Messages in all.
    pub most: u32,
    /// For sizes, recipients and bounces.
    pub seed: u64,
}

impl Load {
    /// Small messages over a few kept connections as fast as they are answered.
    #[must_use]
    pub fn new(nodes: Vec<SocketAddr>, domains: &[&str], most: u32) -> Self {
        Self {
            connections: nodes.len() * 2,
            nodes,
            tls: None,
            per_connection: 50,
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            recipients: 1..=1,
            sizes: vec![1024],
            bounces: 0.0,
            pace: Pace::Closed,
            retries: 0,
            moves_on: true,
            most,
            seed: 0,
        }
    }
}

/// A running load.
pub struct Source {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

struct Shared {
    load: Load,
    start: Instant,
    next: AtomicU32,
    stop: AtomicBool,
    permits: Semaphore,
    sent: Mutex<Vec<Sent>>,
    accepted: AtomicU32,
}

/// How long one step of a session may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to get a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an open loop lets messages go.
const TICK: Duration = Duration::from_millis(20);

impl Source {
    /// Starts the load; all its times count from `start`.
    #[must_use]
    pub fn start(load: Load, start: Instant) -> Self {
        let shared = Arc::new(Shared {
            start,
            next: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            permits: Semaphore::new(0),
            sent: Mutex::default(),
            accepted: AtomicU32::new(0),
            load,
        });
        let mut workers = JoinSet::new();
        for number in 0..shared.load.connections {
            workers.spawn(work(Arc::clone(&shared), number));
        }
        if let Pace::Open(rate) = shared.load.pace {
            workers.spawn(pace(Arc::clone(&shared), rate));
        }
        Self { shared, workers }
    }

    /// Messages answered `250` so far.
    #[must_use]
    pub fn accepted(&self) -> u32 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// All messages that have been dealt with so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().expect("no holder panics").clone()
    }

    /// Stops after the messages that are on their way, and gives the record.
    pub async fn stop(mut self) -> Vec<Sent> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.permits.close();
        while self.workers.join_next().await.is_some() {}
        self.sent()
    }

    /// Waits until all messages are sent, and gives the record.
    pub async fn finish(mut self) -> Vec<Sent> {
        while self.workers.join_next().await.is_some() {}
        self.sent()
    }
}

impl Shared {
    fn now(&self) -> At {
        self.start.elapsed()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The number of the next message; none when all are sent.
    async fn next(&self) -> Option<u32> {
        if let Pace::Open(_) = self.load.pace {
            self.permits.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        if number >= self.load.most {
            self.permits.close();
        }
        (number < self.load.most && !self.stopped()).then_some(number)
    }
}

async fn pace(shared: Arc<Shared>, rate: f64) {
    let mut owed = 0.0;
    let mut last = Instant::now();
    let backlog = rate.max(1.0).ceil() as usize;
    while !shared.stopped() && !shared.permits.is_closed() {
        tokio::time::sleep(TICK).await;
        owed += last.elapsed().as_secs_f64() * rate;
        last = Instant::now();
        let room = backlog.saturating_sub(shared.permits.available_permits());
        let now = (owed as usize).min(room);
        shared.permits.add_permits(now);
        owed = (owed - owed.floor()).min(1.0);
    }
}

/// A message to be sent: its recipients' addresses and its text.
struct Parcel {
    to: Vec<String>,
    text: String,
}

fn parcel(load: &Load, id: u32) -> Parcel {
    let mut rng = StdRng::seed_from_u64(load.seed ^ u64::from(id).wrapping_mul(0x9e37_79b9));
    let count = rng.random_range(load.recipients.clone());
    let size = load.sizes[rng.random_range(0..load.sizes.len())];
    let mut address = |n: u16| {
        let bounces = load.bounces > 0.0 && rng.random_bool(load.bounces);
        let kind = if bounces { Kind::Bounce } else { Kind::Mail };
        let domain = &load.domains[(id as usize + usize::from(n)) % load.domains.len()];
        parcel::address(Recipient { id, n }, kind, domain)
    };
    let to = (0..count).map(&mut address).collect();
    Parcel { to, text: parcel::text(id, size) }
}

/// One connection after another until all is sent.
async fn work(shared: Arc<Shared>, number: usize) {
    let mut link = Link { shared: &shared, node: number % shared.load.nodes.len(), open: None };
    while let Some(id) = shared.next().await {
        let parcel = parcel(&shared.load, id);
        let mut attempts = Vec::new();
        loop {
            let attempt = link.send(&parcel).await;
            let accepted = attempt.answer == Answer::Accepted;
            attempts.push(attempt);
            let tries = attempts.len();
            if accepted || tries > shared.load.retries as usize || shared.stopped() {
                shared.accepted.fetch_add(u32::from(accepted), Ordering::SeqCst);
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let recipients = u16::try_from(parcel.to.len()).unwrap_or(u16::MAX);
        let sent = Sent { id, recipients, attempts };
        shared.sent.lock().expect("no holder panics").push(sent);
    }
    link.close().await;
}

struct Link<'a> {
    shared: &'a Shared,
    node: usize,
    open: Option<(Client, u32)>,
}

impl Link<'_> {
    async fn send(&mut self, parcel: &Parcel) -> Attempt {
        let node = u8::try_from(self.node).unwrap_or(u8::MAX);
        let mut dot = None;
        let answer = match tokio::time::timeout(PATIENCE, self.try_send(parcel, &mut dot)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                self.open = None;
                if dot.is_some() { Answer::Unknown } else { Answer::Unsent }
            }
        };
        let ended = self.shared.now();
        if answer == Answer::Unsent {
            tokio::time::sleep(PAUSE).await;
        }
        if matches!(answer, Answer::Unsent | Answer::Deferred(_) | Answer::Refused(_)) {
            self.close().await;
            if self.shared.load.moves_on {
                self.node = (self.node + 1) % self.shared.load.nodes.len();
            }
        }
        Attempt { node, dot, ended, answer }
    }

    async fn try_send(&mut self, parcel: &Parcel, dot: &mut Option<At>) -> Result<Answer> {
        if self.open.as_ref().is_some_and(|(_, sent)| *sent >= self.shared.load.per_connection) {
            self.close().await;
        }
        if self.open.is_none() {
            self.open = Some((connect(&self.shared.load, self.node).await?, 0));
        }
        let Some((client, sent)) = &mut self.open else { return Ok(Answer::Unsent) };
        *sent += 1;
        transaction(client, parcel, || *dot = Some(self.shared.now())).await
    }

    async fn close(&mut self) {
        if let Some((mut client, _)) = self.open.take() {
            // The server may have closed first; that is as good.
            let _ = client.send("QUIT").await;
            let _ = tokio::time::timeout(PAUSE, client.reply()).await;
        }
    }
}

async fn connect(load: &Load, node: usize) -> Result<Client> {
    let mut client = Client::connect(load.nodes[node]).await?;
    client.ehlo().await?;
    if let Some((config, name)) = &load.tls {
        client = client.starttls(name, Arc::clone(config)).await?;
        client.ehlo().await?;
    }
    Ok(client)
}

async fn transaction(
    client: &mut Client,
    parcel: &Parcel,
    finishing: impl FnOnce(),
) -> Result<Answer> {
    client.send("MAIL FROM:<>").await?;
    let reply = client.reply().await?;
    if reply.code != 250 {
        return Ok(Answer::Refused(reply.code));
    }
    for to in &parcel.to {
        client.send(&format!("RCPT TO:<{to}>")).await?;
        let reply = client.reply().await?;
        if reply.code != 250 {
            client.send("RSET").await?;
            client.reply().await?;
            return Ok(Answer::Refused(reply.code));
        }
    }
    client.send("DATA").await?;
    let reply = client.reply().await?;
    if reply.code != 354 {
        return Ok(Answer::Refused(reply.code));
    }
    client.raw(parcel.text.replace("\r\n.", "\r\n..").as_bytes()).await?;
    finishing();
    client.send(".").await?;
    let reply = client.reply().await?;
    Ok(match reply.code {
        250 => Answer::Accepted,
        code @ 500.. => Answer::Refused(code),
        code => Answer::Deferred(code),
    })
}
