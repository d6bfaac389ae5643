//! `resolve` and `trace`: what happens, or would happen, when a queue is sent.
//!
//! `resolve --connect` says EHLO and QUIT to each host and nothing else: no mail is sent, and what
//! it learns is shown and not kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin as proto;
use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::operate::make_due;
use super::service::{Ports, Stream, refused, stream};
use super::spread::{self, Scope};
use crate::clock::Timestamp;
use crate::config::settings::{RouteHost, RouteTarget};
use crate::dns::{DnsError, Mx, Resolve};
use crate::id::{DEFAULT_VMTA, QueueName};
use crate::queue::pattern::QueuePattern;

/// Hosts and addresses looked at in one run.
const MOST_HOSTS: usize = 30;
/// Bytes of one reply line, and lines of one reply, that are read.
const LONGEST_LINE: u64 = 2048;
const MOST_LINES: usize = 100;

/// Follows the next connection of a queue, on whichever node that is. The queue is tried at once,
/// so that there is one.
pub(super) async fn trace(
    ports: &Arc<Ports>,
    scope: Scope,
    request: proto::TraceRequest,
) -> Result<Stream<proto::TraceLine>, Status> {
    let pattern = QueuePattern::parse(&request.queue).map_err(refused)?;
    if pattern.is_open() {
        return Err(Status::invalid_argument(
            "trace follows one queue: write DOMAIN/VMTA without *",
        ));
    }
    let queue: QueueName = request.queue.parse().map_err(refused)?;
    let lines = ports.delivery.trace(queue.clone()).await?;
    if request.retry_recipients {
        let now = Timestamp::now();
        make_due(ports, &pattern, true, now, &mut std::collections::BTreeSet::new()).await?;
    }
    let (others, missing) = spread::ask(ports, scope, spread::DEADLINE, |mut peer| {
        let request = request.clone();
        async move { Ok(peer.trace(request).await?.into_inner()) }
    })
    .await;
    ports.delivery.wake(queue);
    let own = ReceiverStream::new(lines)
        .map(|(at, text)| Ok(proto::TraceLine { at_ms: at.as_millis(), text }));
    let mut all: Vec<BoxStream<'static, Result<proto::TraceLine, Status>>> = vec![own.boxed()];
    all.extend(others.into_iter().map(|(_, lines)| lines.boxed()));
    Ok(stream(move |items: Steps<proto::TraceLine>| async move {
        for gone in missing {
            let text = format!("connections of n{} are not seen: {}", gone.node, gone.reason);
            let line = proto::TraceLine { at_ms: Timestamp::now().as_millis(), text };
            if items.send(Ok(line)).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            () = items.closed() => Ok(()),
            done = follow_first(all, &items) => done,
        }
    }))
}

