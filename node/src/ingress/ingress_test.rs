//! Listeners and connections over real sockets, with a queue that does as it is told.

use std::future::Future;
use std::path::Path;

use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;
use crate::config::settings::{CertificateFile, ClientTls, Lookup, TlsVersions};
use crate::id::{GroupId, Locator, MessageId};
use crate::ingress::shared::Submitted;
use crate::message::Origin;
use crate::queue::model::{Accepted, Pressure, Submission, SubmitError};
use crate::smtp::command::Command;
use crate::smtp::server::{Greeting, HEADROOM_BYTES, Incoming};
use crate::tls::connector::Connector;

const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps what it is given. Each submission waits for a permit and takes the next result.
struct Store {
    stored: Mutex<Vec<Submission>>,
    results: Mutex<Vec<SubmitError>>,
    pressure: Mutex<Pressure>,
    gate: Semaphore,
    ended: Semaphore,
}

impl Store {
    fn new(open: bool) -> Arc<Self> {
        Arc::new(Self {
            stored: Mutex::default(),
            results: Mutex::default(),
            pressure: Mutex::new(Pressure::Normal),
            gate: Semaphore::new(if open { 1000 } else { 0 }),
            ended: Semaphore::new(0),
        })
    }

    fn ids(&self) -> Vec<MessageId> {
        self.stored.lock().iter().map(|s| s.envelope.id).collect()
    }

    fn count(&self) -> usize {
        self.stored.lock().len()
    }
}

impl Inbox for Store {
    fn submit(&self, submission: Submission) -> BoxFuture<'_, Result<Accepted, SubmitError>> {
        async move {
            self.gate.acquire().await.expect("the gate is never closed").forget();
            self.stored.lock().push(submission);
            self.ended.add_permits(1);
            let locator = Locator { group: GroupId(2), index: 1, slot: 0 };
            match self.results.lock().pop() {
                Some(error) => Err(error),
                None => Ok(Accepted { locator, repeated: false }),
            }
        }
        .boxed()
    }

    fn pressure(&self) -> Pressure {
        self.pressure.lock().clone()
    }
}

/// Runs a test inside an actix system, within bounded time.
fn system<F: Future<Output = ()>>(test: F) {
    actix_rt::System::new().block_on(async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test took too long");
    });
}

struct Site {
    ingress: Ingress,
    config: Arc<ArcSwap<Config>>,
    store: Arc<Store>,
}

impl Site {
    fn start(config: &str) -> Self {
        let store = Store::new(true);
        let config = Arc::new(ArcSwap::from_pointee(parse(config)));
        let arbiters = (0..2).map(|_| actix_rt::Arbiter::new().handle()).collect();
        let inbox: Arc<dyn Inbox> = Arc::clone(&store) as Arc<dyn Inbox>;
        let ingress = Ingress::start(Arc::clone(&config), inbox, arbiters).unwrap();
        Self { ingress, config, store }
    }

    async fn connect(&self, listener: usize) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.ingress.addresses()[listener]).await.unwrap();
        Client(BufReader::new(stream))
    }

    async fn greeted(&self) -> Client<TcpStream> {
        let mut client = self.connect(0).await;
        client.expect("220").await;
        client.command("EHLO client.example", "250").await;
        client
    }

    async fn no_connections(&self) {
        self.ingress.no_connections().await;
    }
}

fn parse(text: &str) -> Config {
    let base = "host-name mx.example\n<source 0/0>\n always-allow-relaying yes\n\
                allow-starttls yes\n</source>\n";
    Config::from_text(&format!("{base}{text}")).unwrap()
}

const LISTENER: &str = "smtp-listener 127.0.0.1:0\n";

