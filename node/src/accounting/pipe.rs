//! Pipes: programs that are fed rows on their standard input, on the collector only.
//!
//! A program may be slow, end or not start; rows that it cannot take are lost to it (files have
//! them), and accounting goes on.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::row::Format;
use super::wire;

/// Rows that may wait for one program.
const QUEUE_ROWS: usize = 10_000;
/// How long a program may take to end after its input has ended.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The programs that run now.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    running: Mutex<HashMap<Vec<String>, Feed>>,
}

#[derive(Debug)]
struct Feed {
    definition: wire::AcctFile,
    rows: mpsc::Sender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Pipes {
    /// Starts the pipes of the layout that do not run yet, and ends those that are not in it or
    /// have changed. Must be called on the runtime.
    pub(crate) fn set(&self, layout: &wire::Layout) {
        let wanted = |d: &wire::AcctFile| layout.files.iter().any(|file| file == d);
        let mut running = self.running.lock();
        running.retain(|_, feed| wanted(&feed.definition));
        for file in layout.files.iter().filter(|file| !file.command.is_empty()) {
            running.entry(file.command.clone()).or_insert_with(|| start(file));
        }
    }

    /// Hands a row over. It is lost when the program does not run or is too slow.
    pub(crate) fn feed(&self, command: &[String], row: Vec<u8>) {
        let running = self.running.lock();
        let Some(feed) = running.get(command) else { return };
        if feed.rows.try_send(row).is_err() {
            feed.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn start(file: &wire::AcctFile) -> Feed {
    let (rows, waiting) = mpsc::channel(QUEUE_ROWS);
    let lost = Arc::new(AtomicU64::new(0));
    let pipe = Pipe {
        name: file.command.join(" "),
        command: file.command.clone(),
        header: Format::new(file).header(),
        write_timeout: Duration::from_millis(file.write_timeout_ms),
        retry_interval: Duration::from_millis(file.retry_interval_ms),
        lost: Arc::clone(&lost),
    };
    tokio::spawn(pipe.run(waiting));
    Feed { definition: file.clone(), rows, lost }
}

struct Pipe {
    /// For the log.
    name: String,
    command: Vec<String>,
    header: Vec<u8>,
    write_timeout: Duration,
    retry_interval: Duration,
    lost: Arc<AtomicU64>,
}

/// Why a program takes no more rows.
enum End {
    /// The configuration or the leadership changed.
    Closed,
    /// What was being done, and why it failed.
    Failed(&'static str, String),
}

impl Pipe {
    async fn run(self, mut rows: mpsc::Receiver<Vec<u8>>) {
        loop {
            match self.feed_once(&mut rows).await {
                End::Closed => return,
                End::Failed(doing, why) => error!("Error {doing} \"{}\": {why}", self.name),
            }
            if !self.lose_meanwhile(&mut rows).await {
                return;
            }
        }
    }

    /// Starts the program and feeds it until it ends.
    async fn feed_once(&self, rows: &mut mpsc::Receiver<Vec<u8>>) -> End {
        let (mut child, mut input) = match self.spawn() {
            Ok(started) => started,
            Err(e) => return End::Failed("starting", e.to_string()),
        };
        let mut next = Some(self.header.clone());
        while let Some(row) = next {
            if let Err(why) = self.write(&mut input, &row).await {
                return self.broken(child, why).await;
            }
            self.report_lost();
            next = tokio::select! {
                row = rows.recv() => row,
                status = child.wait() => {
                    let why = status.map_or_else(|e| e.to_string(), |s| s.to_string());
                    return End::Failed("executing", why);
                }
            };
        }
        drop(input);
        if timeout(END_TIMEOUT, child.wait()).await.is_err() {
            warn!("\"{}\" did not end with its input and is killed.", self.name);
        }
        End::Closed
    }

    fn spawn(&self) -> std::io::Result<(Child, ChildStdin)> {
        let (program, arguments) =
            self.command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().expect("the input is piped");
        Ok((child, input))
    }

    async fn write(&self, input: &mut ChildStdin, row: &[u8]) -> Result<(), String> {
        let written = timeout(self.write_timeout, async {
            input.write_all(row).await?;
            input.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("not read within {} s", self.write_timeout.as_secs())),
        }
    }

    /// A write failed: the program may have told why by its exit status.
    async fn broken(&self, mut child: Child, why: String) -> End {
        match timeout(Duration::from_secs(1), child.wait()).await {
            Ok(Ok(status)) => End::Failed("writing to", format!("{why} ({status})")),
            Ok(Err(_)) | Err(_) => End::Failed("writing to", why),
        }
    }

    /// Waits for the next start; rows go nowhere. False when the pipe is to end.
    async fn lose_meanwhile(&self, rows: &mut mpsc::Receiver<Vec<u8>>) -> bool {
        let pause = sleep(self.retry_interval);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return true,
                row = rows.recv() => match row {
                    Some(_) => { self.lost.fetch_add(1, Ordering::Relaxed); }
                    None => return false,
                },
            }
        }
    }

    fn report_lost(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!("{lost} accounting records were not given to \"{}\".", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn script(directory: &Path, text: &str) -> Vec<String> {
        let path = directory.join("script");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        vec![path.display().to_string(), directory.join("out").display().to_string()]
    }

    fn layout(command: &[String]) -> wire::Layout {
        let columns =
            wire::Columns { r#type: "d".into(), names: vec!["type".into(), "rcpt".into()] };
        let file = wire::AcctFile {
            command: command.to_vec(),
            records: vec![columns],
            write_timeout_ms: 60_000,
            retry_interval_ms: 1,
            ..wire::AcctFile::default()
        };
        wire::Layout { files: vec![file] }
    }

    /// Waits until the script has written this to its output; every change is looked at.
    async fn output_becomes(directory: &Path, expected: &str) {
        let path = directory.join("out");
        let wait = async {
            while std::fs::read_to_string(&path).unwrap_or_default() != expected {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let read = || std::fs::read_to_string(&path);
        assert!(timeout(Duration::from_secs(20), wait).await.is_ok(), "{:?}", read());
    }

    #[tokio::test]
    async fn a_program_gets_the_header_and_the_rows_and_then_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let command = script(directory.path(), "cat > \"$1\"; echo end >> \"$1\"");
        let pipes = Pipes::default();
        pipes.set(&layout(&command));
        for row in ["d,a\r\n", "d,b\r\n"] {
            pipes.feed(&command, row.into());
        }
        output_becomes(directory.path(), "type,rcpt\r\nd,a\r\nd,b\r\n").await;
        pipes.set(&wire::Layout::default());
        output_becomes(directory.path(), "type,rcpt\r\nd,a\r\nd,b\r\nend\n").await;
        pipes.feed(&command, "d,c\r\n".into());
    }

    #[tokio::test]
    async fn a_program_that_ends_is_started_again_with_a_header() {
        let directory = tempfile::tempdir().unwrap();
        // The first run takes one line and fails.
        let command = script(
            directory.path(),
            "if [ -e \"$1\" ]; then exec cat >> \"$1\"; fi; head -n 1 > \"$1\"; exit 3",
        );
        let pipes = Pipes::default();
        pipes.set(&layout(&command));
        output_becomes(directory.path(), "type,rcpt\r\ntype,rcpt\r\n").await;
        pipes.feed(&command, "d,a\r\n".into());
        output_becomes(directory.path(), "type,rcpt\r\ntype,rcpt\r\nd,a\r\n").await;
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_loses_rows_and_blocks_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let command = script(directory.path(), "exec sleep 1000");
        let pipes = Pipes::default();
        pipes.set(&layout(&command));
        for _ in 0..3 * QUEUE_ROWS {
            pipes.feed(&command, vec![b'x'; 100]);
        }
        let lost = pipes.running.lock()[&command].lost.load(Ordering::Relaxed);
        assert!(lost > 0, "the queue has no end");
    }
}
