//! What the STARTTLS directives promise, against servers that offer, refuse, break and verify.

use anyhow::{Context, Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::rows::{self, Row};
use convoy_tests::sink::{Behaviour, Sink, Tls};
use tempfile::TempDir;

/// A node that relays for loopback and accounts deliveries, bounces and transient failures, plus
/// the sections of one test.
async fn node(directory: &TempDir, sections: &str) -> Result<Node> {
    let config = format!(
        "smtp-listener 127.0.0.1:0\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n</source>\n\
         <acct-file acct.csv>\n records d, b, t, tq\n\
         record-fields d *, dlvTlsProtocol, dlvTlsCipher\n\
         record-fields b *, dlvTlsProtocol, dlvTlsCipher\n</acct-file>\n{sections}"
    );
    Node::start(directory.path(), &config).await
}

fn domain(name: &str, sink: &Sink, rest: &str) -> String {
    let port = sink.address.port();
    format!("<domain {name}>\n smtp-hosts [127.0.0.1]:{port}\n{rest}\n</domain>\n")
}

async fn send(node: &Node, to: &str) -> Result<()> {
    let mut session = Client::connect(node.listeners[0]).await?;
    session.ehlo().await?;
    let reply = session.message("sender@client.example", &[to], "Subject: test\n\nhello").await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

/// The first row that satisfies `wanted`.
async fn row(node: &Node, what: &str, wanted: impl Fn(&Row) -> bool) -> Result<Row> {
    eventually(what, async || {
        let rows = rows::read(&node.directory, "acct").ok()?;
        rows.into_iter().find(|row| wanted(row))
    })
    .await
    .with_context(|| format!("the log says:\n{}", node.log()))
}

fn delivered_to(rcpt: &str) -> impl Fn(&Row) -> bool {
    move |row| row["type"] == "d" && row["rcpt"] == rcpt
}

#[tokio::test(flavor = "multi_thread")]
async fn opportunistic_encrypts_when_it_can_and_else_sends_in_clear_at_once() -> Result<()> {
    let authority = Authority::new("test")?;
    let tls = authority.issue(&["127.0.0.1"])?.server_config(None)?;
    let offers = Sink::start(Behaviour::new(Tls::Offered(tls))).await?;
    let silent = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let refuses = Sink::start(Behaviour::new(Tls::Refused("454 4.7.0 not now".into()))).await?;
    let broken = Sink::start(Behaviour::new(Tls::BrokenHandshake)).await?;
    let directory = TempDir::new()?;
    let mut sections =
        "<domain *>\n use-starttls yes\n require-starttls no\n</domain>\n".to_owned();
    let cases = [
        ("offers.example", &offers, true),
        ("silent.example", &silent, false),
        ("refuses.example", &refuses, false),
        ("broken.example", &broken, false),
    ];
    for (name, sink, _) in &cases {
        sections.push_str(&domain(name, sink, ""));
    }
    let node = node(&directory, &sections).await?;
    for (name, sink, encrypted) in &cases {
        let to = format!("user@{name}");
        send(&node, &to).await?;
        let row = row(&node, name, delivered_to(&to)).await?;
        assert_eq!(row["dlvTlsProtocol"].is_empty(), !encrypted, "{name}");
        assert_eq!(row["dlvTlsCipher"].is_empty(), !encrypted, "{name}");
        assert_eq!(sink.messages()[0].encrypted, *encrypted, "{name}");
    }
    let transient = rows::read(&node.directory, "acct")?;
    ensure!(transient.iter().all(|row| row["type"] == "d"), "clear was not the same attempt");
    assert_eq!(broken.handshakes_failed(), 1);

    // The host whose handshake failed is remembered: the next message is not offered TLS there.
    send(&node, "again@broken.example").await?;
    row(&node, "the second message", delivered_to("again@broken.example")).await?;
    assert_eq!(broken.handshakes_failed(), 1);
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn required_never_sends_in_clear_and_says_which_step_failed() -> Result<()> {
    let silent = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
    let refuses = Sink::start(Behaviour::new(Tls::Refused("454 4.7.0 not now".into()))).await?;
    let broken = Sink::start(Behaviour::new(Tls::BrokenHandshake)).await?;
    let directory = TempDir::new()?;
    let cases =
        [("silent.example", &silent), ("refuses.example", &refuses), ("broken.example", &broken)];
    let mut sections = String::new();
    for (name, sink) in &cases {
        let rest = " use-starttls yes\n require-starttls yes\n retry-after 1h\n";
        sections.push_str(&domain(name, sink, rest));
    }
    let node = node(&directory, &sections).await?;
    let mut reasons = Vec::new();
    for (name, sink) in &cases {
        send(&node, &format!("user@{name}")).await?;
        let row =
            row(&node, name, |row| row["type"].starts_with('t') && row["queue"].starts_with(name))
                .await?;
        ensure!(row["dsnStatus"].starts_with("4.7."), "{name}: {}", row["dsnStatus"]);
        ensure!(sink.messages().is_empty(), "{name}: a message came in clear");
        reasons.push(row["dsnDiag"].clone());
    }
    reasons.dedup();
    assert_eq!(reasons.len(), 3, "each step has its own reason: {reasons:?}");
    let queues = node.mtactl(&["show", "queues"]).await?;
    ensure!(queues.contains("broken.example/{default}"), "{queues}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_opens_a_server_that_demands_one() -> Result<()> {
    let authority = Authority::new("test")?;
    let config = authority.issue(&["127.0.0.1"])?.server_config(Some(&authority))?;
    let sink = Sink::start(Behaviour::new(Tls::Offered(config))).await?;
    let directory = TempDir::new()?;
    let certificate = directory.path().join("client.pem");
    authority.issue(&["mta.example"])?.write(&certificate)?;
    let rest = format!(
        " smtp-client-certificate {}\n use-starttls yes\n require-starttls yes\n",
        certificate.display()
    );
    let node = node(&directory, &domain("secure.example", &sink, &rest)).await?;
    send(&node, "user@secure.example").await?;
    let row = row(&node, "the delivery", delivered_to("user@secure.example")).await?;
    assert_eq!(row["dlvTlsProtocol"], "TLSv1.3");
    ensure!(sink.messages()[0].client_certificate, "no certificate was shown");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_turns_on_verification_of_chain_and_name() -> Result<()> {
    let (ours, theirs) = (Authority::new("ours")?, Authority::new("theirs")?);
    let good = ours.issue(&["127.0.0.1"])?.server_config(None)?;
    let wrong_name = ours.issue(&["other.example"])?.server_config(None)?;
    let untrusted = theirs.issue(&["127.0.0.1"])?.server_config(None)?;
    let good = Sink::start(Behaviour::new(Tls::Offered(good))).await?;
    let wrong_name = Sink::start(Behaviour::new(Tls::Offered(wrong_name))).await?;
    let untrusted = Sink::start(Behaviour::new(Tls::Offered(untrusted))).await?;
    let directory = TempDir::new()?;
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, ours.pem())?;
    let roots = format!(" smtp-tls-ca-file {}\n use-starttls yes\n", roots.display());
    let required = format!("{roots} require-starttls yes\n");
    let sections = [
        domain("good.example", &good, &required),
        domain("name.example", &wrong_name, &required),
        domain("untrusted.example", &untrusted, &required),
        domain("tolerant.example", &untrusted, &roots),
    ];
    let node = node(&directory, &sections.concat()).await?;

    send(&node, "user@good.example").await?;
    let delivery = row(&node, "the trusted server", delivered_to("user@good.example")).await?;
    ensure!(!delivery["dlvTlsProtocol"].is_empty(), "not encrypted: {delivery:?}");

    for name in ["name.example", "untrusted.example"] {
        send(&node, &format!("user@{name}")).await?;
        let transient =
            row(&node, name, |row| row["type"].starts_with('t') && row["queue"].starts_with(name))
                .await?;
        ensure!(transient["dsnStatus"].starts_with("4.7."), "{transient:?}");
    }
    ensure!(wrong_name.messages().is_empty() && untrusted.messages().is_empty(), "it was sent");

    send(&node, "user@tolerant.example").await?;
    let delivery = row(&node, "clear text", delivered_to("user@tolerant.example")).await?;
    ensure!(delivery["dlvTlsProtocol"].is_empty(), "encrypted to a stranger: {delivery:?}");
    ensure!(!untrusted.messages()[0].encrypted, "the sink saw TLS");
    node.stop().await
}
