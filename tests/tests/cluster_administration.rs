//! Three nodes administered from any of them: figures of all, who is missing, what a node that died
//! at the final dot left unknown, and an audit over all replicas.

use anyhow::{Context, Result, ensure};
use convoy_tests::client::Client;
use convoy_tests::cluster::{Cluster, Plan};
use convoy_tests::node::eventually;
use convoy_tests::place::Place;
use convoy_tests::sink::{Behaviour, Sink, Tls};
use serde_json::Value;
use tempfile::TempDir;

async fn three(directory: &TempDir, sink: &Sink) -> Result<Cluster> {
    let shared = format!(
        "queue-partitions 3\n\
         <source 127.0.0.0/8>\n always-allow-relaying yes\n</source>\n\
         <domain *>\n smtp-hosts [127.0.0.1]:{}\n retry-after 1h\n</domain>\n\
         <acct-file acct.csv>\n records d, b, r\n</acct-file>\n",
        sink.address.port()
    );
    Cluster::found(Plan {
        nodes: 3,
        place: Place::loopback(),
        directory: directory.path().to_owned(),
        shared,
        shim: None,
        disk_mib: None,
        proxies: false,
    })
    .await
}

async fn send(cluster: &Cluster, by: u8, to: &str) -> Result<()> {
    let mut session = Client::connect(cluster.member(by).smtp).await?;
    session.ehlo().await?;
    let reply = session.message("sender@client.example", &[to], "Subject: x\n\nhello").await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

async fn json(cluster: &Cluster, by: u8, arguments: &[&str]) -> Result<Value> {
    let arguments = [&["--json"][..], arguments].concat();
    Ok(serde_json::from_str(&cluster.mtactl(by, &arguments).await?)?)
}

/// Waits until an audit asked of `by` adds up on three equal replicas; gives it.
async fn audited(cluster: &Cluster, by: u8) -> Result<Value> {
    eventually("an audit that adds up", async || {
        let audit = json(cluster, by, &["audit"]).await.ok()?;
        let partitions = audit["data"]["partition"].as_array()?;
        let equal = |p: &Value| p["equalReplicas"].as_array().is_some_and(|nodes| nodes.len() == 2);
        partitions.iter().all(equal).then(|| audit.clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_answers_for_all_and_says_what_a_dead_one_left_unknown() -> Result<()> {
    let behaviour = Behaviour { silent_after_dot: 1, ..Behaviour::new(Tls::NotOffered) };
    let sink = Sink::start(behaviour).await?;
    let directory = TempDir::new()?;
    let mut cluster = three(&directory, &sink).await?;
    let status = cluster.mtactl(1, &["cluster", "status"]).await?;
    ensure!(status.contains("Can lose: any one of n1 n2 n3"), "{status}");

    send(&cluster, 0, "silent@a.example").await?;
    sink.wait_for(1).await;
    cluster.mtactl(2, &["pause", "queue", "*/*"]).await?;
    for by in 0..3 {
        send(&cluster, by, &format!("user{by}@b.example")).await?;
    }
    // Whoever is asked, the answer is about all.
    for by in 0..3 {
        // A message is answered when it is committed, and counted a moment later.
        let status = eventually("all recipients to be counted", async || {
            let status = json(&cluster, by, &["status"]).await.ok()?;
            (status["data"]["status"]["queue"]["smtp"]["rcp"] == 4).then_some(status)
        })
        .await?;
        assert_eq!(status["data"]["node"].as_array().map(Vec::len), Some(3));
        let list = json(&cluster, by, &["list", "--queue", "b.example"]).await?;
        assert_eq!(list["data"]["shown"], 3, "{list}");
        let queues = json(&cluster, by, &["show", "queues", "b.example"]).await?;
        assert_eq!(queues["data"]["queue"][0]["rcp"], 3, "{queues}");
    }

    let list = json(&cluster, 0, &["list", "--queue", "a.example"]).await?;
    let id = list["data"]["recipient"][0]["message"].as_str().context("no message")?.to_owned();
    let story = json(&cluster, 0, &["show", "message", &id]).await?;
    let sender = story["data"]["leader"].as_u64().context("no leader")?;
    let dead = cluster.by_id(&format!("n{sender}")).context("no such node")?;
    let asked = (0..3).find(|by| *by != dead).context("no other node")?;
    cluster.kill(dead).await?;
    let unknown = eventually("the new leader to say what is unknown", async || {
        let unknown = json(&cluster, asked, &["list", "--unknown"]).await.ok()?;
        (unknown["data"]["shown"] == 1).then_some(unknown)
    })
    .await?;
    let row = &unknown["data"]["recipient"][0];
    assert_eq!(
        (row["rcpt"].as_str(), row["unknown"]["node"].as_u64()),
        (Some("silent@a.example"), Some(sender)),
        "{row}"
    );
    assert_eq!(unknown["data"]["missing"][0]["node"].as_u64(), Some(sender), "{unknown}");
    let story = cluster.mtactl(asked, &["show", "message", &id]).await?;
    ensure!(story.contains("it may have been delivered"), "{story}");
    ensure!(story.contains(&format!("missing: n{sender}: ")), "{story}");
    let audit = cluster.mtactl(asked, &["audit"]).await;
    ensure!(audit.is_err(), "an audit without a node passed: {audit:?}");

    cluster.restart(dead).await?;
    cluster.wait_healthy().await?;
    cluster.mtactl(dead, &["resume", "queue", "*/*"]).await?;
    sink.wait_for(5).await;
    eventually("all to be delivered", async || {
        let status = json(&cluster, asked, &["status"]).await.ok()?;
        (status["data"]["status"]["queue"]["smtp"]["rcp"] == 0).then_some(())
    })
    .await?;
    let audit = audited(&cluster, dead).await?;
    assert_eq!(audit["data"]["total"]["delivered"], 4, "{audit}");
    assert_eq!(audit["data"]["difference"], 0, "{audit}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_drained_moved_and_removed_by_any_node() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let cluster = three(&directory, &sink).await?;
    cluster.mtactl(0, &["cluster", "drain", "n2"]).await?;
    let status = cluster.status().await?;
    ensure!(status.led_by("n2").is_empty(), "{status:?}");
    let standing = status.members.iter().find(|m| m.id == "n2").context("no n2")?;
    assert_eq!(standing.standing, "draining");
    cluster.mtactl(2, &["cluster", "undrain", "n2"]).await?;

    // By way of a node that need not be the leader.
    let from = status.leader("p0").context("nobody leads p0")?.to_owned();
    let to = ["n1", "n3"].into_iter().find(|node| *node != from).context("no other node")?;
    cluster.mtactl(1, &["cluster", "transfer", "p0", to]).await?;
    eventually("the other node to lead", async || {
        let status = cluster.status().await.ok()?;
        (status.leader("p0") == Some(to)).then_some(())
    })
    .await?;

    let refused = cluster.mtactl(0, &["cluster", "remove", "n3"]).await;
    let said = refused.err().context("a removal that leaves two nodes passed")?.to_string();
    ensure!(said.contains("2 node(s) are left") && said.contains("--yes"), "{said}");
    Ok(())
}
