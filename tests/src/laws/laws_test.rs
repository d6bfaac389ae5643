use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::history::{Answer, Attempt, Connection, Limit, Minority, Replica, Row, Rule, Sent};

const fn s(seconds: u64) -> At {
    Duration::from_secs(seconds)
}

const fn to(id: u32) -> Recipient {
    Recipient { id, n: 0 }
}

fn sent(id: u32, answers: &[Answer]) -> Sent {
    let attempt = |(n, answer): (usize, &Answer)| Attempt {
        node: 0,
        dot: Some(s(n as u64)),
        ended: s(n as u64 + 1),
        answer: *answer,
    };
    Sent { id, recipients: 1, attempts: answers.iter().enumerate().map(attempt).collect() }
}

/// Node 0 brings a message at `dot`; the reply goes out a second later, the next command comes
/// another second later.
fn came(id: u32, dot: u64) -> Transaction {
    Transaction {
        receiver: 0,
        node: Some(0),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        recipients: vec![to(id)],
        began: s(dot),
        dot: s(dot),
        replied: Some(s(dot + 1)),
        taken: true,
        next: Some(s(dot + 2)),
        intact: true,
        encrypted: false,
    }
}

fn fault(node: u8, at: u64) -> Fault {
    Fault { what: "kill".to_owned(), node: Some(node), from: s(at), until: s(at), frozen: false }
}

const fn row(id: u32, delivered: bool) -> Row {
    Row { recipient: to(id), delivered }
}

/// One message accepted, delivered and accounted.
fn good() -> History {
    History {
        sent: vec![sent(1, &[Answer::Accepted])],
        transactions: vec![came(1, 10)],
        rows: vec![row(1, true)],
        ..History::default()
    }
}

fn broken(history: &History) -> Vec<Law> {
    let mut laws: Vec<_> =
        judge(history, Tolerance::default()).violations.iter().map(|v| v.law).collect();
    laws.dedup();
    laws
}

#[test]
fn a_good_run_breaks_nothing() {
    let judgement = judge(&good(), Tolerance::default());
    assert_eq!(judgement.violations, []);
    let expected = Figures { accepted: 1, delivered: 1, rows: 1, ..Figures::default() };
    assert_eq!(judgement.figures, expected);
}

#[test]
fn what_was_accepted_is_delivered_bounced_or_queued() {
    let lost = History { transactions: vec![], rows: vec![], ..good() };
    assert_eq!(broken(&lost), [Law::NothingLost, Law::RowsOnce]);
    assert_eq!(judge(&lost, Tolerance::default()).violations[0].recipients, [to(1)]);
    let queued = History { queued: 1, ..lost.clone() };
    assert_eq!(broken(&queued), []);
    let bounced = History { rows: vec![row(1, false)], ..lost };
    assert_eq!(broken(&bounced), []);
    let mut changed = good();
    changed.transactions[0].intact = false;
    assert_eq!(broken(&changed), [Law::NothingLost]);
}

#[test]
fn what_was_refused_stays_out_and_what_nobody_answered_may_come() {
    let cases = [
        (Answer::Refused(550), vec![Law::RefusedStaysOut]),
        (Answer::Unsent, vec![Law::RefusedStaysOut]),
        (Answer::Unknown, vec![]),
        (Answer::Deferred(451), vec![]),
    ];
    for (answer, expected) in cases {
        let history = History { sent: vec![sent(1, &[answer])], ..good() };
        assert_eq!(broken(&history), expected, "{answer:?}");
    }
}

#[test]
fn only_what_was_in_flight_at_a_fault_may_come_twice() {
    let twice = History { transactions: vec![came(1, 10), came(1, 20)], ..good() };
    // Final dot at 10, reply at 11, next command at 12.
    let cases = [
        ("no fault", None, false),
        ("before the dot", Some(fault(0, 9)), false),
        ("before the reply", Some(fault(0, 10)), true),
        ("after the reply", Some(fault(0, 12)), true),
        ("after the next command", Some(fault(0, 13)), false),
        ("another node", Some(fault(1, 10)), false),
        ("after the copy", Some(fault(0, 21)), false),
    ];
    for (name, fault, allowed) in cases {
        let history = History { faults: fault.into_iter().collect(), ..twice.clone() };
        let expected = if allowed { vec![] } else { vec![Law::NoDuplicates] };
        assert_eq!(broken(&history), expected, "{name}");
        assert_eq!(judge(&history, Tolerance::default()).figures.duplicates, 1, "{name}");
    }
}

#[test]
fn a_silent_session_has_recorded_its_outcome_after_a_while() {
    let mut first = came(1, 10);
    first.next = None;
    for (at, allowed) in [(13, true), (14, false)] {
        let history = History {
            transactions: vec![first.clone(), came(1, 20)],
            faults: vec![fault(0, at)],
            ..good()
        };
        assert_eq!(broken(&history).is_empty(), allowed, "{at}");
    }
}

#[test]
fn a_reply_that_was_never_written_explains_a_copy() {
    let mut first = came(1, 10);
    first.replied = None;
    first.next = None;
    let history = History { transactions: vec![first, came(1, 20)], ..good() };
    assert_eq!(broken(&history), []);
}

