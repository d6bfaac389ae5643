//! The thread that writes the log.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::file::Target;
use super::{Command, Item};
use crate::clock::Timestamp;

/// Without lines, the thread wakes this often to rotate at midnight and to tell what was lost.
const IDLE: Duration = Duration::from_secs(1);

/// Lines written before commands are looked at.
const BATCH: usize = 1024;

/// Writes until it is told to stop or all senders are gone.
pub(super) fn run(
    mut target: Target,
    lines: &Receiver<Item>,
    commands: &Receiver<Command>,
    dropped: &AtomicU64,
) {
    loop {
        let ended = match lines.recv_timeout(IDLE) {
            Ok(item) => {
                write(&mut target, dropped, item);
                write_waiting(&mut target, lines, dropped, BATCH);
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        count(dropped, target.rotate_at_midnight(Timestamp::now()));
        tell_dropped(&mut target, dropped);
        count(dropped, target.flush());
        for command in commands.try_iter() {
            if obey(&mut target, lines, dropped, command) == Then::Stop {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

/// Writes lines that wait, at most `most`.
fn write_waiting(target: &mut Target, lines: &Receiver<Item>, dropped: &AtomicU64, most: usize) {
    for item in lines.try_iter().take(most) {
        write(target, dropped, item);
    }
}

fn write(target: &mut Target, dropped: &AtomicU64, item: Item) {
    match item {
        Item::Line(at, text) => {
            count(dropped, target.rotate_at_midnight(at));
            count(dropped, target.write(at, &text));
        }
        Item::Nudge => {}
    }
}

/// A disk that refuses counts as a line lost: there is nowhere to say more.
fn count(dropped: &AtomicU64, result: io::Result<()>) {
    if result.is_err() {
        dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says how many lines were lost since it was last said.
fn tell_dropped(target: &mut Target, dropped: &AtomicU64) {
    let lost = dropped.load(Ordering::Relaxed);
    if lost == 0 {
        return;
    }
    let text =
        format!("{lost} log line(s) were dropped here: the log could not be written in time");
    if target.write(Timestamp::now(), &text).and_then(|()| target.flush()).is_ok() {
        dropped.fetch_sub(lost, Ordering::Relaxed);
    }
}

#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    Stop,
}

/// Lines that were logged before a command are written before it is obeyed.
fn obey(
    target: &mut Target,
    lines: &Receiver<Item>,
    dropped: &AtomicU64,
    command: Command,
) -> Then {
    write_waiting(target, lines, dropped, super::LINES_WAITING);
    tell_dropped(target, dropped);
    count(dropped, target.flush());
    // Whoever asked may have gone away meanwhile; the work is done all the same.
    match command {
        Command::Rotate(answer) => drop(answer.send(target.rotate())),
        Command::Configure(settings, answer) => {
            drop(answer.send(target.configure(settings, Timestamp::now())));
        }
        Command::Flush(answer) => drop(answer.send(())),
        Command::Stop => return Then::Stop,
    }
    Then::GoOn
}
