//! Doubles for the tests of delivery: a queue in memory, a resolver with a table, and a small
//! SMTP server.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify as Bell, watch};
use tokio_rustls::TlsAcceptor;

use crate::clock::Timestamp;
use crate::dns::{DnsError, Mx, Resolve};
use crate::id::{GroupId, Locator, MessageId, QueueName};
use crate::message::{BodyType, Class, Envelope, Notify, Origin, Outcome, Recipient, Record};
use crate::queue::door::{ReportError, Work};
use crate::queue::model::{Due, Report, Stored, Switches, Waiting, Wake};
use crate::smtp::address::{Address, ReversePath};

pub(super) const GROUP: GroupId = GroupId(2);
pub(super) const TERM: u64 = 3;

/// What a test queue holds and was told.
#[derive(Default)]
pub(super) struct State {
    pub(super) messages: BTreeMap<Locator, (Stored, Bytes)>,
    pub(super) reports: Vec<Report>,
    pub(super) records: Vec<Record>,
    wakes: Vec<Wake>,
    next: u64,
}

impl State {
    /// Final and temporary results, in the order of their reports.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let results = self.reports.iter().flat_map(|report| &report.results);
        results.map(|result| result.outcome.clone()).collect()
    }

    pub(super) fn count(&self, class: Class) -> usize {
        self.outcomes().iter().filter(|outcome| outcome.class == class).count()
    }

    /// Rows of all reports.
    pub(super) fn rows(&self) -> Vec<Record> {
        let results = self.reports.iter().flat_map(|report| &report.results);
        results.filter_map(|result| result.record.clone()).collect()
    }
}

/// A queue in memory with one partition.
pub(super) struct FakeQueue {
    state: Mutex<State>,
    bell: Bell,
    woken: Bell,
    pub(super) may_send: Mutex<bool>,
    pub(super) switches: watch::Sender<Switches>,
}

impl FakeQueue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            bell: Bell::new(),
            woken: Bell::new(),
            may_send: Mutex::new(true),
            switches: watch::Sender::default(),
        })
    }

    /// Queues a message that came `age_s` seconds ago.
    pub(super) fn submit(&self, message: Message<'_>) -> Locator {
        let mut state = self.state.lock();
        let now = Timestamp::now();
        state.next += 1;
        let locator = Locator { group: GROUP, index: state.next, slot: 0 };
        let stored = message.stored(locator, now);
        let due = stored.envelope.received_at;
        for recipient in &stored.envelope.recipients {
            state.wakes.push(Wake { group: GROUP, queue: recipient.queue.clone(), due });
        }
        let body = Bytes::copy_from_slice(message.body.as_bytes());
        state.messages.insert(locator, (stored, body));
        drop(state);
        self.woken.notify_one();
        locator
    }

    /// Waits until the state is as wanted, and gives what `look` makes of it.
    pub(super) async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.bell.notified();
                if let Some(found) = look(&self.state.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(20), waiting);
        match waiting.await {
            Ok(found) => found,
            Err(_) => {
                let state = self.state.lock();
                panic!("{:#?}\n{:#?}", state.outcomes(), state.records)
            }
        }
    }

    /// Waits until nothing is left.
    pub(super) async fn until_empty(&self) {
        self.until(|state| state.messages.is_empty().then_some(())).await;
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    fn rows(&self, queue: &QueueName) -> Vec<Due> {
        let state = self.state.lock();
        let mut rows = Vec::new();
        for (locator, (stored, _)) in &state.messages {
            for waiting in stored.waiting.iter().filter(|waiting| !waiting.held) {
                let recipient = &stored.envelope.recipients[usize::from(waiting.recipient)];
                if recipient.queue == *queue {
                    let (at, recipient) = (waiting.due, waiting.recipient);
                    rows.push(Due { at, locator: *locator, recipient });
                }
            }
        }
        rows.sort();
        rows
    }

    fn apply(&self, report: Report) {
        let mut state = self.state.lock();
        if let Some((stored, _)) = state.messages.get_mut(&report.locator) {
            for result in &report.results {
                let of_result = |w: &Waiting| w.recipient == result.recipient;
                if result.outcome.class == Class::Deferred {
                    for waiting in stored.waiting.iter_mut().filter(|w| of_result(w)) {
                        waiting.due = result.next_due;
                        waiting.attempts += u32::from(result.counts_as_attempt);
                    }
                } else {
                    stored.waiting.retain(|w| !of_result(w));
                }
            }
            if stored.waiting.is_empty() {
                state.messages.remove(&report.locator);
            }
        }
        state.reports.push(report);
        drop(state);
        self.bell.notify_waiters();
    }
}

impl Work for FakeQueue {
    fn led(&self) -> Vec<(GroupId, u64)> {
        vec![(GROUP, TERM)]
    }

