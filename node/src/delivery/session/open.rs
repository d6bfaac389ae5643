//! From a queue's name to a session that takes messages: route, connection, greeting, TLS, login.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::source::{self, Choice};
use super::{HANDSHAKE_TIMEOUT, Spec};
use crate::clock::{Instant, Timestamp, monotonic};
use crate::config::settings::SourceHost;
use crate::delivery::board::EventKind;
use crate::delivery::classify::{self, QueueFailure};
use crate::delivery::record::Path;
use crate::delivery::route;
use crate::delivery::trace::{About, Dialogue};
use crate::delivery::wire::{self, Driver, Stream};
use crate::dns::route::Candidate;
use crate::message::{Class, Outcome, Status};
use crate::smtp::client::{Answer, Client, Event, Failure, Phase, Profile};
use crate::tls::policy::{self, Decision, Policy};

/// An open session.
pub(super) struct Link {
    pub(super) driver: Driver,
    /// `name (address)` of the server.
    pub(super) mta: String,
    pub(super) host: SocketAddr,
    /// Its local address, if it was chosen.
    pub(super) source: Option<IpAddr>,
    pub(super) path: Path,
    /// Transactions that ended with an answer.
    pub(super) transfers: u32,
    /// Transactions begun.
    pub(super) messages: u32,
    /// Recipients refused.
    pub(super) errors: u32,
}

/// No session could be opened.
#[derive(Debug)]
pub(super) enum Unopened {
    Failed {
        failure: QueueFailure,
        path: Box<Path>,
    },
    /// No host was tried: the limits of all source addresses are reached until then.
    Held {
        until: Instant,
    },
}

/// Why an attempt at one host failed.
enum HostFailure {
    /// Its TLS is broken, and the policy allows another attempt in clear.
    TryInClear,
    Failed(QueueFailure),
}

/// A temporary failure in our own words.
fn deferred(status: Status, reason: impl Into<String>) -> QueueFailure {
    QueueFailure::Retry(classify::own(Class::Deferred, status, reason))
}

/// Tries the hosts of the queue one after the other. Gives the hosts that failed along with the
/// session.
pub(super) async fn open(spec: &Spec) -> Result<(Link, Vec<SocketAddr>), Unopened> {
    let number = spec.env.connection_number();
    let dialogue = Arc::new(Dialogue::new(&spec.env.traces, &spec.queue, &spec.settings, number));
    dialogue.say(About::Connection, &format!("starting {}", spec.queue));
    let opened = first_open(spec, &dialogue).await;
    if opened.is_err() {
        dialogue.say(About::Connection, &format!("done {}", spec.queue));
    }
    opened
}

async fn first_open(
    spec: &Spec,
    dialogue: &Arc<Dialogue>,
) -> Result<(Link, Vec<SocketAddr>), Unopened> {
    let (sources, mut candidates) = plan(spec, dialogue).await?;
    candidates.retain(|candidate| !spec.skipped.contains(&candidate.address));
    let mut failed_hosts = Vec::new();
    let mut last = Unopened::Failed {
        failure: deferred(Status(4, 4, 1), "all hosts are unavailable for now"),
        path: Box::new(smtp_path()),
    };
    let turn = spec.env.turn(&spec.queue.vmta);
    // Opening the first connection has been counted.
    let mut is_first = true;
    for candidate in candidates {
        let counted = std::mem::take(&mut is_first);
        let choice = source::choose(spec, &sources, candidate.address, turn, counted).await;
        let choice = match choice {
            Ok(choice) => choice,
            Err(until) if failed_hosts.is_empty() => {
                last = Unopened::Held { until };
                continue;
            }
            Err(_) => continue,
        };
        let path = smtp_path();
        let mut host = Host { spec, candidate, choice, dialogue, path };
        match host.open().await {
            Ok(link) => return Ok((link, failed_hosts)),
            Err(failure) => {
                let failure = host.name(failure);
                host.note(&failure);
                host.choice.give_back(spec);
                failed_hosts.push(host.candidate.address);
                let bounces = matches!(failure, QueueFailure::Bounce { .. });
                last = Unopened::Failed { failure, path: Box::new(host.path) };
                if bounces {
                    break;
                }
            }
        }
    }
    Err(last)
}

