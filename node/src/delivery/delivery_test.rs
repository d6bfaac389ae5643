use std::time::Duration;

use super::fixture::{Behaviour, FakeQueue, Message, Sink, Table, Tls};
use super::*;
use crate::clock::Timestamp;
use crate::config::settings::{CertificateFile, ServerTls, TlsVersions};
use crate::dns::{DnsError, Mx};
use crate::message::{Class, Notify, Record, RecordType, Status};
use crate::queue::model::Switches;

fn shared() -> Arc<dyn Shared> {
    Arc::new(limits::Alone::default())
}

/// Delivery over a queue in memory.
struct Site {
    queue: Arc<FakeQueue>,
    delivery: Delivery,
    config: Arc<ArcSwap<Config>>,
}

const ROWS: &str = "<acct-file acct.csv>\n records d, b, t, tq\n\
    record-fields d *, header_Subject\n</acct-file>\n";

fn configuration(text: &str) -> Config {
    Config::from_text(&format!("host-name mta.example\n{ROWS}{text}"))
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// A domain whose mail goes to `sink`.
fn domain(name: &str, sink: &Sink, rest: &str) -> String {
    let address = sink.address;
    let (ip, port) = (address.ip(), address.port());
    format!("<domain {name}>\n smtp-hosts [{ip}]:{port}\n{rest}\n</domain>\n")
}

impl Site {
    fn start(text: &str) -> Self {
        Self::with_resolver(text, Table::default())
    }

    fn with_resolver(text: &str, table: Table) -> Self {
        let queue = FakeQueue::new();
        let config = Arc::new(ArcSwap::from_pointee(configuration(text)));
        let arbiters = vec![actix_rt::Arbiter::current()];
        let work = Arc::clone(&queue);
        let doubts = Arc::clone(&queue);
        let (config_of, table) = (Arc::clone(&config), Arc::new(table));
        let delivery = Delivery::start(config_of, work, doubts, table, shared(), arbiters);
        Self { queue, delivery, config }
    }

    async fn send(&self, message: Message<'_>) {
        self.queue.submit(message);
        self.queue.until_empty().await;
    }

    /// Waits for a row of a failure of the whole queue.
    async fn queue_row(&self) -> Record {
        self.queue.until(|state| state.records.first().cloned()).await
    }
}

fn to<'a>(recipients: &'a [&'a str]) -> Message<'a> {
    Message { to: recipients, ..Message::default() }
}

#[actix_rt::test]
async fn a_message_is_delivered_and_its_row_tells_how() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    site.send(Message { body: "Subject: a row\r\n\r\n.dots\r\n", ..Message::default() }).await;
    let message = sink.messages().remove(0);
    assert_eq!(message.data, "Subject: a row\r\n\r\n.dots\r\n");
    assert_eq!((message.helo.as_str(), message.encrypted), ("mta.example", false));
    let row = site.queue.look(|state| state.rows().remove(0));
    assert_eq!(row.kind, RecordType::Delivery);
    assert_eq!(row.dsn_action, "relayed");
    assert_eq!(row.dsn_status, "2.0.0 (success)");
    assert_eq!(row.dsn_diag, "smtp;250 2.0.0 stored");
    assert_eq!(row.dsn_mta, "127.0.0.1 (127.0.0.1)");
    assert_eq!(row.dlv_type, "smtp");
    assert_eq!(
        (row.dlv_source_ip.as_str(), row.dlv_destination_ip.as_str()),
        ("127.0.0.1", "127.0.0.1")
    );
    assert_eq!(row.dlv_esmtp_available, "PIPELINING");
    assert_eq!(row.headers, [("Subject".to_owned(), "a row".to_owned())]);
    assert_eq!((row.dlv_tls_protocol.as_str(), row.bounce_cat.as_str()), ("", ""));
    assert_eq!(site.delivery.counters().delivered(), (1, 1, 25));
}

#[actix_rt::test]
async fn every_final_dot_is_in_doubt_until_its_report_is_committed() {
    let rcpt = vec![("gone", "550 5.1.1 no such user")];
    let sink = Sink::start(Behaviour { rcpt, ..Behaviour::default() }).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    site.send(to(&["a@x.example", "b@x.example"])).await;
    // Refused before the final dot, nothing is in doubt.
    site.queue.submit(to(&["gone@x.example"]));
    site.queue.until(|state| (state.outcomes().len() == 3).then_some(())).await;
    site.queue.look(|state| {
        let [(dot, known)] = &state.dots[..] else { panic!("{:?}", state.dots) };
        assert_eq!((&dot.recipients[..], dot.term), (&[(0, 0), (1, 0)][..], fixture::TERM));
        assert_eq!(*known, Some(true));
    });

    // The server has it, and nobody will ever be told.
    *site.queue.stops.lock() = true;
    site.queue.submit(to(&["c@x.example"]));
    let known = |state: &fixture::State| state.dots.get(1).and_then(|(_, known)| *known);
    let known = site.queue.until(known).await;
    assert_eq!((known, sink.messages().len()), (false, 2));
}

#[actix_rt::test]
async fn recipients_share_a_transaction_and_have_their_own_results() {
    let rcpt = vec![("gone", "550 5.1.1 no such user"), ("full", "452 4.2.2 mailbox full")];
    let sink = Sink::start(Behaviour { rcpt, ..Behaviour::default() }).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    site.queue.submit(to(&["a@x.example", "gone@x.example", "full@x.example", "b@x.example"]));
    let reports =
        site.queue.until(|state| (state.outcomes().len() == 4).then(|| state.reports.clone()));
    let reports = reports.await;
    assert_eq!(sink.messages().len(), 1);
    assert_eq!(sink.messages()[0].recipients, ["a@x.example", "b@x.example"]);
    let notices: Vec<_> = reports.iter().filter_map(|report| report.notice.clone()).collect();
    assert_eq!(notices.len(), 1, "one notice for the one that bounced");
    let envelope = &notices[0].envelope;
    assert_eq!(envelope.sender.to_string(), "");
    assert_eq!(envelope.recipients[0].address.to_string(), "sender@client.example");
    assert_eq!(envelope.recipients[0].queue.to_string(), "client.example/{default}");
    let text = String::from_utf8_lossy(&notices[0].body).into_owned();
    assert!(text.contains("gone@x.example") && !text.contains("full@x.example"), "{text}");
    let rows = site.queue.look(fixture::State::rows);
    let bounced = rows.iter().find(|row| row.kind == RecordType::Bounce).unwrap();
    assert_eq!(bounced.bounce_cat, "bad-mailbox");
    let later = rows.iter().find(|row| row.kind == RecordType::Transient).unwrap();
    assert_eq!(later.dsn_status, "4.2.2 (mailbox full)");
    let due = site.queue.look(|state| state.messages.values().next().unwrap().0.waiting[0].due);
    assert!(due > Timestamp::now() + Duration::from_secs(500), "retry-recipients-after");
}

#[actix_rt::test]
async fn transactions_keep_to_the_limits_of_the_queue() {
    let sink = Sink::start(Behaviour::default()).await;
    let rest = "max-smtp-out 1\n max-rcpt-per-transaction 2\n max-msg-per-connection 3";
    let site = Site::start(&domain("x.example", &sink, rest));
    let many: Vec<String> = (0..10).map(|n| format!("u{n}@x.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    site.send(to(&many)).await;
    let messages = sink.messages();
    assert_eq!(messages.len(), 5);
    assert!(messages.iter().all(|message| message.recipients.len() == 2));
    assert_eq!(sink.connections(), 2, "three messages on the first connection, two on the next");
}

#[actix_rt::test]
async fn many_messages_go_over_few_connections() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, "max-smtp-out 4"));
    for n in 0..300 {
        let address = format!("u{n}@x.example");
        site.queue.submit(to(&[address.as_str()]));
    }
    site.queue.until_empty().await;
    let mut recipients: Vec<_> =
        sink.messages().into_iter().flat_map(|message| message.recipients).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!((recipients.len(), sink.messages().len()), (300, 300), "each once");
    assert!(site.delivery.counters().connections_top() <= 4);
}

