//! A receiving SMTP server that behaves as told and remembers what came.
//!
//! It is deliberately simple and shares no code with the node: a second opinion on the protocol.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

/// How the server behaves.
#[derive(Clone)]
pub struct Behaviour {
    /// What happens about encryption.
    pub tls: Tls,
    /// Answers a recipient with this line instead of `250`, when its address contains the key.
    pub recipient_replies: Vec<(String, String)>,
    /// Drops the connection after the final dot instead of answering, this many times.
    pub drop_after_dot: u32,
    /// Says nothing after the final dot, this many times.
    pub silent_after_dot: u32,
    /// Extensions besides STARTTLS.
    pub extensions: Vec<String>,
    /// Sees all that happens, and decides replies; the server then keeps no message itself.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Sees what happens at a server, and has a say in it.
pub trait Observer: Send + Sync {
    /// A client has connected; gives the connection's number, or the reply that sends it away.
    ///
    /// # Errors
    ///
    /// The reply, when the client is not wanted.
    fn opened(&self, peer: SocketAddr) -> Result<u32, String>;

    /// A command came.
    fn command(&self, connection: u32, line: &str, encrypted: bool);

    /// A recipient was named; gives a reply other than `250`.
    fn recipient(&self, argument: &str) -> Option<String>;

    /// The final dot came; gives the reply and how long to wait before it.
    fn arrived(&self, connection: u32, message: &Received) -> (Duration, String);

    /// The reply to the final dot was written.
    fn replied(&self, connection: u32);

    /// The connection has ended.
    fn closed(&self, connection: u32);
}

/// What happens about encryption.
#[derive(Clone)]
pub enum Tls {
    /// STARTTLS is not offered.
    NotOffered,
    /// STARTTLS is offered and works.
    Offered(Arc<rustls::ServerConfig>),
    /// STARTTLS is offered and refused with this reply.
    Refused(String),
    /// STARTTLS is offered, and the handshake is answered with bytes that are not TLS.
    BrokenHandshake,
}

impl Behaviour {
    /// Accepts everything, with the usual extensions.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self {
            tls,
            recipient_replies: Vec::new(),
            drop_after_dot: 0,
            silent_after_dot: 0,
            observer: None,
            extensions: ["PIPELINING", "8BITMIME", "SIZE 50000000", "ENHANCEDSTATUSCODES", "DSN"]
                .map(str::to_owned)
                .to_vec(),
        }
    }

    /// Answers recipients whose address contains `part` with `reply`.
    #[must_use]
    pub fn answering(mut self, part: &str, reply: &str) -> Self {
        self.recipient_replies.push((part.to_owned(), reply.to_owned()));
        self
    }
}

/// One message as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `MAIL FROM` argument, parameters included.
    pub mail: String,
    /// Accepted `RCPT TO` arguments.
    pub recipients: Vec<String>,
    /// The message, unstuffed, CRLF line ends.
    pub data: Vec<u8>,
    /// It came over TLS.
    pub encrypted: bool,
    /// The client showed a certificate.
    pub client_certificate: bool,
    /// Name given in EHLO.
    pub helo: String,
    /// Address of the client.
    pub peer: SocketAddr,
}

#[derive(Default)]
struct Log {
    messages: Mutex<Vec<Received>>,
    handshakes_failed: Mutex<u32>,
    drops_left: Mutex<u32>,
    silences_left: Mutex<u32>,
    changed: Notify,
}

/// A running server; it stops when dropped.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    log: Arc<Log>,
    stop: watch::Sender<()>,
}

