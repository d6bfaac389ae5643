//! Each command on small states.

use std::sync::Arc;

use bytes::Bytes;

use super::PartitionMachine;
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, MessageId, QueueName};
use crate::message::{Class, RecordType};
use crate::queue::command::{self, Draft};
use crate::queue::fixture;
use crate::queue::index::Index;
use crate::queue::machine::{
    Answer, BodyPart, Committed, Machine, MachineError, Memory, Table, View,
};
use crate::queue::model::{Operation, OutboxPosition, Target};
use crate::queue::rows;

pub(super) const GROUP: GroupId = GroupId::partition(0);

/// A partition in memory.
pub(super) struct Partition {
    pub(super) machine: PartitionMachine,
    pub(super) index: Arc<Index>,
    pub(super) state: Memory,
    pub(super) last: u64,
    pub(super) now: u64,
}

impl Partition {
    pub(super) fn new() -> Self {
        let index = Arc::new(Index::default());
        let machine = PartitionMachine::new(GROUP, index.clone());
        Self { machine, index, state: Memory::default(), last: 0, now: 1_000_000 }
    }

    /// Applies one entry.
    pub(super) fn apply(&mut self, drafts: &[Draft]) -> Result<Vec<Answer>, MachineError> {
        self.last += 1;
        let proposal = command::entry(1, Timestamp(self.now), drafts.iter());
        let entry = Committed {
            group: GROUP,
            index: self.last,
            term: 1,
            payload: proposal.payload,
            bodies: proposal.bodies.iter().map(|b| b.len() as u64).collect(),
        };
        let answers = self.machine.apply(&entry, &mut self.state)?;
        self.machine.written()?;
        Ok(answers)
    }

    fn one(&mut self, draft: Draft) -> Answer {
        self.apply(&[draft]).unwrap()[0]
    }

    pub(super) fn live(&self, upto: u64) -> Vec<BodyPart> {
        (self.machine.live_bodies())(&self.state, 0, upto).unwrap()
    }

    pub(super) fn count(&self, table: Table) -> usize {
        self.state.rows.keys().filter(|(of, _)| *of == table).count()
    }

    fn kinds(&self) -> Vec<i32> {
        use prost::Message as _;
        let rows = self.state.scan(Table::Outbox, &[], &[255; 12], 1000).unwrap();
        let kind = |value: &[u8]| convoy_proto::storage::Record::decode(value).unwrap().kind;
        rows.iter().map(|row| kind(&row.value)).collect()
    }
}

fn submit(id: u128, to: &[&str]) -> Draft {
    Draft::submit(&fixture::submission(id, to, "text"), None)
}

fn at(index: u64, slot: u16) -> Locator {
    Locator { group: GROUP, index, slot }
}

fn report(at: Locator, recipient: u16, class: Class) -> Draft {
    Draft::report(&fixture::report(at, vec![fixture::result(recipient, class)]), None)
}

fn part(index: u64, part: u16) -> BodyPart {
    BodyPart { index, part }
}

#[test]
fn the_number_of_a_command_is_the_slot_of_its_message() {
    let mut p = Partition::new();
    let drafts = [
        submit(1, &["a@x.example"]),
        Draft::records(&[]),
        submit(2, &["b@x.example", "c@y.example"]),
    ];
    let answers = p.apply(&drafts).unwrap();
    assert_eq!(answers, [Answer::Stored(at(1, 0)), Answer::Done, Answer::Stored(at(1, 2))]);
    assert_eq!(p.live(1), [part(1, 0), part(1, 1)]);
    assert_eq!(p.count(Table::Recipient), 3);
    assert_eq!(p.count(Table::Due), 3);
    assert_eq!(p.kinds(), [5, 5, 5]);
}

#[test]
fn the_same_id_is_stored_once_until_it_is_forgotten() {
    let mut p = Partition::new();
    assert_eq!(p.one(submit(1, &["a@x.example"])), Answer::Stored(at(1, 0)));
    let before = p.state.clone();
    assert_eq!(p.one(submit(1, &["a@x.example"])), Answer::Repeated(at(1, 0)));
    assert_eq!(p.state, before);
    p.one(report(at(1, 0), 0, Class::Delivered));
    assert_eq!(
        p.one(submit(1, &["a@x.example"])),
        Answer::Repeated(at(1, 0)),
        "also when it is finished"
    );
    p.one(Draft::expire(Timestamp(p.now)));
    assert_eq!(p.one(submit(1, &["a@x.example"])), Answer::Repeated(at(1, 0)), "not old enough");
    p.one(Draft::expire(Timestamp(p.now + 1)));
    assert_eq!(p.count(Table::Token), 0);
    assert_eq!(p.one(submit(1, &["a@x.example"])), Answer::Stored(at(8, 0)));
}