#[test]
fn the_source_may_repeat_what_was_not_answered() {
    let history = History {
        sent: vec![sent(1, &[Answer::Unknown, Answer::Accepted])],
        transactions: vec![came(1, 10), came(1, 20)],
        rows: vec![row(1, true), row(1, true)],
        ..good()
    };
    let judgement = judge(&history, Tolerance::default());
    assert_eq!(judgement.violations, []);
    assert_eq!((judgement.figures.duplicates, judgement.figures.repeated), (0, 1));
    let thrice = History { transactions: vec![came(1, 10), came(1, 20), came(1, 30)], ..history };
    assert_eq!(broken(&thrice), [Law::NoDuplicates]);
}

#[test]
fn rows_come_once_and_are_true() {
    let twice = History { rows: vec![row(1, true), row(1, true)], ..good() };
    assert_eq!(broken(&twice), [Law::RowsOnce]);
    let both = History { rows: vec![row(1, true), row(1, false)], ..good() };
    assert_eq!(broken(&both), [Law::RowsOnce]);
    let missing = History { rows: vec![], ..good() };
    assert_eq!(broken(&missing), [Law::RowsOnce]);
    let untrue = History { rows: vec![row(1, true), row(2, true)], ..good() };
    assert_eq!(broken(&untrue), [Law::RowsOnce]);
}

#[test]
fn replicas_of_the_files_are_the_same() {
    let replica = |node, files: &[(&str, &str)]| Replica {
        node,
        files: files.iter().map(|(n, c)| ((*n).to_owned(), c.as_bytes().to_vec())).collect(),
    };
    let cases: [(&[(&str, &str)], bool); 4] = [
        (&[("a.csv", "x\ny\n")], true),
        (&[("a.csv", "x\nz\n")], false),
        (&[("a.csv", "x\n")], false),
        (&[("a.csv", "x\ny\n"), ("b.csv", "")], false),
    ];
    for (files, same) in cases {
        let replicas = vec![replica(0, &[("a.csv", "x\ny\n")]), replica(1, files)];
        let history = History { replicas, ..good() };
        assert_eq!(broken(&history).is_empty(), same, "{files:?}");
    }
}

fn connection(node: u8, opened: u64, ended: Option<u64>) -> Connection {
    Connection {
        receiver: 0,
        node: Some(node),
        source: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + node)),
        opened: s(opened),
        ended: ended.map(s),
        mails_in_clear: 0,
    }
}

fn limited(rule: Rule, connections: Vec<Connection>) -> History {
    let limits = vec![Limit { receiver: 0, source: None, rule }];
    History { limits, connections, ..good() }
}

#[test]
fn connections_are_counted_over_all_nodes() {
    let open = |list: &[(u8, u64, Option<u64>)]| {
        list.iter().map(|&(node, from, to)| connection(node, from, to)).collect::<Vec<_>>()
    };
    let within = open(&[(0, 1, Some(5)), (1, 2, Some(6)), (2, 5, Some(8)), (0, 6, None)]);
    let history = limited(Rule::Connections(2), within);
    assert_eq!(broken(&history), []);
    assert_eq!(judge(&history, Tolerance::default()).figures.peaks[0].most, 2);
    let over = open(&[(0, 1, Some(5)), (1, 2, Some(6)), (2, 4, Some(8))]);
    assert_eq!(broken(&limited(Rule::Connections(2), over.clone())), [Law::Limits]);
    let never_ended = open(&[(0, 1, None), (1, 2, None)]);
    assert_eq!(broken(&limited(Rule::Connections(1), never_ended)), [Law::Limits]);

    let mut frozen = limited(Rule::Connections(2), over);
    frozen.faults = vec![Fault { frozen: true, ..fault(0, 3) }];
    assert_eq!(broken(&frozen), [], "a frozen node cannot close its connections");

    let mut elsewhere = limited(Rule::Connections(0), open(&[(0, 1, Some(5))]));
    elsewhere.limits[0].source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    assert_eq!(broken(&elsewhere), []);
}

#[test]
fn rates_hold_in_every_window() {
    let three = vec![connection(0, 1, None), connection(1, 2, None), connection(2, 4, None)];
    for (allowed, per, holds) in [(2, 3, true), (2, 4, false), (3, 4, true), (1, 2, false)] {
        let history = limited(Rule::Connects(allowed, s(per)), three.clone());
        assert_eq!(broken(&history).is_empty(), holds, "{allowed} in {per}s");
    }
    let mut history = limited(Rule::Messages(1, s(5)), vec![]);
    assert_eq!(broken(&history), []);
    history.limits[0].rule = Rule::Messages(0, s(5));
    assert_eq!(broken(&history), [Law::Limits]);
}

#[test]
fn required_encryption_covers_envelopes_too() {
    let history = History { encrypted_only: vec![0], ..good() };
    assert_eq!(broken(&history), [Law::Encrypted]);
    assert_eq!(broken(&History { encrypted_only: vec![1], ..good() }), []);
    let mut encrypted = history;
    encrypted.transactions[0].encrypted = true;
    assert_eq!(broken(&encrypted), []);
    encrypted.connections = vec![Connection { mails_in_clear: 1, ..connection(0, 1, None) }];
    assert_eq!(broken(&encrypted), [Law::Encrypted]);
}

#[test]
fn nothing_is_accepted_without_a_majority() {
    // Dot at 0, answered at 1.
    let cases = [(0, 0, 2, false), (0, 1, 2, true), (0, 0, 1, true), (1, 0, 2, true)];
    for (node, from, until, holds) in cases {
        let minorities = vec![Minority { node, from: s(from), until: s(until) }];
        let history = History { minorities, ..good() };
        assert_eq!(broken(&history).is_empty(), holds, "{node} {from} {until}");
    }
}
