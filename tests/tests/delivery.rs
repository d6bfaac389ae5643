//! Mail finds its way by DNS, its failures come back as notices, and waiting survives a restart.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use convoy_tests::client::Client;
use convoy_tests::dns::{self, Entry};
use convoy_tests::node::{Node, eventually};
use convoy_tests::rows::{self, Row};
use convoy_tests::sink::{Behaviour, Sink, Tls};
use tempfile::TempDir;

const BASE: &str = "smtp-listener 127.0.0.1:0\n\
    <source 127.0.0.1>\n always-allow-relaying yes\n</source>\n\
    <acct-file acct.csv>\n records d, b, t, tq\n</acct-file>\n";

async fn send(node: &Node, from: &str, to: &[&str]) -> Result<()> {
    let mut session = Client::connect(node.listeners[0]).await?;
    session.ehlo().await?;
    let reply = session.message(from, to, "Subject: test\n\nhello").await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

async fn row(node: &Node, kind: &str, rcpt: &str) -> Result<Row> {
    let found = eventually(rcpt, async || {
        let rows = rows::read(&node.directory, "acct").ok()?;
        rows.into_iter().find(|row| row["type"] == kind && row["rcpt"] == rcpt)
    });
    found.await.with_context(|| format!("the log says:\n{}", node.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_where_dns_says_and_comes_back_when_it_says_nowhere() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let zone = HashMap::from([
        // Nobody listens at the first exchanger.
        ("two.example", Entry::Mx(vec![(20, "up.example"), (10, "down.example")])),
        ("down.example", Entry::Address(Ipv4Addr::new(127, 0, 0, 9))),
        ("up.example", Entry::Address(Ipv4Addr::LOCALHOST)),
        ("null.example", Entry::Mx(vec![(0, ".")])),
        ("client.example", Entry::Mx(vec![(5, "up.example")])),
    ]);
    let server = dns::serve(zone).await?;
    let directory = TempDir::new()?;
    let port = sink.address.port();
    let config =
        format!("{BASE}name-server {server}\n<domain *>\n default-smtp-port {port}\n</domain>\n");
    let node = Node::start(directory.path(), &config).await?;
    let from = "sender@client.example";
    send(&node, from, &["u@two.example", "u@up.example", "u@[127.0.0.1]"]).await?;
    let delivery = row(&node, "d", "u@two.example").await?;
    assert_eq!(delivery["dsnMta"], "up.example (127.0.0.1)");
    row(&node, "d", "u@up.example").await?;
    row(&node, "d", "u@[127.0.0.1]").await?;

    for (to, status) in [("u@gone.example", "5.1.2 "), ("u@null.example", "5.1.10 ")] {
        send(&node, from, &[to]).await?;
        let bounce = row(&node, "b", to).await?;
        ensure!(bounce["dsnStatus"].starts_with(status), "{bounce:?}");
    }
    let messages = sink.wait_for(5).await;
    let notices: Vec<_> = messages.iter().filter(|m| m.mail.starts_with("<>")).collect();
    assert_eq!(notices.len(), 2);
    ensure!(notices.iter().all(|notice| notice.recipients[0].contains(from)), "{notices:?}");

    // A message without a sender has nobody to be told.
    send(&node, "", &["v@gone.example"]).await?;
    row(&node, "b", "v@gone.example").await?;
    node.stop().await?;
    assert_eq!(sink.messages().len(), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_over_a_restart_until_the_message_is_given_up() -> Result<()> {
    let behaviour = Behaviour::new(Tls::NotOffered).answering("full", "452 4.2.2 mailbox full");
    let sink = Sink::start(behaviour).await?;
    let directory = TempDir::new()?;
    let port = sink.address.port();
    let config = format!(
        "{BASE}<domain *>\n smtp-hosts [127.0.0.1]:{port}\n retry-after 1s, 2s\n\
         retry-recipients-after 1s\n bounce-after 6s\n</domain>\n"
    );
    let node = Node::start(directory.path(), &config).await?;
    let many: Vec<String> = (0..300).map(|n| format!("u{n}@x.example")).collect();
    let mut to: Vec<&str> = many.iter().map(String::as_str).collect();
    to.push("full@x.example");
    send(&node, "sender@client.example", &to).await?;
    row(&node, "t", "full@x.example").await?;
    let messages = sink.wait_for(1).await;
    assert_eq!(messages[0].recipients.len(), 300, "all in one transaction");
    node.kill().await?;

    let node = Node::restart(directory.path()).await?;
    let bounce = row(&node, "b", "full@x.example").await?;
    assert_eq!(bounce["dsnStatus"], "5.4.7 (delivery time expired)");
    assert_eq!(bounce["dsnDiag"], "smtp;452 4.2.2 mailbox full");
    let messages = sink.wait_for(2).await;
    ensure!(messages[1].recipients[0].contains("sender@client.example"), "only the notice is new");
    node.stop().await
}