#[test]
fn a_message_ends_with_its_last_recipient() {
    let mut p = Partition::new();
    p.one(submit(1, &["a@x.example", "b@x.example"]));
    assert_eq!(p.one(report(at(1, 0), 1, Class::Bounced)), Answer::Changed(1));
    assert_eq!(p.count(Table::Message), 2, "the message and its count");
    assert_eq!(p.state.released, []);
    let before = p.state.clone();
    assert_eq!(p.one(report(at(1, 0), 1, Class::Delivered)), Answer::Changed(0));
    assert_eq!(p.state, before, "a finished recipient does not change");
    assert_eq!(p.one(report(at(1, 0), 0, Class::Delivered)), Answer::Changed(1));
    assert_eq!(p.count(Table::Message), 0);
    assert_eq!(p.count(Table::Due), 0);
    assert_eq!(p.state.released, [part(1, 0)]);
    assert_eq!(p.kinds(), [5, 5, 2, 1]);
    assert_eq!(p.index.figures(GROUP), Default::default());
}

#[test]
fn a_deferred_recipient_waits_for_its_next_time() {
    let mut p = Partition::new();
    p.one(submit(1, &["a@x.example"]));
    p.now += 5;
    p.one(report(at(1, 0), 0, Class::Deferred));
    let row = &p.state.scan(Table::Recipient, &[], &[255; 13], 9).unwrap()[0];
    let row: convoy_proto::storage::RecipientRow = prost::Message::decode(&*row.value).unwrap();
    assert_eq!((row.due, row.attempts, row.first_attempt_at), (1_000_000, 1, Some(p.now)));
    let due = p.state.scan(Table::Due, &[], &[255; 40], 9).unwrap();
    assert_eq!(rows::read_due(GROUP, &due[0].key).unwrap().at, Timestamp(1_000_000));
    let mut result = fixture::result(0, Class::Deferred);
    result.counts_as_attempt = false;
    p.one(Draft::report(&fixture::report(at(1, 0), vec![result]), None));
    let row = &p.state.scan(Table::Recipient, &[], &[255; 13], 9).unwrap()[0];
    let row: convoy_proto::storage::RecipientRow = prost::Message::decode(&*row.value).unwrap();
    assert_eq!(row.attempts, 1);
    assert_eq!(p.count(Table::Due), 1);
}

#[test]
fn a_held_recipient_does_not_wait() {
    let mut p = Partition::new();
    p.one(submit(1, &["a@x.example"]));
    let target = Target { locator: at(1, 0), recipient: 0, record: None };
    let hold = |held| Draft::operation(&Operation::Hold { targets: vec![target.clone()], held });
    assert_eq!(p.one(hold(true)), Answer::Changed(1));
    assert_eq!(p.count(Table::Due), 0);
    assert_eq!(p.one(report(at(1, 0), 0, Class::Deferred)), Answer::Changed(1));
    assert_eq!(p.count(Table::Due), 0, "an attempt that was under way does not release it");
    assert_eq!(p.one(hold(false)), Answer::Changed(1));
    assert_eq!(p.count(Table::Due), 1);
    p.one(hold(true));
    let record = Some(fixture::record(RecordType::Bounce));
    let targets = vec![Target { record, ..target }];
    assert_eq!(p.one(Draft::operation(&Operation::Delete { targets })), Answer::Changed(1));
    assert_eq!(p.count(Table::Message), 0);
    assert_eq!(p.kinds(), [5, 3, 2]);
}

#[test]
fn a_notice_comes_with_the_first_report_only() {
    let mut p = Partition::new();
    p.one(submit(1, &["a@x.example"]));
    let mut bounce = fixture::report(at(1, 0), vec![fixture::result(0, Class::Bounced)]);
    bounce.notice = Some(fixture::submission(2, &["from@s.example"], "notice"));
    let draft = Draft::report(&bounce, None);
    p.apply(&[submit(3, &["c@x.example"]), draft.clone()]).unwrap();
    let notice = p.state.get(Table::Message, &rows::message(at(2, 1))).unwrap();
    assert!(notice.is_some());
    assert_eq!(p.live(2), [part(2, 0), part(2, 1)]);
    p.one(draft);
    assert_eq!(p.count(Table::Recipient), 2);
}