fn acceptor(directory: &std::path::Path) -> tokio_rustls::TlsAcceptor {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let path = directory.join("server.pem");
    std::fs::write(&path, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    let tls = ServerTls {
        certificate: CertificateFile { path, password: None },
        ca_file: None,
        versions: TlsVersions { v1_2: true, v1_3: true },
        ciphers: "HIGH".to_owned(),
        ciphersuites: None,
    };
    crate::tls::acceptor::server_config(&tls, false).unwrap().into()
}

async fn sink_with(tls: Tls) -> Sink {
    Sink::start(Behaviour { tls, ..Behaviour::default() }).await
}

#[actix_rt::test]
async fn an_offered_encryption_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let sink = sink_with(Tls::Offered(acceptor(directory.path()))).await;
    let site = Site::start(&domain("x.example", &sink, "require-starttls yes"));
    site.send(Message::default()).await;
    assert!(sink.messages()[0].encrypted);
    let row = site.queue.look(|state| state.rows().remove(0));
    assert_eq!(row.dlv_tls_protocol, "TLSv1.3");
    assert_eq!(row.dlv_tls_cipher, "TLS_AES_256_GCM_SHA384");
    assert_eq!(row.dlv_esmtp_available, "STARTTLS,PIPELINING");
}

#[actix_rt::test]
async fn opportunistic_encryption_ends_in_clear_in_the_same_attempt() {
    for (tls, connections) in
        [(Tls::NotOffered, 1), (Tls::Refused, 1), (Tls::Garbage, 2), (Tls::Hangs, 2)]
    {
        let sink = sink_with(tls).await;
        let site = Site::start(&domain("x.example", &sink, "use-starttls yes"));
        site.send(Message::default()).await;
        assert!(!sink.messages()[0].encrypted);
        assert_eq!(sink.connections(), connections);
        site.queue.look(|state| {
            assert_eq!((state.reports.len(), state.records.len()), (1, 0));
            assert_eq!(state.rows()[0].dlv_tls_protocol, "");
        });
        // A host whose handshake failed is remembered.
        site.send(Message::default()).await;
        assert_eq!((sink.messages().len(), sink.connections()), (2, connections + 1));
    }
}

