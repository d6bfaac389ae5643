//! The log: `YYYY-MM-DD HH:MM:SS text` into `log-file`, or to standard error without one.
//!
//! Callers never wait: a line goes into a bounded channel, and a thread writes it. When the
//! channel is full, or the disk refuses, lines are dropped and counted, and the count is logged as
//! soon as there is room. Commands of operators (rotate, reload) are not dropped.

mod file;
mod text;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::clock::Timestamp;
use crate::config::settings::Server;

/// Lines that may wait for the disk.
const LINES_WAITING: usize = 16 * 1024;

/// Commands that may wait; each has a caller who waits for its answer.
const COMMANDS_WAITING: usize = 16;

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `log-file`; none is standard error.
    pub path: Option<PathBuf>,
    /// `log-rotate`: old files kept; 0 means that this program does not rotate.
    pub kept: u32,
    /// `log-auto-rotation`: rotate at midnight, local time.
    pub at_midnight: bool,
    /// `log-file-world-readable`.
    pub world_readable: bool,
}

impl LogSettings {
    /// As configured.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            path: server.log_file.clone(),
            kept: server.log_rotate,
            at_midnight: server.log_auto_rotation,
            world_readable: server.log_world_readable,
        }
    }
}

/// What the thread is given besides lines.
enum Command {
    Rotate(oneshot::Sender<io::Result<()>>),
    Configure(LogSettings, oneshot::Sender<io::Result<()>>),
    Flush(oneshot::Sender<()>),
    Stop,
}

/// What wakes the thread.
enum Item {
    Line(Timestamp, String),
    /// Look at the commands.
    Nudge,
}

/// The sending side, shared by the layer and the handle.
#[derive(Debug)]
struct Queue {
    lines: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

/// What is worth a line, by where it comes from. Raft speaks about its own inner life (a message
/// overtaken by an election, and after a failed write each group again); what concerns operators
/// the queue says itself.
fn least(target: &str) -> LevelFilter {
    if target.starts_with("convoy") || target.starts_with("mta") {
        LevelFilter::INFO
    } else if target.starts_with("openraft") {
        LevelFilter::OFF
    } else {
        LevelFilter::WARN
    }
}

/// Turns events into lines. Events of this program from `info` on, of libraries from `warn` on.
#[derive(Debug)]
pub struct LogLayer {
    queue: Arc<Queue>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > least(metadata.target()) {
            return;
        }
        let line = Item::Line(Timestamp::now(), text::of(event));
        if self.queue.lines.try_send(line).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The handle of the log.
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    commands: SyncSender<Command>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The log's thread is gone.
fn ended() -> io::Error {
    io::Error::other("the log has been closed")
}

impl Log {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub fn start(settings: LogSettings) -> io::Result<(Self, LogLayer)> {
        Self::start_with_room(settings, LINES_WAITING)
    }

    fn start_with_room(settings: LogSettings, room: usize) -> io::Result<(Self, LogLayer)> {
        let (lines, waiting): (_, Receiver<Item>) = sync_channel(room);
        let (commands, orders) = sync_channel(COMMANDS_WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Arc::new(Queue { lines, dropped: Arc::clone(&dropped) });
        let target = file::Target::open(settings, Timestamp::now())?;
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer::run(target, &waiting, &orders, &dropped))?;
        let layer = LogLayer { queue: Arc::clone(&queue) };
        Ok((Self { queue, commands, thread: Mutex::new(Some(thread)) }, layer))
    }

    /// Begins a new file: `log` becomes `log.1`, and so on. Without `log-rotate` it opens the file
    /// again, so that another program may have moved it away.
    ///
    /// # Errors
    /// A file cannot be renamed or opened.
    pub async fn rotate(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Rotate(answer))?;
        answered.await.map_err(|_| ended())?
    }

    /// Puts a new configuration to use. When its file cannot be opened, the old one is kept.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn configure(&self, settings: LogSettings) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Configure(settings, answer))?;
        answered.await.map_err(|_| ended())?
    }

    /// Waits until all lines so far are written.
    ///
    /// # Errors
    /// The log has been closed.
    pub async fn flush(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Flush(answer))?;
        answered.await.map_err(|_| ended())
    }

    /// Writes what waits and ends the thread. Blocks for as long as the disk takes.
    pub fn stop(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && self.command(Command::Stop).is_ok()
        {
            // A panic of the thread has been printed already, and there is no log to tell it to.
            let _panicked = thread.join();
        }
    }

    fn command(&self, command: Command) -> io::Result<()> {
        self.commands.try_send(command).map_err(|_| ended())?;
        // A full channel means that the thread is awake.
        let _full = self.queue.lines.try_send(Item::Nudge);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
#[path = "log/log_test.rs"]
mod log_test;
