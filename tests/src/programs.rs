//! Programs that others wrote, run by tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::node::eventually;

/// Runs a program to its end and gives its output, standard error after standard output.
///
/// # Errors
///
/// When it cannot be started or ends with an error; the error holds what it printed.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let (success, text) = try_run(program, arguments).await?;
    ensure!(success, "{program} {} failed:\n{text}", arguments.join(" "));
    Ok(text)
}

/// Runs a program to its end; gives whether it ended well, and its output.
///
/// # Errors
///
/// When it cannot be started.
pub async fn try_run(program: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {program}: `make test` installs it"))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.status.success(), text))
}

/// A free port of 127.0.0.1 for a program that cannot choose one itself. Another process could
/// take it before the program does; tests that use it fail then, and do not pass wrongly.
///
/// # Errors
///
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A Postfix of our own in a directory: its own queue, its own port, stopped when dropped.
#[derive(Debug)]
pub struct Postfix {
    directory: PathBuf,
    child: Child,
}

impl Postfix {
    /// Starts Postfix in `directory` with these settings besides what isolates it, and these
    /// services in its `master.cf` besides the internal ones.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not start.
    pub async fn start(directory: &Path, settings: &str, services: &str) -> Result<Self> {
        let config = directory.join("postfix");
        for part in ["postfix", "postfix/queue", "postfix/data"] {
            std::fs::create_dir_all(directory.join(part))?;
        }
        let here = config.display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {here}/queue\n\
             data_directory = {here}/data\nmail_owner = postfix\nsetgid_group = postdrop\n\
             maillog_file = {here}/log\nmaillog_file_prefixes = {here}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\n\
             myhostname = postfix.example\nlocal_recipient_maps =\nalias_maps =\n\
             mynetworks = 127.0.0.0/8\nsmtp_host_lookup = native\ndisable_dns_lookups = yes\n\
             {settings}\n"
        );
        std::fs::write(config.join("main.cf"), main)?;
        std::fs::write(config.join("master.cf"), format!("{MASTER}{services}\n"))?;
        run("chown", &["postfix", &format!("{here}/data")]).await?;
        // Postfix walks into its queue as its own user.
        run("chmod", &["755", &directory.display().to_string()]).await?;
        let child = Command::new("postfix")
            .args(["-c", &here.to_string(), "start-fg"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(config.join("stderr"))?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start postfix: `make test` installs it")?;
        let postfix = Self { directory: config, child };
        let queue = postfix.directory.join("queue/public/pickup");
        eventually("postfix", async || queue.exists().then_some(()))
            .await
            .with_context(|| postfix.log())?;
        Ok(postfix)
    }

    /// Hands a message to Postfix's queue, as `sendmail` does.
    ///
    /// # Errors
    ///
    /// When `sendmail` refuses it.
    pub async fn submit(&self, from: &str, to: &str, message: &str) -> Result<()> {
        use tokio::io::AsyncWriteExt as _;
        let mut child = Command::new("sendmail")
            .args(["-C", &self.directory.display().to_string(), "-f", from, to])
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot run sendmail")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(message.as_bytes()).await?;
        drop(stdin);
        ensure!(child.wait().await?.success(), "sendmail refused the message");
        Ok(())
    }

    /// What Postfix logged.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        format!("{}{}", read("log"), read("stderr"))
    }

    /// Stops it in an orderly way.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub async fn stop(mut self) -> Result<()> {
        run("postfix", &["-c", &self.directory.display().to_string(), "stop"]).await?;
        self.child.wait().await?;
        Ok(())
    }
}

/// A HAProxy of our own in the foreground; it is killed when dropped.
#[derive(Debug)]
pub struct Haproxy {
    output: PathBuf,
    _child: Child,
}

impl Haproxy {
    /// Starts HAProxy with these sections, besides defaults for TCP, and waits until it listens on
    /// `addresses`.
    ///
    /// # Errors
    ///
    /// When it is not installed, refuses its configuration, or does not listen.
    pub async fn start(directory: &Path, sections: &str, addresses: &[SocketAddr]) -> Result<Self> {
        let config = directory.join("haproxy.cfg");
        let defaults = "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n \
                        timeout server 30s\n retries 3\n option redispatch 1\n";
        std::fs::write(&config, format!("{defaults}{sections}\n"))?;
        let output = directory.join("haproxy.out");
        let file = std::fs::File::create(&output)?;
        let child = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start haproxy: `make test` installs it")?;
        let haproxy = Self { output, _child: child };
        for address in addresses {
            let connect = async || tokio::net::TcpStream::connect(address).await.ok();
            eventually("haproxy", connect).await.with_context(|| haproxy.said())?;
        }
        Ok(haproxy)
    }

    /// What it printed.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

/// The services that every Postfix needs; nothing runs in a chroot.
const MASTER: &str = "\
pickup    unix  n - n 1 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
smtp      unix  - - n - - smtp
discard   unix  - - n - - discard
error     unix  - - n - - error
retry     unix  - - n - - error
proxymap  unix  - - n - - proxymap
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";
