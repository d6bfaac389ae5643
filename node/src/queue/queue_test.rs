//! A queue of one node on a real store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::door::{Inbox, Inspect, Outbox, Propose, ReportError, Work};
use super::fixture;
use super::fixture::Last;
use super::machine::BodyPart;
use super::model::{
    Accepted, Operation, OutboxPosition, Pressure, Submission, SubmitError, Switches, Target, Wake,
};
use super::raft::group::Timing;
use super::store::FatalHook;
use super::store::database::{Family, Sizes};
use super::store::fixture::SIZES;
use super::store::keys;
use super::{Queue, QueueError, QueueOptions};
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, NodeId, QueueName};
use crate::message::{Class, RecordType};

const FOREVER: Timestamp = Timestamp(u64::MAX - 1);

pub(super) fn options(dir: &Path, partitions: u32) -> QueueOptions {
    QueueOptions {
        dir: dir.to_owned(),
        node: NodeId(1),
        peers: Arc::new(crate::queue::raft::Alone),
        founder: true,
        partitions,
        accounting: Box::new(Last),
        sizes: SIZES,
        timing: Timing::default(),
        commit_timeout: Duration::from_secs(30),
        min_free_bytes: 0,
        fatal: FatalHook::new(|reason| panic!("the store failed: {reason}")),
    }
}

async fn open(dir: &TempDir) -> Arc<Queue> {
    Queue::open(options(dir.path(), 1)).await.unwrap()
}

fn queue_name(text: &str) -> QueueName {
    text.parse().unwrap()
}

const GROUP: GroupId = GroupId::partition(0);

async fn submit(queue: &Queue, submission: Submission) -> Locator {
    let Accepted { locator, repeated } = queue.submit(submission).await.unwrap();
    assert!(!repeated);
    locator
}

fn term(queue: &Queue) -> u64 {
    Work::led(queue)[0].1
}

async fn due(queue: &Queue, name: &str) -> Vec<(Locator, u16)> {
    let due = queue.due(GROUP, queue_name(name), Timestamp(0), FOREVER, 100).await;
    due.into_iter().map(|due| (due.locator, due.recipient)).collect()
}

/// Waits until an entry that comes after all others is applied.
async fn settle(queue: &Queue) {
    let target = |(group, _)| Target {
        locator: Locator { group, index: u64::MAX, slot: 0 },
        recipient: 0,
        record: None,
    };
    let targets = Work::led(queue).into_iter().map(target).collect();
    assert_eq!(queue.operate(Operation::Hold { targets, held: true }).await, Ok(0));
}

/// Recipients and bytes per queue.
fn sizes(queue: &Queue) -> Vec<(QueueName, u64, u64)> {
    let queues = Inspect::queues(queue).into_iter();
    queues.map(|(name, figures)| (name, figures.recipients, figures.bytes)).collect()
}

