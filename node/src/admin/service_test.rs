//! The service as a client sees it: over a Unix socket, with doubles behind the ports.

use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin as proto;
use convoy_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Streaming};

use super::double::{
    Accounting, Delivery, Dns, Door, Founding, Ingress, Others, Partitions, Runtime, Store, stored,
};
use super::monitor::Monitor;
use super::ports::{Activity, Event, EventKind, Finding, Mode};
use super::window::Tally;
use super::{API_KEY, Ports, Service, server, socket};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::id::NodeId;
use crate::message::{Class, Outcome, Status};
use crate::queue::door::ReportError;
use crate::queue::raft::Alone;

const CONFIG: &str = "<acct-file /tmp/acct.csv>\n records b\n</acct-file>\n";

struct Fixture {
    store: Arc<Store>,
    ingress: Arc<Ingress>,
    delivery: Arc<Delivery>,
    runtime: Arc<Runtime>,
    dns: Arc<Dns>,
    monitor: Arc<Monitor>,
    partitions: Arc<Partitions>,
    others: Arc<Others>,
    client: AdminClient<Channel>,
    channel: Channel,
    _directory: TempDir,
}

impl Fixture {
    /// A service with `messages` messages, each with three recipients.
    async fn start(messages: u64) -> Self {
        Self::start_node(1, messages).await
    }

