//! `kill -9` under load: what was answered `250` is delivered, bounced or still queued, and every
//! outcome has one accounting row.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::rows;
use convoy_tests::sink::{Behaviour, Sink, Tls};
use tempfile::TempDir;

const ROUNDS: u32 = 5;
const SENDERS: usize = 4;
/// Messages that must be accepted between two kills.
const PER_ROUND: usize = 60;

/// Recipients whose message was answered `250`.
type Accepted = Arc<Mutex<BTreeSet<String>>>;

/// Sends one message after another until told to stop; an unanswered message is not counted.
async fn load(
    address: SocketAddr,
    accepted: Accepted,
    next: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut session) = Client::connect(address).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if session.ehlo().await.is_err() {
            continue;
        }
        while !stop.load(Ordering::SeqCst) {
            let n = next.fetch_add(1, Ordering::SeqCst);
            let kind = if n.is_multiple_of(5) { "reject" } else { "user" };
            let to = format!("{kind}{n}@sink.example");
            let text = format!("Subject: {n}\nMessage-Id: <{n}@client.example>\n\nnumber {n}\n");
            match session.message("", &[&to], &text).await {
                Ok(reply) if reply.code == 250 => {
                    accepted.lock().expect("no holder panics").insert(to);
                }
                _ => break,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_loop_nothing_accepted_is_lost_and_no_row_repeats() -> Result<()> {
    let behaviour = Behaviour::new(Tls::NotOffered).answering("reject", "550 5.1.1 no such user");
    let sink = Sink::start(behaviour).await?;
    let directory = TempDir::new()?;
    let config = format!(
        "smtp-listener 127.0.0.1:0\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n</source>\n\
         <domain sink.example>\n smtp-hosts [127.0.0.1]:{}\n retry-after 1s\n</domain>\n\
         <acct-file acct.csv>\n records d, b\n</acct-file>\n",
        sink.address.port()
    );
    let accepted = Accepted::default();
    let next = Arc::new(AtomicU32::new(0));
    let mut node = Node::start(directory.path(), &config).await?;
    for _ in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let before = accepted.lock().expect("no holder panics").len();
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (address, next) = (node.listeners[0], Arc::clone(&next));
                tokio::spawn(load(address, Arc::clone(&accepted), next, Arc::clone(&stop)))
            })
            .collect();
        eventually("accepted messages", async || {
            let now = accepted.lock().expect("no holder panics").len();
            (now >= before + PER_ROUND).then_some(())
        })
        .await?;
        node.kill().await?;
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            tokio::time::timeout(Duration::from_secs(30), sender).await??;
        }
        node = Node::restart(directory.path()).await?;
    }
    let accepted = accepted.lock().expect("no holder panics").clone();
    check(&node, &accepted).await?;
    compare_with_sink(&sink, &accepted)?;
    node.stop().await
}

/// Every accepted recipient gets exactly one row, `b` for those that the server refuses.
async fn check(node: &Node, accepted: &BTreeSet<String>) -> Result<()> {
    let rows = eventually("a row for every accepted message", async || {
        let mut count: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows::read(&node.directory, "acct").ok()? {
            count.entry(row["rcpt"].clone()).or_default().push(row["type"].clone());
        }
        accepted.iter().all(|to| count.contains_key(to)).then_some(count)
    })
    .await?;
    for (to, kinds) in &rows {
        let expected = if to.starts_with("reject") { "b" } else { "d" };
        ensure!(kinds == &[expected], "{to} has rows {kinds:?}");
    }
    Ok(())
}

/// The receiving server has every message; one twice only when a crash came between its answer
/// and the record of it, which is at most once per connection and kill.
fn compare_with_sink(sink: &Sink, accepted: &BTreeSet<String>) -> Result<()> {
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for message in sink.messages() {
        for recipient in &message.recipients {
            let end = recipient.find('>').unwrap_or(recipient.len());
            *count.entry(recipient[1..end].to_owned()).or_default() += 1;
        }
    }
    for to in accepted.iter().filter(|to| !to.starts_with("reject")) {
        ensure!(count.contains_key(to), "{to} was accepted and never came");
    }
    let repeated: u32 = count.values().map(|n| n - 1).sum();
    let bound = ROUNDS * 20;
    ensure!(repeated <= bound, "{repeated} messages came twice, more than {bound}");
    Ok(())
}