#[actix_rt::test]
async fn required_encryption_never_ends_in_clear() {
    let cases = [
        (Tls::NotOffered, "4.7.4", "does not offer STARTTLS"),
        (Tls::Refused, "4.7.4", "refused STARTTLS and TLS is required: 454 4.7.0 not now"),
        (Tls::Garbage, "4.7.5", "not TLS"),
        (Tls::Hangs, "4.7.5", "connection closed by the server"),
    ];
    for (tls, status, reason) in cases {
        let sink = sink_with(tls).await;
        let site = Site::start(&domain("x.example", &sink, "require-starttls yes"));
        site.queue.submit(Message::default());
        let row = site.queue_row().await;
        assert_eq!(row.kind, RecordType::TransientQueue);
        assert!(row.dsn_status.starts_with(status), "{row:?}");
        assert!(row.dsn_diag.contains(reason), "{row:?}");
        assert_eq!(row.queue, "x.example/{default}");
        assert!(sink.messages().is_empty());
        assert_eq!(sink.connections(), 1);
        site.queue.look(|state| assert_eq!((state.messages.len(), state.reports.len()), (1, 0)));
    }
}

#[actix_rt::test]
async fn an_untrusted_certificate_defers_or_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let stranger = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&roots, stranger.pem()).unwrap();
    let sink = sink_with(Tls::Offered(acceptor(directory.path()))).await;
    let ca = format!("smtp-tls-ca-file {}", roots.display());
    let required = Site::start(&domain("x.example", &sink, &format!("{ca}\nrequire-starttls yes")));
    required.queue.submit(Message::default());
    let row = required.queue_row().await;
    assert!(row.dsn_status.starts_with("4.7.5") && row.dsn_diag.contains("certificate"), "{row:?}");
    assert!(sink.messages().is_empty());
    let tolerant = Site::start(&domain("x.example", &sink, &ca));
    tolerant.send(Message::default()).await;
    assert!(!sink.messages()[0].encrypted);
}