async fn kinds(queue: &Queue) -> Vec<RecordType> {
    let rows = queue.rows(GROUP, OutboxPosition::default(), 100).await;
    rows.into_iter().map(|row| row.record.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_in_waits_and_comes_out() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let message = fixture::submission(1, &["a@x.example", "b@y.example"], "text");
    let at = submit(&queue, message.clone()).await;
    settle(&queue).await;

    let mut wakes = queue.wakes().await;
    wakes.sort_by(|a, b| a.queue.cmp(&b.queue));
    let names: Vec<_> = wakes.into_iter().map(|Wake { queue, .. }| queue.to_string()).collect();
    assert_eq!(names, ["x.example/v1", "y.example/v1"]);
    assert_eq!(due(&queue, "x.example/v1").await, [(at, 0)]);
    assert_eq!(due(&queue, "y.example/v1").await, [(at, 1)]);
    let stored = queue.load(at).await.unwrap();
    assert_eq!(stored.envelope, message.envelope);
    assert_eq!(stored.waiting.len(), 2);
    assert_eq!(queue.body(at).await.unwrap(), message.body);

    let term = term(&queue);
    assert!(queue.may_send(GROUP, term));
    assert!(!queue.may_send(GROUP, term + 1));
    let results = vec![fixture::result(0, Class::Delivered), fixture::result(1, Class::Deferred)];
    queue.report(term, fixture::report(at, results)).await.unwrap();
    settle(&queue).await;
    assert_eq!(due(&queue, "x.example/v1").await, []);
    let stored = queue.load(at).await.unwrap();
    assert_eq!(stored.waiting.len(), 1);
    assert_eq!(stored.waiting[0].attempts, 1);
    assert_eq!(stored.waiting[0].due, Timestamp(1_000_000));
    let next = queue.next_due(GROUP, queue_name("y.example/v1"), Timestamp(0)).await;
    assert_eq!(next, Some(Timestamp(1_000_000)));

    let results = vec![fixture::result(1, Class::Bounced)];
    queue.report(term, fixture::report(at, results)).await.unwrap();
    settle(&queue).await;
    assert!(queue.load(at).await.is_none());
    assert!(queue.body(at).await.is_none());
    assert_eq!(Inspect::queues(&*queue), []);
    let (r, d, t, b) =
        (RecordType::Receipt, RecordType::Delivery, RecordType::Transient, RecordType::Bounce);
    assert_eq!(kinds(&queue).await, [r, r, d, t, b]);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let mut places = Vec::new();
    for id in 0..20 {
        let to = format!("a@d{}.example", id % 3);
        places.push(submit(&queue, fixture::submission(id, &[&to], format!("text {id}"))).await);
    }
    let results = vec![fixture::result(0, Class::Delivered)];
    queue.report(term(&queue), fixture::report(places[0], results)).await.unwrap();
    settle(&queue).await;
    let switches = Switches { paused_jobs: vec!["j".to_owned()], ..Switches::default() };
    queue.set_switches(switches.clone()).await.unwrap();
    let index = Propose::propose(&*queue, GroupId::ACCOUNTING, Bytes::from_static(b"x")).await;
    assert!(index.unwrap() > 0);
    let figures = sizes(&queue);
    let rows = kinds(&queue).await;
    queue.shutdown().await;
    let late = queue.submit(fixture::submission(99, &["a@x.example"], "late")).await;
    assert_eq!(late, Err(SubmitError::Stopping));
    drop(queue);

    let queue = open(&dir).await;
    assert_eq!(sizes(&queue), figures);
    assert_eq!(Inspect::switches(&*queue), switches);
    assert_eq!(kinds(&queue).await, rows);
    assert!(queue.load(places[0]).await.is_none());
    for (id, at) in places.iter().enumerate().skip(1) {
        assert_eq!(queue.body(*at).await.unwrap(), format!("text {id}"));
    }
    // A gained partition wakes all its queues.
    assert_eq!(queue.wakes().await.len(), 3);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_travels_in_pieces() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let body: Bytes = (0..3_500_000u32).map(|i| (i % 251) as u8).collect();
    let at = submit(&queue, fixture::submission(1, &["a@x.example"], body.clone())).await;
    assert_eq!(queue.body(at).await.unwrap(), body);
    let stored = queue.load(at).await.unwrap();
    assert_eq!(stored.envelope.size_bytes, body.len() as u64);
    let results = vec![fixture::result(0, Class::Delivered)];
    queue.report(term(&queue), fixture::report(at, results)).await.unwrap();
    settle(&queue).await;
    assert!(queue.body(at).await.is_none());
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_submitters_share_entries() {
    let dir = TempDir::new().unwrap();
    let queue = Queue::open(options(dir.path(), 3)).await.unwrap();
    let tasks: Vec<_> = (0..200u128)
        .map(|id| {
            let queue = queue.clone();
            tokio::spawn(async move {
                submit(&queue, fixture::submission(id, &["a@x.example"], id.to_string())).await
            })
        })
        .collect();
    let mut places = Vec::new();
    for task in tasks {
        places.push(task.await.unwrap());
    }
    settle(&queue).await;
    for (id, at) in places.iter().enumerate() {
        assert_eq!(queue.body(*at).await.unwrap(), id.to_string());
    }
    let groups: std::collections::BTreeSet<_> = places.iter().map(|at| at.group).collect();
    assert_eq!(groups.len(), 3);
    assert_eq!(Inspect::queues(&*queue)[0].1.recipients, 200);
    assert_eq!(Inspect::jobs(&*queue)[0].1.recipients, 200);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = queue.page(after, 64).await;
        let Some(last) = page.last() else { break };
        after = Some(last.locator);
        seen.extend(page.into_iter().map(|stored| stored.locator));
    }
    places.sort();
    assert_eq!(seen, places);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_given_up_is_stored_once_when_it_is_repeated() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let message = fixture::submission(1, &["a@x.example"], "text");
    {
        let mut given_up = queue.submit(message.clone());
        // Polled once, so that the command is on its way.
        let polled = futures_util::future::poll_immediate(&mut given_up).await;
        assert!(polled.is_none());
    }
    let first = queue.submit(message.clone()).await.unwrap();
    assert!(first.repeated);
    assert_eq!(due(&queue, "x.example/v1").await, [(first.locator, 0)]);
    assert_eq!(queue.body(first.locator).await.unwrap(), message.body);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_another_term_is_refused() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let at = submit(&queue, fixture::submission(1, &["a@x.example"], "text")).await;
    let report = fixture::report(at, vec![fixture::result(0, Class::Delivered)]);
    let refused = queue.report(term(&queue) + 1, report.clone()).await;
    assert_eq!(refused, Err(ReportError::LostLeadership));
    settle(&queue).await;
    assert_eq!(due(&queue, "x.example/v1").await.len(), 1);
    queue.report(term(&queue), report).await.unwrap();
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_recorded_a_result_reads_it() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    for n in 1..=200 {
        let at = submit(&queue, fixture::submission(n, &["a@x.example"], "text")).await;
        let results = vec![fixture::result(0, Class::Delivered)];
        queue.report(term(&queue), fixture::report(at, results)).await.unwrap();
        // A row that is still there would be sent once more.
        assert_eq!(due(&queue, "x.example/v1").await, [], "after message {n}");
        assert!(queue.load(at).await.is_none(), "after message {n}");
    }
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_stored_with_the_result_that_causes_it() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let at = submit(&queue, fixture::submission(1, &["a@x.example"], "text")).await;
    let mut report = fixture::report(at, vec![fixture::result(0, Class::Bounced)]);
    let long: Bytes = vec![b'n'; 1_500_000].into();
    report.notice = Some(fixture::submission(2, &["from@sender.example"], long.clone()));
    queue.report(term(&queue), report.clone()).await.unwrap();
    // The second report changes nothing, and makes no second notice.
    queue.report(term(&queue), report).await.unwrap();
    settle(&queue).await;
    let waiting = due(&queue, "sender.example/v1").await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(queue.body(waiting[0].0).await.unwrap(), long);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_leave_the_outbox() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    for id in 0..5 {
        submit(&queue, fixture::submission(id, &["a@x.example"], "text")).await;
    }
    settle(&queue).await;
    queue.changed().await;
    let rows = queue.rows(GROUP, OutboxPosition::default(), 100).await;
    assert_eq!(rows.len(), 5);
    let position = |i: usize| OutboxPosition { index: rows[i].index, n: rows[i].n };
    assert_eq!(queue.rows(GROUP, position(1), 2).await, rows[2..4]);
    queue.acknowledge(GROUP, position(2)).await.unwrap();
    settle(&queue).await;
    assert_eq!(queue.rows(GROUP, OutboxPosition::default(), 100).await, rows[3..]);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hold_schedule_and_delete() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let at = submit(&queue, fixture::submission(1, &["a@x.example", "b@x.example"], "t")).await;
    let target = |recipient| Target { locator: at, recipient, record: None };
    let hold = |held| Operation::Hold { targets: vec![target(0), target(7)], held };
    assert_eq!(queue.operate(hold(true)).await, Ok(1));
    assert_eq!(queue.operate(hold(true)).await, Ok(0));
    assert_eq!(due(&queue, "x.example/v1").await, [(at, 1)]);
    assert_eq!(Inspect::queues(&*queue)[0].1.recipients, 2);
    assert_eq!(queue.operate(hold(false)).await, Ok(1));
    let schedule = Operation::Schedule { targets: vec![target(0), target(1)], at: Timestamp(9) };
    assert_eq!(queue.operate(schedule).await, Ok(2));
    assert_eq!(queue.load(at).await.unwrap().waiting[1].due, Timestamp(9));
    let delete = Operation::Delete { targets: vec![target(0), target(1)] };
    assert_eq!(queue.operate(delete).await, Ok(2));
    assert!(queue.load(at).await.is_none());
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_stays_with_its_node_and_its_partitions() {
    let dir = TempDir::new().unwrap();
    open(&dir).await.shutdown().await;
    let other = QueueOptions { node: NodeId(2), ..options(dir.path(), 1) };
    let refused = Queue::open(other).await.err().unwrap();
    assert!(matches!(refused, QueueError::WrongNode { owner: NodeId(1), .. }), "{refused}");
    let queue = Queue::open(options(dir.path(), 4)).await.unwrap();
    assert_eq!(Work::led(&*queue).len(), 1);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_seen() {
    let dir = TempDir::new().unwrap();
    let full = QueueOptions { min_free_bytes: u64::MAX, ..options(dir.path(), 1) };
    let queue = Queue::open(full).await.unwrap();
    let mut pressure = queue.pressure.clone();
    pressure.wait_for(|p| matches!(p, Pressure::DiskFull { .. })).await.unwrap();
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_too_long_is_purged_and_live_messages_stay() {
    let dir = TempDir::new().unwrap();
    let sizes = Sizes { log_bytes: 900_000, ..SIZES };
    let queue = Queue::open(QueueOptions { sizes, ..options(dir.path(), 1) }).await.unwrap();
    let mut places = Vec::new();
    for id in 0..40 {
        let text = vec![b'x'; 20_000];
        places.push(submit(&queue, fixture::submission(id, &["a@x.example"], text)).await);
    }
    for at in &places[1..] {
        let results = vec![fixture::result(0, Class::Delivered)];
        queue.report(term(&queue), fixture::report(*at, results)).await.unwrap();
    }
    settle(&queue).await;
    let reader = queue.reader.clone();
    let body = |at: Locator| {
        let reader = reader.clone();
        let key = keys::body(at.group, BodyPart { index: at.index, part: 0 });
        async move {
            let body = reader.read(move |db| db.get(Family::Body, &key)).await;
            body.unwrap().is_some()
        }
    };
    assert!(body(places[1]).await, "the log still has it");
    // The first round takes a snapshot, a later one purges what it covers.
    let purged = async {
        while body(places[1]).await {
            queue.bound_logs().await;
            settle(&queue).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), purged).await.unwrap();
    assert!(body(places[0]).await, "a live message keeps its bytes");
    assert!(body(places[39]).await, "the last entries are kept");
    assert_eq!(queue.body(places[0]).await.unwrap().len(), 20_000);
    queue.shutdown().await;
}
