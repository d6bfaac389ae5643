//! A real load balancer before nodes: HAProxy names clients by the PROXY protocol, and asks the
//! nodes which of them accept mail.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::programs::{Haproxy, free_port, run, try_run};
use convoy_tests::rows::{self, Row};
use tempfile::TempDir;

const BASE: &str = "health-listener 127.0.0.1:0\n\
    <acct-file received.csv>\n records r\n</acct-file>\n\
    <domain *>\n type discard\n</domain>\n";

async fn received(node: &Node, count: usize) -> Result<Vec<Row>> {
    let rows = eventually("rows of receptions", async || {
        let rows = rows::read(&node.directory, "received").ok()?;
        (rows.len() >= count).then_some(rows)
    });
    rows.await.with_context(|| node.log())
}

/// An address of HAProxy; the nodes are told of it as of what clients connected to.
fn front() -> Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 3], free_port()?)))
}

async fn send(front: SocketAddr) -> Result<()> {
    let mut session = Client::connect(front).await?;
    session.ehlo().await?;
    let reply = session.message("a@client.example", &["b@sink.example"], "Subject: x\n\nx").await?;
    ensure!(reply.code == 250, "{reply:?}");
    session.send("QUIT").await?;
    session.expect(221).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_names_clients_in_clear_and_before_tls_in_both_versions() -> Result<()> {
    let directory = TempDir::new()?;
    let certificate = directory.path().join("server.pem");
    Authority::new("test")?.issue(&["localhost"])?.write(&certificate)?;
    let config = format!(
        "{BASE}smtp-listener 127.0.0.1:0 proxy-protocol=yes\n\
         smtp-listener 127.0.0.1:0 tls=yes proxy-protocol=yes\nproxy-trusted-source 127.0.0.1\n\
         smtp-server-tls-certificate {}\n\
         <source 127.0.0.2>\n always-allow-relaying yes\n allow-starttls yes\n\
         log-connections yes\n</source>\n",
        certificate.display()
    );
    let node = Node::start(directory.path(), &config).await?;
    let (clear, tls) = (node.listeners[0], node.listeners[1]);
    let ways = [(clear, "send-proxy"), (clear, "send-proxy-v2"), (tls, "send-proxy-v2")];
    let mut sections = String::new();
    let mut fronts = Vec::new();
    for (n, (back, how)) in ways.iter().enumerate() {
        let front = front()?;
        sections.push_str(&format!("listen way{n}\n bind {front}\n server node {back} {how}\n"));
        fronts.push(front);
    }
    let haproxy = Haproxy::start(directory.path(), &sections, &fronts).await?;
    let base = ["--to", "b@sink.example", "--local-interface", "127.0.0.2", "--server"];
    for (front, tls) in fronts.iter().zip(["--tls", "--tls", "--tlsc"]) {
        let (server, port) = (front.ip().to_string(), front.port().to_string());
        let arguments = [&base[..], &[&server, "--port", &port, tls]].concat();
        run("swaks", &arguments).await.with_context(|| haproxy.said())?;
    }
    for row in received(&node, 3).await? {
        let ends = (row["rcvSourceIp"].as_str(), row["rcvDestinationIp"].as_str());
        ensure!(ends == ("127.0.0.2", "127.0.0.3"), "{row:?}");
    }
    let log = node.log();
    for front in fronts {
        let line = format!("connection from 127.0.0.2 by proxy 127.0.0.1 on {front}");
        ensure!(log.contains(&line), "no {line} in\n{log}");
    }
    // Without the load balancer, the same client gets nowhere.
    let port = clear.port().to_string();
    let (good, said) =
        try_run("swaks", &[&base[..], &["127.0.0.1", "--port", &port]].concat()).await?;
    ensure!(!good && !said.contains("<-  220"), "{said}");
    ensure!(node.log().contains("it is no proxy-trusted-source"), "{}", node.log());
    node.stop().await
}

async fn balanced(directory: &Path) -> Result<Node> {
    std::fs::create_dir(directory)?;
    let config = format!(
        "{BASE}smtp-listener 127.0.0.1:0 proxy-protocol=yes\nproxy-trusted-source 127.0.0.1\n\
         <source 127.0.0.0/8>\n always-allow-relaying yes\n</source>\n"
    );
    Node::start(directory, &config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_left_alone_by_the_load_balancer() -> Result<()> {
    let directory = TempDir::new()?;
    let one = balanced(&directory.path().join("one")).await?;
    let other = balanced(&directory.path().join("other")).await?;
    let front = front()?;
    let mut sections = format!("listen mail\n bind {front}\n option httpchk GET /health/ready\n");
    for (name, node) in [("one", &one), ("other", &other)] {
        let health = node.health.context("no health-listener")?.port();
        let back = node.listeners[0];
        sections.push_str(&format!(
            " server {name} {back} send-proxy-v2 check port {health} inter 100ms fall 1\n"
        ));
    }
    let haproxy = Haproxy::start(directory.path(), &sections, &[front]).await?;
    for node in [&one, &other] {
        let answer = node.ask_health("/health/ready").await?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready\n"), "{answer}");
    }
    for _ in 0..4 {
        send(front).await.with_context(|| haproxy.said())?;
    }
    let count = |node: &Node| rows::read(&node.directory, "received").map_or(0, |rows| rows.len());
    let both = async || (count(&one) + count(&other) == 4).then_some(count(&one));
    let before = eventually("rows of both nodes", both).await?;
    ensure!((1..4).contains(&before), "{before} of 4 messages came to the first node");

    one.mtactl(&["drain"]).await?;
    let answer = one.ask_health("/health/ready").await?;
    ensure!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining\n"), "{answer}");
    ensure!(one.ask_health("/health/live").await?.starts_with("HTTP/1.1 200"));
    eventually("the check to fail", async || haproxy.said().contains("one is DOWN").then_some(()))
        .await
        .with_context(|| haproxy.said())?;
    for _ in 0..4 {
        send(front).await.with_context(|| haproxy.said())?;
    }
    received(&other, 8 - before).await?;
    let metrics = other.ask_health("/metrics").await?;
    let accepted = format!("convoy_accepted_messages_total {}", 8 - before);
    ensure!(metrics.contains(&accepted), "no {accepted} in\n{metrics}");
    ensure!(one.ask_health("/metrics").await?.contains("convoy_ready 0"));
    one.stop().await?;
    other.stop().await
}
