//! The accounting protocol's messages, and the small conversions between them and our own values.

pub(crate) use convoy_proto::accounting::*;

use crate::accounting::archive::Marks;
use crate::id::GroupId;
use crate::queue::model::{OutboxPosition, OutboxRow};

/// A position that is not given is the very beginning.
pub(crate) fn position(position: Option<Position>) -> OutboxPosition {
    position.map_or_else(OutboxPosition::default, |p| OutboxPosition {
        index: p.index,
        n: u16::try_from(p.n).unwrap_or(u16::MAX),
    })
}

/// The wire form of a position.
pub(crate) fn position_of(position: OutboxPosition) -> Position {
    Position { index: position.index, n: u32::from(position.n) }
}

/// The place of a row in its outbox.
pub(crate) fn place(row: &OutboxRow) -> OutboxPosition {
    OutboxPosition { index: row.index, n: row.n }
}

/// The wire form of what the collector has.
pub(crate) fn marks(marks: &Marks) -> Vec<Mark> {
    marks
        .iter()
        .map(|(group, upto)| Mark { partition: group.0, upto: Some(position_of(*upto)) })
        .collect()
}

/// The partition that a message names.
pub(crate) const fn partition(number: u32) -> GroupId {
    GroupId(number)
}
