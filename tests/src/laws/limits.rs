//! Law 5: what the cluster does to a receiver, all nodes together.

use std::time::Duration;

use super::{Figures, Law, Tolerance, Violation};
use crate::history::{At, Connection, History, Limit, Rule};

/// The most that was seen of something limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The receiver, by its number from 0.
    pub receiver: u8,
    /// What is limited, and to how much.
    pub rule: Rule,
    /// The most at any instant or in any such time.
    pub most: u32,
}

pub(super) fn judge(
    history: &History,
    tolerance: Tolerance,
    figures: &mut Figures,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for limit in &history.limits {
        let (most, violation) = match limit.rule {
            Rule::Connections(allowed) => connections(history, limit, allowed, tolerance),
            Rule::Messages(allowed, per) => {
                let of = |n: &&crate::history::Transaction| applies(limit, n.receiver, n.source);
                let began = history.transactions.iter().filter(of).map(|n| n.began).collect();
                rate(began, limit, allowed, per)
            }
            Rule::Connects(allowed, per) => {
                let of = |n: &&Connection| applies(limit, n.receiver, n.source);
                let opened = history.connections.iter().filter(of).map(|n| n.opened).collect();
                rate(opened, limit, allowed, per)
            }
        };
        figures.peaks.push(Peak { receiver: limit.receiver, rule: limit.rule, most });
        found.extend(violation);
    }
    found
}

fn applies(limit: &Limit, receiver: u8, source: std::net::IpAddr) -> bool {
    limit.receiver == receiver && limit.source.is_none_or(|only| only == source)
}

/// When the receiver may stop to count a connection: its end, or the moment at which its node was
/// frozen and could not end it.
fn end(history: &History, connection: &Connection) -> Option<At> {
    let frozen = history.faults.iter().filter(|fault| {
        let until = connection.ended.unwrap_or(At::MAX);
        fault.frozen
            && (fault.node.is_none() || fault.node == connection.node)
            && (connection.opened..until).contains(&fault.from)
    });
    let frozen = frozen.map(|fault| fault.from).min();
    frozen.or(connection.ended)
}

fn connections(
    history: &History,
    limit: &Limit,
    allowed: u32,
    tolerance: Tolerance,
) -> (u32, Option<Violation>) {
    let mut changes = Vec::new();
    let of = |n: &&Connection| applies(limit, n.receiver, n.source);
    for connection in history.connections.iter().filter(of) {
        changes.push((connection.opened, true));
        changes.extend(end(history, connection).map(|at| (at, false)));
    }
    // At the same moment ends come first.
    changes.sort();
    let (mut open, mut most, mut over) = (0_u32, 0, None);
    // How long, and since when.
    let mut longest = (Duration::ZERO, At::ZERO);
    for (at, opens) in changes {
        open = if opens { open + 1 } else { open.saturating_sub(1) };
        most = most.max(open);
        match (over, open > allowed) {
            (None, true) => over = Some(at),
            (Some(since), false) => {
                longest = longest.max((at - since, since));
                over = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    if let Some(since) = over {
        longest = longest.max((At::MAX - since, since));
    }
    let (long, when) = longest;
    let violation = (long > tolerance.skew).then(|| {
        let what = format!(
            "receiver {} had {most} connections, {allowed} are allowed, for {long:?} at {when:?}",
            limit.receiver
        );
        Violation::new(Law::Limits, what)
    });
    (most, violation)
}

/// The most events in any window of this length, and the violation when it is more than allowed.
fn rate(
    mut events: Vec<At>,
    limit: &Limit,
    allowed: u32,
    per: Duration,
) -> (u32, Option<Violation>) {
    events.sort();
    let (mut most, mut when, mut first) = (0, At::ZERO, 0);
    for (n, at) in events.iter().enumerate() {
        while *at >= events[first] + per {
            first += 1;
        }
        let count = u32::try_from(n - first + 1).unwrap_or(u32::MAX);
        if count > most {
            (most, when) = (count, events[first]);
        }
    }
    let violation = (most > allowed).then(|| {
        let receiver = limit.receiver;
        let what = format!("receiver {receiver} had {most} in {per:?} from {when:?} on");
        Violation::new(Law::Limits, format!("{what}, {:?} is allowed", limit.rule))
    });
    (most, violation)
}