struct Client<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The last line of a reply, which must start like this.
    async fn expect(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(start), "{line:?} instead of {start}");
                return line;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
        self.0.get_mut().flush().await.unwrap();
    }

    async fn command(&mut self, line: &str, reply: &str) -> String {
        self.send(&format!("{line}\r\n")).await;
        self.expect(reply).await
    }

    async fn envelope(&mut self) {
        self.command("MAIL FROM:<a@b.example>", "250").await;
        self.command("RCPT TO:<c@d.example>", "250").await;
    }

    async fn message(&mut self, text: &str, reply: &str) {
        self.envelope().await;
        self.command("DATA", "354").await;
        self.send(&format!("{text}\r\n.\r\n")).await;
        self.expect(reply).await;
    }

    async fn expect_end(&mut self) {
        let mut line = String::new();
        assert_eq!(self.0.read_line(&mut line).await.unwrap_or(0), 0, "{line:?}");
    }
}

fn write_certificate(path: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let text = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(path, text).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).unwrap();
}

async fn encrypt(
    stream: TcpStream,
    certificate: Option<&Path>,
) -> Client<tokio_rustls::client::TlsStream<TcpStream>> {
    let settings = ClientTls {
        certificate: certificate
            .map(|path| CertificateFile { path: path.to_owned(), password: None }),
        ca_file: None,
        versions: TlsVersions { v1_2: true, v1_3: true },
        ciphers: "HIGH".to_owned(),
        ciphersuites: None,
    };
    let connector = Connector::new(&settings, false).unwrap();
    let (stream, _) = connector.connect(stream, "mx.example").await.unwrap();
    Client(BufReader::new(stream))
}

#[test]
fn a_message_is_stored_and_then_acknowledged() {
    system(async {
        let site = Site::start(LISTENER);
        let mut client = site.greeted().await;
        client.envelope().await;
        client.command("DATA", "354").await;
        client.send("Subject: x\r\n\r\nhello\r\n.\r\n").await;
        let mut reply = String::new();
        client.0.read_line(&mut reply).await.unwrap();
        {
            let stored = site.store.stored.lock();
            let id = stored[0].envelope.id;
            assert_eq!(reply, format!("250 2.6.0 message received as {id}\r\n"));
            let text = String::from_utf8(stored[0].body.to_vec()).unwrap();
            assert!(text.starts_with("Received: from client.example ([127.0.0.1])"), "{text}");
            assert!(text.ends_with("Subject: x\r\n\r\nhello\r\n"), "{text}");
        }
        client.command("QUIT", "221").await;
        client.expect_end().await;
        site.no_connections().await;
        let figures = site.ingress.counters().figures();
        assert_eq!((figures.messages, figures.recipients, figures.top_connections), (1, 1, 1));
    });
}

#[test]
fn starttls_and_the_certificate_of_a_user_are_taken() {
    system(async {
        let files = tempfile::tempdir().unwrap();
        let at = |name: &str| files.path().join(name);
        write_certificate(&at("server.pem"), "mx.example");
        write_certificate(&at("robot.pem"), "robot.example");
        write_certificate(&at("stranger.pem"), "robot.example");
        let config = format!(
            "{LISTENER}smtp-server-tls-certificate {here}/server.pem\n\
             <source 127.0.0.1>\n require-auth yes\n</source>\n\
             <source {{auth}}>\n require-auth no\n</source>\n\
             <smtp-user robot>\n authentication-method certificate\n\
             tls-certificate {here}/robot.pem\n</smtp-user>\n",
            here = files.path().display()
        );
        let site = Site::start(&config);
        for (certificate, reply) in [("stranger.pem", "530 5.7.0"), ("robot.pem", "250 2.1.0")] {
            let mut client = site.greeted().await;
            client.command("STARTTLS", "220").await;
            let mut client = encrypt(client.0.into_inner(), Some(&at(certificate))).await;
            client.command("EHLO client.example", "250").await;
            client.command("MAIL FROM:<a@b.example>", reply).await;
            if certificate == "robot.pem" {
                client.command("RSET", "250").await;
                client.message("A: b\r\n", "250").await;
            }
        }
        let stored = site.store.stored.lock();
        let Origin::Smtp { user, tls, .. } = &stored[0].envelope.origin else { panic!("origin") };
        assert_eq!(user.as_deref(), Some("robot"));
        assert_eq!(tls.as_ref().map(|tls| tls.protocol.as_str()), Some("TLSv1.3"));
        let text = String::from_utf8_lossy(&stored[0].body);
        assert!(text.contains("client certificate not verified"), "{text}");
        assert!(text.contains(" with ESMTPSA id "), "{text}");
    });
}

