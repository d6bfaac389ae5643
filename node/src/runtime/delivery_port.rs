//! What administration asks of delivery.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::node::Parts;
use crate::admin::ports::{
    Activity, ConnectionFigures, DeliveryPort, Event, EventKind, LimitFigures, LimitState, Mode,
    Refusal,
};
use crate::admin::window::Tally;
use crate::clock::Timestamp;
use crate::cluster::limits::{Sight, State};
use crate::delivery;
use crate::id::{NodeId, QueueName};

/// Delivery, as administration sees it.
pub(super) struct Port(pub(super) Arc<Parts>);

impl DeliveryPort for Port {
    fn delivered(&self) -> Tally {
        let (recipients, messages, bytes) = self.0.delivery.counters().delivered();
        Tally { recipients, messages, bytes }
    }

    fn connections(&self) -> ConnectionFigures {
        let counters = self.0.delivery.counters();
        ConnectionFigures { current: counters.connections(), top: counters.connections_top() }
    }

    fn reset_top(&self) {
        self.0.delivery.counters().reset_top();
    }

    fn activity(&self) -> BoxFuture<'_, HashMap<QueueName, Activity>> {
        let known = self.0.delivery.activity();
        async move { known.into_iter().map(|(queue, activity)| (queue, shown(activity))).collect() }
            .boxed()
    }

    fn trace(
        &self,
        queue: QueueName,
    ) -> BoxFuture<'_, Result<mpsc::Receiver<(Timestamp, String)>, Refusal>> {
        async move {
            self.0.delivery.trace(queue).ok_or_else(|| {
                Refusal::Unavailable("too many traces are waiting already".to_owned())
            })
        }
        .boxed()
    }

    fn limits(&self) -> Vec<LimitFigures> {
        self.0.limits.sights().into_iter().map(limit).collect()
    }

    fn wake(&self, queue: QueueName) {
        self.0.delivery.wake(queue);
    }
}

/// The name of a limit is a directive, a queue and perhaps a source address.
fn limit((sight, coordinator): (Sight, Option<NodeId>)) -> LimitFigures {
    let mut words = sight.key.as_str().split(' ').map(str::to_owned);
    let name = words.next().unwrap_or_default();
    let queue = words.next().unwrap_or_default();
    LimitFigures {
        name,
        queue: queue.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}),
        source: words.next().unwrap_or_default(),
        limit: sight.limit,
        period: sight.period,
        granted: sight.granted,
        used: sight.used,
        coordinator,
        state: match sight.state {
            State::Alone => LimitState::Alone,
            State::Granted => LimitState::Granted,
            State::Learning => LimitState::Learning,
            State::SafeShare => LimitState::SafeShare,
            State::Nothing => LimitState::Nothing,
        },
    }
}

fn shown(activity: delivery::Activity) -> Activity {
    let events = activity.events.into_iter().map(|event| Event {
        kind: match event.kind {
            delivery::EventKind::Queue => EventKind::Queue,
            delivery::EventKind::Recipient => EventKind::Recipient,
        },
        at: event.at,
        text: event.text,
    });
    Activity {
        connections: activity.connections,
        // Which queues an operator slowed down, administration knows itself.
        mode: Mode::Normal,
        retry_at: activity.retry_at,
        last_error: activity.last_error,
        events: events.collect(),
    }
}
