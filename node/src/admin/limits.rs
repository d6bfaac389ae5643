//! `show limits`: how this node stands to the limits of the cluster.

use convoy_proto::admin as proto;
use tonic::Status;

use super::ports::{LimitFigures, LimitState};
use super::service::{Ports, refused};
use crate::queue::pattern::QueuePattern;

pub(super) fn limits(
    ports: &Ports,
    request: &proto::LimitsRequest,
) -> Result<proto::LimitsReply, Status> {
    let pattern = match request.pattern.as_str() {
        "" => QueuePattern::all(),
        text => QueuePattern::parse(text).map_err(refused)?,
    };
    let figures = ports.delivery.limits().into_iter();
    let mut rows: Vec<proto::LimitRow> =
        figures.filter(|limit| pattern.matches(&limit.queue)).map(row).collect();
    let total = rows.len() as u64;
    if request.max_items > 0 {
        rows.truncate(usize::try_from(request.max_items).unwrap_or(usize::MAX));
    }
    let end = proto::ListEnd { shown: rows.len() as u64, total, missing: Vec::new() };
    Ok(proto::LimitsReply { rows, end: Some(end) })
}

fn row(limit: LimitFigures) -> proto::LimitRow {
    let state = match limit.state {
        LimitState::Alone => proto::LimitState::Alone,
        LimitState::Granted => proto::LimitState::Granted,
        LimitState::Learning => proto::LimitState::Learning,
        LimitState::SafeShare => proto::LimitState::SafeShare,
        LimitState::Nothing => proto::LimitState::Nothing,
    };
    proto::LimitRow {
        name: limit.name,
        queue: limit.queue.to_string(),
        source: limit.source,
        limit: limit.limit,
        period_ms: u64::try_from(limit.period.as_millis()).unwrap_or(u64::MAX),
        granted: limit.granted,
        used: limit.used,
        coordinator: limit.coordinator.map_or(0, |node| node.0),
        state: state.into(),
    }
}
