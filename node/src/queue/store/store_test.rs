//! Logs, bodies, snapshots and changes on a real database.

use bytes::Bytes;
use convoy_proto::storage as proto;
use proptest::prelude::*;
use tempfile::TempDir;

use super::database::{Database, Family};
use super::entry::{LogEntry, LogId};
use super::fixture::{GROUP, SIZES, TestStore, entry};
use super::keys;
use super::log::Extent;
use super::overlay::Overlay;
use crate::queue::machine::{
    Answer, BodyPart, Changes, Committed, LiveBodies, Machine, MachineError, Memory, Row, Table,
    View,
};

/// Keeps a message per body until a payload names it: `index.part`.
#[derive(Clone, Copy, Default)]
struct Keeper;

fn key(part: BodyPart) -> Vec<u8> {
    [part.index.to_be_bytes().as_slice(), &part.part.to_be_bytes()].concat()
}

impl Machine for Keeper {
    fn opened(&mut self, _view: &dyn View) -> Result<(), MachineError> {
        Ok(())
    }

    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        for part in 0..entry.bodies.len() {
            let part = BodyPart { index: entry.index, part: u16::try_from(part).unwrap() };
            changes.put(Table::Message, &key(part), &[]);
        }
        let text = std::str::from_utf8(&entry.payload).unwrap();
        for name in text.split_whitespace() {
            let (index, part) = name.split_once('.').unwrap();
            let part = BodyPart { index: index.parse().unwrap(), part: part.parse().unwrap() };
            changes.delete(Table::Message, &key(part));
            changes.release_body(part);
        }
        Ok(Vec::new())
    }

    fn written(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn live_bodies(&self) -> LiveBodies {
        |view, after, upto| {
            let (from, to) = ((after + 1).to_be_bytes(), (upto + 1).to_be_bytes());
            let rows = view.scan(Table::Message, &from, &to, usize::MAX)?;
            let part = |row: Row| BodyPart {
                index: u64::from_be_bytes(row.key[..8].try_into().unwrap()),
                part: u16::from_be_bytes(row.key[8..].try_into().unwrap()),
            };
            Ok(rows.into_iter().map(part).collect())
        }
    }
}

fn open(dir: &TempDir) -> TestStore {
    TestStore::open(dir.path(), Box::new(Keeper), 1 << 20)
}

async fn texts(store: &TestStore) -> Vec<(u64, u64, Bytes)> {
    let entries = store.log.read(0..u64::MAX, None).await.unwrap();
    entries.into_iter().map(|e| (e.id.term, e.id.index, payload(&e))).collect()
}

fn payload(entry: &LogEntry) -> Bytes {
    match &entry.payload {
        super::entry::Payload::Normal(proposal) => proposal.payload.clone(),
        other => panic!("{other:?}"),
    }
}

/// Bodies in the database.
async fn bodies(store: &TestStore) -> Vec<(u64, u16)> {
    store
        .read(|database| {
            let (from, to) = (keys::log(GROUP, 0), keys::group_end(GROUP));
            database.scan(Family::Body, &from, &to, usize::MAX)
        })
        .await
        .iter()
        .map(|row| {
            let index = u64::from_be_bytes(row.key[4..12].try_into().unwrap());
            (index, u16::from_be_bytes(row.key[12..].try_into().unwrap()))
        })
        .collect()
}