#[test]
fn tls_from_the_start_offers_no_starttls() {
    system(async {
        let files = tempfile::tempdir().unwrap();
        write_certificate(&files.path().join("server.pem"), "mx.example");
        let here = files.path().display();
        let site = Site::start(&format!(
            "smtp-listener 127.0.0.1:0 tls=yes\nsmtp-server-tls-certificate {here}/server.pem\n"
        ));
        let mut client = encrypt(site.connect(0).await.0.into_inner(), None).await;
        client.expect("220").await;
        client.command("EHLO client.example", "250").await;
        client.command("STARTTLS", "503 5.5.1").await;
        client.message("A: b\r\n", "250").await;
        // In clear there is no answer, and nothing is read.
        let mut clear = site.connect(0).await;
        clear.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\n").await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut clear.0, &mut answer).await;
        assert!(!answer.starts_with(b"2"), "{answer:?}");
    });
}

#[test]
fn connections_over_the_limit_are_refused_until_one_ends() {
    system(async {
        let site = Site::start(&format!("{LISTENER}total-max-smtp-in 1\n"));
        let mut first = site.greeted().await;
        let mut second = site.connect(0).await;
        second.expect("421 4.3.2").await;
        second.expect_end().await;
        first.command("QUIT", "221").await;
        drop(first);
        site.no_connections().await;
        site.greeted().await;
        assert_eq!(site.ingress.counters().figures().refused_connections, 1);
    });
}

#[test]
fn message_bytes_are_bounded_over_all_connections() {
    system(async {
        let site = Site::start(&format!("{LISTENER}max-bytes-in-flight 1m\n"));
        let text = "x".repeat(70).repeat(9_000);
        let lines: String = text.as_bytes().chunks(70).fold(String::new(), |mut all, line| {
            all.push_str(std::str::from_utf8(line).unwrap());
            all.push_str("\r\n");
            all
        });
        let mut first = site.greeted().await;
        first.envelope().await;
        first.command("DATA", "354").await;
        first.send(&lines).await;
        let mut second = site.greeted().await;
        // The first one's bytes are counted once they are read.
        while site.ingress.shared.admission.bytes_in_flight() < 600_000 {
            tokio::task::yield_now().await;
        }
        second.message(&lines, "452 4.3.1").await;
        first.send(".\r\n").await;
        first.expect("250").await;
        second.message(&lines, "250").await;
        assert_eq!(site.store.count(), 2);
    });
}

#[test]
fn a_full_store_takes_no_mail() {
    system(async {
        let site = Site::start(LISTENER);
        let mut client = site.greeted().await;
        *site.store.pressure.lock() = Pressure::DiskFull { free_bytes: 0 };
        client.command("MAIL FROM:<a@b.example>", "452 4.3.1").await;
        *site.store.pressure.lock() = Pressure::Normal;
        site.store.results.lock().push(SubmitError::Busy);
        client.message("A: b\r\n", "452 4.3.1").await;
        site.store.results.lock().push(SubmitError::NoQuorum);
        client.message("A: b\r\n", "451 4.3.0").await;
        client.message("A: b\r\n", "250").await;
    });
}

const NAMED: &str = "Message-ID: <1@b.example>\r\n\r\ntext";

