use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;

use super::*;
use crate::accounting::archive::{Archive, Patience};
use crate::accounting::board::Board;
use crate::accounting::disk::SystemDisk;
use crate::accounting::machine::Collecting;
use crate::accounting::memory_disk::MemoryDisk;
use crate::accounting::{Foundation, parcel};
use crate::clock::Timestamp;
use crate::id::GroupId;
use crate::message::{Record, RecordType};
use crate::queue::machine::{Committed, Memory};
use crate::queue::store::entry::{LogEntry, LogId, Payload, Proposal};
use crate::queue::store::fixture::TestStore;

/// Bytes of a run: few, so that there are many steps.
const RUN: usize = 40;
/// Entries that the receiver has when the snapshot comes, and the sender.
const OLD: usize = 5;
const NEW: usize = 14;
const ALL: usize = 20;

/// The power does not come back for those who wait.
struct GiveUp;

impl Patience for GiveUp {
    fn failed(&mut self, _: &str) -> bool {
        false
    }

    fn recovered(&mut self) {}
}

fn place() -> Place {
    Place { base: "/base".into(), ledger: "/state".into() }
}

fn file(path: &str, kinds: &str, max_size_bytes: u64, move_to: &str) -> wire::AcctFile {
    let names = || ["type", "rcpt"].map(str::to_owned).to_vec();
    let records = kinds.split(',').map(|k| wire::Columns { r#type: k.to_owned(), names: names() });
    wire::AcctFile {
        path: path.into(),
        records: records.collect(),
        max_size_bytes,
        move_to: move_to.into(),
        ..wire::AcctFile::default()
    }
}

/// A log in which files fill up, are moved, and stay.
fn log() -> Vec<wire::Entry> {
    let layout = wire::Layout {
        files: vec![
            file("logs/all.csv", "d,b", 150, "done"),
            file("/other/bounces.csv", "b", 80, ""),
            file("slow.csv", "d", 10_000, ""),
        ],
    };
    (0..ALL as u64)
        .map(|n| {
            let row = |kind, n: u64| {
                let mut record = Record::new(kind, Timestamp(0));
                record.rcpt = format!("recipient-{n}@example.com");
                let position = Some(wire::Position { index: n + 1, n: 0 });
                wire::Row { position, record: parcel::pack(&record) }
            };
            let rows = vec![row(RecordType::Delivery, 2 * n), row(RecordType::Bounce, 2 * n + 1)];
            wire::Entry {
                now_ms: 1_464_477_051_000 + n,
                founding: 99,
                layout: (n == 0).then(|| layout.clone()),
                batches: vec![wire::Batch { partition: 2, previous: None, rows }],
                ..wire::Entry::default()
            }
        })
        .collect()
}

struct Replica {
    disk: MemoryDisk,
    machine: Collecting<MemoryDisk>,
    state: Memory,
    applied: usize,
}

fn machine(disk: &MemoryDisk) -> Collecting<MemoryDisk> {
    Collecting::new(Archive::new(disk.clone(), place(), Box::new(GiveUp)), Board::new(7))
}

impl Replica {
    fn on(disk: MemoryDisk, state: Memory, applied: usize) -> Self {
        let mut machine = machine(&disk);
        machine.opened(&state).unwrap();
        Self { disk, machine, state, applied }
    }

    fn applied_to(log: &[wire::Entry]) -> Self {
        let mut replica = Self::on(MemoryDisk::new(1), Memory::default(), 0);
        replica.catch_up(log);
        replica
    }

    fn catch_up(&mut self, log: &[wire::Entry]) {
        while self.applied < log.len() {
            let committed = Committed {
                group: GroupId::ACCOUNTING,
                index: 10 + self.applied as u64,
                term: 1,
                payload: log[self.applied].encode_to_vec().into(),
                bodies: Vec::new(),
            };
            self.machine.apply(&committed, &mut self.state).unwrap();
            self.machine.written();
            self.applied += 1;
        }
    }

    /// Takes in a snapshot of `sender`.
    fn receive(&mut self, sender: &Self) -> Result<(), MachineError> {
        let mut held = sender.machine.files().hold()?;
        let mut received = self.machine.files().receive()?;
        while let Some(part) = held.next_part(RUN)? {
            received.write(&part)?;
        }
        received.complete()?;
        self.machine.install_files()?;
        drop(received);
        self.state = sender.state.clone();
        self.applied = sender.applied;
        self.machine.opened(&self.state)
    }

    fn ledger(&self) -> wire::Ledger {
        let slots = ledger::LedgerSlots::load(&self.disk, "/state".into());
        slots.unwrap().1
    }

    /// The accounting files, without the ledger.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.disk.files();
        files.retain(|path, _| !path.starts_with("/state"));
        files
    }

    /// Every file of the ledger is there as far as the ledger says, and like that of `other`.
    fn agrees_with(&self, other: &BTreeMap<PathBuf, Vec<u8>>, context: &str) {
        let files = self.files();
        for item in items(&self.ledger(), Path::new("/base")) {
            // A finished one may have been moved already.
            let moved = Path::new("/base/done").join(&item.name);
            let of = |files: &BTreeMap<PathBuf, Vec<u8>>| {
                let bytes = files.get(&item.path).or_else(|| files.get(&moved)).cloned();
                let mut bytes = bytes.unwrap_or_else(|| panic!("{context}: {item:?} is missing"));
                bytes.truncate(item.length_bytes as usize);
                bytes
            };
            assert_eq!(of(&files), of(other), "{context}: {item:?}");
            assert_eq!(of(&files).len() as u64, item.length_bytes, "{context}: {item:?}");
        }
    }
}

#[test]
fn a_crash_at_every_step_leaves_the_old_files_or_the_new_ones() {
    let log = log();
    let mut sender = Replica::applied_to(&log[..NEW]);
    let (mut crashes, mut old, mut new) = (0, 0, 0);
    for step in 0.. {
        let template = Replica::applied_to(&log[..OLD]);
        let before = template.files();
        let disk = template.disk.copy(step);
        let mut receiver = Replica::on(disk.clone(), template.state.clone(), OLD);
        disk.fail_after(step);
        let done = receiver.receive(&sender).is_ok();
        let failed = disk.restart();
        if failed {
            crashes += 1;
            let context = format!("step {step}");
            let Replica { state, applied, .. } = receiver;
            receiver = Replica::on(disk, state, applied);
            receiver.agrees_with(&sender.files(), &context);
            let files = receiver.files();
            assert!(!files.keys().any(|p| p.extension().is_some_and(|e| e == "incoming")));
            if receiver.ledger().applied == 10 + OLD as u64 - 1 {
                assert_eq!(files, before, "{context}");
                old += 1;
            } else {
                assert_eq!(receiver.ledger().applied, 10 + NEW as u64 - 1, "{context}");
                new += 1;
            }
            if step % 2 == 0 {
                // The log is still there.
                receiver.catch_up(&log[..NEW]);
            } else {
                receiver.receive(&sender).unwrap();
            }
        }
        receiver.catch_up(&log);
        let mut sender_later = Replica::on(sender.disk.copy(0), sender.state.clone(), NEW);
        sender_later.catch_up(&log);
        receiver.agrees_with(&sender_later.files(), &format!("after step {step}"));
        assert_eq!(receiver.state, sender_later.state);
        if !failed {
            assert!(done);
            break;
        }
    }
    assert!(crashes > 40 && old > 20 && new > 1, "{crashes} crashes, {old} old, {new} new");
    sender.catch_up(&log);
}

#[test]
fn what_a_snapshot_does_not_have_is_not_taken_for_whole() {
    let log = log();
    let sender = Replica::applied_to(&log[..NEW]);
    let mut receiver = Replica::applied_to(&log[..OLD]);
    let open = |replica: &Replica| {
        let ledger = replica.ledger();
        let one = ledger.series.iter().find(|s| s.path == "logs/all.csv");
        one.and_then(|s| s.open.as_ref()).expect("a file is being written").name.clone()
    };
    let stale = open(&receiver);
    assert_ne!(stale, open(&sender));
    receiver.receive(&sender).unwrap();
    receiver.catch_up(&log);
    let files = receiver.files();
    let partial = Path::new("/base/logs").join(format!("{stale}.partial"));
    assert!(files.contains_key(&partial), "{:?}", files.keys());
    let mut whole = Replica::applied_to(&log);
    whole.catch_up(&log);
    for (path, bytes) in files.iter().filter(|(path, _)| **path != partial) {
        assert_eq!(whole.files().get(path), Some(bytes), "{}", path.display());
    }
    // All that was not moved before is there: also the files that were finished and stay.
    let kept = whole.files().into_keys().filter(|path| path.starts_with("/other")).count();
    assert!(kept > 3);
    assert_eq!(files.keys().filter(|path| path.starts_with("/other")).count(), kept);
}

#[test]
fn files_of_an_earlier_life_are_joined_and_those_of_others_make_room() {
    let log = log();
    let sender = Replica::applied_to(&log[..NEW]);
    let disk = MemoryDisk::new(1);
    let mut writing = disk.clone();
    let slow = Path::new("/base/slow-2016-05-28-0000.csv");
    let beginning = sender.files()[slow][..50].to_vec();
    writing.create(slow, &beginning, Mode::Group).unwrap();
    let other = sender.ledger().series.iter().find_map(|s| {
        (s.path == "/other/bounces.csv").then(|| s.open.as_ref().map(|o| o.name.clone()))?
    });
    let other = Path::new("/other").join(other.unwrap());
    writing.create(&other, b"somebody else's", Mode::Group).unwrap();
    let mut receiver = Replica::on(disk, Memory::default(), 0);
    receiver.receive(&sender).unwrap();
    let files = receiver.files();
    assert_eq!(files[slow], sender.files()[slow]);
    assert_eq!(files[&other], sender.files()[&other]);
    let aside = PathBuf::from(format!("{}.other-1", other.display()));
    assert_eq!(files[&aside], b"somebody else's");
    receiver.catch_up(&log);
    receiver.agrees_with(&Replica::applied_to(&log).files(), "later");
}

#[test]
fn runs_that_do_not_fit_are_refused() {
    let sender = Replica::applied_to(&log()[..NEW]);
    let parts = || {
        let mut held = sender.machine.files().hold().unwrap();
        std::iter::from_fn(move || held.next_part(RUN).unwrap()).collect::<Vec<_>>()
    };
    let check = |what: &str, change: &dyn Fn(&mut Vec<FilePart>)| {
        let mut receiver = Replica::applied_to(&log()[..OLD]);
        let before = receiver.files();
        let mut parts = parts();
        change(&mut parts);
        let mut received = receiver.machine.files().receive().unwrap();
        let result = parts.iter().try_for_each(|part| received.write(part));
        let result = result.and_then(|()| received.complete());
        assert!(matches!(result, Err(MachineError::Inconsistent(_))), "{what}: {result:?}");
        drop(received);
        receiver.machine.install_files().unwrap();
        assert_eq!(receiver.files(), before, "{what}");
    };
    check("a run is missing", &|parts| drop(parts.remove(parts.len() / 2)));
    check("the end is missing", &|parts| drop(parts.pop()));
    check("the ledger is missing", &|parts| parts.retain(|part| part.name != LEDGER));
    check("a file that no ledger names", &|parts| parts.last_mut().unwrap().name = "9/x".into());
    check("a name that leads elsewhere", &|parts| {
        let mut bytes = Vec::new();
        for part in parts.iter().filter(|part| part.name == LEDGER) {
            bytes.extend_from_slice(&part.bytes);
        }
        let mut ledger = wire::Ledger::decode(bytes.as_slice()).unwrap();
        let open = ledger.series.iter_mut().find_map(|s| s.open.as_mut());
        open.unwrap().name = "../../etc/passwd".into();
        let bytes = ledger.encode_to_vec().into();
        *parts = vec![FilePart { name: LEDGER.into(), offset: 0, bytes }];
    });
}

fn store(directory: &Path) -> (TestStore, Foundation) {
    let foundation = Foundation::new(directory.into(), directory.join("state"));
    let machine = Box::new(foundation.machine());
    (TestStore::open(&directory.join("store"), machine, 1 << 20), foundation)
}

fn entries(log: &[wire::Entry], from: usize) -> Vec<LogEntry> {
    let entry = |(n, entry): (usize, &wire::Entry)| {
        let proposal = Proposal { payload: entry.encode_to_vec().into(), bodies: Vec::new() };
        let id = LogId { term: 1, index: 10 + (from + n) as u64 };
        LogEntry { id, payload: Payload::Normal(Arc::new(proposal)) }
    };
    log[from..].iter().enumerate().map(entry).collect()
}

/// All files below `directory` but those of the store.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for under in ["", "logs", "done"] {
        let Ok(entries) = std::fs::read_dir(directory.join(under)) else { continue };
        for path in entries.map(|e| e.unwrap().path()).filter(|path| path.is_file()) {
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_snapshot_brings_the_files_to_another_store_while_rows_go_on() {
    let (from_dir, to_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((from, _of_sender), (to, _of_receiver)) = (store(from_dir.path()), store(to_dir.path()));
    let mut log = log();
    let layout = wire::Layout {
        files: vec![
            file("logs/all.csv", "d,b", 1 << 30, "done"),
            file("slow.csv", "d", 10_000_000, ""),
        ],
    };
    log[0].layout = Some(layout);
    // More than one chunk.
    for (n, entry) in log.iter_mut().enumerate() {
        let mut record = Record::new(RecordType::Bounce, Timestamp(0));
        record.rcpt = format!("{n}{}@example.com", "x".repeat(200_000));
        let position = Some(wire::Position { index: 2 * n as u64 + 2, n: 1 });
        entry.batches[0].rows.push(wire::Row { position, record: parcel::pack(&record) });
    }
    log[NEW].rotate = Some(wire::Rotate::default());
    from.apply(&entries(&log[..NEW], 0)).await;
    to.apply(&entries(&log[..OLD], 0)).await;
    let applier = from.applier.clone();
    let source = from.reader.read(move |db| applier.snapshot(db)).await.unwrap();
    // The file that is being sent is finished, moved and removed meanwhile.
    from.apply(&entries(&log[..NEW + 2], NEW)).await;
    let done = from_dir.path().join("done");
    let moved: Vec<_> = std::fs::read_dir(&done).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(moved.len(), 1);
    let kept = from_dir.path().join("kept");
    std::fs::rename(&moved[0], &kept).unwrap();

    let receiver = to.applier.clone();
    let applied = source.applied.clone();
    let staged = to.reader.read(move |db| receiver.stage(db, &source)).await.unwrap();
    let before = tree(to_dir.path());
    assert!(before.keys().any(|name| name.ends_with(".incoming")), "{:?}", before.keys());
    to.applier.install(applied, staged).await.unwrap();
    std::fs::rename(&kept, &moved[0]).unwrap();
    to.apply(&entries(&log, NEW)).await;
    from.apply(&entries(&log, NEW + 2)).await;
    let (sent, received) = (tree(from_dir.path()), tree(to_dir.path()));
    assert_eq!(sent.keys().collect::<Vec<_>>(), received.keys().collect::<Vec<_>>());
    assert!(sent == received && sent.values().map(Vec::len).sum::<usize>() > 3 << 20);
}

#[test]
fn a_held_file_stays_readable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut disk = SystemDisk;
    disk.create(&path, b"0123456789", Mode::Group).unwrap();
    let held = disk.hold(&path).unwrap().unwrap();
    disk.write_at(&path, 10, b"more").unwrap();
    disk.rename(&path, &directory.path().join("other")).unwrap();
    disk.remove(&directory.path().join("other")).unwrap();
    assert_eq!(held.read_at(2, 5).unwrap(), b"23456");
    assert_eq!(held.length().unwrap(), 14);
    assert!(held.read_at(10, 5).is_err());
    assert!(disk.hold(&path).unwrap().is_none());
}
