//! Ten thousand malformed sessions leave memory flat and the node serving.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::client::Client;
use convoy_tests::node::Node;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SESSIONS: usize = 10_000;
const WARM_UP: usize = 1_500;
const PARALLEL: usize = 32;
/// Growth allowed after the warm-up; a leak of 8 KiB per session would be 68 MiB.
const GROWTH_MAX_BYTES: u64 = 48 * 1024 * 1024;

/// A small generator: the same sessions in every run.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// What a hostile client sends after the greeting.
fn malformed(random: &mut Random) -> Vec<u8> {
    let start = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n".to_vec();
    match random.next() % 12 {
        0 => random.bytes(600),
        1 => vec![b'A'; 100_000],
        2 => b"STARTTLS\r\nMAIL FROM:<a@b>\r\n".to_vec(),
        3 => b"EHLO x\r\nSTARTTLS\r\n".to_vec(),
        4 => [b"EHLO x\r\nSTARTTLS\r\n".to_vec(), random.bytes(200)].concat(),
        5 => [start, b"DATA\r\n".to_vec(), b"x\n.\nMAIL FROM:<e@f.example>\r\n".to_vec()].concat(),
        6 => [start, b"DATA\r\nx\r\n.\r".to_vec(), random.bytes(50)].concat(),
        7 => [start, b"BDAT 99999999999999999999\r\n".to_vec(), random.bytes(90)].concat(),
        8 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        9 => b"EHLO x\r\nAUTH PLAIN ====\r\nAUTH LOGIN\r\n*\r\nRCPT TO:<>\r\n".to_vec(),
        10 => b"NOOP\r\n".repeat(500),
        _ => [b"MAIL FROM:<".to_vec(), vec![b'"'; 300], b"\r\n\0\r\n".to_vec()].concat(),
    }
}

async fn attack(address: SocketAddr, seed: u64) -> Result<()> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stream = TcpStream::connect(address).await?;
    let bytes = malformed(&mut random);
    let half = bytes.len() / 2;
    let session = async {
        // The server may hang up at any point; that is its right.
        let _ = stream.write_all(&bytes[..half]).await;
        let _ = stream.write_all(&bytes[half..]).await;
        let mut reply = [0; 4096];
        for _ in 0..random.next() % 4 {
            if stream.read(&mut reply).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    // Half of the clients hang up at once, the others linger until the server answers.
    let _ = tokio::time::timeout(Duration::from_millis(200), session).await;
    Ok(())
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib * 1024)
}

async fn attacks(address: SocketAddr, seeds: std::ops::Range<usize>) -> Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for seed in seeds {
        if running.len() == PARALLEL {
            running.join_next().await.context("no session ran")???;
        }
        running.spawn(attack(address, seed as u64 + 1));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_begin_keep_nobody_from_theirs() -> Result<()> {
    let directory = TempDir::new()?;
    let certificate = directory.path().join("server.pem");
    let authority = Authority::new("test")?;
    authority.issue(&["localhost"])?.write(&certificate)?;
    let config = format!(
        "smtp-listener 127.0.0.1:0\nsmtp-listener 127.0.0.1:0 tls=yes\n\
         smtp-server-tls-certificate {}\ntotal-max-smtp-in 1000\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n allow-starttls yes\n</source>\n",
        certificate.display()
    );
    let node = Node::start(directory.path(), &config).await?;
    let (clear, encrypted) = (node.listeners[0], node.listeners[1]);
    let mut waiting = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..300 {
        let mut session = Client::connect(clear).await?;
        session.ehlo().await?;
        session.send("STARTTLS").await?;
        session.expect(220).await?;
        waiting.push(session);
        silent.push(TcpStream::connect(encrypted).await?);
    }

    let trusting = convoy_tests::certificates::client_config(&authority.pem())?;
    let started = async {
        let mut session = Client::connect(clear).await?;
        session.ehlo().await?;
        let mut session = session.starttls("localhost", trusting.clone()).await?;
        session.ehlo().await?;
        Client::connect_tls(encrypted, "localhost", trusting).await
    };
    // Well below the time after which the node hangs up on the others.
    tokio::time::timeout(Duration::from_secs(15), started).await.context("no turn")??;
    drop((waiting, silent));
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_sessions_leave_memory_flat_and_the_node_serving() -> Result<()> {
    let directory = TempDir::new()?;
    let certificate = directory.path().join("server.pem");
    Authority::new("test")?.issue(&["localhost"])?.write(&certificate)?;
    let config = format!(
        "smtp-listener 127.0.0.1:0\nsmtp-server-tls-certificate {}\ntotal-max-smtp-in 200\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n allow-starttls yes\n</source>\n\
         <domain *>\n type discard\n</domain>\n<acct-file acct.csv>\n</acct-file>\n",
        certificate.display()
    );
    let node = Node::start(directory.path(), &config).await?;
    let (address, pid) = (node.listeners[0], node.pid().context("the node has ended")?);

    attacks(address, 0..WARM_UP).await?;
    let before = resident_bytes(pid)?;
    attacks(address, WARM_UP..SESSIONS).await?;
    let after = resident_bytes(pid)?;
    ensure!(
        after < before + GROWTH_MAX_BYTES,
        "memory grew from {before} to {after} bytes over {SESSIONS} sessions"
    );

    let mut session = Client::connect(address).await?;
    session.ehlo().await?;
    let reply =
        session.message("a@b.example", &["c@d.example"], "Subject: x\n\nstill here").await?;
    ensure!(reply.code == 250, "{reply:?}");
    node.stop().await
}