/// A port where nobody listens.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[actix_rt::test]
async fn a_queue_that_cannot_be_reached_waits_and_its_old_messages_bounce() {
    let port = closed_port().await;
    let text = format!(
        "<domain x.example>\n smtp-hosts [127.0.0.1]:{port}\n bounce-after 1h\n</domain>\n"
    );
    let site = Site::start(&text);
    site.queue.submit(Message { age_s: 7200, ..to(&["old@x.example"]) });
    site.queue.submit(Message { age_s: 60, ..to(&["young@x.example"]) });
    let report = site.queue.until(|state| state.reports.first().cloned()).await;
    let outcome = &report.results[0].outcome;
    assert_eq!((outcome.class, outcome.status), (Class::Bounced, Status(5, 4, 7)));
    assert!(outcome.reason.contains("connection refused"), "{outcome:?}");
    assert!(report.notice.is_some());
    let row = site.queue_row().await;
    assert!(row.dsn_status.starts_with("4.4.1"), "{row:?}");
    site.queue.look(|state| assert_eq!((state.messages.len(), state.reports.len()), (1, 1)));
    let name: QueueName = "x.example".parse().unwrap();
    let activity = site.delivery.activity().remove(&name).unwrap();
    assert!(activity.retry_at.unwrap() > Timestamp::now() + Duration::from_secs(500));
    assert!(activity.last_error.unwrap().1.contains("connection refused"));
    assert_eq!(activity.connections, 0);

    // An operator does not wait.
    site.delivery.wake(name);
    site.queue.until(|state| (state.records.len() == 2).then_some(())).await;
}

#[actix_rt::test]
async fn all_hosts_are_tried_before_the_queue_waits() {
    let (port, sink) = (closed_port().await, Sink::start(Behaviour::default()).await);
    let angry = Behaviour { greeting: "450 4.3.2 not now", ..Behaviour::default() };
    let angry = Sink::start(angry).await;
    let text = format!(
        "<domain x.example>\n smtp-hosts [127.0.0.1]:{port}; [127.0.0.1]:{}; [127.0.0.1]:{}\n\
         </domain>\n",
        angry.address.port(),
        sink.address.port()
    );
    let site = Site::start(&text);
    site.send(Message::default()).await;
    assert_eq!((sink.messages().len(), angry.connections()), (1, 1));
    site.queue.look(|state| assert!(state.records.is_empty()));
    // The next connection does not begin with hosts that have just failed.
    site.send(Message::default()).await;
    assert_eq!(sink.messages().len(), 2);
}

#[actix_rt::test]
async fn a_greeting_that_refuses_bounces_all_that_waits() {
    let behaviour = Behaviour { greeting: "554 5.7.1 go away", ..Behaviour::default() };
    let sink = Sink::start(behaviour).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    for _ in 0..3 {
        site.queue.submit(Message::default());
    }
    site.queue.until_empty().await;
    site.queue.look(|state| {
        assert_eq!((state.count(Class::Bounced), state.records.len()), (3, 0));
        assert_eq!(state.outcomes()[0].diagnostic(), "smtp;554 5.7.1 go away");
        assert_eq!(state.rows()[0].kind, RecordType::Bounce);
    });
}

