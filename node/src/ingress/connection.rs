//! One connection: the socket, TLS, and the loop that drives the machine.
//!
//! Owns the buffers and the time; knows no SMTP.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use futures_util::FutureExt;
use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::admission::{ByteLease, ConnectionPermit};
use super::authentication::{self, FAILURE_DELAY};
use super::listener::ListenerState;
use super::proxy::{Ends, HEADER_TIMEOUT, NoHeader};
use super::shared::{Phase, Shared, Submitted, Unconfirmed};
use crate::clock::{Timestamp, monotonic};
use crate::config::settings::{Config, Lookup};
use crate::smtp::address::Address;
use crate::smtp::sasl::Credentials;
use crate::smtp::server::{
    Action, AuthResult, HEADROOM_BYTES, Incoming, LogLine, MIN_BUFFER_BYTES, Policy, Server, Setup,
    SubmitResult, Tls,
};
use crate::tls::certificate;
use crate::tls::name::Negotiated;
use crate::tls::verify::Verdict;

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The same from the client's hello on, when it has one of the few places.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that does not take its replies for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes read and not taken by the machine yet.
const MAX_BUFFERED_BYTES: usize = 32 * 1024;
/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Replies collected before they are sent.
const MAX_UNSENT_BYTES: usize = 16 * 1024;
/// After the last reply, what the client still sends is read for so long and so far, so that the
/// reply is not lost by a reset.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: usize = 256 * 1024;
/// Bytes of a message that `log-data` shows.
const MAX_LOGGED_BYTES: usize = 64 * 1024;

const _: () = assert!(MAX_BUFFERED_BYTES > MIN_BUFFER_BYTES);

/// A connection as it was accepted.
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) listener: Arc<ListenerState>,
    pub(super) permit: ConnectionPermit,
}

/// Why a conversation over one stream ended.
enum End {
    /// The machine has ended the session.
    Closed,
    /// The client is gone.
    Lost,
    /// The client waits for a handshake.
    StartTls,
}

/// What a step of the loop gave.
enum Step {
    On,
    End(End),
}

struct Connection {
    shared: Arc<Shared>,
    config: Arc<Config>,
    listener: Arc<ListenerState>,
    number: u64,
    client: IpAddr,
    local: SocketAddr,
    server: Server,
    phase: watch::Receiver<Phase>,
    input: BytesMut,
    output: BytesMut,
    lease: ByteLease,
    /// The message whose `250` the client may not have seen.
    unconfirmed: Option<Unconfirmed>,
    received_bytes: u64,
    sent_bytes: u64,
}

/// Relay rules of one generation of the configuration.
struct RelayRules(Arc<Config>);

impl Policy for RelayRules {
    fn may_relay(&self, recipient: &Address) -> bool {
        self.0.relay_allowed(recipient.local(), &recipient.domain_key())
    }
}

/// Serves a client until the connection ends.
pub(super) async fn serve(shared: Arc<Shared>, accepted: Accepted) {
    let Accepted { stream, peer, listener, permit } = accepted;
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    // Replies are short and waited for. A socket that refuses this works, only more slowly.
    let _ = stream.set_nodelay(true);
    let Some(ends) = ends(&mut stream, peer, &listener).await else { return };
    let has_spoken = has_spoken(&stream);
    let mut connection = Connection::new(shared, listener, ends);
    let log = connection.server.settings().log_connections;
    let number = connection.number;
    let Ends { client, local, proxy } = ends;
    if log {
        let by = proxy.map(|proxy| format!(" by proxy {proxy}")).unwrap_or_default();
        info!("({number}) connection from {client}{by} on {local}");
    }
    connection.run(stream, has_spoken).await;
    if let Some(lost) = connection.unconfirmed.take() {
        connection.shared.remember(lost);
    }
    if log {
        let (received, sent) = (connection.received_bytes, connection.sent_bytes);
        info!("({number}) closed {client} in={received} out={sent}");
    }
    drop(permit);
}

