use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::accounting::archive::Patience;
use crate::accounting::memory_disk::MemoryDisk;
use crate::message::RecordType;
use crate::queue::machine::Memory;
use crate::queue::model::OutboxPosition;

const SEEDS: u64 = 2000;
const PARTITIONS: u32 = 3;
const STEPS: usize = 40;
const DAY_MS: u64 = 86_400_000;

/// The power does not come back for those who wait.
struct GiveUp;

impl Patience for GiveUp {
    fn failed(&mut self, _: &str) -> bool {
        false
    }

    fn recovered(&mut self) {}
}

/// A replica of the accounting group: what it keeps through a crash, and what it does not.
struct Replica {
    disk: MemoryDisk,
    machine: Collecting<MemoryDisk>,
    state: Memory,
    applied: usize,
    /// States that a crash may bring back, with the number of entries applied to each.
    past: Vec<(Memory, usize)>,
}

impl Replica {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new(seed);
        let mut replica = Self {
            machine: machine(&disk),
            disk,
            state: Memory::default(),
            applied: 0,
            past: vec![(Memory::default(), 0)],
        };
        replica.machine.opened(&replica.state).unwrap();
        replica
    }

    fn marks(&self) -> Marks {
        self.machine.board.standing().marks
    }

    /// Applies what is left of the log. False when the power failed.
    fn catch_up(&mut self, log: &[wire::Entry]) -> bool {
        while self.applied < log.len() {
            let committed = Committed {
                group: GroupId::ACCOUNTING,
                index: 10 + self.applied as u64,
                term: 1,
                payload: log[self.applied].encode_to_vec().into(),
                bodies: Vec::new(),
            };
            if self.machine.apply(&committed, &mut self.state).is_err() {
                return false;
            }
            self.machine.written();
            self.applied += 1;
            self.past.push((self.state.clone(), self.applied));
        }
        true
    }

    /// Starts again with files as the power left them and a store that lost its last writes. The
    /// power may fail during the start too.
    fn restart(&mut self, random: &mut Xoshiro256PlusPlus) {
        loop {
            self.disk.restart();
            let kept = random.random_range(0..self.past.len());
            self.past.truncate(kept + 1);
            (self.state, self.applied) = self.past[kept].clone();
            self.machine = machine(&self.disk);
            if random.random_bool(0.2) {
                self.disk.fail_after(random.random_range(0..3));
            }
            if self.machine.opened(&self.state).is_ok() {
                break;
            }
        }
        // What came through a restart is synced by the next write.
        if random.random_bool(0.5) {
            self.past.drain(..self.past.len() - 1);
        }
    }

    /// The accounting files, without the ledger.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.disk.files();
        files.retain(|path, _| !path.starts_with("/state"));
        files
    }
}

fn machine(disk: &MemoryDisk) -> Collecting<MemoryDisk> {
    let place = Place { base: "/base".into(), ledger: "/state".into() };
    Collecting::new(Archive::new(disk.clone(), place, Box::new(GiveUp)), Board::new(7))
}

