//! A node that is killed at any moment, again and again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Queue;
use super::door::{Inbox, Inspect, Outbox, Work};
use super::fixture;
use super::model::OutboxPosition;
use super::queue_test::options;
use crate::id::{GroupId, Locator};
use crate::message::{Class, RecordType};

/// Names the directory, and makes the test below the process that is killed.
const DIR: &str = "CONVOY_CRASH_DIR";
/// The first message id of a process.
const FIRST: &str = "CONVOY_CRASH_FIRST";
const ROUNDS: u128 = 6;
const PER_ROUND: u128 = 100_000;

fn text(id: u128) -> String {
    // Some are longer than a piece.
    let length = if id % 25 == 24 { 1_300_000 } else { 200 + (id as usize % 5000) };
    format!("{id}:").repeat(length / 8)
}

/// Says what it is about to do and what was acknowledged; every third message is delivered.
#[tokio::main]
async fn child(dir: &Path, first: u128) {
    let queue = Queue::open(options(dir, 2)).await.unwrap();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for id in (first + worker..).step_by(8) {
                    submit_and_deliver(&queue, id).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

async fn submit_and_deliver(queue: &Queue, id: u128) {
    let mut message = fixture::submission(id, &["a@x.example"], text(id));
    message.records[0].message = Some(message.envelope.id);
    let at = queue.submit(message.clone()).await.unwrap().locator;
    println!("stored {id} {} {} {}", at.group.0, at.index, at.slot);
    if !id.is_multiple_of(3) {
        return;
    }
    let term = Work::led(queue).into_iter().find(|(group, _)| *group == at.group).unwrap().1;
    let mut result = fixture::result(0, Class::Delivered);
    result.record.as_mut().unwrap().message = Some(message.envelope.id);
    println!("trying {id}");
    queue.report(term, fixture::report(at, vec![result])).await.unwrap();
    println!("delivered {id}");
}

#[test]
fn the_process_that_is_killed() {
    let (Some(dir), Some(first)) = (std::env::var_os(DIR), std::env::var_os(FIRST)) else {
        return;
    };
    child(Path::new(&dir), first.to_str().unwrap().parse().unwrap());
}

fn start(dir: &Path, first: u128) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "queue::crash_test::the_process_that_is_killed", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Stored,
    Trying,
    Delivered,
}

/// Runs a process until it has said so many lines; gives what it said.
fn run(dir: &Path, first: u128, lines: usize, said: &mut BTreeMap<u128, (Locator, Said)>) {
    let mut child = start(dir, first);
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    for line in output.lines() {
        let line = line.unwrap();
        // The test harness may write before the first line of the process.
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [.., "stored", id, group, index, slot] => {
                let at = Locator {
                    group: GroupId(group.parse().unwrap()),
                    index: index.parse().unwrap(),
                    slot: slot.parse().unwrap(),
                };
                said.insert(id.parse().unwrap(), (at, Said::Stored));
            }
            ["trying", id] => said.get_mut(&id.parse().unwrap()).unwrap().1 = Said::Trying,
            ["delivered", id] => said.get_mut(&id.parse().unwrap()).unwrap().1 = Said::Delivered,
            _ => continue,
        }
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the process ended by itself after {seen} lines");
}

/// Rows of the outbox per message: receipts and deliveries.
async fn rows(queue: &Queue) -> BTreeMap<u128, (u32, u32)> {
    let mut rows = BTreeMap::<u128, (u32, u32)>::new();
    for group in Outbox::led(queue) {
        let mut after = OutboxPosition::default();
        loop {
            let page = queue.rows(group, after, 500).await;
            let Some(last) = page.last() else { break };
            after = OutboxPosition { index: last.index, n: last.n };
            for row in page {
                let count = rows.entry(row.record.message.unwrap().0).or_default();
                match row.record.kind {
                    RecordType::Receipt => count.0 += 1,
                    RecordType::Delivery => count.1 += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    rows
}

async fn check(dir: &Path, said: &BTreeMap<u128, (Locator, Said)>) {
    let queue = Queue::open(options(dir, 2)).await.unwrap();
    let rows = rows(&queue).await;
    for (id, (at, last)) in said {
        let stored = queue.load(*at).await;
        let (receipts, deliveries) = rows[id];
        assert_eq!(receipts, 1, "message {id}");
        assert_eq!(deliveries, u32::from(stored.is_none()), "message {id}");
        match last {
            Said::Stored => assert!(stored.is_some(), "message {id} is lost"),
            Said::Delivered => assert!(stored.is_none(), "message {id} would be sent again"),
            Said::Trying => {}
        }
        if let Some(stored) = stored {
            assert_eq!(stored.envelope.id.0, *id);
            assert_eq!(queue.body(*at).await.unwrap(), text(*id), "message {id}");
        }
    }
    // What was not acknowledged is there as a whole or not at all.
    assert!(rows.values().all(|(receipts, _)| *receipts == 1));
    let open: u64 = Inspect::queues(&*queue).iter().map(|(_, figures)| figures.recipients).sum();
    let finished = rows.values().filter(|(_, deliveries)| *deliveries == 1).count();
    assert_eq!(open + finished as u64, rows.len() as u64);
    queue.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills() {
    let dir = TempDir::new().unwrap();
    let mut said = BTreeMap::new();
    for round in 0..ROUNDS {
        let lines = 30 + 97 * usize::try_from(round).unwrap();
        tokio::task::block_in_place(|| run(dir.path(), round * PER_ROUND, lines, &mut said));
        check(dir.path(), &said).await;
    }
}
