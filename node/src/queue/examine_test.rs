//! Audits, marks and look-ups by id on a queue of one node on a real store.

use std::time::Duration;

use tempfile::TempDir;

use super::super::Queue;
use super::super::door::{AuditError, AuditPoint, Examine as _, Inbox, Inspect, MarkUnknown, Work};
use super::super::fixture;
use super::super::model::FinalDot;
use super::super::queue_test::options;
use super::*;
use crate::id::{Locator, MessageId, NodeId};
use crate::message::Class;

const GROUP: GroupId = GroupId::partition(0);

async fn open(dir: &TempDir) -> Arc<Queue> {
    Queue::open(options(dir.path(), 1)).await.unwrap()
}

fn point(index: Option<u64>) -> AuditPoint {
    AuditPoint { group: GROUP, index, bodies: true, most: Duration::from_secs(60) }
}

async fn submit(queue: &Queue, id: u128, to: &[&str]) -> Locator {
    queue.submit(fixture::submission(id, to, "text")).await.unwrap().locator
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_works_adds_up() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let one = submit(&queue, 1, &["a@x.example", "b@x.example"]).await;
    submit(&queue, 2, &["c@x.example"]).await;
    let term = Work::led(queue.as_ref())[0].1;
    let report = fixture::report(one, vec![fixture::result(0, Class::Delivered)]);
    queue.report(term, report).await.unwrap();
    let audited = queue.audit(point(None)).await.unwrap();
    assert_eq!(audited.findings, Vec::<String>::new());
    assert_eq!((audited.counted.accepted, audited.counted.delivered), (3, 1));
    assert_eq!((audited.found.queued_recipients, audited.found.bodies), (2, 2));
    let none = AuditPoint { group: GroupId(99), ..point(None) };
    assert!(matches!(queue.audit(none).await, Err(AuditError::Failed(_))));
    let short = AuditPoint { most: Duration::ZERO, ..point(None) };
    assert_eq!(queue.audit(short).await, Err(AuditError::Expired));
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_caught_at_an_entry_to_come_while_mail_flows() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    submit(&queue, 1, &["a@x.example"]).await;
    let now = queue.audit(point(None)).await.unwrap().applied;
    assert_eq!(queue.audit(point(Some(now - 1))).await, Err(AuditError::TooLate));
    // Nothing but the audit itself brings the log on.
    let audited = queue.audit(point(Some(now + 20))).await.unwrap();
    assert_eq!((audited.applied, audited.counted.accepted), (now + 20, 1));
    // Two looks at the same entry, between submissions, see the same.
    let at = queue.audit(point(None)).await.unwrap().applied + 40;
    let sender = Arc::clone(&queue);
    let sending = tokio::spawn(async move {
        for id in 10..200 {
            submit(&sender, id, &["b@x.example"]).await;
        }
    });
    let (a, b) = tokio::join!(queue.audit(point(Some(at))), queue.audit(point(Some(at))));
    sending.await.unwrap();
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.applied, a.checksum), (at, b.checksum));
    assert_eq!(a.findings, Vec::<String>::new());
    assert_ne!(a.checksum, queue.audit(point(None)).await.unwrap().checksum);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_touch_only_what_was_not_reported_since() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let at = submit(&queue, 1, &["a@x.example", "b@x.example"]).await;
    let term = Work::led(queue.as_ref())[0].1;
    let dot = |recipients: &[(u16, u32)]| FinalDot {
        locator: at,
        term: 1,
        at: Timestamp(77),
        recipients: recipients.to_vec(),
    };
    let report = fixture::report(at, vec![fixture::result(1, Class::Deferred)]);
    queue.report(term, report).await.unwrap();
    let dots = vec![dot(&[(0, 0), (1, 0), (9, 0)])];
    assert_eq!(queue.mark_unknown(NodeId(4), GROUP, dots.clone()).await, Ok(1));
    assert_eq!(queue.mark_unknown(NodeId(4), GROUP, dots).await, Ok(0), "it is marked already");
    let stored = queue.load(at).await.unwrap();
    let unknown = stored.waiting[0].unknown.unwrap();
    assert_eq!((unknown.node, unknown.term, unknown.at), (NodeId(4), 1, Timestamp(77)));
    assert_eq!(stored.waiting[1].unknown, None);
    assert_eq!(queue.audit(point(None)).await.unwrap().found.unknown, 1);
    // The next report clears it.
    let report = fixture::report(at, vec![fixture::result(0, Class::Deferred)]);
    queue.report(term, report).await.unwrap();
    assert_eq!(queue.load(at).await.unwrap().waiting[0].unknown, None);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_by_its_id_as_long_as_it_lives() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir).await;
    let (one, two) =
        (submit(&queue, 1, &["a@x.example"]).await, submit(&queue, 2, &["b@x.example"]).await);
    let term = Work::led(queue.as_ref())[0].1;
    let found = |id: u128| {
        let queue = Arc::clone(&queue);
        async move { queue.find(MessageId(id)).await.map(|f| (f.locator, f.stored.is_some())) }
    };
    assert_eq!(found(1).await, Some((one, true)));
    // When its token has expired, it has a row of another kind.
    let expire = Draft::expire(Timestamp(u64::MAX));
    queue.propose(GROUP, expire, When::Applied).await.unwrap();
    assert_eq!(found(1).await, Some((one, true)));
    let report = fixture::report(one, vec![fixture::result(0, Class::Delivered)]);
    queue.report(term, report).await.unwrap();
    assert_eq!(found(1).await, None, "the row goes with the message");
    assert_eq!(found(2).await, Some((two, true)));
    assert_eq!(found(3).await, None);
    assert_eq!(queue.audit(point(None)).await.unwrap().findings, Vec::<String>::new());
    queue.shutdown().await;
}