/// Waits until the applier has done what it was sent.
async fn settle(store: &TestStore) {
    store.applier.apply(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn entries_are_read_at_once_and_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let entries = [entry(1, 1, "a", &["one", "two"]), entry(2, 2, "b", &[])];
    {
        let store = open(&dir);
        store.log.append(entries.to_vec(), Box::new(|_| {})).unwrap();
        assert_eq!(store.log.read(1..3, None).await.unwrap(), entries);
    }
    let store = open(&dir);
    assert_eq!(store.log.extent().last, Some(LogId { term: 2, index: 2 }));
    assert_eq!(store.log.read(0..9, None).await.unwrap(), entries);
    assert_eq!(store.log.read(2..9, None).await.unwrap(), entries[1..]);
    // A limit gives at least one.
    assert_eq!(store.log.read(0..9, Some(1)).await.unwrap(), entries[..1]);
}

#[tokio::test]
async fn what_left_memory_is_joined_with_what_is_there() {
    let dir = TempDir::new().unwrap();
    let store = TestStore::open(dir.path(), Box::new(Keeper), 1000);
    let all: Vec<_> = (1..=20).map(|i| entry(1, i, "", &[&"x".repeat(100)])).collect();
    store.append(all.clone()).await;
    store.apply(&all).await;
    for range in [1..21, 1..5, 10..20, 18..21] {
        let expected = &all[range.start as usize - 1..range.end as usize - 1];
        assert_eq!(store.log.read(range.clone(), None).await.unwrap(), expected, "{range:?}");
    }
    let some = store.log.read(1..21, Some(600)).await.unwrap();
    assert!(!some.is_empty() && some.len() < 10);
    assert_eq!(some, all[..some.len()]);
}

#[tokio::test]
async fn a_conflict_replaces_the_end_of_the_log_and_its_bodies() {
    let dir = TempDir::new().unwrap();
    {
        let store = open(&dir);
        let old = (1..=5).map(|i| entry(1, i, "old", &["o", "o"])).collect();
        store.append(old).await;
        store.log.truncate_after(Some(LogId { term: 1, index: 2 })).await.unwrap();
        assert_eq!(store.log.extent().last, Some(LogId { term: 1, index: 2 }));
        store.append(vec![entry(2, 3, "new", &["n"])]).await;
    }
    let store = open(&dir);
    let expected = [(1, 1, "old"), (1, 2, "old"), (2, 3, "new")];
    let found = texts(&store).await;
    assert_eq!(found, expected.map(|(t, i, p)| (t, i, Bytes::from(p))));
    assert_eq!(bodies(&store).await, [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]);
}

#[tokio::test]
async fn writes_reach_the_disk_in_the_order_in_which_they_were_sent() {
    let dir = TempDir::new().unwrap();
    {
        let store = open(&dir);
        let mut done = Vec::new();
        for term in 1..=30 {
            let write =
                super::committer::Write::Vote(proto::Vote { term, node_id: 1, committed: false });
            let (tx, rx) = std::sync::mpsc::channel();
            store.committer.send(GROUP, write, Box::new(move |r| tx.send(r.is_ok()).unwrap()));
            done.push(rx);
            store.log.append(vec![entry(term, term, "", &[])], Box::new(|_| {})).unwrap();
            if term % 10 == 0 {
                store
                    .log
                    .truncate_after(Some(LogId { term: term - 1, index: term - 1 }))
                    .await
                    .unwrap();
                store.log.append(vec![entry(term, term, "again", &[])], Box::new(|_| {})).unwrap();
            }
        }
        drop(store);
        assert!(done.into_iter().all(|rx| rx.recv().unwrap()));
    }
    let store = open(&dir);
    assert_eq!(store.log.vote().unwrap().term, 30);
    assert_eq!(texts(&store).await.len(), 30);
    assert_eq!(texts(&store).await[29].2, "again");
}

#[tokio::test]
async fn a_body_goes_when_its_message_is_finished_and_its_record_is_purged() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let mut all: Vec<_> = (1..=6).map(|i| entry(1, i, "", &["a", "b"])).collect();
    all.push(entry(1, 7, "1.0 1.1 2.1 4.0 4.1 6.0", &[]));
    store.append(all.clone()).await;
    store.apply(&all).await;
    settle(&store).await;
    assert_eq!(bodies(&store).await.len(), 12, "the log needs all of them");
    store.log.purge(LogId { term: 1, index: 5 }).await.unwrap();
    store.applier.sweep();
    settle(&store).await;
    let left = [(2, 0), (3, 0), (3, 1), (5, 0), (5, 1), (6, 0), (6, 1)];
    assert_eq!(bodies(&store).await, left);
    // What is purged goes as soon as it is finished.
    let more = entry(1, 8, "2.0 6.1", &[]);
    store.append(vec![more.clone()]).await;
    store.apply(&[more]).await;
    assert_eq!(bodies(&store).await, left[1..]);
    assert_eq!(store.log.read(0..9, None).await.unwrap()[0].bodies().len(), 2);
}

#[tokio::test]
async fn a_sweep_that_a_crash_prevented_is_done_at_start() {
    let dir = TempDir::new().unwrap();
    {
        let store = open(&dir);
        let all = [entry(1, 1, "", &["a", "b"]), entry(1, 2, "1.0", &[])];
        store.append(all.to_vec()).await;
        store.apply(&all).await;
        store.log.purge(LogId { term: 1, index: 2 }).await.unwrap();
    }
    let store = open(&dir);
    settle(&store).await;
    assert_eq!(bodies(&store).await, [(1, 1)]);
    let at = Some(LogId { term: 1, index: 2 });
    assert_eq!(store.log.extent(), Extent { purged: at, last: at });
}