/// Who is connected to what: by the socket, or by the header that a proxy sends. None when there
/// should be a header and is none.
async fn ends(stream: &mut TcpStream, peer: SocketAddr, listener: &ListenerState) -> Option<Ends> {
    let local = stream.local_addr().ok()?;
    if listener.settings.proxies.is_none() {
        return Some(Ends::of_socket(peer, local));
    }
    match Ends::of_header(stream, peer, local, HEADER_TIMEOUT).await {
        Ok(ends) => Some(ends),
        Err(NoHeader::Nothing) => None,
        Err(reason) => {
            warn!("closed the connection of proxy {peer} on {local}: {reason}");
            None
        }
    }
}

/// Has the client sent something already? Asked of the system: the runtime may not have looked at
/// the socket since.
fn has_spoken(stream: &TcpStream) -> bool {
    matches!(SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]), Ok(1))
}

impl Connection {
    fn new(shared: Arc<Shared>, listener: Arc<ListenerState>, ends: Ends) -> Self {
        let Ends { client, local, proxy: _ } = ends;
        let config = shared.config.load_full();
        let setup = Setup {
            host_name: config.server.host_name.clone(),
            settings: config.source(client, listener.settings.source.as_deref(), None),
            policy: Arc::new(RelayRules(Arc::clone(&config))),
            max_body_bytes: config.server.max_bytes_in_flight,
            has_certificate: listener.tls.is_some() && !listener.settings.immediate_tls,
            challenge_seed: rand::random(),
        };
        Self {
            number: shared.next_connection(),
            client,
            local,
            server: Server::new(monotonic(), setup),
            phase: shared.phase.clone(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            lease: shared.admission.lease(),
            unconfirmed: None,
            received_bytes: 0,
            sent_bytes: 0,
            shared,
            config,
            listener,
        }
    }

    async fn run(&mut self, mut stream: TcpStream, has_spoken: bool) {
        if self.listener.settings.immediate_tls {
            let Some((mut stream, tls)) = self.handshake(stream).await else { return };
            self.server.tls_from_start(monotonic(), tls);
            let end = self.open(&mut stream, false).await;
            return self.finish(&mut stream, end).await;
        }
        match self.open(&mut stream, has_spoken).await {
            End::StartTls => {
                let Some((mut stream, tls)) = self.handshake(stream).await else { return };
                self.server.tls_started(monotonic(), tls);
                let end = self.converse(&mut stream).await;
                self.finish(&mut stream, end).await;
            }
            end @ (End::Closed | End::Lost) => self.finish(&mut stream, end).await,
        }
    }

    /// Greets, unless the client has spoken already, and converses.
    async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        has_spoken: bool,
    ) -> End {
        self.input.reserve(READ_BYTES);
        // Within TLS, what came with the handshake is known at once.
        match stream.read_buf(&mut self.input).now_or_never() {
            None if has_spoken => {}
            None => self.server.greet(monotonic()),
            Some(Ok(n)) if n > 0 => self.received_bytes += n as u64,
            Some(_) => return End::Lost,
        }
        if *self.phase.borrow_and_update() != Phase::Running {
            self.server.drain();
        }
        self.converse(stream).await
    }