#[actix_rt::test]
async fn domains_without_a_way_bounce_or_wait() {
    let mut table = Table::default();
    let mx = |host: &str| Mx { preference: 0, host: host.to_owned() };
    table.mx.insert("null.example".to_owned(), Ok(vec![mx("")]));
    table.mx.insert("loop.example".to_owned(), Ok(vec![mx("mta.example")]));
    let temporary = Err(DnsError::Temporary("SERVFAIL".to_owned()));
    table.mx.insert("flaky.example".to_owned(), temporary);
    let site = Site::with_resolver("", table);
    let check = async |to: &str, status: &str, diagnostic: &str| {
        let domain = to.split_once('@').unwrap().1.to_owned();
        site.queue.submit(Message { to: &[to], ..Message::default() });
        let row = site.queue.until(|state| {
            let rows = state.rows().into_iter().chain(state.records.iter().cloned());
            rows.into_iter().find(|row| row.queue.starts_with(&domain))
        });
        let row = row.await;
        assert!(row.dsn_status.starts_with(status), "{row:?}");
        assert_eq!(row.dsn_diag, diagnostic, "{row:?}");
    };
    check("u@gone.example", "5.1.2 (bad destination system: no such domain)", "").await;
    let null = "X-Convoy;domain does not accept mail (null MX)";
    check("u@null.example", "5.1.10", null).await;
    let looped = "X-Convoy;mail for this domain loops back to this server";
    check("u@loop.example", "5.4.6 (routing loop detected)", looped).await;
    check("u@flaky.example", "4.4.3", "X-Convoy;SERVFAIL").await;
    let activity = site.delivery.activity().remove(&"flaky.example".parse().unwrap()).unwrap();
    let retry_at = activity.retry_at.unwrap();
    assert!(retry_at < Timestamp::now() + Duration::from_secs(120), "retry-after-dns-error");
}

#[actix_rt::test]
async fn a_virtual_mta_that_is_gone_bounces_its_mail() {
    let site = Site::start("");
    site.send(Message { vmta: "gone", ..Message::default() }).await;
    let row = site.queue.look(|state| state.rows().remove(0));
    assert!(row.dsn_status.starts_with("5.3.5"), "{row:?}");
}

#[actix_rt::test]
async fn an_mx_is_found_and_an_address_of_the_virtual_mta_is_used() {
    let sink = Sink::start(Behaviour::default()).await;
    let mut table = Table::default();
    let mx = Mx { preference: 10, host: "mx.x.example".to_owned() };
    table.mx.insert("x.example".to_owned(), Ok(vec![mx]));
    let local = "127.0.0.1".parse().unwrap();
    table.hosts.insert("mx.x.example".to_owned(), vec![local]);
    let text = format!(
        "<virtual-mta v1>\n smtp-source-host 127.0.0.3 v1.example\n</virtual-mta>\n\
         <domain *>\n default-smtp-port {}\n</domain>\n",
        sink.address.port()
    );
    let site = Site::with_resolver(&text, table);
    site.send(Message { vmta: "v1", ..Message::default() }).await;
    assert_eq!(sink.messages()[0].helo, "v1.example");
    let row = site.queue.look(|state| state.rows().remove(0));
    assert_eq!(row.dlv_source_ip, "127.0.0.3");
    assert_eq!(row.dsn_mta, "mx.x.example (127.0.0.1)");
    assert_eq!(row.queue, "x.example/v1");
}

#[actix_rt::test]
async fn source_addresses_take_turns_from_message_to_message() {
    let sink = Sink::start(Behaviour::default()).await;
    let text = format!(
        "<virtual-mta v1>\n smtp-source-host 127.0.0.3 three.example\n\
         smtp-source-host 127.0.0.4 four.example\n</virtual-mta>\n{}",
        domain("x.example", &sink, " max-msg-per-connection 1")
    );
    let site = Site::start(&text);
    for _ in 0..6 {
        site.send(Message { vmta: "v1", ..Message::default() }).await;
    }
    let names: Vec<_> = sink.messages().into_iter().map(|message| message.helo).collect();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[actix_rt::test]
async fn paused_queues_and_jobs_wait_for_the_operator() {
    let sink = Sink::start(Behaviour::default()).await;
    let sections = [
        domain("x.example", &sink, ""),
        domain("y.example", &sink, ""),
        domain("z.example", &sink, ""),
    ];
    let site = Site::start(&sections.concat());
    let paused = Switches {
        paused_queues: vec!["x.example/*".to_owned()],
        paused_jobs: vec!["spring".to_owned()],
        backoff_queues: Vec::new(),
    };
    site.queue.switches.send_replace(paused);
    site.queue.submit(to(&["a@x.example"]));
    site.queue.submit(Message { job: Some("spring"), ..to(&["b@y.example"]) });
    site.queue.submit(Message { job: Some("autumn"), ..to(&["c@y.example"]) });
    site.queue.submit(to(&["d@z.example"]));
    site.queue.until(|state| (state.messages.len() == 2).then_some(())).await;
    let mut sent: Vec<_> = sink.messages().into_iter().flat_map(|m| m.recipients).collect();
    sent.sort();
    assert_eq!(sent, ["c@y.example", "d@z.example"]);
    site.queue.switches.send_replace(Switches::default());
    site.queue.until_empty().await;
    assert_eq!(sink.messages().len(), 4);
}

#[actix_rt::test]
async fn nothing_is_sent_without_the_right_to_send() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    *site.queue.may_send.lock() = false;
    site.queue.submit(Message::default());
    while sink.connections() == 0 {
        tokio::task::yield_now().await;
    }
    *site.queue.may_send.lock() = true;
    site.queue.until_empty().await;
    assert_eq!(sink.messages().len(), 1, "the right came back and the message went once");
}