/// Passes on the stream that has a line first, and leaves the others.
async fn follow_first(
    mut all: Vec<BoxStream<'static, Result<proto::TraceLine, Status>>>,
    items: &Steps<proto::TraceLine>,
) -> Result<(), Status> {
    let mut chosen = loop {
        if all.is_empty() {
            return Ok(());
        }
        let (first, at, _) = select_all(all.iter_mut().map(|lines| lines.next())).await;
        let lines = all.swap_remove(at);
        // A node that goes away while it waits takes its connection with it.
        if let Some(Ok(line)) = first {
            if items.send(Ok(line)).await.is_err() {
                return Ok(());
            }
            break lines;
        }
    };
    drop(all);
    while let Some(line) = chosen.next().await {
        if items.send(Ok(line?)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

type Steps<T> = mpsc::Sender<Result<T, Status>>;

/// How a domain is reached, as the queue's settings say.
pub(super) struct Route {
    domain: String,
    /// `smtp-hosts`, level by level; empty means the exchangers of the domain.
    hosts: Vec<Vec<RouteHost>>,
    port: u16,
    ehlo: String,
    connect_timeout: Duration,
    greeting_timeout: Duration,
}

/// Tells how a domain would be reached.
pub(super) fn resolve(
    ports: &Arc<Ports>,
    request: proto::ResolveRequest,
) -> Result<Stream<proto::ResolveStep>, Status> {
    let vmta = if request.vmta.is_empty() { DEFAULT_VMTA } else { &request.vmta };
    let name = format!("{}/{vmta}", request.domain);
    if QueuePattern::parse(&name).map_err(refused)?.is_open() {
        return Err(Status::invalid_argument("resolve takes one domain, without *"));
    }
    let settings = ports.runtime.lookup().queue(&request.domain.to_ascii_lowercase(), vmta);
    let route = Route {
        domain: request.domain.to_ascii_lowercase(),
        hosts: settings.smtp_hosts.clone(),
        port: settings.default_smtp_port,
        ehlo: ports.runtime.figures().host_name,
        connect_timeout: settings.connect_timeout,
        greeting_timeout: settings.smtp_greeting_timeout,
    };
    let dns = Arc::clone(&ports.dns);
    Ok(stream(move |items| async move {
        let teller = Teller { items };
        // An early end means that nobody listens any more.
        let _told = follow(&teller, &route, dns.as_ref(), request.connect).await;
        Ok(())
    }))
}

/// The client went away.
struct Gone;

/// Sends steps.
struct Teller {
    items: Steps<proto::ResolveStep>,
}

impl Teller {
    async fn tell(&self, kind: proto::StepKind, text: String) -> Result<(), Gone> {
        let step = proto::ResolveStep { kind: kind.into(), text };
        self.items.send(Ok(step)).await.map_err(|_| Gone)
    }

    async fn fact(&self, text: String) -> Result<(), Gone> {
        self.tell(proto::StepKind::Fact, text).await
    }

    async fn problem(&self, text: String) -> Result<(), Gone> {
        self.tell(proto::StepKind::Problem, text).await
    }
}

async fn follow(
    teller: &Teller,
    route: &Route,
    dns: &dyn Resolve,
    connect: bool,
) -> Result<(), Gone> {
    let mut left = MOST_HOSTS;
    let mut targets = Vec::new();
    if route.hosts.is_empty() {
        exchangers(teller, route, dns, &route.domain, &mut targets).await?;
    } else {
        teller.fact("smtp-hosts is set: the exchangers of the domain are not asked".into()).await?;
        for host in route.hosts.iter().flatten() {
            routed(teller, route, dns, host, &mut targets).await?;
        }
    }
    for (host, port) in targets {
        for address in addresses(teller, dns, &host).await? {
            if left == 0 {
                return teller.fact(format!("only {MOST_HOSTS} addresses are looked at")).await;
            }
            left -= 1;
            if connect {
                greet(teller, route, &host, SocketAddr::new(address, port)).await?;
            }
        }
    }
    Ok(())
}

/// One entry of `smtp-hosts`.
async fn routed(
    teller: &Teller,
    route: &Route,
    dns: &dyn Resolve,
    host: &RouteHost,
    targets: &mut Vec<(String, u16)>,
) -> Result<(), Gone> {
    let port = host.port.unwrap_or(route.port);
    match &host.target {
        RouteTarget::Address(address) => targets.push((address.to_string(), port)),
        RouteTarget::Host(name) => targets.push((name.clone(), port)),
        RouteTarget::Mx(domain) => {
            let before = targets.len();
            exchangers(teller, route, dns, domain, targets).await?;
            for target in &mut targets[before..] {
                target.1 = port;
            }
        }
    }
    Ok(())
}

/// Mail exchangers in order of preference; the domain itself when it has none (RFC 5321 5.1).
async fn exchangers(
    teller: &Teller,
    route: &Route,
    dns: &dyn Resolve,
    domain: &str,
    targets: &mut Vec<(String, u16)>,
) -> Result<(), Gone> {
    match dns.mx(domain.to_owned()).await {
        Ok(mut found) => {
            found.sort();
            found.truncate(MOST_HOSTS);
            for Mx { preference, host } in found {
                if host.is_empty() {
                    teller.problem(format!("{domain} accepts no mail: null MX (RFC 7505)")).await?;
                    continue;
                }
                teller.fact(format!("{domain} MX {preference} {host}")).await?;
                targets.push((host, route.port));
            }
            Ok(())
        }
        Err(DnsError::NoRecords) => {
            targets.push((domain.to_owned(), route.port));
            teller.fact(format!("{domain} has no MX record: its own address is used")).await
        }
        Err(error @ (DnsError::NoSuchDomain | DnsError::Temporary(_))) => {
            teller.problem(format!("{domain} MX: {error}")).await
        }
    }
}

async fn addresses(teller: &Teller, dns: &dyn Resolve, host: &str) -> Result<Vec<IpAddr>, Gone> {
    if let Ok(literal) = host.parse() {
        return Ok(vec![literal]);
    }
    match dns.addresses(host.to_owned()).await {
        Ok(found) => {
            for address in found.iter().take(MOST_HOSTS) {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                teller.fact(format!("{host} {kind} {address}")).await?;
            }
            Ok(found)
        }
        Err(error) => {
            teller.problem(format!("{host}: {error}")).await?;
            Ok(Vec::new())
        }
    }
}

/// Connects, reads the greeting, says EHLO and QUIT.
async fn greet(teller: &Teller, route: &Route, host: &str, to: SocketAddr) -> Result<(), Gone> {
    teller.fact(format!("connecting to {host} ({to})")).await?;
    let stream = match timeout(route.connect_timeout, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return teller.problem(format!("{to}: {error}")).await,
        Err(_) => return teller.problem(format!("{to}: no connection in time")).await,
    };
    let mut peer = BufReader::new(stream);
    let commands = [None, Some(format!("EHLO {}", route.ehlo)), Some("QUIT".to_owned())];
    for command in commands {
        if let Some(command) = command {
            if let Err(error) = peer.get_mut().write_all(format!("{command}\r\n").as_bytes()).await
            {
                return teller.problem(format!("{to}: {error}")).await;
            }
            teller.tell(proto::StepKind::Sent, command).await?;
        }
        let reply = timeout(route.greeting_timeout, read_reply(teller, &mut peer)).await;
        match reply {
            Ok(Read::Positive) => {}
            Ok(Read::Negative) => return teller.problem(format!("{to} refuses")).await,
            Ok(Read::Closed) => return teller.problem(format!("{to} closed")).await,
            Ok(Read::Gone) => return Err(Gone),
            Err(_) => return teller.problem(format!("{to}: no reply in time")).await,
        }
    }
    Ok(())
}

/// How a reply ended.
enum Read {
    Positive,
    Negative,
    Closed,
    Gone,
}

/// Reads the lines of one reply and tells them.
async fn read_reply(teller: &Teller, peer: &mut BufReader<TcpStream>) -> Read {
    for _ in 0..MOST_LINES {
        let mut line = Vec::new();
        match (&mut *peer).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return Read::Closed,
            Ok(_) => {}
        }
        let text: String = String::from_utf8_lossy(&line)
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        let more = line.get(3) == Some(&b'-');
        let positive = line.first() == Some(&b'2');
        if teller.tell(proto::StepKind::Received, text).await.is_err() {
            return Read::Gone;
        }
        if !more {
            return if positive { Read::Positive } else { Read::Negative };
        }
    }
    Read::Negative
}