    fn wakes(&self) -> BoxFuture<'_, Vec<Wake>> {
        async {
            loop {
                let wakes = std::mem::take(&mut self.state.lock().wakes);
                if !wakes.is_empty() {
                    return wakes;
                }
                self.woken.notified().await;
            }
        }
        .boxed()
    }

    fn due(
        &self,
        _: GroupId,
        queue: QueueName,
        from: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Vec<Due>> {
        let rows = self.rows(&queue).into_iter().filter(|row| row.at >= from && row.at <= now);
        std::future::ready(rows.take(limit).collect()).boxed()
    }

    fn next_due(
        &self,
        _: GroupId,
        queue: QueueName,
        after: Timestamp,
    ) -> BoxFuture<'_, Option<Timestamp>> {
        let next = self.rows(&queue).into_iter().map(|row| row.at).find(|at| *at > after);
        std::future::ready(next).boxed()
    }

    fn load(&self, locator: Locator) -> BoxFuture<'_, Option<Stored>> {
        let stored = self.state.lock().messages.get(&locator).map(|(stored, _)| stored.clone());
        std::future::ready(stored).boxed()
    }

    fn body(&self, locator: Locator) -> BoxFuture<'_, Option<Bytes>> {
        let body = self.state.lock().messages.get(&locator).map(|(_, body)| body.clone());
        std::future::ready(body).boxed()
    }

    fn may_send(&self, _: GroupId, term: u64) -> bool {
        term == TERM && *self.may_send.lock()
    }

    fn report(&self, term: u64, report: Report) -> BoxFuture<'_, Result<(), ReportError>> {
        assert_eq!(term, TERM);
        self.apply(report);
        std::future::ready(Ok(())).boxed()
    }

    fn record(&self, _: GroupId, records: Vec<Record>) -> BoxFuture<'_, Result<(), ReportError>> {
        self.state.lock().records.extend(records);
        self.bell.notify_waiters();
        std::future::ready(Ok(())).boxed()
    }

    fn switches(&self) -> watch::Receiver<Switches> {
        self.switches.subscribe()
    }
}

/// A message for a test.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a [&'a str],
    pub(super) body: &'a str,
    pub(super) notify: Notify,
    pub(super) age_s: u64,
    pub(super) job: Option<&'a str>,
    pub(super) vmta: &'a str,
}

impl Default for Message<'_> {
    fn default() -> Self {
        Self {
            from: "sender@client.example",
            to: &["user@x.example"],
            body: "Subject: test\r\n\r\nhello\r\n",
            notify: Notify::Unspecified,
            age_s: 0,
            job: None,
            vmta: crate::id::DEFAULT_VMTA,
        }
    }
}

impl Message<'_> {
    pub(super) fn stored(&self, locator: Locator, now: Timestamp) -> Stored {
        let received_at = Timestamp(now.0 - self.age_s * 1000);
        let recipient = |to: &&str| {
            let address = Address::parse(to).unwrap();
            let queue = QueueName { domain: address.domain_key(), vmta: self.vmta.to_owned() };
            Recipient { address, notify: self.notify, orcpt: None, queue }
        };
        let recipients: Vec<_> = self.to.iter().map(recipient).collect();
        let waiting = |recipient| Waiting {
            recipient,
            due: received_at,
            attempts: 0,
            first_attempt_at: None,
            last: None,
            held: false,
        };
        let count = u16::try_from(recipients.len()).unwrap();
        let envelope = Envelope {
            id: MessageId::new(received_at, u128::from(locator.index)),
            received_at,
            sender: ReversePath::parse(self.from).unwrap(),
            recipients,
            size_bytes: self.body.len() as u64,
            body_type: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            job: self.job.map(str::to_owned),
            vmta_pool: None,
            origin: Origin::Internal,
            suppress_dsn: false,
        };
        Stored { locator, envelope, waiting: (0..count).map(waiting).collect() }
    }
}

/// A resolver that knows what it was told; other names do not exist.
#[derive(Default)]
pub(super) struct Table {
    pub(super) mx: HashMap<String, Result<Vec<Mx>, DnsError>>,
    pub(super) hosts: HashMap<String, Vec<IpAddr>>,
}

impl Resolve for Table {
    fn mx(&self, domain: String) -> BoxFuture<'_, Result<Vec<Mx>, DnsError>> {
        let found = self.mx.get(&domain).cloned().unwrap_or(Err(DnsError::NoSuchDomain));
        std::future::ready(found).boxed()
    }

    fn addresses(&self, host: String) -> BoxFuture<'_, Result<Vec<IpAddr>, DnsError>> {
        let found = self.hosts.get(&host).cloned().ok_or(DnsError::NoSuchDomain);
        std::future::ready(found).boxed()
    }

    fn names(&self, _: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>> {
        std::future::ready(Err(DnsError::NoSuchDomain)).boxed()
    }

    fn clear_cache(&self) {}
}

/// What a test server does about TLS.
#[derive(Clone)]
pub(super) enum Tls {
    NotOffered,
    Refused,
    Garbage,
    /// It closes the connection instead of answering.
    Hangs,
    Offered(TlsAcceptor),
}