#[actix_rt::test]
async fn code_421_ends_the_connection_and_not_the_message() {
    let sink = Sink::start(Behaviour { closes_after: 2, ..Behaviour::default() }).await;
    let site = Site::start(&domain("x.example", &sink, "max-smtp-out 1"));
    for _ in 0..5 {
        site.queue.submit(Message::default());
    }
    site.queue.until_empty().await;
    assert_eq!((sink.messages().len(), sink.connections()), (5, 3));
    site.queue.look(|state| {
        assert_eq!((state.count(Class::Delivered), state.outcomes().len()), (5, 5));
        assert!(state.records.is_empty());
    });
}

#[actix_rt::test]
async fn a_421_that_means_an_unavailable_host_leads_to_the_next_one() {
    let busy = Sink::start(Behaviour { closes_after: 0, ..Behaviour::default() }).await;
    let sink = Sink::start(Behaviour::default()).await;
    let text = format!(
        "<domain x.example>\n smtp-421-means-mx-unavailable yes\n\
         smtp-hosts [127.0.0.1]:{}; [127.0.0.1]:{}\n</domain>\n",
        busy.address.port(),
        sink.address.port()
    );
    let site = Site::start(&text);
    site.send(Message::default()).await;
    assert_eq!((busy.connections(), sink.messages().len()), (1, 1));
    let row = site.queue_row().await;
    assert!(row.dsn_diag.starts_with("smtp;421"), "{row:?}");
    site.queue.look(|state| assert_eq!(state.count(Class::Deferred), 0));
}

#[actix_rt::test]
async fn a_stop_lets_the_current_message_end() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let behaviour = Behaviour { gate: Some(Arc::clone(&gate)), ..Behaviour::default() };
    let sink = Sink::start(behaviour).await;
    let site = Site::start(&domain("x.example", &sink, "max-smtp-out 1"));
    site.queue.submit(Message::default());
    site.queue.submit(Message::default());
    sink.arrived.notified().await;
    let stopping = site.delivery.stop();
    let going = async { gate.add_permits(1) };
    tokio::join!(stopping, going);
    assert_eq!(sink.messages().len(), 1);
    site.queue.look(|state| {
        assert_eq!((state.count(Class::Delivered), state.messages.len()), (1, 1));
    });
}