fn smtp_path() -> Path {
    Path { dlv_type: "smtp", ..Path::default() }
}

/// Source addresses and candidates.
async fn plan(
    spec: &Spec,
    dialogue: &Dialogue,
) -> Result<(Vec<SourceHost>, Vec<Candidate>), Unopened> {
    let unopened = |failure| Unopened::Failed { failure, path: Box::new(smtp_path()) };
    let Some(sources) = route::sources(&spec.config, &spec.queue.vmta) else {
        let outcome = classify::own(Class::Bounced, Status(5, 3, 5), "no such virtual MTA");
        let after = std::time::Duration::ZERO;
        return Err(unopened(QueueFailure::Bounce { outcome, after }));
    };
    let sources = sources.to_vec();
    let resolver = spec.env.resolver.as_ref();
    let plan = route::plan(resolver, &spec.config, &spec.settings, &spec.queue, &sources).await;
    match plan {
        Ok(candidates) => {
            for Candidate { host, address, preference } in &candidates {
                let text = format!("resolved {}: {preference} {host} {address}", spec.queue.domain);
                dialogue.say(About::Resolution, &text);
            }
            Ok((sources, candidates))
        }
        Err(error) => {
            let text = format!("cannot resolve {}: {error}", spec.queue.domain);
            dialogue.say(About::Resolution, &text);
            spec.env.board.event(&spec.queue, EventKind::Queue, Timestamp::now(), &text);
            Err(unopened(classify::route(&error, &spec.settings)))
        }
    }
}

/// One host that is being tried.
struct Host<'a> {
    spec: &'a Spec,
    candidate: Candidate,
    choice: Choice,
    dialogue: &'a Arc<Dialogue>,
    path: Path,
}