impl Sink {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(behaviour: Behaviour) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::on(listener, behaviour)
    }

    /// Starts a server on this socket.
    ///
    /// # Errors
    ///
    /// When the socket has no address.
    pub fn on(listener: TcpListener, behaviour: Behaviour) -> Result<Self> {
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        *log.drops_left.lock().expect("no holder panics") = behaviour.drop_after_dot;
        let (stop, mut stopped) = watch::channel(());
        *log.silences_left.lock().expect("no holder panics") = behaviour.silent_after_dot;
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(_) => continue,
                    },
                    _ = stopped.changed() => return,
                };
                let (behaviour, log) = (behaviour.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // A client that breaks the connection is its own business.
                    let _ = serve(stream, peer, behaviour, &log).await;
                });
            }
        });
        Ok(Self { address, log, stop })
    }

    /// All messages so far.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.log.messages.lock().expect("no holder panics").clone()
    }

    /// How many TLS handshakes failed.
    #[must_use]
    pub fn handshakes_failed(&self) -> u32 {
        *self.log.handshakes_failed.lock().expect("no holder panics")
    }

    /// Waits until `count` messages have come.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let changed = self.log.changed.notified();
            let messages = self.messages();
            if messages.len() >= count {
                return messages;
            }
            changed.await;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Nobody listens any more when the task has ended already.
        let _ = self.stop.send(());
    }
}

/// How a session on one stream ended.
enum End {
    Closed,
    StartTls,
}

async fn serve(stream: TcpStream, peer: SocketAddr, behaviour: Behaviour, log: &Log) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let watched =
        match behaviour.observer.as_deref().map(|observer| (observer, observer.opened(peer))) {
            None => None,
            Some((observer, Ok(connection))) => Some(Watched { observer, connection }),
            Some((_, Err(reply))) => {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
                return Ok(());
            }
        };
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let (behaviour, watched) = (&behaviour, watched.as_ref());
    let mut session = Session { behaviour, watched, log, peer, encrypted: false, cert: false };
    if let End::Closed = session.run(&mut stream).await? {
        return Ok(());
    }
    match &behaviour.tls {
        Tls::Offered(config) => {
            let accepted = TlsAcceptor::from(Arc::clone(config)).accept(stream.into_inner()).await;
            let Ok(stream) = accepted else {
                *log.handshakes_failed.lock().expect("no holder panics") += 1;
                return Ok(());
            };
            session.encrypted = true;
            session.cert = stream.get_ref().1.peer_certificates().is_some();
            session.run(&mut BufReader::new(stream)).await?;
        }
        Tls::BrokenHandshake => {
            *log.handshakes_failed.lock().expect("no holder panics") += 1;
            let mut line = [0; 64];
            let mut stream = stream.into_inner();
            tokio::io::AsyncReadExt::read(&mut stream, &mut line).await?;
            stream.write_all(b"this is not TLS\r\n").await?;
        }
        Tls::NotOffered | Tls::Refused(_) => {}
    }
    Ok(())
}

/// A connection that somebody watches; its end is told when this is dropped.
struct Watched<'a> {
    observer: &'a dyn Observer,
    connection: u32,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.observer.closed(self.connection);
    }
}

struct Session<'a> {
    behaviour: &'a Behaviour,
    watched: Option<&'a Watched<'a>>,
    log: &'a Log,
    peer: SocketAddr,
    encrypted: bool,
    cert: bool,
}

#[derive(Default)]
struct Transaction {
    mail: String,
    recipients: Vec<String>,
}