#[tokio::test]
async fn a_snapshot_carries_the_state_and_live_bodies_to_another_store() {
    let (from_dir, to_dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (from, to) = (open(&from_dir), open(&to_dir));
    let long = "l".repeat(3 << 20);
    let mut all: Vec<_> = (1..=3).map(|i| entry(1, i, "", &[&long, "b"])).collect();
    all.push(entry(1, 4, "2.0 2.1 3.0", &[]));
    from.append(all.clone()).await;
    from.apply(&all).await;
    let applier = from.applier.clone();
    let source = from.reader.read(move |db| applier.snapshot(db)).await.unwrap();
    let applied = source.applied.clone();
    assert_eq!(applied.log_id.map(LogId::from), Some(LogId { term: 1, index: 4 }));
    // What happens after that moment is not in the snapshot.
    let later = entry(1, 5, "1.0 1.1 3.1", &["new"]);
    from.append(vec![later.clone()]).await;
    from.apply(&[later]).await;

    // The receiver has a state and entries of its own, which go.
    let own: Vec<_> = (1..=2).map(|i| entry(1, i, "", &["own", "own", "own"])).collect();
    to.append(own.clone()).await;
    to.apply(&own).await;
    let receiver = to.applier.clone();
    let staged = to.reader.read(move |db| receiver.stage(db, &source)).await.unwrap();
    to.applier.install(applied.clone(), staged).await.unwrap();
    assert_eq!(to.applier.applied(), Some(applied.clone()));
    to.log.purge(LogId { term: 1, index: 4 }).await.unwrap();
    to.applier.sweep();
    settle(&to).await;
    assert_eq!(bodies(&to).await, [(1, 0), (1, 1), (3, 1)]);
    let body = to
        .read(|db| db.get(Family::Body, &keys::body(GROUP, BodyPart { index: 1, part: 0 })))
        .await;
    assert_eq!(body.unwrap(), long.as_bytes());
    drop(to);
    let to = open(&to_dir);
    assert_eq!(to.applier.applied(), Some(applied));
    let rows = to
        .read(|db| {
            let (from, to) = (keys::state(GROUP, 0), keys::state_end(GROUP, 1));
            db.scan(Family::Table(Table::Message), &from, &to, 100)
        })
        .await;
    assert_eq!(rows.len(), 3, "the old epoch is gone");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..16u8, any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => (0..16u8).prop_map(Step::Delete),
        1 => (0..17u8, 0..17u8).prop_map(|(a, b)| Step::DeleteRange(a, b)),
        1 => Just(Step::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Changes over the database read like changes in memory, before and after they are written.
    #[test]
    fn an_overlay_reads_like_memory(steps in prop::collection::vec(step(), 1..60)) {
        let dir = TempDir::new().unwrap();
        let database = Database::open(dir.path(), &SIZES).unwrap();
        let prefix = keys::state(GROUP, 3);
        let mut memory = Memory::default();
        let mut overlay = Overlay::new(&database, prefix);
        let table = Table::Due;
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    memory.put(table, &[key], &[value]);
                    overlay.put(table, &[key], &[value]);
                }
                Step::Delete(key) => {
                    memory.delete(table, &[key]);
                    overlay.delete(table, &[key]);
                }
                Step::DeleteRange(from, to) => {
                    memory.delete_range(table, &[from], &[to]);
                    overlay.delete_range(table, &[from], &[to]);
                }
                Step::Write => {
                    let mut batch = database.batch();
                    overlay.write_to(&mut batch);
                    database.write(batch, false).unwrap();
                    overlay = Overlay::new(&database, prefix);
                }
            }
            for key in 0..16 {
                prop_assert_eq!(
                    overlay.get(table, &[key]).unwrap(),
                    memory.get(table, &[key]).unwrap()
                );
            }
            for (from, to, limit) in [(0, 16, 100), (3, 12, 100), (0, 16, 3), (5, 5, 1)] {
                prop_assert_eq!(
                    overlay.scan(table, &[from], &[to], limit).unwrap(),
                    memory.scan(table, &[from], &[to], limit).unwrap()
                );
            }
        }
    }
}
