//! The dialogue of connections: for the log, as far as the settings of the queue ask for it, and
//! for operators who wait for the next connection of a queue.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::info;

use crate::clock::Timestamp;
use crate::config::DomainSettings;
use crate::id::QueueName;
use crate::smtp::client::Line;

/// Lines that wait for a reader; what comes beyond is dropped.
const LINES_MAX: usize = 1000;
/// Readers at once.
const READERS_MAX: usize = 64;

/// A line and its time.
pub type TraceLine = (Timestamp, String);

/// Operators who wait for connections.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    waiting: Mutex<HashMap<QueueName, Vec<mpsc::Sender<TraceLine>>>>,
}

impl Traces {
    /// The lines of the queue's next connection; none when too many operators wait already.
    pub(crate) fn subscribe(&self, queue: QueueName) -> Option<mpsc::Receiver<TraceLine>> {
        let mut waiting = self.waiting.lock();
        for readers in waiting.values_mut() {
            readers.retain(|reader| !reader.is_closed());
        }
        waiting.retain(|_, readers| !readers.is_empty());
        if waiting.values().map(Vec::len).sum::<usize>() >= READERS_MAX {
            return None;
        }
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        waiting.entry(queue).or_default().push(sender);
        Some(receiver)
    }

    fn take(&self, queue: &QueueName) -> Vec<mpsc::Sender<TraceLine>> {
        self.waiting.lock().remove(queue).unwrap_or_default()
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Connection,
    Command,
    Resolution,
    Tls,
}

/// Where the lines of one connection go.
#[derive(Debug)]
pub(crate) struct Dialogue {
    number: u64,
    connections: bool,
    commands: bool,
    resolution: bool,
    tls: bool,
    readers: Mutex<Vec<mpsc::Sender<TraceLine>>>,
}

impl Dialogue {
    /// For connection `number`; it answers the operators who wait.
    pub(crate) fn new(
        traces: &Traces,
        queue: &QueueName,
        settings: &DomainSettings,
        number: u64,
    ) -> Self {
        Self {
            number,
            connections: settings.log_connections,
            commands: settings.log_commands,
            resolution: settings.log_resolution,
            tls: settings.log_tls,
            readers: Mutex::new(traces.take(queue)),
        }
    }

    /// Does anybody want to see commands and replies?
    pub(crate) fn wants_commands(&self) -> bool {
        self.commands || !self.readers.lock().is_empty()
    }

    /// A command or reply; `>>>` is what came, as PowerMTA writes it.
    pub(crate) fn line(&self, line: &Line) {
        match line {
            Line::Received(text) => self.say(About::Command, &format!(">>> {text}")),
            Line::Sent(text) => self.say(About::Command, &format!("<<< {text}")),
        }
    }

    pub(crate) fn say(&self, about: About, text: &str) {
        let logged = match about {
            About::Connection => self.connections,
            About::Command => self.commands,
            About::Resolution => self.resolution,
            About::Tls => self.tls,
        };
        if logged {
            info!("({:>3}) {text}", self.number);
        }
        let mut readers = self.readers.lock();
        if readers.is_empty() {
            return;
        }
        let now = Timestamp::now();
        readers.retain(|reader| !reader.is_closed());
        for reader in readers.iter() {
            // A reader that is too slow misses lines; delivery does not wait for it.
            drop(reader.try_send((now, text.to_owned())));
        }
    }
}