#[actix_rt::test]
async fn a_trace_shows_the_next_connection_to_its_end() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    let mut lines = site.delivery.trace("x.example".parse().unwrap()).unwrap();
    site.send(Message::default()).await;
    let mut text = String::new();
    while let Some((_, line)) = lines.recv().await {
        text.push_str(&line);
        text.push('\n');
    }
    for line in [
        "starting x.example/{default}",
        "connecting from mta.example",
        ">>> 220 sink.example ready",
        "<<< EHLO mta.example",
        "<<< MAIL FROM:<sender@client.example>",
        ">>> 354 go",
        ">>> 250 2.0.0 stored",
        "<<< QUIT",
        "closed 127.0.0.1 (127.0.0.1)",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[actix_rt::test]
async fn who_asked_for_it_hears_of_a_delivery_that_nobody_else_reports() {
    let notify = Notify::On { success: true, failure: true, delay: false };
    let sink = Sink::start(Behaviour::default()).await;
    let discard = "<domain y.example>\n type discard\n</domain>\n";
    let site = Site::start(&format!("{}{discard}", domain("x.example", &sink, "")));
    for (address, word) in [("a@x.example", "relayed"), ("a@y.example", "delivered")] {
        site.send(Message { notify, ..to(&[address]) }).await;
        let report = site.queue.look(|state| state.reports.last().cloned()).unwrap();
        let notice = String::from_utf8(report.notice.unwrap().body.to_vec()).unwrap();
        assert!(notice.contains(&format!("Action: {word}")), "{notice}");
        let row = report.results[0].record.clone().unwrap();
        assert_eq!(row.dsn_action, word);
    }
}

#[actix_rt::test]
async fn discarded_mail_is_accounted_as_configured() {
    let text = "<domain x.example>\n type discard\n</domain>\n\
        <domain y.example>\n type discard\n discard-as-bounce yes\n</domain>\n";
    let site = Site::start(text);
    site.send(to(&["a@x.example"])).await;
    site.send(to(&["a@y.example"])).await;
    let rows = site.queue.look(fixture::State::rows);
    assert_eq!(rows.iter().map(|row| row.kind.short()).collect::<Vec<_>>(), ["d", "b"]);
    assert!(rows.iter().all(|row| row.dlv_type == "discard"));
    site.queue.look(|state| assert!(state.reports.iter().all(|report| report.notice.is_none())));
}

#[actix_rt::test]
async fn mail_goes_into_files() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "<domain x.example>\n type file\n file-format newfile-plain\n\
         file-destination {}/$user\n</domain>\n",
        directory.path().display()
    );
    let site = Site::start(&text);
    site.send(to(&["Alice@x.example"])).await;
    let file = std::fs::read_dir(directory.path().join("alice")).unwrap().next().unwrap().unwrap();
    let written = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(written, Message::default().body);
    let row = site.queue.look(|state| state.rows().remove(0));
    assert_eq!((row.dlv_type.as_str(), row.dsn_action.as_str()), ("file", "delivered"));
}

#[actix_rt::test]
async fn a_type_that_is_not_here_waits() {
    let site = Site::start("<domain x.example>\n type pipe\n command \"/bin/true\"\n</domain>\n");
    site.queue.submit(Message::default());
    let row = site.queue_row().await;
    assert!(row.dsn_diag.contains("pipe"), "{row:?}");
    site.queue.look(|state| assert_eq!(state.messages.len(), 1));
}

#[actix_rt::test]
async fn a_changed_configuration_holds_for_the_next_message() {
    let (one, two) =
        (Sink::start(Behaviour::default()).await, Sink::start(Behaviour::default()).await);
    let site = Site::start(&domain("x.example", &one, ""));
    site.send(Message::default()).await;
    site.config.store(Arc::new(configuration(&domain("x.example", &two, ""))));
    site.delivery.config_changed();
    site.send(Message::default()).await;
    assert_eq!((one.messages().len(), two.messages().len()), (1, 1));
}

#[actix_rt::test]
async fn a_destination_that_fails_is_started_again() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    *site.queue.panics.lock() = true;
    site.send(Message::default()).await;
    assert_eq!(sink.messages().len(), 1);
    assert!(!*site.queue.panics.lock());
}

#[actix_rt::test]
async fn messages_keep_to_the_rate_of_the_queue() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, "max-msg-rate 10/s"));
    let start = crate::clock::monotonic();
    for _ in 0..6 {
        site.queue.submit(Message::default());
    }
    site.queue.until_empty().await;
    // Five intervals of a tenth of a second, but for what may be caught up.
    let took = crate::clock::monotonic() - start;
    assert!(took >= Duration::from_millis(350), "{took:?}");
    assert_eq!(sink.messages().len(), 6);
}