#[test]
fn a_message_whose_answer_was_lost_is_not_stored_twice() {
    system(async {
        let site = Site::start(LISTENER);
        let mut client = site.greeted().await;
        client.message(NAMED, "250").await;
        drop(client);
        site.no_connections().await;

        let mut client = site.greeted().await;
        client.message(NAMED, "250").await;
        assert_eq!(site.store.count(), 1, "the repetition was stored");
        // Now the client has gone on after the answer: the next one is meant.
        client.message(NAMED, "250").await;
        assert_eq!(site.store.count(), 2, "a second message was swallowed");
        client.command("QUIT", "221").await;
        site.no_connections().await;
        site.greeted().await.message(NAMED, "250").await;
        assert_eq!(site.store.count(), 3, "the answer had arrived before QUIT");
    });
}

#[test]
fn another_message_is_no_repetition() {
    system(async {
        let site = Site::start(LISTENER);
        for text in [NAMED, "Message-ID: <1@b.example>\r\n\r\nTEXT", "No: id\r\n", "No: id\r\n"] {
            site.greeted().await.message(text, "250").await;
            site.no_connections().await;
        }
        assert_eq!(site.store.count(), 4);
    });
}

#[test]
fn a_message_of_unknown_fate_is_repeated_under_its_id() {
    system(async {
        let site = Site::start(LISTENER);
        let mut client = site.greeted().await;
        site.store.results.lock().push(SubmitError::Unknown);
        client.message(NAMED, "451 4.3.0").await;
        client.message(NAMED, "250").await;
        let ids = site.store.ids();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1], "the queue cannot recognise the repetition");
    });
}

fn incoming(config: &Config) -> Incoming {
    let Ok(Command::Mail(mail)) = Command::parse(b"MAIL FROM:<a@b.example>") else { panic!() };
    let Ok(Command::Rcpt(rcpt)) = Command::parse(b"RCPT TO:<c@d.example>") else { panic!() };
    let mut body = BytesMut::zeroed(HEADROOM_BYTES);
    body.extend_from_slice(NAMED.as_bytes());
    Incoming {
        greeting: Greeting { name: "c".to_owned(), esmtp: true },
        settings: config.source([127, 0, 0, 1].into(), None, None),
        tls: None,
        user: None,
        mail,
        recipients: vec![rcpt],
        body,
    }
}

#[test]
fn a_commit_that_comes_too_late_is_recognised() {
    system(async {
        let store = Store::new(false);
        let config = parse("");
        let patience = Patience { slow: Duration::ZERO, given_up: Duration::from_millis(1) };
        let (_phase, watched) = watch::channel(Phase::Running);
        let inbox: Arc<dyn Inbox> = Arc::clone(&store) as Arc<dyn Inbox>;
        let swap = Arc::new(ArcSwap::from_pointee(config.clone()));
        let shared = Arc::new(Shared::new(swap, inbox, watched, patience));
        let submit = async || {
            let (here, lease) = ([127, 0, 0, 1].into(), shared.admission.lease());
            match shared.submit(&config, here, here, incoming(&config), lease).await {
                Submitted::Stored { .. } => 250,
                Submitted::Refused(reply) => reply.code(),
            }
        };
        assert_eq!(submit().await, 451);
        assert_eq!(submit().await, 451, "its commit is still awaited");
        store.gate.add_permits(1);
        store.ended.acquire().await.unwrap().forget();
        tokio::task::yield_now().await;
        assert_eq!(submit().await, 250);
        assert_eq!(store.count(), 1);
    });
}