fn file(path: &str, kinds: &str, columns: &str) -> wire::AcctFile {
    let names = || format!("type,rcpt{columns}").split(',').map(str::to_owned).collect();
    let records = kinds.split(',').map(|k| wire::Columns { r#type: k.to_owned(), names: names() });
    wire::AcctFile {
        path: path.into(),
        records: records.collect(),
        max_size_bytes: u64::MAX,
        iso_times: true,
        ..wire::AcctFile::default()
    }
}

fn random_layout(random: &mut Xoshiro256PlusPlus) -> wire::Layout {
    let columns = if random.random_bool(0.5) { ",orig" } else { "" };
    let mut all = file("logs/all.csv", "d,b", columns);
    all.max_size_bytes = random.random_range(60..400);
    if random.random_bool(0.7) {
        all.move_to = "done".into();
        all.move_interval_s = 3600;
    }
    wire::Layout { files: vec![all, file("/other/bounces.csv", "b", "")] }
}

/// The outbox of a partition, and its sender.
struct Source {
    group: GroupId,
    next_index: u64,
    rows: Vec<wire::Row>,
    /// What the sender believes to have sent.
    sent: OutboxPosition,
}

impl Source {
    fn event(&mut self, random: &mut Xoshiro256PlusPlus) {
        self.next_index += random.random_range(1..4);
        for n in 0..random.random_range(1..4) {
            let position = wire::Position { index: self.next_index, n };
            let kind = [RecordType::Delivery, RecordType::Bounce][random.random_range(0..2)];
            let mut record = Record::new(kind, Timestamp(0));
            record.rcpt = format!("{}@{},{n}", self.group, self.next_index);
            let record = parcel::pack(&record);
            self.rows.push(wire::Row { position: Some(position), record });
        }
    }

    fn batch_after(&mut self, previous: OutboxPosition, limit: usize) -> wire::Batch {
        let after = |row: &&wire::Row| wire::position(row.position) > previous;
        let rows: Vec<wire::Row> = self.rows.iter().filter(after).take(limit).cloned().collect();
        self.sent = rows.last().map_or(previous, |row| wire::position(row.position));
        wire::Batch { partition: self.group.0, previous: Some(wire::position_of(previous)), rows }
    }

    /// What a sender may send: the next rows, rows that were sent before (an answer was lost, or
    /// another sender began), or rows after ones that never arrived.
    fn batch(&mut self, random: &mut Xoshiro256PlusPlus, mark: OutboxPosition) -> wire::Batch {
        let limit = random.random_range(1..6);
        match random.random_range(0..10) {
            0..6 => self.batch_after(self.sent, limit),
            6..9 => self.batch_after(mark, limit),
            _ => {
                self.batch_after(self.sent, 1);
                self.batch_after(self.sent, limit)
            }
        }
    }
}

/// Rows that each file must have, by partition and in order.
fn expected(sources: &[Source], kinds: &[RecordType]) -> HashMap<String, Vec<String>> {
    let rows_of = |source: &Source| {
        let records = source.rows.iter().filter_map(|row| parcel::unpack(&row.record));
        let wanted = records.filter(|record| kinds.contains(&record.kind));
        (source.group.to_string(), wanted.map(|record| record.rcpt).collect())
    };
    sources.iter().map(rows_of).filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty()).collect()
}

fn found(files: &BTreeMap<PathBuf, Vec<u8>>, stem: &str) -> HashMap<String, Vec<String>> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut named: Vec<(String, &Vec<u8>)> =
        files.iter().map(|(path, bytes)| (name(path), bytes)).collect();
    named.retain(|(name, _)| name.starts_with(stem));
    named.sort();
    let mut rows: HashMap<String, Vec<String>> = HashMap::new();
    for (name, bytes) in named {
        assert!(bytes.starts_with(b"type,rcpt"), "{name} has no header");
        assert!(bytes.ends_with(b"\r\n"), "{name} ends within a row");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        for row in reader.records() {
            let rcpt = row.unwrap()[1].to_owned();
            rows.entry(rcpt.split('@').next().unwrap().to_owned()).or_default().push(rcpt);
        }
    }
    rows
}

struct World {
    random: Xoshiro256PlusPlus,
    log: Vec<wire::Entry>,
    now_ms: u64,
    sources: Vec<Source>,
    replica: Replica,
    crashes: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let source = |n| Source {
            group: GroupId::partition(n),
            next_index: 0,
            rows: Vec::new(),
            sent: OutboxPosition::default(),
        };
        Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            log: Vec::new(),
            now_ms: 1_464_477_051_000,
            sources: (0..PARTITIONS).map(source).collect(),
            replica: Replica::new(seed),
            crashes: 0,
        }
    }

    fn mark(&self, source: usize) -> OutboxPosition {
        let marks = self.replica.marks();
        marks.get(&self.sources[source].group).copied().unwrap_or_default()
    }

    fn propose(&mut self, mut entry: wire::Entry) {
        // Clocks of different leaders differ.
        self.now_ms += self.random.random_range(0..DAY_MS / 10);
        entry.now_ms = self.now_ms.saturating_sub(self.random.random_range(0..5000));
        entry.utc_offset_s = 3600;
        entry.founding = 99;
        self.log.push(entry);
        if self.random.random_bool(0.4) {
            let changes = self.random.random_range(0..12);
            self.replica.disk.fail_after(changes);
        }
        self.settle();
    }

    fn settle(&mut self) {
        while !self.replica.catch_up(&self.log) {
            self.crashes += 1;
            self.replica.restart(&mut self.random);
        }
        self.replica.disk.restart();
        if self.random.random_bool(0.05) {
            // Killed between two entries.
            self.crashes += 1;
            self.replica.restart(&mut self.random);
            self.settle();
        }
    }

    fn step(&mut self) {
        let mut entry = wire::Entry::default();
        for n in 0..self.sources.len() {
            if self.random.random_bool(0.7) {
                self.sources[n].event(&mut self.random);
                let mark = self.mark(n);
                entry.batches.push(self.sources[n].batch(&mut self.random, mark));
            }
        }
        if self.random.random_bool(0.1) {
            let names = ["", "logs/all.csv", "bounces.csv"];
            entry.rotate =
                Some(wire::Rotate { file: names[self.random.random_range(0..3)].into() });
        }
        if self.random.random_bool(0.05) {
            entry.layout = Some(random_layout(&mut self.random));
        }
        self.propose(entry);
    }

    /// Every sender goes on until the collector has all rows.
    fn finish(&mut self) {
        for n in 0..self.sources.len() {
            while self.sources[n]
                .rows
                .last()
                .is_some_and(|row| wire::position(row.position) > self.mark(n))
            {
                let mark = self.mark(n);
                let batch = self.sources[n].batch_after(mark, 100);
                self.propose(wire::Entry { batches: vec![batch], ..wire::Entry::default() });
            }
        }
        // Files that could not be moved before the power failed are moved with the next entry.
        for _ in 0..2 {
            self.log.push(wire::Entry { founding: 99, ..wire::Entry::default() });
            self.replica.disk.restart();
            assert!(self.replica.catch_up(&self.log));
        }
    }
}