    async fn start_node(node: u64, messages: u64) -> Self {
        let store = Arc::new(Store::default());
        for n in 0..messages {
            store.insert(stored(n, 1000 + n));
        }
        let runtime = Arc::new(Runtime::new(Config::from_text(CONFIG).unwrap()));
        let (ingress, delivery) = (Arc::new(Ingress::default()), Arc::new(Delivery::default()));
        let partitions = Arc::new(Partitions::default());
        let others = Arc::new(Others { me: node, ..Others::default() });
        let (dns, monitor) = (Arc::new(Dns::default()), Arc::new(Monitor::default()));
        let ports = Ports {
            queue: store.clone(),
            ingress: ingress.clone(),
            delivery: delivery.clone(),
            examine: partitions.clone(),
            cluster: others.clone(),
            accounting: Arc::new(Accounting),
            runtime: runtime.clone(),
            founding: Arc::new(Founding),
            dns: dns.clone(),
            monitor: monitor.clone(),
            meta: Arc::new(Door { me: NodeId(1), board: Arc::default() }),
            peers: Arc::new(Alone),
            switching: tokio::sync::Mutex::new(()),
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mtad.sock");
        let listener = socket::bind(&path).await.unwrap();
        let service = server(Service::new(Arc::new(ports)));
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::spawn(serving);
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel =
            Endpoint::from_static("http://mtad").connect_with_connector(connector).await.unwrap();
        let client = AdminClient::new(channel.clone());
        Self {
            store,
            ingress,
            delivery,
            runtime,
            dns,
            monitor,
            partitions,
            others,
            client,
            channel,
            _directory: directory,
        }
    }

    fn activity(&self, queue: &str, activity: Activity) {
        self.delivery.activity.lock().insert(queue.parse().unwrap(), activity);
    }

    /// Names of the queues shown, and their total.
    async fn queues(&mut self, request: proto::QueuesRequest) -> (Vec<String>, u64) {
        use proto::queue_item::Item;
        let items = all(self.client.queues(request).await.unwrap().into_inner()).await;
        let mut names = Vec::new();
        for item in items {
            match item.item.unwrap() {
                Item::Row(row) => names.push(row.name),
                Item::End(end) => return (names, end.total),
            }
        }
        panic!("no end");
    }

    async fn list(
        &mut self,
        request: proto::ListRequest,
    ) -> (Vec<proto::ListRow>, proto::ListDone) {
        use proto::list_item::Item;
        let items = all(self.client.list(request).await.unwrap().into_inner()).await;
        let mut rows = Vec::new();
        for item in items {
            match item.item.unwrap() {
                Item::Row(row) => rows.push(row),
                Item::Done(done) => return (rows, done),
                Item::Examined(_) => panic!("nobody asked for itself alone"),
            }
        }
        panic!("no end");
    }
}

async fn all<T>(mut items: Streaming<T>) -> Vec<T> {
    let mut got = Vec::new();
    while let Some(item) = items.message().await.unwrap() {
        got.push(item);
    }
    got
}

fn of_queue(queue: &str) -> Option<proto::Filter> {
    Some(proto::Filter { queue: queue.into(), ..proto::Filter::default() })
}

#[tokio::test]
async fn status_joins_all_owners() {
    let mut node = Fixture::start(2).await;
    *node.ingress.tally.lock() = Tally { recipients: 6, messages: 2, bytes: 4096 };
    node.monitor.sample(clock::monotonic(), *node.ingress.tally.lock(), Tally::default());
    let status = node.client.status(proto::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.host_name, "mx.example.com");
    assert_eq!(status.state(), proto::RunState::Running);
    assert_eq!(status.inbound.unwrap().maximum, 1200);
    let smtp = status.smtp_queues.unwrap();
    assert_eq!((smtp.recipients, smtp.domains, smtp.bytes), (6, 2, 6 * 2048));
    let inbound = status.traffic.unwrap().inbound.unwrap();
    assert_eq!(inbound.total.unwrap().recipients, 6);
    assert_eq!(inbound.last_minute.unwrap().messages, 2);

    node.ingress.connections.lock().top = 9;
    node.client.reset_counters(proto::ResetCountersRequest {}).await.unwrap();
    let status = node.client.status(proto::StatusRequest {}).await.unwrap().into_inner();
    let inbound = status.traffic.unwrap().inbound.unwrap();
    assert_eq!(inbound.total.unwrap().recipients, 0);
    assert_eq!(status.inbound.unwrap().top, 0);
}

#[tokio::test]
async fn a_queue_that_only_discards_is_counted_apart() {
    let mut node = Fixture::start(1).await;
    let text = "<domain yahoo.com>\n type discard\n</domain>\n";
    *node.runtime.config.lock() = Arc::new(Config::from_text(text).unwrap());
    let status = node.client.status(proto::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.smtp_queues.unwrap().recipients, 1);
    assert_eq!(status.other_queues.unwrap().recipients, 2);
}

#[tokio::test]
async fn queues_are_filtered_sorted_and_cut() {
    let mut node = Fixture::start(2).await;
    let error = Some((Timestamp(5), "421 busy".to_owned()));
    node.activity("gmail.com", Activity { connections: 2, ..Activity::default() });
    node.activity(
        "yahoo.com/vm1",
        Activity { mode: Mode::Backoff, last_error: error, ..Activity::default() },
    );
    node.activity("idle.example", Activity { connections: 1, ..Activity::default() });
    node.store.switches.lock().paused_queues = vec!["yahoo.com/*".into()];
    let mut one_more = stored(9, 1);
    one_more.waiting.retain(|w| w.recipient == 2);
    node.store.insert(one_more);

    let request = proto::QueuesRequest::default;
    let all = ["gmail.com/{default}", "yahoo.com/vm1", "yahoo.com/{default}"];
    for (request, expected, total) in [
        (request(), &all[..], 3),
        (proto::QueuesRequest { max_items: 1, ..request() }, &all[..1], 3),
        (proto::QueuesRequest { pattern: "yahoo.com/*".into(), ..request() }, &all[1..], 2),
        (proto::QueuesRequest { pattern: "yahoo.com".into(), ..request() }, &all[2..], 1),
        (proto::QueuesRequest { paused: true, ..request() }, &all[1..], 2),
        (proto::QueuesRequest { errors: true, ..request() }, &all[1..2], 1),
        (
            proto::QueuesRequest { mode: proto::QueueMode::Backoff.into(), ..request() },
            &all[1..2],
            1,
        ),
        (
            proto::QueuesRequest { connected: true, ..request() },
            &["gmail.com/{default}", "idle.example/{default}"],
            2,
        ),
        (
            proto::QueuesRequest {
                sort: proto::Sort::Recipients.into(),
                max_items: 1,
                ..request()
            },
            &all[1..2],
            3,
        ),
    ] {
        let got = node.queues(request.clone()).await;
        assert_eq!(
            (got.0.iter().map(String::as_str).collect::<Vec<_>>(), got.1),
            (expected.to_vec(), total),
            "{request:?}"
        );
    }
    let bad = proto::QueuesRequest { pattern: "a b".into(), ..request() };
    assert_eq!(node.client.queues(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn events_of_a_queue_are_chosen_by_kind() {
    let mut node = Fixture::start(1).await;
    let event = |kind, text: &str| Event { kind, at: Timestamp(1), text: text.into() };
    let events = vec![
        event(EventKind::Queue, "q"),
        event(EventKind::Recipient, "r"),
        event(EventKind::Mode, "m"),
    ];
    node.activity("gmail.com", Activity { events, ..Activity::default() });
    for (no_recipient_events, mode_events, expected) in
        [(false, false, "qr"), (true, false, "q"), (false, true, "qrm")]
    {
        let request = proto::QueuesRequest {
            pattern: "gmail.com".into(),
            no_recipient_events,
            mode_events,
            ..proto::QueuesRequest::default()
        };
        let items = all(node.client.queues(request).await.unwrap().into_inner()).await;
        let Some(proto::queue_item::Item::Row(row)) = &items[0].item else { panic!("no row") };
        let texts: String = row.events.iter().map(|e| e.text.as_str()).collect();
        assert_eq!(texts, expected);
    }
}

#[tokio::test]
async fn domains_virtual_mtas_and_jobs_are_sums_of_queues() {
    let mut node = Fixture::start(2).await;
    let request =
        proto::DomainsRequest { sort: proto::Sort::Recipients.into(), ..Default::default() };
    let items = all(node.client.domains(request).await.unwrap().into_inner()).await;
    let Some(proto::domain_item::Item::Row(row)) = &items[0].item else { panic!("no row") };
    assert_eq!((row.name.as_str(), row.recipients, items.len()), ("yahoo.com", 4, 3));

    let items = all(node.client.vmtas(proto::VmtasRequest::default()).await.unwrap().into_inner());
    let items = items.await;
    let Some(proto::vmta_item::Item::Row(row)) = &items[1].item else { panic!("no row") };
    assert_eq!((row.name.as_str(), row.domains, row.recipients), ("{default}", 2, 4));
    assert_eq!(row.all_recipients, 6);

    node.store.switches.lock().paused_jobs = vec!["job1".into()];
    let items = all(node.client.jobs(proto::JobsRequest::default()).await.unwrap().into_inner());
    let items = items.await;
    let Some(proto::job_item::Item::Row(row)) = &items[0].item else { panic!("no row") };
    assert_eq!((row.id.as_str(), row.recipients, row.paused), ("job1", 6, true));
}

#[tokio::test]
async fn list_goes_over_all_pages_and_stops_at_the_most() {
    let mut node = Fixture::start(200).await;
    let request = |max_items| proto::ListRequest {
        filter: of_queue("yahoo.com/vm1"),
        max_items,
        action: proto::ListAction::Show.into(),
    };
    let (rows, done) = node.list(request(0)).await;
    assert_eq!((rows.len(), done.recipients, done.more), (200, 200, false));
    assert_eq!(rows[199].rcpt, "c@yahoo.com");
    let (rows, done) = node.list(request(150)).await;
    assert_eq!((rows.len(), done.recipients, done.more), (150, 150, true));
    let (rows, done) = node.list(request(200)).await;
    assert_eq!((rows.len(), done.more), (200, false));
}

#[tokio::test]
async fn recipients_are_held_released_and_scheduled() {
    let mut node = Fixture::start(3).await;
    let request = |action: proto::ListAction| proto::ListRequest {
        filter: of_queue("gmail.com"),
        max_items: 2,
        action: action.into(),
    };
    let held = |node: &Fixture| -> usize {
        let messages = node.store.messages.lock();
        messages.values().flat_map(|m| &m.waiting).filter(|w| w.held).count()
    };
    let (rows, done) = node.list(request(proto::ListAction::Hold)).await;
    assert_eq!((rows.len(), done.recipients, done.more, held(&node)), (0, 2, true, 2));
    node.list(request(proto::ListAction::Release)).await;
    assert_eq!(held(&node), 0);
    let (_, done) = node.list(request(proto::ListAction::ScheduleNow)).await;
    assert_eq!(done.recipients, 2);
}

#[tokio::test]
async fn deletion_is_accounted_unless_told_otherwise() {
    let mut node = Fixture::start(150).await;
    let request = proto::DeleteRequest { filter: of_queue("yahoo.com/*"), no_accounting: false };
    let progress = all(node.client.delete(request).await.unwrap().into_inner()).await;
    assert!(progress.len() > 2, "progress comes page by page");
    let last = progress.last().unwrap();
    assert_eq!((last.examined, last.deleted, last.finished), (150, 300, true));
    let rows = node.store.rows();
    assert_eq!(rows.len(), 300);
    assert_eq!(rows[0].rcpt, "a@yahoo.com");
    assert!(rows[0].dsn_diag.contains("deleted by administrator"), "{:?}", rows[0]);
    assert_eq!(rows[0].dsn_action, "failed");

    let request = proto::DeleteRequest { filter: of_queue("*/*"), no_accounting: true };
    let progress = all(node.client.delete(request).await.unwrap().into_inner()).await;
    assert_eq!(progress.last().unwrap().deleted, 150);
    assert_eq!(node.store.rows().len(), 300);
    assert!(node.store.messages.lock().is_empty());
}

#[tokio::test]
async fn entries_of_a_deletion_are_of_bounded_size() {
    let mut node = Fixture::start(400).await;
    let request = proto::DeleteRequest { filter: of_queue("*/*"), no_accounting: true };
    all(node.client.delete(request).await.unwrap().into_inner()).await;
    let operations = node.store.operations.lock();
    let sizes = operations.iter().map(|operation| match operation {
        crate::queue::model::Operation::Delete { targets } => targets.len(),
        crate::queue::model::Operation::Schedule { .. }
        | crate::queue::model::Operation::Hold { .. } => panic!("not asked for"),
    });
    let sizes: Vec<usize> = sizes.collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1200);
    assert!(sizes.iter().all(|size| *size <= 500), "{sizes:?}");
}

#[tokio::test]
async fn rows_are_not_made_where_nobody_wants_them() {
    let mut node = Fixture::start(1).await;
    let text = format!("{CONFIG}<domain gmail.com>\n disable-acct-records b\n</domain>\n");
    *node.runtime.config.lock() = Arc::new(Config::from_text(&text).unwrap());
    let request = proto::DeleteRequest { filter: of_queue("*/*"), no_accounting: false };
    all(node.client.delete(request).await.unwrap().into_inner()).await;
    let rows = node.store.rows();
    let recipients: Vec<&str> = rows.iter().map(|row| row.rcpt.as_str()).collect();
    assert_eq!(recipients, ["a@yahoo.com", "c@yahoo.com"]);
}

#[tokio::test]
async fn deletion_without_queue_or_job_is_refused() {
    let mut node = Fixture::start(1).await;
    let filter = Some(proto::Filter { rcpt: "*".into(), ..proto::Filter::default() });
    let request = proto::DeleteRequest { filter, no_accounting: false };
    let refused = node.client.delete(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("--queue or --jobid"), "{}", refused.message());
}

#[tokio::test]
async fn a_deletion_that_the_queue_refuses_fails_in_the_stream() {
    let mut node = Fixture::start(1).await;
    *node.store.refuses.lock() = Some(ReportError::LostLeadership);
    let request = proto::DeleteRequest { filter: of_queue("*/*"), no_accounting: false };
    let mut items = node.client.delete(request).await.unwrap().into_inner();
    let failed = items.message().await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(node.store.messages.lock().len(), 1);
}

#[tokio::test]
async fn queues_and_jobs_are_paused_and_resumed() {
    let mut node = Fixture::start(1).await;
    let queue = |pattern: &str| proto::QueueRequest { pattern: pattern.into() };
    let reply = node.client.pause_queue(queue("Yahoo.com")).await.unwrap().into_inner();
    assert!(reply.changed);
    assert_eq!(node.store.switches.lock().paused_queues, ["yahoo.com/{default}"]);
    node.client.pause_queue(queue("*/*")).await.unwrap();
    let reply = node.client.resume_queue(queue("yahoo.com/*")).await.unwrap().into_inner();
    assert_eq!((reply.changed, reply.still_held_by), (true, vec!["*/*".to_owned()]));
    node.client.resume_queue(queue("*/*")).await.unwrap();
    assert!(node.store.switches.lock().paused_queues.is_empty());

    let job = || proto::JobRequest { id: "spring".into() };
    assert!(node.client.pause_job(job()).await.unwrap().into_inner().changed);
    assert_eq!(node.store.switches.lock().paused_jobs, ["spring"]);
    assert!(node.client.resume_job(job()).await.unwrap().into_inner().changed);
    assert!(node.store.switches.lock().paused_jobs.is_empty());

    let backoff = proto::SetQueueModeRequest {
        pattern: "a.com/b".into(),
        mode: proto::QueueMode::Backoff.into(),
    };
    node.client.set_queue_mode(backoff.clone()).await.unwrap();
    assert_eq!(node.store.switches.lock().backoff_queues, ["a.com/b"]);
    let normal = proto::SetQueueModeRequest { mode: proto::QueueMode::Normal.into(), ..backoff };
    node.client.set_queue_mode(normal).await.unwrap();
    assert!(node.store.switches.lock().backoff_queues.is_empty());
}

#[tokio::test]
async fn pausing_at_the_same_time_loses_nothing() {
    let node = Fixture::start(0).await;
    let pauses = (0..20).map(|n| {
        let mut client = node.client.clone();
        async move {
            let pattern = format!("d{n}.example/x");
            client.pause_queue(proto::QueueRequest { pattern }).await.unwrap();
        }
    });
    futures_util::future::join_all(pauses).await;
    assert_eq!(node.store.switches.lock().paused_queues.len(), 20);
}

#[tokio::test]
async fn schedule_spares_recipients_that_were_answered_themselves() {
    let mut node = Fixture::start(0).await;
    let later = Timestamp::now() + Duration::from_secs(3600);
    let mut message = stored(1, 1000);
    for waiting in &mut message.waiting {
        waiting.due = later;
    }
    // The recipient in yahoo.com/vm1 was deferred by a reply of its own.
    message.waiting[2].attempts = 1;
    node.store.insert(message);
    let request =
        |retry_recipients| proto::ScheduleRequest { pattern: "*/*".into(), retry_recipients };
    let reply = node.client.schedule(request(false)).await.unwrap().into_inner();
    assert_eq!((reply.scheduled, reply.matching, reply.recipients), (2, 3, 2));
    assert_eq!(node.delivery.woken.lock().len(), 3);
    let reply = node.client.schedule(request(true)).await.unwrap().into_inner();
    assert_eq!((reply.scheduled, reply.matching, reply.recipients), (1, 3, 1));
}

#[tokio::test]
async fn a_message_says_what_it_waits_for() {
    let mut node = Fixture::start(0).await;
    let mut message = stored(1, 1000);
    let id = message.envelope.id.to_string();
    message.waiting.remove(1);
    message.waiting[0].held = true;
    message.waiting[1].attempts = 3;
    message.waiting[1].last = Some(Outcome {
        class: Class::Deferred,
        status: Status(4, 2, 2),
        reply: "452 4.2.2 full".into(),
        reason: String::new(),
        mta: "mx1 (192.0.2.1)".into(),
    });
    node.store.insert(message);
    node.store.switches.lock().paused_queues = vec!["*/vm1".into()];
    let request = proto::MessageRequest { id: id.to_lowercase() };
    let reply = node.client.message(request).await.unwrap().into_inner();
    assert_eq!(reply.origin, "smtp from client.example (127.0.0.1)");
    let [held, finished, paused] = &reply.recipients[..] else { panic!("{reply:?}") };
    assert!(held.held && held.waiting_for.ends_with("--rcpt a@yahoo.com --resume"), "{held:?}");
    assert!(finished.finished);
    assert_eq!((paused.attempts, paused.last_reply.as_str()), (3, "452 4.2.2 full"));
    assert!(paused.waiting_for.contains("resume queue '*/vm1'"), "{paused:?}");

    for (id, code) in
        [("nonsense", Code::InvalidArgument), ("01K4Z3X5J8Q6W2E9R7T0YBVCNM", Code::NotFound)]
    {
        let request = proto::MessageRequest { id: id.into() };
        assert_eq!(node.client.message(request).await.unwrap_err().code(), code, "{id}");
    }
}

#[tokio::test]
async fn a_trace_ends_with_its_connection() {
    let mut node = Fixture::start(1).await;
    let (lines, waiting) = mpsc::channel(4);
    *node.delivery.trace.lock() = Some(waiting);
    let request =
        proto::TraceRequest { queue: "gmail.com".into(), ..proto::TraceRequest::default() };
    let traced = node.client.trace(request.clone()).await.unwrap().into_inner();
    lines.send((Timestamp(1), ">>> 220 hello".into())).await.unwrap();
    drop(lines);
    let got = all(traced).await;
    assert_eq!(got.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), [">>> 220 hello"]);
    assert_eq!(node.delivery.woken.lock()[0].to_string(), "gmail.com/{default}");

    let busy = node.client.trace(request).await.unwrap_err();
    assert_eq!(busy.code(), Code::Unavailable);
    let open = proto::TraceRequest { queue: "gmail.com/*".into(), ..Default::default() };
    assert_eq!(node.client.trace(open).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_trace_stops_when_its_reader_leaves() {
    let mut node = Fixture::start(1).await;
    let (lines, waiting) = mpsc::channel(1);
    *node.delivery.trace.lock() = Some(waiting);
    let request = proto::TraceRequest { queue: "gmail.com".into(), ..Default::default() };
    drop(node.client.trace(request).await.unwrap());
    // Delivery sees that nobody listens.
    tokio::time::timeout(Duration::from_secs(20), lines.closed()).await.unwrap();
}

async fn steps(node: &mut Fixture, domain: &str, connect: bool) -> Vec<(proto::StepKind, String)> {
    let request = proto::ResolveRequest { domain: domain.into(), vmta: String::new(), connect };
    let steps = all(node.client.resolve(request).await.unwrap().into_inner()).await;
    steps.into_iter().map(|step| (step.kind(), step.text)).collect()
}

#[tokio::test]
async fn resolution_is_told_step_by_step() {
    let mut node = Fixture::start(0).await;
    use proto::StepKind::{Fact, Problem};
    let expected = [
        (Fact, "yahoo.com MX 10 mx1.yahoo.com"),
        (Fact, "yahoo.com MX 20 mx2.yahoo.com"),
        (Fact, "mx1.yahoo.com A 127.0.0.1"),
        (Problem, "mx2.yahoo.com: time-out"),
    ];
    let got = steps(&mut node, "Yahoo.com", false).await;
    assert_eq!(got, expected.map(|(kind, text)| (kind, text.to_owned())));
    let got = steps(&mut node, "null.example", false).await;
    assert!(got[0].0 == Problem && got[0].1.contains("null MX"), "{got:?}");
    let got = steps(&mut node, "none.example", false).await;
    assert_eq!(got, [(Problem, "none.example MX: no such domain".to_owned())]);
}

#[tokio::test]
async fn a_host_is_greeted_and_left() {
    let mut node = Fixture::start(0).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!("<domain *>\n smtp-hosts [127.0.0.1]:{port}\n</domain>\n");
    *node.runtime.config.lock() = Arc::new(Config::from_text(&text).unwrap());
    let peer = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut said = String::new();
        for reply in ["220-one\r\n220 two\r\n", "250-x\r\n250 PIPELINING\r\n", "221 bye\r\n"] {
            stream.get_mut().write_all(reply.as_bytes()).await.unwrap();
            stream.read_line(&mut said).await.unwrap();
        }
        said
    });
    let got = steps(&mut node, "any.example", true).await;
    assert_eq!(peer.await.unwrap(), "EHLO mx.example.com\r\nQUIT\r\n");
    let received: Vec<&str> = got
        .iter()
        .filter(|(kind, _)| *kind == proto::StepKind::Received)
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(received, ["220-one", "220 two", "250-x", "250 PIPELINING", "221 bye"]);
    assert!(!got.iter().any(|(kind, _)| *kind == proto::StepKind::Problem), "{got:?}");
}

#[tokio::test]
async fn configuration_errors_come_back_with_their_place() {
    let mut node = Fixture::start(0).await;
    let reply = node.client.reload(proto::ReloadRequest {}).await.unwrap().into_inner();
    assert!(reply.applied);
    let finding = |is_error| Finding {
        is_error,
        file: "/etc/convoy/config".into(),
        line: 11,
        column: 3,
        text: "argument missing".into(),
    };
    *node.runtime.findings.lock() = vec![finding(false)];
    let reply = node.client.reload(proto::ReloadRequest {}).await.unwrap().into_inner();
    assert!(reply.applied && reply.diagnostics[0].severity() == proto::Severity::Warning);
    *node.runtime.findings.lock() = vec![finding(false), finding(true)];
    let reply = node.client.reload(proto::ReloadRequest {}).await.unwrap().into_inner();
    assert!(!reply.applied);
    assert_eq!((reply.diagnostics[1].line, reply.diagnostics[1].column), (11, 3));

    use proto::config_check_request::What;
    let check = |what| proto::ConfigCheckRequest { what };
    for (what, expected) in [
        (None, Some(true)),
        (Some(What::Path(String::new())), Some(true)),
        (Some(What::Text("bad".into())), Some(false)),
        (Some(What::Path("/none".into())), None),
    ] {
        let reply = node.client.config_check(check(what.clone())).await;
        assert_eq!(reply.ok().map(|r| r.into_inner().valid), expected, "{what:?}");
    }
}

#[tokio::test]
async fn settings_never_show_a_password() {
    let mut node = Fixture::start(0).await;
    let request = proto::SettingsRequest { domain: "X.com".into(), vmta: String::new() };
    let reply = node.client.settings(request).await.unwrap().into_inner();
    assert_eq!(reply.queue[0].value, "********");
    assert_eq!(reply.queue[2].value, "\"\"", "one that is not set is seen not to be");
    assert_eq!(
        (reply.queue[1].name.as_str(), reply.queue[1].value.as_str()),
        ("max-smtp-out", "20")
    );
    assert_eq!(reply.queue[1].origin, "x.com/{default}");
    let nothing = proto::SettingsRequest::default();
    assert_eq!(node.client.settings(nothing).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn upkeep_is_passed_on_and_refusals_come_back() {
    let mut node = Fixture::start(0).await;
    let rotate = |file: &str| proto::RotateAcctRequest { file: file.into() };
    assert_eq!(node.client.rotate_acct(rotate("")).await.unwrap().into_inner().rotated, 2);
    assert_eq!(node.client.rotate_acct(rotate("acct.csv")).await.unwrap().into_inner().rotated, 1);
    let refused = node.client.rotate_acct(rotate("x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    node.client.rotate_log(proto::RotateLogRequest {}).await.unwrap();
    let acct =
        node.client.acct_status(proto::AcctStatusRequest::default()).await.unwrap().into_inner();
    assert!(acct.here && acct.files[0].rows == 7 && acct.waiting_rows == 3, "{acct:?}");
    assert_eq!(acct.replicas[0].files, acct.files);
    assert_eq!(acct.replicas[0].lag_entries, Some(0), "it is the collector itself");
    let drained = node.client.drain(proto::DrainRequest {}).await.unwrap().into_inner();
    assert_eq!((drained.handed_over, drained.kept), (0, 1));
    node.client.clear_dns_cache(proto::ClearDnsCacheRequest::default()).await.unwrap();
    assert!(*node.dns.cleared.lock());
}

#[path = "spread_test.rs"]
mod spread;

#[tokio::test]
async fn a_client_of_a_newer_protocol_is_refused() {
    let mut node = Fixture::start(0).await;
    let version = node.client.version(proto::VersionRequest {}).await.unwrap().into_inner();
    for (api, good) in [(version.api, true), (version.api + 1, false)] {
        let mut request = tonic::Request::new(proto::VersionRequest {});
        request.metadata_mut().insert(API_KEY, api.into());
        assert_eq!(node.client.version(request).await.is_ok(), good, "{api}");
    }
}

#[tokio::test]
async fn nodes_and_operators_are_let_in_for_a_limited_time() {
    let mut fixture = Fixture::start(0).await;
    let client = &mut fixture.client;
    let init = proto::ClusterInitRequest { address: String::new() };
    let founded = client.cluster_init(init).await.unwrap().into_inner();
    assert_eq!((founded.node, founded.address.as_str()), (1, "mx1:2526"));
    let ask = |ttl_ms| proto::ClusterTokenRequest { ttl_ms, replaces: 0 };
    let token = client.cluster_token(ask(60_000)).await.unwrap().into_inner();
    assert_eq!((token.expires_ms, token.address.as_str()), (60_000, "mx1:2526"));
    for ttl_ms in [0, u64::MAX] {
        let refused = client.cluster_token(ask(ttl_ms)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let ask = |name: &str, role: proto::Role| proto::ClusterOperatorRequest {
        name: name.to_owned(),
        role: role.into(),
        ttl_ms: 60_000,
    };
    let made = client.cluster_operator(ask("anna", proto::Role::Monitor)).await.unwrap();
    assert_eq!(made.into_inner().credentials, "anna monitor");
    for bad in [ask("anna/node", proto::Role::Admin), ask("anna", proto::Role::Unspecified)] {
        let refused = client.cluster_operator(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn limits_of_matching_queues_are_shown() {
    let mut node = Fixture::start(0).await;
    let mut ask = async |pattern: &str, max_items| {
        let request = proto::LimitsRequest { pattern: pattern.into(), max_items };
        node.client.limits(request).await.map(tonic::Response::into_inner)
    };
    let reply = ask("*/vm1", 0).await.unwrap();
    let queues: Vec<_> = reply.rows.iter().map(|row| row.queue.as_str()).collect();
    assert_eq!(queues, ["yahoo.com/vm1", "*/vm1"]);
    let row = &reply.rows[0];
    assert_eq!((row.limit, row.granted, row.used, row.coordinator), (20, 7, 2, 3));
    assert_eq!(row.state(), proto::LimitState::Granted);
    let reply = ask("", 1).await.unwrap();
    assert_eq!((reply.rows.len(), reply.end.unwrap().total), (1, 3));
    assert!(ask("a b", 0).await.is_err());
}
