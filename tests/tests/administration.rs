//! A day with `mtactl`.

use anyhow::{Context, Result, ensure};
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::rows;
use convoy_tests::sink::{Behaviour, Sink, Tls};
use tempfile::TempDir;

async fn node(directory: &TempDir, sink: &Sink) -> Result<Node> {
    let config = format!(
        "smtp-listener 127.0.0.1:0\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n process-x-job yes\n\
         process-x-virtual-mta yes\n</source>\n\
         <virtual-mta v1>\n smtp-source-host 127.0.0.1 v1.example\n</virtual-mta>\n\
         <domain *>\n smtp-hosts [127.0.0.1]:{}\n retry-after 1h\n</domain>\n\
         <acct-file acct.csv>\n records d, b, r\n</acct-file>\n",
        sink.address.port()
    );
    Node::start(directory.path(), &config).await
}

async fn send(node: &Node, to: &str, headers: &str) -> Result<()> {
    let mut session = Client::connect(node.listeners[0]).await?;
    session.ehlo().await?;
    let text = format!("{headers}Subject: x\n\nhello");
    let reply = session.message("sender@client.example", &[to], &text).await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_waits_is_listed_and_goes_on_when_resumed() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let node = node(&directory, &sink).await?;
    node.mtactl(&["pause", "queue", "a.example/v1"]).await?;
    send(&node, "user@a.example", "x-virtual-mta: v1\nx-job: spring\n").await?;
    send(&node, "user@b.example", "").await?;
    sink.wait_for(1).await;

    // The delivered message leaves its queue when its outcome is recorded.
    let queues = eventually("the other queue to be empty", async || {
        let queues = node.mtactl(&["show", "queues"]).await.ok()?;
        (!queues.contains("b.example")).then_some(queues)
    })
    .await?;
    ensure!(queues.contains("a.example/v1"), "{queues}");
    let jobs = node.mtactl(&["show", "jobs"]).await?;
    ensure!(jobs.contains("spring"), "{jobs}");
    let vmtas = node.mtactl(&["show", "vmtas"]).await?;
    ensure!(vmtas.contains("v1"), "{vmtas}");
    let json = node.mtactl(&["--json", "list", "--queue", "a.example/v1"]).await?;
    ensure!(json.contains("user@a.example"), "{json}");
    ensure!(sink.messages().len() == 1, "the paused queue was delivered");

    node.mtactl(&["resume", "queue", "a.example/v1"]).await?;
    let messages = sink.wait_for(2).await;
    let text = String::from_utf8_lossy(&messages[1].data).into_owned();
    ensure!(!text.to_lowercase().contains("x-virtual-mta"), "{text}");
    assert_eq!(messages[1].helo, "v1.example");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_mail_is_accounted_as_bounced_by_the_administrator() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let node = node(&directory, &sink).await?;
    node.mtactl(&["pause", "queue", "*/*"]).await?;
    for n in 0..3 {
        send(&node, &format!("user{n}@a.example"), "").await?;
    }
    node.mtactl(&["delete", "--queue", "a.example"]).await?;
    let bounced = eventually("rows of the deletion", async || {
        let rows = rows::read(&node.directory, "acct").ok()?;
        let bounced: Vec<_> = rows.into_iter().filter(|row| row["type"] == "b").collect();
        (bounced.len() == 3).then_some(bounced)
    })
    .await?;
    ensure!(bounced[0]["dsnDiag"].contains("deleted by administrator"), "{:?}", bounced[0]);
    let status = node.mtactl(&["status"]).await?;
    ensure!(status.contains("Traffic") && status.contains("Connections"), "{status}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_shows_the_dialogue_of_the_next_connection() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let node = node(&directory, &sink).await?;
    node.mtactl(&["pause", "queue", "a.example"]).await?;
    send(&node, "user@a.example", "").await?;
    let tracing = node.mtactl(&["trace", "a.example"]);
    let going = async {
        // The trace waits for a connection, so the queue may be resumed at any time.
        node.mtactl(&["resume", "queue", "a.example"]).await
    };
    let (traced, resumed) = tokio::join!(tracing, going);
    resumed?;
    let traced = traced?;
    for line in ["220 sink.example", "EHLO ", "MAIL FROM:<sender@client.example>", "354 "] {
        ensure!(traced.contains(line), "no {line:?} in\n{traced}");
    }
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_accounting_file_begins_with_its_header() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let node = node(&directory, &sink).await?;
    send(&node, "one@a.example", "").await?;
    let rows = |count: usize| {
        let directory = directory.path().to_owned();
        eventually("rows", async move || {
            rows::read(&directory, "acct").ok().filter(|rows| rows.len() >= count)
        })
    };
    rows(2).await?;
    node.mtactl(&["rotate", "acct"]).await?;
    send(&node, "two@a.example", "").await?;
    rows(4).await?;
    let files = rows::files(directory.path(), "acct")?;
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        ensure!(text.starts_with("type,timeLogged,"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_after_the_final_dot_lists_what_it_does_not_know() -> Result<()> {
    let behaviour = Behaviour { silent_after_dot: 1, ..Behaviour::new(Tls::NotOffered) };
    let sink = Sink::start(behaviour).await?;
    let directory = TempDir::new()?;
    let first = node(&directory, &sink).await?;
    send(&first, "user@a.example", "").await?;
    sink.wait_for(1).await;
    let nothing = first.mtactl(&["list", "--unknown"]).await?;
    ensure!(nothing.contains("0 recipient(s) shown."), "{nothing}");
    // What is on its way goes on; after the restart it waits, so that it can be looked at.
    first.mtactl(&["pause", "queue", "a.example"]).await?;
    first.kill().await?;

    let again = Node::restart(directory.path()).await?;
    let unknown = again.mtactl(&["list", "--unknown"]).await?;
    ensure!(unknown.contains("user@a.example") && unknown.contains("n1"), "{unknown}");
    let json: serde_json::Value =
        serde_json::from_str(&again.mtactl(&["--json", "list", "--unknown"]).await?)?;
    let id = json["data"]["recipient"][0]["message"].as_str().context("no message")?.to_owned();
    let story = again.mtactl(&["show", "message", &id]).await?;
    ensure!(story.contains("it may have been delivered"), "{story}");
    ensure!(story.contains("led by n1") && story.contains("resume queue"), "{story}");
    let audit = again.mtactl(&["audit"]).await?;
    ensure!(audit.contains("total"), "{audit}");

    again.mtactl(&["resume", "queue", "a.example"]).await?;
    sink.wait_for(2).await;
    eventually("the attempt to be known", async || {
        let unknown = again.mtactl(&["list", "--unknown"]).await.ok()?;
        unknown.contains("0 recipient(s) shown.").then_some(())
    })
    .await?;
    let story = again.mtactl(&["show", "message", &id]).await?;
    ensure!(story.contains("all its recipients are finished"), "{story}");
    let audit = again.mtactl(&["--json", "audit"]).await?;
    let audit: serde_json::Value = serde_json::from_str(&audit)?;
    assert_eq!(audit["data"]["total"]["delivered"], 1, "{audit}");
    assert_eq!(audit["data"]["difference"], 0, "{audit}");
    again.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_says_how_its_cluster_stands() -> Result<()> {
    let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let directory = TempDir::new()?;
    let node = node(&directory, &sink).await?;
    let status = node.mtactl(&["cluster", "status"]).await?;
    for expected in ["No cluster", "mta.example", "meta", "p0", "Can lose: no node"] {
        ensure!(status.contains(expected), "no {expected:?} in\n{status}");
    }
    let refused = node.mtactl(&["cluster", "drain", "n1"]).await;
    ensure!(refused.is_err_and(|e| e.to_string().contains("cluster init")), "a node alone drained");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_there_is_said_so() -> Result<()> {
    let directory = TempDir::new()?;
    let socket = directory.path().join("none.sock").display().to_string();
    let mtactl = convoy_tests::node::program("mtactl").display().to_string();
    let (good, said) =
        convoy_tests::programs::try_run(&mtactl, &["--socket", &socket, "status"]).await?;
    ensure!(!good && said.contains(&socket), "{said}");
    said.contains("mtad").then_some(()).context("the message does not say what to do")
}