/// How a test server behaves.
#[derive(Clone)]
pub(super) struct Behaviour {
    pub(super) tls: Tls,
    pub(super) greeting: &'static str,
    /// Answers to RCPT by the start of the address; others are accepted.
    pub(super) rcpt: Vec<(&'static str, &'static str)>,
    /// After so many messages on a connection MAIL is answered `421`.
    pub(super) closes_after: usize,
    /// The answer to a message waits for a permit.
    pub(super) gate: Option<Arc<tokio::sync::Semaphore>>,
    pub(super) final_answer: &'static str,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            tls: Tls::NotOffered,
            greeting: "220 sink.example ready",
            rcpt: Vec::new(),
            closes_after: usize::MAX,
            gate: None,
            final_answer: "250 2.0.0 stored",
        }
    }
}

/// A message as a test server received it.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) helo: String,
    pub(super) recipients: Vec<String>,
    pub(super) data: String,
    pub(super) encrypted: bool,
}

#[derive(Default)]
struct Seen {
    messages: Vec<Received>,
    connections: usize,
}

/// A test server.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// Rung when a whole message has come, before it is answered.
    pub(super) arrived: Arc<Bell>,
}

impl Sink {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Self { address, seen: Arc::default(), arrived: Arc::default() };
        let serving = sink.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sink, behaviour) = (serving.clone(), behaviour.clone());
                sink.seen.lock().connections += 1;
                tokio::task::spawn_local(async move {
                    // A client that goes away is not the server's concern.
                    drop(sink.serve(stream, &behaviour).await);
                });
            }
        });
        sink
    }

    pub(super) fn messages(&self) -> Vec<Received> {
        self.seen.lock().messages.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    async fn serve(&self, stream: TcpStream, behaviour: &Behaviour) -> std::io::Result<()> {
        let mut clear = BufStream::new(stream);
        say(&mut clear, behaviour.greeting).await?;
        if !self.talk(&mut clear, behaviour, false).await? {
            return Ok(());
        }
        match &behaviour.tls {
            Tls::Offered(acceptor) => {
                let stream = acceptor.accept(clear.into_inner()).await?;
                self.talk(&mut BufStream::new(stream), behaviour, true).await?;
            }
            Tls::Garbage => {
                clear.fill_buf().await?;
                say(&mut clear, "this is not TLS").await?;
            }
            Tls::NotOffered | Tls::Refused | Tls::Hangs => {}
        }
        Ok(())
    }

    /// True when TLS is to begin.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        behaviour: &Behaviour,
        encrypted: bool,
    ) -> std::io::Result<bool> {
        let (mut helo, mut recipients, mut count) = (String::new(), Vec::new(), 0);
        loop {
            let line = hear(stream).await?;
            let upper = line.to_ascii_uppercase();
            if let Some(name) = upper.strip_prefix("EHLO ") {
                helo = name.to_ascii_lowercase();
                let offers = !encrypted && !matches!(behaviour.tls, Tls::NotOffered);
                let tls = if offers { "250-STARTTLS\r\n" } else { "" };
                say(stream, &format!("250-sink.example\r\n{tls}250 PIPELINING")).await?;
            } else if upper == "STARTTLS" {
                match behaviour.tls {
                    Tls::Refused => say(stream, "454 4.7.0 not now").await?,
                    Tls::Hangs => return Ok(false),
                    Tls::NotOffered | Tls::Garbage | Tls::Offered(_) => {
                        say(stream, "220 go").await?;
                        return Ok(true);
                    }
                }
            } else if upper.starts_with("MAIL") && count >= behaviour.closes_after {
                return say(stream, "421 4.3.2 enough").await.map(|()| false);
            } else if let Some(path) = line.strip_prefix("RCPT TO:<") {
                let refused = behaviour.rcpt.iter().find(|(start, _)| path.starts_with(start));
                match refused {
                    Some((_, answer)) => say(stream, answer).await?,
                    None => {
                        recipients.push(path.trim_end_matches('>').to_owned());
                        say(stream, "250 2.1.5 ok").await?;
                    }
                }
            } else if upper == "DATA" && recipients.is_empty() {
                say(stream, "503 5.5.1 no recipients").await?;
            } else if upper == "DATA" {
                say(stream, "354 go").await?;
                let data = read_data(stream).await?;
                self.arrived.notify_one();
                if let Some(gate) = &behaviour.gate {
                    gate.acquire().await.unwrap().forget();
                }
                count += 1;
                let (helo, recipients) = (helo.clone(), std::mem::take(&mut recipients));
                let message = Received { helo, recipients, data, encrypted };
                if behaviour.final_answer.starts_with('2') {
                    self.seen.lock().messages.push(message);
                }
                say(stream, behaviour.final_answer).await?;
            } else if upper == "QUIT" {
                return say(stream, "221 bye").await.map(|()| false);
            } else {
                say(stream, "250 ok").await?;
            }
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    line: &str,
) -> std::io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn read_data<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let line = hear(stream).await?;
        if line == "." {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push_str("\r\n");
    }
}