#[test]
fn a_drain_finishes_transactions_and_ends_the_rest() {
    system(async {
        let site = Site::start(LISTENER);
        let address = site.ingress.addresses()[0];
        let (mut idle, mut busy) = (site.greeted().await, site.greeted().await);
        busy.envelope().await;
        let clients = async {
            idle.expect("421 4.3.2").await;
            busy.command("DATA", "354").await;
            busy.command("text\r\n.", "250").await;
            busy.expect("421 4.3.2").await;
            drop((idle, busy));
        };
        tokio::join!(site.ingress.drain(PATIENCE), clients);
        assert_eq!(site.ingress.counters().figures().connections, 0);
        assert!(site.ingress.addresses().is_empty());
        // The socket is closed by the actor, which may be a little later.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_node_that_declines_answers_421_until_it_accepts_again() {
    system(async {
        let site = Site::start(LISTENER);
        let (mut idle, mut busy) = (site.greeted().await, site.greeted().await);
        busy.envelope().await;
        site.ingress.decline(true);
        idle.expect("421 4.3.2").await;
        busy.command("DATA", "354").await;
        busy.command("text\r\n.", "250").await;
        busy.expect("421 4.3.2").await;
        let mut refused = site.connect(0).await;
        refused.expect("421 4.3.2").await;
        site.ingress.decline(false);
        site.greeted().await.envelope().await;
    });
}

#[test]
fn a_drain_ends_clients_that_do_not_go_on() {
    system(async {
        let site = Site::start(LISTENER);
        let mut stuck = site.greeted().await;
        stuck.envelope().await;
        site.ingress.drain(Duration::from_millis(10)).await;
        stuck.expect_end().await;
    });
}

#[test]
fn a_reload_opens_and_closes_listeners_and_keeps_the_others() {
    system(async {
        let site = Site::start(LISTENER);
        let before = site.ingress.addresses();
        let mut client = site.greeted().await;

        let more = format!("{LISTENER}smtp-listener [::1]:0\n");
        site.config.store(Arc::new(parse(&more)));
        site.ingress.reconfigure().unwrap();
        let after = site.ingress.addresses();
        assert_eq!((after.len(), after[0]), (2, before[0]));
        site.connect(1).await.expect("220").await;

        let broken = format!("{LISTENER}smtp-server-tls-certificate /nonexistent.pem\n");
        site.config.store(Arc::new(parse(&broken)));
        assert!(site.ingress.reconfigure().is_err());
        assert_eq!(site.ingress.addresses(), after, "a failed reload changed the listeners");

        site.config.store(Arc::new(parse("smtp-listener [::1]:0\n")));
        site.ingress.reconfigure().unwrap();
        assert_eq!(site.ingress.addresses(), after[1..]);
        while TcpStream::connect(before[0]).await.is_ok() {
            tokio::task::yield_now().await;
        }
        client.message("A: b\r\n", "250").await;
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    system(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = parse(&format!("smtp-listener {}\n", taken.local_addr().unwrap()));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let arbiters = vec![actix_rt::Arbiter::current()];
        let started = Ingress::start(config, Store::new(true), arbiters);
        assert!(matches!(started, Err(IngressError::Listen { .. })));
    });
}

const PROXIED: &str = "smtp-listener 127.0.0.1:0 proxy-protocol=yes\n\
     proxy-trusted-source 127.0.0.1\n\
     <source 0/0>\n always-allow-relaying no\n</source>\n\
     <source 192.0.2.0/24>\n always-allow-relaying yes\n</source>\n";

/// A header of version 2 for 192.0.2.7:1, connected to 198.51.100.1:465.
const PROXY_V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x00\x01\x01\xd1";

async fn answer(stream: &mut TcpStream, sent: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.write_all(sent).await.unwrap();
    // How the connection ends is no matter: there may be bytes that nobody took.
    let _ = tokio::io::AsyncReadExt::read_to_end(stream, &mut answer).await;
    answer
}

#[test]
fn the_client_that_a_proxy_names_counts_everywhere() {
    system(async {
        let site = Site::start(PROXIED);
        let mut client = site.connect(0).await;
        client.send("PROXY TCP4 192.0.2.7 198.51.100.1 1 25\r\n").await;
        client.expect("220").await;
        client.command("EHLO client.example", "250").await;
        client.message("A: b\r\n", "250").await;
        {
            let stored = site.store.stored.lock();
            let Origin::Smtp { client, local, .. } = &stored[0].envelope.origin else { panic!() };
            assert_eq!(client.to_string(), "192.0.2.7");
            assert_eq!(local.to_string(), "198.51.100.1");
            let text = String::from_utf8(stored[0].body.to_vec()).unwrap();
            assert!(text.starts_with("Received: from client.example ([192.0.2.7])"), "{text}");
        }
        // Another client by the same proxy has no such rights, and the proxy itself has none.
        for header in ["PROXY TCP4 203.0.113.7 198.51.100.1 1 25\r\n", "PROXY UNKNOWN\r\n"] {
            let mut client = site.connect(0).await;
            client.send(header).await;
            client.expect("220").await;
            client.command("EHLO client.example", "250").await;
            client.command("MAIL FROM:<a@b.example>", "250").await;
            client.command("RCPT TO:<c@d.example>", "550").await;
        }
    });
}

#[test]
fn nothing_is_said_to_whoever_sends_no_header() {
    system(async {
        let site = Site::start(PROXIED);
        for sent in [&b"EHLO client.example\r\n"[..], b"PROXY TCP4 192.0.2.7\r\n", b"\x16\x03\x01"]
        {
            let mut client = TcpStream::connect(site.ingress.addresses()[0]).await.unwrap();
            assert_eq!(answer(&mut client, sent).await, b"", "{sent:?}");
        }
        site.no_connections().await;
    });
}

#[test]
fn others_than_trusted_proxies_are_refused() {
    system(async {
        let site = Site::start(&PROXIED.replace("source 127.0.0.1", "source 10.0.0.0/8"));
        let mut client = TcpStream::connect(site.ingress.addresses()[0]).await.unwrap();
        let sent = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 25\r\n";
        let mut answer = Vec::new();
        let _refused_already = client.write_all(sent).await;
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut answer).await;
        assert_eq!(answer, b"");
        assert_eq!(site.ingress.counters().figures().accepted_connections, 0);
    });
}

#[test]
fn a_client_that_speaks_early_is_known_behind_a_proxy_too() {
    system(async {
        let site = Site::start(PROXIED);
        let mut client = TcpStream::connect(site.ingress.addresses()[0]).await.unwrap();
        let sent = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 25\r\nEHLO spam.example\r\n";
        let said = answer(&mut client, sent).await;
        assert_eq!(said, b"554 5.5.1 client spoke before the greeting\r\n");
    });
}

#[test]
fn a_header_comes_before_tls_from_the_start() {
    system(async {
        let files = tempfile::tempdir().unwrap();
        write_certificate(&files.path().join("server.pem"), "mx.example");
        let here = files.path().display();
        let site = Site::start(&format!(
            "<smtp-listener 127.0.0.1:0>\n immediate-tls yes\n proxy-protocol yes\n\
             proxy-trusted-source 127.0.0.0/8\n</smtp-listener>\n\
             smtp-server-tls-certificate {here}/server.pem\n"
        ));
        let mut stream = TcpStream::connect(site.ingress.addresses()[0]).await.unwrap();
        // What is written before the cork is pulled travels together: the hello of TLS comes in
        // the segment of the header.
        let cork = |on| socket2::SockRef::from(&stream).set_tcp_cork(on).unwrap();
        cork(true);
        stream.write_all(PROXY_V2).await.unwrap();
        let mut client = encrypt(stream, None).await;
        client.expect("220").await;
        client.command("EHLO client.example", "250").await;
        client.message("A: b\r\n", "250").await;
        let stored = site.store.stored.lock();
        let Origin::Smtp { client, local, tls, .. } = &stored[0].envelope.origin else { panic!() };
        assert_eq!(
            (client.to_string(), local.to_string()),
            ("192.0.2.7".into(), "198.51.100.1".into())
        );
        assert!(tls.is_some());
    });
}