    /// Drives the machine until the session ends or the stream has to change.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> End {
        loop {
            while let Some(action) = self.server.poll() {
                if let Step::End(end) = self.act(stream, action).await {
                    return end;
                }
            }
            self.server.set_conditions(self.shared.conditions(&self.config));
            let taken = self.server.receive(monotonic(), &self.input);
            if taken > 0 {
                self.input.advance(taken);
                self.account();
                continue;
            }
            if self.output.has_remaining() && self.flush(stream).await.is_err() {
                return End::Lost;
            }
            if let Step::End(end) = self.wait(stream).await {
                return end;
            }
        }
    }

    /// Keeps the lease at what the machine holds; without room, the message is let go.
    fn account(&mut self) {
        let max = self.config.server.max_bytes_in_flight;
        if !self.lease.resize(self.server.held_bytes() as u64, max) {
            self.server.shed();
            self.lease.resize(0, max);
        }
        // A command, or a message, after the answer: the client goes on, so it has the answer.
        if let Some(known) = self.unconfirmed.take() {
            self.shared.confirmed(known);
        }
    }

    async fn act<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        action: Action,
    ) -> Step {
        match action {
            Action::Log(line) => self.log(&line),
            Action::Send(bytes) => {
                self.output.extend_from_slice(&bytes);
                if self.output.len() >= MAX_UNSENT_BYTES && self.flush(stream).await.is_err() {
                    return Step::End(End::Lost);
                }
            }
            Action::StartTls => {
                let sent = self.flush(stream).await;
                return Step::End(if sent.is_ok() { End::StartTls } else { End::Lost });
            }
            Action::Authenticate(credentials) => {
                let result = self.authenticate(&credentials).await;
                self.server.authenticated(monotonic(), result);
            }
            Action::Submit(incoming) => {
                if self.flush(stream).await.is_err() {
                    return Step::End(End::Lost);
                }
                self.submit(*incoming).await;
            }
            Action::Close => {
                let sent = self.flush(stream).await;
                return Step::End(if sent.is_ok() { End::Closed } else { End::Lost });
            }
        }
        Step::On
    }

    /// Waits for input, the deadline, or the node's stop.
    async fn wait<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Step {
        self.input.reserve(READ_BYTES);
        let room = MAX_BUFFERED_BYTES - self.input.len();
        let deadline = self.server.deadline().map(tokio::time::Instant::from_std);
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let mut limited = (&mut self.input).limit(room);
        tokio::select! {
            read = stream.read_buf(&mut limited) => match read {
                Ok(n) if n > 0 => self.received_bytes += n as u64,
                Ok(_) | Err(_) => return Step::End(End::Lost),
            },
            () = timeout => self.server.timed_out(),
            changed = self.phase.changed() => {
                let phase = *self.phase.borrow_and_update();
                if changed.is_err() || phase == Phase::Ending {
                    return Step::End(End::Lost);
                }
                if phase != Phase::Running {
                    self.server.drain();
                }
            }
        }
        Step::On
    }

    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> std::io::Result<()> {
        let write = async {
            stream.write_all(&self.output).await?;
            stream.flush().await
        };
        tokio::time::timeout(WRITE_TIMEOUT, write).await??;
        self.sent_bytes += self.output.len() as u64;
        self.output.clear();
        Ok(())
    }

    /// Ends the stream so that the last reply arrives.
    async fn finish<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S, end: End) {
        match end {
            End::Lost | End::StartTls => {}
            End::Closed => {
                let farewell = async {
                    stream.shutdown().await?;
                    let mut rest = [0; 1024];
                    let mut left = MAX_LINGER_BYTES;
                    while left > 0 {
                        match stream.read(&mut rest).await? {
                            0 => break,
                            n => left = left.saturating_sub(n),
                        }
                    }
                    std::io::Result::Ok(())
                };
                // Whether it works out is no more of interest: the session is over.
                let _ = tokio::time::timeout(LINGER, farewell).await;
            }
        }
    }

    async fn submit(&mut self, incoming: Incoming) {
        let settings = Arc::clone(&incoming.settings);
        if settings.log_data {
            self.log_text(&incoming.body[HEADROOM_BYTES..]);
        }
        let fresh = self.shared.admission.lease();
        let lease = std::mem::replace(&mut self.lease, fresh);
        let (client, local) = (self.client, self.local.ip().to_canonical());
        let submitted = self.shared.submit(&self.config, client, local, incoming, lease).await;
        let result = match submitted {
            Submitted::Stored { id, unconfirmed } => {
                self.unconfirmed = unconfirmed;
                SubmitResult::Accepted(id)
            }
            Submitted::Refused(reply) => SubmitResult::Refused(reply),
        };
        self.server.submitted(monotonic(), result);
    }

    async fn authenticate(&self, credentials: &Credentials) -> AuthResult {
        let rate = self.server.settings().max_auth_failure_rate;
        let failures = &self.shared.failures;
        if failures.locked(monotonic(), self.client, rate) {
            tokio::time::sleep(FAILURE_DELAY).await;
            return AuthResult::Locked;
        }
        match authentication::prove(&self.config, credentials) {
            Some(user) => {
                let source = self.listener.settings.source.as_deref();
                let identity = authentication::identity(&self.config, self.client, source, user);
                AuthResult::Accepted(identity)
            }
            None => {
                failures.count(monotonic(), self.client, rate);
                tokio::time::sleep(FAILURE_DELAY).await;
                AuthResult::Refused
            }
        }
    }

    fn log(&self, line: &LogLine) {
        match line {
            LogLine::Received(text) => info!("({}) >>> {text}", self.number),
            LogLine::Sent(text) => info!("({}) <<< {text}", self.number),
        }
    }

    fn log_text(&self, text: &[u8]) {
        let shown = &text[..text.len().min(MAX_LOGGED_BYTES)];
        for line in String::from_utf8_lossy(shown).lines() {
            let line = line.replace(char::is_control, "?");
            info!("({}) >>> {line}", self.number);
        }
    }

    /// The handshake, within its own time and number. None when it fails: nothing is ever sent on
    /// that connection again.
    async fn handshake(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Tls)> {
        let setup = self.listener.tls.as_ref()?;
        let attempt = async {
            // Whoever says nothing costs nothing: the permit is for those who make this side work.
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let _permit = self.shared.admission.handshake().await;
            let rest = hello.into_stream(Arc::clone(&setup.config));
            let late = || std::io::Error::other("the client did not finish it in time");
            tokio::time::timeout(FINISH_TIMEOUT, rest).await.map_err(|_| late())?
        };
        let failure = match tokio::time::timeout(HANDSHAKE_TIMEOUT, attempt).await {
            Ok(Ok(stream)) => {
                let tls = self.describe(&stream)?;
                return Some((stream, tls));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no handshake in time".to_owned(),
        };
        if self.server.settings().log_tls {
            info!("({}) tls:handshake failed: {failure}", self.number);
        }
        None
    }

    fn describe(&self, stream: &TlsStream<TcpStream>) -> Option<Tls> {
        let setup = self.listener.tls.as_ref()?;
        let (_, connection) = stream.get_ref();
        let negotiated = Negotiated::of(connection)?;
        let presented = connection.peer_certificates();
        let now = Duration::from_millis(Timestamp::now().as_millis());
        let now = rustls_pki_types::UnixTime::since_unix_epoch(now);
        let (verdict, fault) = setup.authorities.verdict(presented, now);
        let first = presented.and_then(<[_]>::first);
        let verified = verdict >= Verdict::Trusted;
        if self.server.settings().log_tls {
            info!("({}) tls:{}", self.number, negotiated.summary());
            if let Some(first) = first {
                info!("({}) tls:{}", self.number, certificate::log_line(first, verified));
            }
            if let Some(fault) = fault {
                info!("({}) tls:{fault}", self.number);
            }
        }
        let users = self.shared.certificate_users.load();
        let user = first.and_then(|der| self.config.users.get(users.user(der)?));
        let source = self.listener.settings.source.as_deref();
        let word = if verified { "verified" } else { "not verified" };
        Some(Tls {
            protocol: negotiated.info.protocol,
            cipher: negotiated.info.cipher,
            client_certificate: first.map(|_| word.to_owned()),
            certificate_user: user
                .map(|user| authentication::identity(&self.config, self.client, source, user)),
        })
    }
}
