//! Audits of small states that add up, and of the same states damaged in one place.

use super::*;
use crate::clock::Timestamp as Time;
use crate::message::Class;
use crate::queue::apply::PartitionMachine;
use crate::queue::command::{self, Draft};
use crate::queue::fixture;
use crate::queue::index::Index;
use crate::queue::machine::{Committed, Machine as _, Memory};
use crate::queue::model::{FinalDot, Operation, Target};

const GROUP: GroupId = GroupId(2);

fn at(index: u64) -> Locator {
    Locator { group: GROUP, index, slot: 0 }
}

/// Two messages of two recipients: one delivered, one held, one deferred, one new.
fn state() -> Memory {
    let mut machine = PartitionMachine::new(GROUP, std::sync::Arc::new(Index::default()));
    let mut state = Memory::default();
    let to = ["a@x.example", "b@y.example"];
    let target = Target { locator: at(1), recipient: 1, record: None };
    let dot = FinalDot { locator: at(2), term: 1, at: Time(5), recipients: vec![(1, 0), (0, 7)] };
    let drafts = [
        Draft::submit(&fixture::submission(1, &to, "one"), None),
        Draft::submit(&fixture::submission(2, &to, "two"), None),
        Draft::report(&fixture::report(at(1), vec![fixture::result(0, Class::Delivered)]), None),
        Draft::report(&fixture::report(at(2), vec![fixture::result(0, Class::Deferred)]), None),
        Draft::operation(&Operation::Hold { targets: vec![target], held: true }),
        Draft::mark_unknown(crate::id::NodeId(3), 1, &[dot]),
    ];
    for (index, draft) in (1..).zip(&drafts) {
        let proposal = command::entry(command::FORMAT, Time(1000), std::iter::once(draft));
        let entry = Committed {
            group: GROUP,
            index,
            term: 1,
            payload: proposal.payload,
            bodies: proposal.bodies.iter().map(|b| b.len() as u64).collect(),
        };
        machine.apply(&entry, &mut state).unwrap();
    }
    state
}

fn run(state: &Memory) -> Audited {
    let bodies = |part: BodyPart| Ok((part.index <= 2).then_some(3));
    let source =
        Source { group: GROUP, applied: 6, view: state, body: Some(&bodies), expired: &|| false };
    audit(&source).unwrap()
}

#[test]
fn a_state_that_adds_up_has_no_findings() {
    let audited = run(&state());
    assert_eq!(audited.findings, Vec::<String>::new());
    let found = audited.found;
    assert_eq!((found.queued_messages, found.queued_recipients), (2, 3));
    assert_eq!((found.held, found.due, found.unknown, found.bodies), (1, 2, 1, 2));
    // Receipts of four recipients, a delivery, and a deferral.
    assert_eq!((found.rows_waiting, audited.counted.rows_made), (6, 6));
    assert_eq!((audited.counted.accepted, audited.counted.delivered), (4, 1));
    assert_eq!(audited.checksum, run(&state()).checksum);
}

#[test]
fn each_damage_is_found() {
    let whole = state();
    let first = |table: Table| {
        let keys = whole.rows.keys().filter(|(of, _)| *of == table);
        keys.map(|(_, key)| key.clone()).next().unwrap()
    };
    let removed = |table: Table, key: &[u8]| {
        let mut state = whole.clone();
        state.rows.remove(&(table, key.to_vec())).unwrap();
        state
    };
    let recipient = rows::recipient(at(2), 0);
    let mut strange = whole.clone();
    strange.rows.insert((Table::Due, first(Table::Due)[..4].to_vec()), Vec::new());
    let mut counted = whole.clone();
    let counters = proto::Counters { accepted_recipients: 9, ..proto::Counters::default() };
    counted.rows.insert((Table::State, rows::COUNTERS.to_vec()), counters.encode_to_vec());
    for (state, expected) in [
        (removed(Table::Due, &first(Table::Due)), "does not wait in its queue"),
        (removed(Table::Recipient, &recipient), "3 open recipients are counted and 2 are there"),
        (removed(Table::Recipient, &recipient), "a queue has recipient 0 of p0:2.0 wrongly"),
        (removed(Table::Message, &rows::message(at(2))), "recipient 0 of p0:2.0 has no message"),
        (removed(Table::Outbox, &first(Table::Outbox)), "6 accounting rows that wait are counted"),
        (strange, "cannot be read"),
        (counted, "9 accepted, but 0 delivered + 0 bounced + 0 deleted + 0 queued"),
    ] {
        let audited = run(&state);
        let found = audited.findings.iter().any(|finding| finding.contains(expected));
        assert!(found, "{expected:?} is not in {:?}", audited.findings);
        assert_ne!(audited.checksum, run(&whole).checksum);
    }
}

#[test]
fn bodies_that_are_missing_or_cut_are_found() {
    let whole = state();
    for (size, expected) in [(None, "is missing"), (Some(1), "has 1 bytes and not 3")] {
        let bodies = |_| Ok(size);
        let source = Source {
            group: GROUP,
            applied: 6,
            view: &whole,
            body: Some(&bodies),
            expired: &|| false,
        };
        let audited = audit(&source).unwrap();
        assert_eq!(audited.findings.len(), 2);
        assert!(audited.findings[0].contains(expected), "{:?}", audited.findings);
    }
}

#[test]
fn an_audit_ends_when_its_time_is_up() {
    let whole = state();
    let source = Source { group: GROUP, applied: 6, view: &whole, body: None, expired: &|| true };
    assert!(matches!(audit(&source), Err(Stop::Expired)));
}