impl Host<'_> {
    fn mta(&self) -> String {
        format!("{} ({})", self.candidate.host, self.candidate.address.ip())
    }

    /// A second connection follows when TLS failed and clear will do.
    async fn open(&mut self) -> Result<Link, QueueFailure> {
        match self.attempt(false).await {
            Err(HostFailure::TryInClear) => {}
            Err(HostFailure::Failed(failure)) => return Err(failure),
            Ok(link) => return Ok(link),
        }
        match self.attempt(true).await {
            Ok(link) => Ok(link),
            Err(HostFailure::Failed(failure)) => Err(failure),
            Err(HostFailure::TryInClear) => {
                Err(deferred(Status(4, 7, 5), "TLS failed, and so did going on without"))
            }
        }
    }

    async fn attempt(&mut self, in_clear: bool) -> Result<Link, HostFailure> {
        let mut driver = self.connect().await.map_err(HostFailure::Failed)?;
        let policy = Policy::of(&self.spec.settings);
        let verifies = policy.level.demands_verification();
        let mut names: Vec<String> = Vec::new();
        loop {
            let event = driver.event().await;
            match event {
                Event::Hello => {
                    for name in &driver.client.extensions().names {
                        if !names.contains(name) {
                            names.push(name.clone());
                        }
                    }
                    if in_clear || self.path.tls.is_some() {
                        driver.client.proceed(monotonic());
                    } else {
                        let offered = driver.client.extensions().starttls;
                        let broken =
                            self.spec.env.broken_tls.contains(self.candidate.address, verifies);
                        let event = if offered {
                            policy::Event::Offered { broken }
                        } else {
                            policy::Event::NotOffered
                        };
                        self.decide(&mut driver, policy, event, "").await?;
                    }
                }
                Event::TlsRefused(answer) => self.refused(&mut driver, policy, &answer).await?,
                Event::StartTls => self.handshake(&mut driver, policy).await?,
                Event::Ready => return Ok(self.link(driver, names)),
                Event::Failed(failure) => {
                    if driver.client.may_quit() {
                        driver.quit().await;
                    }
                    return Err(self.failed(policy, &failure));
                }
                // The machine tells these only after it was given a message or told to quit.
                Event::Finishing | Event::Done(_) | Event::Closed => {
                    let failure = Failure::TimedOut(Phase::Idle);
                    return Err(self.failed(policy, &failure));
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Driver, QueueFailure> {
        let Self { spec, candidate, choice, dialogue, .. } = self;
        choice.ready(spec).await;
        let helo = route::helo(&spec.config, &spec.queue.vmta, choice.host.as_ref());
        let local = choice.address;
        let (host, address) = (&candidate.host, candidate.address);
        let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
        let from = local.map_or_else(|| any.to_owned(), |local| local.to_string());
        let text = format!("connecting from {helo} ({from}) to {host} ({})", address.ip());
        dialogue.say(About::Connection, &text);
        self.path = smtp_path();
        self.path.destination_ip = address.ip().to_string();
        self.path.source_ip = local.map(|local| local.to_string()).unwrap_or_default();
        let stream = wire::connect(address, local, spec.settings.connect_timeout)
            .await
            .map_err(|reason| deferred(Status(4, 4, 1), format!("{reason} ({address})")))?;
        if let Ok(local) = stream.local_addr() {
            self.path.source_ip = local.ip().to_string();
            dialogue.say(About::Connection, &format!("connected from {local}"));
        }
        let mut profile = Profile::of(&spec.settings, helo);
        profile.keeps_dialogue = dialogue.wants_commands();
        let client = Client::new(profile, monotonic());
        Ok(Driver::new(client, stream, Arc::clone(dialogue)))
    }

    /// Does what the policy says about TLS. `why` is what happened, in detail.
    async fn decide(
        &self,
        driver: &mut Driver,
        policy: Policy,
        event: policy::Event,
        why: &str,
    ) -> Result<(), HostFailure> {
        match self.decision(policy, event, why) {
            Ok(Decision::StartTls) => driver.client.start_tls(monotonic()),
            Ok(_) => driver.client.proceed(monotonic()),
            Err(failure) => {
                // The session itself is in order, so it ends in order.
                driver.quit().await;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// The decision, if it is to go on with this connection.
    fn decision(
        &self,
        policy: Policy,
        event: policy::Event,
        why: &str,
    ) -> Result<Decision, HostFailure> {
        match policy.decide(event) {
            decision @ (Decision::StartTls | Decision::ClearHere) => Ok(decision),
            Decision::ClearOnNewConnection => {
                let text = format!("TLS with {} failed, going on in clear: {why}", self.mta());
                self.dialogue.say(About::Tls, &format!("tls:{text}"));
                let now = Timestamp::now();
                self.spec.env.board.event(&self.spec.queue, EventKind::Queue, now, &text);
                let until = monotonic() + self.spec.config.server.tls_broken_host_memory;
                let verifies = policy.level.demands_verification();
                self.spec.env.broken_tls.remember(self.candidate.address, verifies, until);
                Err(HostFailure::TryInClear)
            }
            Decision::Defer { status, reason } => {
                let reason =
                    if why.is_empty() { reason.to_owned() } else { format!("{reason}: {why}") };
                self.dialogue.say(About::Tls, &format!("tls:{reason}"));
                Err(HostFailure::Failed(deferred(status, reason)))
            }
        }
    }

    async fn refused(
        &self,
        driver: &mut Driver,
        policy: Policy,
        answer: &Answer,
    ) -> Result<(), HostFailure> {
        let event = policy::Event::Refused { code: answer.code };
        self.decide(driver, policy, event, &answer.to_string()).await
    }

    async fn handshake(&mut self, driver: &mut Driver, policy: Policy) -> Result<(), HostFailure> {
        let verifies = policy.level.demands_verification();
        let failed = policy::Event::HandshakeFailed;
        let connector = self.spec.env.connectors.get(&self.spec.settings.tls, verifies);
        let connector = match connector {
            Ok(connector) => connector,
            Err(error) => {
                tracing::error!("TLS settings of {} cannot be used: {error}", self.spec.queue);
                return self.decision(policy, failed, &error.to_string()).map(drop);
            }
        };
        let Stream::Clear(stream) = std::mem::replace(&mut driver.stream, Stream::None) else {
            return self.decision(policy, failed, "no connection").map(drop);
        };
        let connecting = connector.connect(stream, &self.candidate.host);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok((stream, established))) => {
                driver.stream = Stream::Tls(Box::new(stream));
                self.dialogue.say(About::Tls, &format!("tls:{}", established.summary));
                self.dialogue.say(About::Tls, &format!("tls:{}", established.certificate));
                self.path.tls = Some(established.info);
                driver.client.tls_started(monotonic());
                Ok(())
            }
            Ok(Err(error)) => self.decision(policy, error.event(), &error.to_string()).map(drop),
            Err(_) => self.decision(policy, failed, "timed out").map(drop),
        }
    }

    /// What a failed session means: while STARTTLS was waited for, that TLS is broken.
    fn failed(&self, policy: Policy, failure: &Failure) -> HostFailure {
        let during_tls = match failure {
            Failure::Injected
            | Failure::TimedOut(Phase::StartTls)
            | Failure::ServiceClosed { phase: Phase::StartTls, .. }
            | Failure::Closed { phase: Phase::StartTls, .. }
            | Failure::Garbled { phase: Phase::StartTls, .. }
            | Failure::Unexpected { phase: Phase::StartTls, .. } => true,
            Failure::Greeting(_)
            | Failure::Hello(_)
            | Failure::Login(_)
            | Failure::NoMechanism { .. }
            | Failure::ServiceClosed { .. }
            | Failure::Closed { .. }
            | Failure::TimedOut(_)
            | Failure::Garbled { .. }
            | Failure::Unexpected { .. } => false,
        };
        if during_tls {
            let event = policy::Event::HandshakeFailed;
            if let Err(failure) = self.decision(policy, event, &failure.to_string()) {
                return failure;
            }
        }
        HostFailure::Failed(classify::session(failure, &self.mta(), &self.spec.settings))
    }

    fn link(&self, driver: Driver, names: Vec<String>) -> Link {
        let mut path = self.path.clone();
        path.esmtp = names.join(",");
        path.passes_dsn = driver.client.extensions().dsn && !self.spec.settings.ignore_dsn;
        Link {
            driver,
            mta: self.mta(),
            host: self.candidate.address,
            source: self.choice.address,
            path,
            transfers: 0,
            messages: 0,
            errors: 0,
        }
    }

    /// Puts the host's name into an outcome that does not have it yet.
    fn name(&self, failure: QueueFailure) -> QueueFailure {
        let named = |outcome: Outcome| Outcome { mta: self.mta(), ..outcome };
        match failure {
            QueueFailure::Retry(outcome) => QueueFailure::Retry(named(outcome)),
            QueueFailure::RetryDns(outcome) => QueueFailure::RetryDns(named(outcome)),
            QueueFailure::Bounce { outcome, after } => {
                QueueFailure::Bounce { outcome: named(outcome), after }
            }
        }
    }

    fn note(&self, failure: &QueueFailure) {
        let Outcome { reply, reason, mta, .. } = failure.outcome();
        let what = if reply.is_empty() { reason } else { reply };
        let text = format!("{what} while connecting to {mta}");
        self.dialogue.say(About::Connection, &text);
        self.spec.env.board.event(&self.spec.queue, EventKind::Queue, Timestamp::now(), &text);
    }
}