#[actix_rt::test]
async fn an_idle_connection_is_kept_as_long_as_configured() {
    let sink = Sink::start(Behaviour::default()).await;
    let patient = domain("x.example", &sink, "connection-idle-timeout 1m");
    let site = Site::start(&format!("{patient}{}", domain("y.example", &sink, "")));
    for (address, connections) in
        [("a@x.example", 1), ("b@x.example", 1), ("a@y.example", 2), ("b@y.example", 3)]
    {
        site.send(to(&[address])).await;
        assert_eq!(sink.connections(), connections, "{address}");
        let queue: QueueName = address[2..].parse().unwrap();
        while address.ends_with("y.example")
            && site.delivery.activity().get(&queue).is_some_and(|a| a.connections > 0)
        {
            tokio::task::yield_now().await;
        }
    }
    site.delivery.stop().await;
    assert_eq!(site.delivery.counters().connections(), 0);
}

#[actix_rt::test]
async fn a_result_that_cannot_be_recorded_at_once_is_not_sent_again() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, ""));
    *site.queue.refusals.lock() = 2;
    site.send(Message::default()).await;
    assert_eq!(sink.messages().len(), 1);
    site.queue.look(|state| assert_eq!(state.reports.len(), 1));
}

#[actix_rt::test]
async fn each_source_address_keeps_to_its_own_limit() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let sink =
        Sink::start(Behaviour { gate: Some(Arc::clone(&gate)), ..Behaviour::default() }).await;
    let two = "<virtual-mta v>\n smtp-source-host 127.0.0.2 two.example\n \
               smtp-source-host 127.0.0.3 three.example\n</virtual-mta>\n";
    let rest = "max-smtp-out 10\n source-ip-max-smtp-out 127.0.0.2/32 1\n \
                source-ip-max-smtp-out 127.0.0.0/8 2\n";
    let site = Site::start(&format!("{two}{}", domain("x.example", &sink, rest)));
    for _ in 0..8 {
        site.queue.submit(Message { vmta: "v", ..Message::default() });
    }
    // Answers wait until all connections are there that may be; then they come one by one.
    let count = || sink.arrivals();
    for answered in 0..8 {
        while count() < (answered + 3).min(8) {
            sink.arrived.notified().await;
        }
        assert!(count() <= answered + 3, "{} with {answered} answered", count());
        gate.add_permits(1);
    }
    site.queue.until_empty().await;
    let of_two = sink.messages().iter().filter(|m| m.helo == "two.example").count();
    assert!((1..8).contains(&of_two), "{of_two}");
    assert_eq!(sink.messages().len(), 8);
}

#[actix_rt::test]
async fn a_rate_of_one_source_address_leaves_the_other_alone() {
    let sink = Sink::start(Behaviour::default()).await;
    let two = "<virtual-mta v>\n smtp-source-host 127.0.0.2 two.example\n \
               smtp-source-host 127.0.0.3 three.example\n</virtual-mta>\n";
    let rest = "max-smtp-out 2\n source-ip-max-msg-rate 127.0.0.2/32 1/h\n";
    let site = Site::start(&format!("{two}{}", domain("x.example", &sink, rest)));
    for _ in 0..12 {
        site.queue.submit(Message { vmta: "v", ..Message::default() });
    }
    site.queue.until_empty().await;
    let of_two = sink.messages().iter().filter(|m| m.helo == "two.example").count();
    assert!(of_two <= 1, "{of_two}");
}

#[actix_rt::test]
async fn a_rate_outlives_the_queue_that_it_limits() {
    let sink = Sink::start(Behaviour::default()).await;
    let site = Site::start(&domain("x.example", &sink, "max-msg-rate 3/s"));
    let start = crate::clock::monotonic();
    for _ in 0..4 {
        site.send(Message::default()).await;
    }
    let took = crate::clock::monotonic() - start;
    assert!(took >= Duration::from_millis(950), "{took:?}");
}