impl Session<'_> {
    async fn run<S>(&mut self, stream: &mut BufReader<S>) -> Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut transaction = Transaction::default();
        let mut helo = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(End::Closed);
            }
            let command = line.trim_end().to_owned();
            let upper = command.to_ascii_uppercase();
            if let Some(Watched { observer, connection }) = self.watched {
                observer.command(*connection, &upper, self.encrypted);
            }
            let reply = if let Some(name) = upper.strip_prefix("EHLO ") {
                helo = name.to_ascii_lowercase();
                self.ehlo()
            } else if upper.starts_with("HELO ") {
                "250 sink.example\r\n".to_owned()
            } else if upper == "STARTTLS" && !self.encrypted {
                match &self.behaviour.tls {
                    Tls::NotOffered => "502 5.5.1 no\r\n".to_owned(),
                    Tls::Refused(reply) => format!("{reply}\r\n"),
                    Tls::Offered(_) | Tls::BrokenHandshake => {
                        stream.write_all(b"220 2.0.0 go ahead\r\n").await?;
                        return Ok(End::StartTls);
                    }
                }
            } else if upper.starts_with("MAIL FROM:") {
                transaction = Transaction { mail: command[10..].to_owned(), recipients: vec![] };
                "250 2.1.0 ok\r\n".to_owned()
            } else if upper.starts_with("RCPT TO:") {
                self.recipient(&command[8..], &mut transaction)
            } else if upper == "DATA" {
                if !self.data(stream, &mut transaction, &helo).await? {
                    return Ok(End::Closed);
                }
                continue;
            } else if upper == "RSET" || upper == "NOOP" {
                "250 2.0.0 ok\r\n".to_owned()
            } else if upper == "QUIT" {
                stream.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(End::Closed);
            } else {
                "502 5.5.1 unknown\r\n".to_owned()
            };
            stream.write_all(reply.as_bytes()).await?;
        }
    }

    fn ehlo(&self) -> String {
        let mut lines = vec!["sink.example".to_owned()];
        lines.extend(self.behaviour.extensions.iter().cloned());
        if !self.encrypted && !matches!(self.behaviour.tls, Tls::NotOffered) {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let numbered = lines.iter().enumerate().map(|(n, line)| {
            let separator = if n == last { ' ' } else { '-' };
            format!("250{separator}{line}\r\n")
        });
        numbered.collect()
    }

    fn recipient(&self, argument: &str, transaction: &mut Transaction) -> String {
        for (part, reply) in &self.behaviour.recipient_replies {
            if argument.contains(part.as_str()) {
                return format!("{reply}\r\n");
            }
        }
        let watched = self.watched.and_then(|watched| watched.observer.recipient(argument));
        if let Some(reply) = watched {
            return format!("{reply}\r\n");
        }
        transaction.recipients.push(argument.to_owned());
        "250 2.1.5 ok\r\n".to_owned()
    }

    /// False when the connection is to be dropped.
    async fn data<S>(
        &self,
        stream: &mut BufReader<S>,
        transaction: &mut Transaction,
        helo: &str,
    ) -> Result<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if transaction.recipients.is_empty() {
            stream.write_all(b"554 5.5.1 no valid recipients\r\n").await?;
            return Ok(true);
        }
        stream.write_all(b"354 go ahead\r\n").await?;
        let mut data = Vec::new();
        loop {
            let start = data.len();
            let n = stream.read_until(b'\n', &mut data).await?;
            anyhow::ensure!(n > 0, "the connection ended within a message");
            if &data[start..] == b".\r\n" {
                data.truncate(start);
                break;
            }
            if data[start] == b'.' {
                data.remove(start);
            }
        }
        let transaction = std::mem::take(transaction);
        let received = Received {
            mail: transaction.mail,
            recipients: transaction.recipients,
            data,
            encrypted: self.encrypted,
            client_certificate: self.cert,
            helo: helo.to_owned(),
            peer: self.peer,
        };
        if let Some(Watched { observer, connection }) = self.watched {
            let (delay, reply) = observer.arrived(*connection, &received);
            drop(received);
            tokio::time::sleep(delay).await;
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            observer.replied(*connection);
            return Ok(true);
        }
        self.log.messages.lock().expect("no holder panics").push(received);
        self.log.changed.notify_waiters();
        if take_one(&self.log.drops_left) {
            return Ok(false);
        }
        if take_one(&self.log.silences_left) {
            std::future::pending::<()>().await;
        }
        stream.write_all(b"250 2.0.0 taken\r\n").await.context("cannot answer the message")?;
        Ok(true)
    }
}

/// True as often as there is something left.
fn take_one(left: &Mutex<u32>) -> bool {
    let mut left = left.lock().expect("no holder panics");
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
