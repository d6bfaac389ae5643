//! What operators see of delivery: figures of the node, and per queue its connections, its last
//! error and a few recent events.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::id::QueueName;

/// Events kept per queue.
const EVENTS_MAX: usize = 10;
/// Queues about which something is kept.
const QUEUES_MAX: usize = 10_000;
/// An event that was told in more words this long ago is not told again.
const JUST_NOW: Duration = Duration::from_secs(1);
/// Characters of an event's text.
const TEXT_MAX: usize = 500;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The queue as a whole: connections, limits, name resolution.
    Queue,
    /// One recipient.
    Recipient,
}

/// Something worth telling that happened on a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// One line.
    pub text: String,
}

/// What delivery knows about one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Open connections.
    pub connections: u32,
    /// When the queue is tried again, after it could not be reached.
    pub retry_at: Option<Timestamp>,
    /// The last error that concerned the queue as a whole.
    pub last_error: Option<(Timestamp, String)>,
    /// Recent events, oldest first.
    pub events: VecDeque<Event>,
}

/// Figures of the node since its start.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    connections_top: AtomicU64,
    recipients: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// Outbound connections that are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Most of them at once, since the start or [`Self::reset_top`].
    #[must_use]
    pub fn connections_top(&self) -> u64 {
        self.connections_top.load(Ordering::Relaxed)
    }

    /// Lets the top begin again at the present number.
    pub fn reset_top(&self) {
        self.connections_top.store(self.connections(), Ordering::Relaxed);
    }

    /// Delivered recipients, messages (transactions) and bytes of these.
    #[must_use]
    pub fn delivered(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.recipients), read(&self.messages), read(&self.bytes))
    }

    pub(crate) fn count_delivery(&self, recipients: usize, bytes: usize) {
        if recipients > 0 {
            self.recipients.fetch_add(recipients as u64, Ordering::Relaxed);
            self.messages.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

/// All queues that delivery knows something about.
#[derive(Debug, Default)]
pub(crate) struct Board {
    queues: Mutex<HashMap<QueueName, Activity>>,
    /// Figures of the node.
    pub(crate) counters: Counters,
}

impl Board {
    /// A copy of all that is known.
    pub(crate) fn activity(&self) -> HashMap<QueueName, Activity> {
        self.queues.lock().clone()
    }

    pub(crate) fn connected(&self, queue: &QueueName) {
        let now = self.counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.counters.connections_top.fetch_max(now, Ordering::Relaxed);
        self.change(queue, |activity| activity.connections += 1);
    }

    pub(crate) fn disconnected(&self, queue: &QueueName) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        self.change(queue, |a| a.connections = a.connections.saturating_sub(1));
    }

    /// The queue's hosts can be reached.
    pub(crate) fn reached(&self, queue: &QueueName) {
        if let Some(activity) = self.queues.lock().get_mut(queue) {
            activity.retry_at = None;
            activity.last_error = None;
        }
    }

    /// The queue cannot be worked on before `retry_at`, if that is known.
    pub(crate) fn failed(
        &self,
        queue: &QueueName,
        at: Timestamp,
        text: &str,
        retry_at: Option<Timestamp>,
    ) {
        let text: String = text.chars().take(TEXT_MAX).collect();
        self.change(queue, |activity| {
            activity.retry_at = retry_at.or(activity.retry_at);
            activity.last_error = Some((at, text.clone()));
            let said = |last: &Event| last.text.contains(&text) && at.since(last.at) < JUST_NOW;
            if !activity.events.back().is_some_and(said) {
                push(activity, Event { kind: EventKind::Queue, at, text });
            }
        });
    }

    pub(crate) fn event(&self, queue: &QueueName, kind: EventKind, at: Timestamp, text: &str) {
        let text = text.chars().take(TEXT_MAX).collect();
        self.change(queue, |activity| push(activity, Event { kind, at, text }));
    }

    fn change(&self, queue: &QueueName, change: impl FnOnce(&mut Activity)) {
        let mut queues = self.queues.lock();
        if queues.len() >= QUEUES_MAX && !queues.contains_key(queue) {
            forget_half(&mut queues);
        }
        change(queues.entry(queue.clone()).or_default());
    }
}

fn push(activity: &mut Activity, event: Event) {
    if activity.events.len() >= EVENTS_MAX {
        activity.events.pop_front();
    }
    activity.events.push_back(event);
}

/// Makes room: of the queues without connections, those about which nothing was said for longest.
fn forget_half(queues: &mut HashMap<QueueName, Activity>) {
    let last = |activity: &Activity| activity.events.back().map(|event| event.at);
    let idle = |activity: &Activity| activity.connections == 0;
    let mut times: Vec<_> = queues.values().filter(|a| idle(a)).map(last).collect();
    times.sort_unstable();
    let Some(limit) = times.get(times.len() / 2).copied() else { return };
    queues.retain(|_, activity| !idle(activity) || last(activity) > limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        name.parse().unwrap()
    }

    #[test]
    fn events_and_queues_are_bounded() {
        let board = Board::default();
        for n in 0..QUEUES_MAX + 5 {
            board.event(&queue(&format!("q{n}")), EventKind::Queue, Timestamp(n as u64), "x");
        }
        assert!(board.activity().len() <= QUEUES_MAX);
        assert!(board.activity().contains_key(&queue(&format!("q{}", QUEUES_MAX + 4))));
        for n in 0..20 {
            board.failed(&queue("a"), Timestamp(n * 5000), &format!("error {n}"), None);
        }
        let activity = board.activity().remove(&queue("a")).unwrap();
        assert_eq!(activity.events.len(), EVENTS_MAX);
        assert_eq!(activity.last_error, Some((Timestamp(95_000), "error 19".to_owned())));
        board.event(&queue("b"), EventKind::Queue, Timestamp(0), "refused while connecting");
        board.failed(&queue("b"), Timestamp(10), "refused", None);
        assert_eq!(board.activity()[&queue("b")].events.len(), 1, "it says the same");
    }

    #[test]
    fn connections_count_up_and_down() {
        let board = Board::default();
        board.connected(&queue("a"));
        board.connected(&queue("a"));
        board.disconnected(&queue("a"));
        assert_eq!(board.activity()[&queue("a")].connections, 1);
        assert_eq!((board.counters.connections(), board.counters.connections_top()), (1, 2));
        board.counters.reset_top();
        assert_eq!(board.counters.connections_top(), 1);
    }
}