#[test]
fn every_row_is_written_once_through_crashes_at_every_step() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let layout = Some(random_layout(&mut world.random));
        world.propose(wire::Entry { layout, ..wire::Entry::default() });
        for _ in 0..STEPS {
            world.step();
        }
        world.finish();
        crashes += world.crashes;

        let files = world.replica.files();
        let both = [RecordType::Delivery, RecordType::Bounce];
        let all = expected(&world.sources, &both);
        assert_eq!(found(&files, "all-"), all, "seed {seed}");
        let bounces = expected(&world.sources, &[RecordType::Bounce]);
        assert_eq!(found(&files, "bounces-"), bounces, "seed {seed}");

        // A replica that never crashed has the same files, byte for byte, and the same state.
        let mut other = Replica::new(seed);
        assert!(other.catch_up(&world.log));
        assert_eq!(files, other.files(), "seed {seed}");
        assert_eq!(world.replica.state, other.state, "seed {seed}");
    }
    assert!(crashes > SEEDS, "{crashes} crashes are too few to tell");
}

#[test]
fn a_ledger_of_another_log_does_not_hide_rows() {
    let batch = |index| {
        let mut record = Record::new(RecordType::Delivery, Timestamp(0));
        record.rcpt = format!("a{index}@b");
        let position = Some(wire::Position { index, n: 0 });
        let row = wire::Row { position, record: parcel::pack(&record) };
        wire::Batch { partition: 2, previous: None, rows: vec![row] }
    };
    let entry = |founding, index| wire::Entry {
        founding,
        layout: Some(wire::Layout { files: vec![file("acct.csv", "d", "")] }),
        batches: vec![batch(index)],
        ..wire::Entry::default()
    };
    let mut replica = Replica::new(1);
    assert!(replica.catch_up(&[entry(1, 1), entry(1, 2), entry(1, 3)]));
    // The store is wiped, the ledger is not.
    replica.state = Memory::default();
    replica.applied = 0;
    replica.machine = machine(&replica.disk);
    replica.machine.opened(&replica.state).unwrap();
    assert!(replica.catch_up(&[entry(2, 1)]));
    let files = replica.files();
    let second = &files[Path::new("/base/acct-1970-01-01-0001.csv")];
    assert_eq!(second, b"type,rcpt\r\nd,a1@b\r\n");
    assert_eq!(files.len(), 2);
}

#[test]
fn only_the_proposing_process_feeds_its_pipes() {
    let mut pipe = file("", "d", "");
    pipe.command = vec!["program".into()];
    let row = |index| {
        let record = parcel::pack(&Record::new(RecordType::Delivery, Timestamp(0)));
        let rows = vec![wire::Row { position: Some(wire::Position { index, n: 0 }), record }];
        wire::Batch { partition: 2, previous: None, rows }
    };
    let check = |proposer, expected: usize| {
        let mut replica = Replica::new(1);
        let entry = wire::Entry {
            proposer,
            layout: Some(wire::Layout { files: vec![pipe.clone()] }),
            batches: vec![row(1)],
            ..wire::Entry::default()
        };
        let committed = Committed {
            group: GroupId::ACCOUNTING,
            index: 1,
            term: 1,
            payload: entry.encode_to_vec().into(),
            bodies: Vec::new(),
        };
        replica.machine.apply(&committed, &mut replica.state).unwrap();
        assert_eq!(replica.machine.pipe_rows.len(), expected);
        assert!(replica.files().is_empty());
    };
    check(7, 1);
    check(8, 0);
}