#[test]
fn pieces_are_claimed_by_their_message_or_expire() {
    let mut p = Partition::new();
    let piece = |id: u128| Draft::chunk(MessageId(id), Bytes::from_static(b"piece"));
    let answers = p.apply(&[piece(1), piece(1), piece(2)]).unwrap();
    let expected = [0, 1, 2].map(|n| Answer::Piece(part(1, n)));
    assert_eq!(answers, expected);
    let body = |parts: &[u32]| {
        let piece =
            |part: &u32| convoy_proto::storage::BodyRef { index: 1, part: *part, size_bytes: 5 };
        Some(parts.iter().map(piece).collect())
    };
    let long = |id, parts: &[u32]| {
        Draft::submit(&fixture::submission(id, &["a@x.example"], "piecepiece"), body(parts))
    };
    assert_eq!(p.one(long(1, &[0, 2])), Answer::Refused, "a piece of another message");
    assert_eq!(p.one(long(1, &[0, 1])), Answer::Stored(at(3, 0)));
    assert_eq!(p.live(3), [part(1, 0), part(1, 1), part(1, 2)]);
    p.one(Draft::expire(Timestamp(p.now + 1)));
    assert_eq!(p.state.released, [part(1, 2)]);
    assert_eq!(p.live(4), [part(1, 0), part(1, 1)]);
    p.one(report(at(3, 0), 0, Class::Delivered));
    assert_eq!(p.state.released, [part(1, 2), part(1, 0), part(1, 1)]);
    assert_eq!(p.live(5), []);
    assert_eq!(p.count(Table::State), 1, "only the counters are left");
}

#[test]
fn an_acknowledgement_drops_rows_once() {
    let mut p = Partition::new();
    p.apply(&[submit(1, &["a@x.example", "b@x.example"]), submit(2, &["c@x.example"])]).unwrap();
    p.one(Draft::acknowledge(OutboxPosition { index: 1, n: 1 }));
    assert_eq!(p.count(Table::Outbox), 1);
    p.one(Draft::acknowledge(OutboxPosition { index: 1, n: 0 }));
    assert_eq!(p.count(Table::Outbox), 1);
    p.one(Draft::acknowledge(OutboxPosition { index: 9, n: 0 }));
    assert_eq!(p.count(Table::Outbox), 0);
}

#[test]
fn rows_that_contradict_each_other_stop_the_node() {
    let broken = |break_it: &dyn Fn(&mut Partition)| {
        let mut p = Partition::new();
        p.one(submit(1, &["a@x.example"]));
        break_it(&mut p);
        match p.apply(&[report(at(1, 0), 0, Class::Delivered)]) {
            Err(MachineError::Inconsistent(what)) => what,
            other => panic!("{other:?}"),
        }
    };
    let drop_table =
        |table| move |p: &mut Partition| p.state.rows.retain(|(of, _), _| *of != table);
    assert!(broken(&drop_table(Table::Due)).contains("waits false"));
    assert!(broken(&drop_table(Table::Message)).contains("missing"));
    assert!(broken(&drop_table(Table::State)).contains("no recipient is open"));
}

#[test]
fn an_entry_of_another_format_stops_the_node() {
    use prost::Message as _;
    let entry = convoy_proto::storage::Entry { format: 2, proposed_at: 1, commands: vec![] };
    let committed = Committed {
        group: GROUP,
        index: 1,
        term: 1,
        payload: entry.encode_to_vec().into(),
        bodies: vec![],
    };
    let mut p = Partition::new();
    let refused = p.machine.apply(&committed, &mut p.state);
    assert!(matches!(refused, Err(MachineError::Inconsistent(_))));
}

#[test]
fn figures_are_kept_per_queue() {
    let mut p = Partition::new();
    p.apply(&[submit(1, &["a@x.example", "b@y.example"]), submit(2, &["c@x.example"])]).unwrap();
    let queue: QueueName = "x.example/v1".parse().unwrap();
    let figures = p.index.figures(GROUP).queues[&queue];
    assert_eq!((figures.recipients, figures.bytes), (2, 8));
    assert_eq!(p.index.figures(GROUP).jobs["job1"].recipients, 3);
}
