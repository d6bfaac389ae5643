//! A real `mtad` in a directory of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

use tokio::process::{Child, ChildStdout, Command};

/// How long a node may take to get ready or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node; it is killed when dropped.
pub struct Node {
    /// Directory with configuration, spool, accounting files and the socket of `mtactl`.
    pub directory: PathBuf,
    /// SMTP listeners in the order of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// `health-listener`.
    pub health: Option<SocketAddr>,
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

/// How to start a node on a directory that has its configuration already.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Its directory.
    pub directory: PathBuf,
    /// Words of the command line before the program: it is run by what they name.
    pub before: Vec<String>,
    /// Arguments besides the configuration.
    pub arguments: Vec<String>,
    /// Environment besides the inherited one.
    pub environment: Vec<(String, String)>,
}

/// The directives that every test node needs: spool, log and administration in its directory.
#[must_use]
pub fn base_config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "spool {directory}/spool\nlog-file {directory}/mtad.log\n\
         admin-socket {directory}/mtad.sock\nhost-name mta.example\n"
    )
}

impl Node {
    /// Starts a node with [`base_config`] and `config`, and waits until it accepts mail.
    ///
    /// # Errors
    ///
    /// When the program cannot be started or ends early; the error holds what it printed.
    pub async fn start(directory: &Path, config: &str) -> Result<Self> {
        let text = format!("{}{config}", base_config(directory));
        std::fs::write(directory.join("config"), text)?;
        Self::restart(directory).await
    }

    /// Starts a node on a directory that has its configuration already.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn restart(directory: &Path) -> Result<Self> {
        Self::restart_with(directory, &[]).await
    }

    /// The same with more arguments.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn restart_with(directory: &Path, arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        let directory = directory.to_owned();
        Self::launch(&Launch { directory, arguments, ..Launch::default() }).await
    }

    /// Starts a node and waits until it accepts mail.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub async fn launch(launch: &Launch) -> Result<Self> {
        let directory = &launch.directory;
        let errors = std::fs::File::create(directory.join("stderr"))?;
        let mut words = launch.before.iter().map(Into::into).collect::<Vec<OsString>>();
        words.push(program("mtad").into());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg("--config")
            .arg(directory.join("config"))
            .args(&launch.arguments)
            .envs(launch.environment.iter().cloned())
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start mtad")?;
        let stdout = child.stdout.take().context("mtad has no standard output")?;
        let mut node = Self {
            directory: directory.clone(),
            listeners: Vec::new(),
            health: None,
            child,
            output: BufReader::new(stdout).lines(),
        };
        tokio::time::timeout(PATIENCE, node.wait_until_ready())
            .await
            .context("mtad did not get ready in time")??;
        Ok(node)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        while let Some(line) = self.output.next_line().await? {
            if let Some(rest) = line.strip_prefix("mtad: smtp on ") {
                let address = rest.split_whitespace().next().unwrap_or_default();
                self.listeners.push(address.parse().with_context(|| line.clone())?);
            }
            if let Some(address) = line.strip_prefix("mtad: health on ") {
                self.health = Some(address.parse().with_context(|| line.clone())?);
            }
            if line == "mtad: ready" {
                return Ok(());
            }
        }
        let errors = std::fs::read_to_string(self.directory.join("stderr")).unwrap_or_default();
        bail!("mtad ended before it was ready:\n{errors}")
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.context("mtad has ended already")?, signal)?;
        Ok(())
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM, and waits for an orderly end.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or with an error.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("mtad did not stop in time")??;
        anyhow::ensure!(status.success(), "mtad ended with {status}");
        Ok(())
    }

    /// Runs `mtactl` against this node and gives its standard output.
    ///
    /// # Errors
    ///
    /// When it fails; the error holds what it printed.
    pub async fn mtactl(&self, arguments: &[&str]) -> Result<String> {
        mtactl(&self.directory, arguments).await
    }

    /// What the node answers on its `health-listener`: status line and headers, then the body.
    ///
    /// # Errors
    ///
    /// When it has none, or does not answer.
    pub async fn ask_health(&self, path: &str) -> Result<String> {
        let address = self.health.context("no health-listener is configured")?;
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The node's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("mtad.log")).unwrap_or_default()
    }
}

/// Runs `mtactl` against the node in `directory` and gives its standard output.
///
/// # Errors
///
/// When it fails or takes more than a minute; the error holds what it printed.
pub async fn mtactl(directory: &Path, arguments: &[&str]) -> Result<String> {
    let words = arguments.join(" ");
    let asked = Command::new(program("mtactl"))
        .arg("--socket")
        .arg(directory.join("mtad.sock"))
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, asked)
        .await
        .with_context(|| format!("mtactl {words} did not end"))??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("mtactl {words} failed: {text}{errors}");
    }
    Ok(text)
}

/// A program of this workspace: it stands beside the running test or demonstration.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().unwrap_or_default();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join(name)
}

/// Asks again and again until there is an answer; for things that a node does in its own time.
///
/// # Errors
///
/// When there is none within a minute; `what` says what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let waiting = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("waited for {what}"))
}
