//! The words of `terms` as protocol buffers.

use std::time::Duration;

use convoy_proto::limits as proto;

use super::terms::{Answer, Ask, Grant, Item};
use crate::delivery::limits::{Bound, Key, Measure};
use crate::id::{GroupId, NodeId};

/// Items in one ask. A coordinator leases out fewer limits than this, and those come first.
const LIST_MAX: usize = 20_000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn nodes(nodes: &[NodeId]) -> proto::Nodes {
    proto::Nodes { ids: nodes.iter().map(|node| node.0).collect() }
}

fn from_nodes(nodes: proto::Nodes) -> Vec<NodeId> {
    nodes.ids.into_iter().map(NodeId).collect()
}

fn bound(bound: &Bound) -> proto::Bound {
    let (step, gap) = match bound.measure {
        Measure::Places => (0, Duration::ZERO),
        Measure::Events { step, gap } => (step, gap),
    };
    proto::Bound {
        key: bound.key.as_str().to_owned(),
        units: bound.units,
        period_us: micros(bound.period),
        step,
        gap_us: micros(gap),
    }
}

/// None when the other side says nothing that makes sense.
fn from_bound(bound: Option<proto::Bound>) -> Option<Bound> {
    let bound = bound?;
    let period = Duration::from_micros(bound.period_us);
    let measure = if bound.period_us == 0 {
        Measure::Places
    } else {
        Measure::Events { step: bound.step.max(1), gap: Duration::from_micros(bound.gap_us) }
    };
    let is_sound = bound.units > 0 && !bound.key.is_empty();
    let key = Key::from_text(&bound.key);
    is_sound.then_some(Bound { key, measure, units: bound.units, period })
}

pub(super) fn ask(group: GroupId, ask: &Ask) -> proto::Ask {
    let item = |item: &Item| proto::Item {
        bound: Some(bound(&item.bound)),
        amount: item.amount,
        epoch: item.grant.map_or(0, |(epoch, _)| epoch),
        serial: item.grant.map_or(0, |(_, serial)| serial),
        used: item.used,
        wanted: item.wanted,
        wait_us: micros(item.wait),
    };
    proto::Ask {
        group: group.0,
        number: ask.number,
        heard: ask.heard,
        epoch: ask.epoch,
        members: Some(nodes(&ask.members)),
        right: ask.right.as_deref().map(nodes),
        items: ask.items.iter().take(LIST_MAX).map(item).collect(),
    }
}

pub(super) fn from_ask(node: NodeId, incarnation: u64, ask: proto::Ask) -> (GroupId, Ask) {
    let item = |item: proto::Item| {
        Some(Item {
            bound: from_bound(item.bound)?,
            amount: item.amount,
            grant: (item.serial > 0).then_some((item.epoch, item.serial)),
            used: item.used,
            wanted: item.wanted,
            wait: Duration::from_micros(item.wait_us),
        })
    };
    let group = GroupId(ask.group);
    let ask = Ask {
        node,
        incarnation,
        number: ask.number,
        heard: ask.heard,
        epoch: ask.epoch,
        members: ask.members.map(from_nodes).unwrap_or_default(),
        right: ask.right.map(from_nodes),
        items: ask.items.into_iter().take(LIST_MAX).filter_map(item).collect(),
    };
    (group, ask)
}

pub(super) fn answer(group: GroupId, answer: &Answer) -> proto::Answer {
    let grant = |grant: &Grant| proto::Grant {
        bound: Some(bound(&grant.bound)),
        serial: grant.serial,
        amount: grant.amount,
        keep: grant.keep,
        wait_us: grant.wait.map(micros),
    };
    proto::Answer {
        group: group.0,
        number: answer.number,
        epoch: answer.epoch,
        learning: answer.learning,
        settled: answer.settled,
        right: answer.right.as_deref().map(nodes),
        grants: answer.grants.iter().map(grant).collect(),
    }
}

pub(super) fn from_answer(answer: proto::Answer) -> (GroupId, Answer) {
    let grant = |grant: proto::Grant| {
        Some(Grant {
            bound: from_bound(grant.bound)?,
            serial: grant.serial,
            amount: grant.amount,
            keep: grant.keep,
            wait: grant.wait_us.map(Duration::from_micros),
        })
    };
    let group = GroupId(answer.group);
    let answer = Answer {
        number: answer.number,
        epoch: answer.epoch,
        learning: answer.learning,
        settled: answer.settled,
        right: answer.right.map(from_nodes),
        grants: answer.grants.into_iter().filter_map(grant).collect(),
    };
    (group, answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Rate;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let rate = Rate { events: 700, period: Duration::from_secs(3600) };
        let bound = Bound::events(Key::from_text("max-msg-rate x/v"), rate);
        let item = Item {
            bound,
            amount: 3,
            grant: Some((7, 9)),
            used: 1,
            wanted: 5,
            wait: Duration::from_millis(40),
        };
        let said = Ask {
            node: NodeId(2),
            incarnation: 11,
            number: 4,
            heard: 3,
            epoch: 7,
            members: vec![NodeId(1), NodeId(2)],
            right: Some(vec![NodeId(1)]),
            items: vec![item],
        };
        let heard = from_ask(NodeId(2), 11, ask(GroupId(5), &said));
        // Times travel in microseconds.
        let heard_gap = &heard.1.items[0].bound.measure;
        assert!(matches!(heard_gap, Measure::Events { step: 14, .. }));
        assert_eq!(
            (heard.0, &heard.1.members, &heard.1.right),
            (GroupId(5), &said.members, &said.right)
        );
        assert_eq!(heard.1.items[0].grant, Some((7, 9)));
        let places = Bound::places(Key::from_text("max-smtp-out x/v"), 20);
        let grant = Grant { bound: places, serial: 8, amount: Some(0), keep: true, wait: None };
        let said = Answer {
            number: 4,
            epoch: 7,
            learning: true,
            settled: false,
            right: None,
            grants: vec![grant],
        };
        assert_eq!(from_answer(answer(GroupId(5), &said)), (GroupId(5), said));
    }
}
