//! `make demo`: mail through a node, to a server that encrypts, to one that does not, and to one
//! whose handshake fails; then the accounting rows that tell which was which.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use convoy_tests::certificates::{Authority, client_config};
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::sink::{Behaviour, Sink, Tls};

/// Messages to each receiving server over each way in.
const PER_WAY: usize = 2;

const DOMAINS: [&str; 3] = ["encrypts.example", "plain.example", "broken.example"];

#[tokio::main]
async fn main() -> ExitCode {
    match demonstrate().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The three receiving servers.
struct Receivers {
    encrypts: Sink,
    plain: Sink,
    broken: Sink,
}

async fn demonstrate() -> Result<()> {
    let directory = fresh_directory()?;
    let authority = Authority::new("Convoy demonstration")?;
    authority
        .issue(&["localhost", "mta.example"])?
        .write(&directory.join("server.pem"))
        .context("cannot write the node's certificate")?;
    let receivers = receivers(&authority).await?;

    println!("Receiving servers:");
    println!("  {}  encrypts.example: offers STARTTLS", receivers.encrypts.address);
    println!("  {}  plain.example:    does not offer STARTTLS", receivers.plain.address);
    println!("  {}  broken.example:   offers STARTTLS, and its handshake fails", {
        receivers.broken.address
    });

    let node = Node::start(&directory, &config(&directory, &receivers)).await?;
    let (clear, implicit) = (node.listeners[0], node.listeners[1]);
    println!("\nNode: mtad --config {}", directory.join("config").display());
    println!("  {clear}  SMTP with STARTTLS\n  {implicit}  SMTP with TLS at once\n");

    let accepted = send_all(clear, implicit, &authority.pem()).await?;
    let result = check(&receivers, accepted, &directory).await;
    if result.is_err() {
        eprintln!("The node's log:\n{}", node.log());
    }
    let (encrypted, csv) = result?;
    node.stop().await?;
    let clear = accepted - encrypted;
    println!(
        "demo: accepted={accepted} delivered={accepted} encrypted={encrypted} clear={clear} csv={}",
        csv.display()
    );
    Ok(())
}

/// A directory of our own, emptied of an earlier demonstration.
fn fresh_directory() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join("convoy-demo");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context("cannot remove the earlier demonstration")?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

async fn receivers(authority: &Authority) -> Result<Receivers> {
    let tls = authority.issue(&["encrypts.example", "127.0.0.1"])?.server_config(None)?;
    Ok(Receivers {
        encrypts: Sink::start(Behaviour::new(Tls::Offered(tls))).await?,
        plain: Sink::start(Behaviour::new(Tls::NotOffered)).await?,
        broken: Sink::start(Behaviour::new(Tls::BrokenHandshake)).await?,
    })
}

fn config(directory: &Path, receivers: &Receivers) -> String {
    format!(
        "smtp-listener 127.0.0.1:0\n\
         smtp-listener 127.0.0.1:0 tls=yes\n\
         smtp-server-tls-certificate {directory}/server.pem\n\
         <source 127.0.0.1>\n    always-allow-relaying yes\n    allow-starttls yes\n</source>\n\
         <domain *>\n    use-starttls yes\n    require-starttls no\n</domain>\n\
         <domain encrypts.example>\n    smtp-hosts [127.0.0.1]:{}\n</domain>\n\
         <domain plain.example>\n    smtp-hosts [127.0.0.1]:{}\n</domain>\n\
         <domain broken.example>\n    smtp-hosts [127.0.0.1]:{}\n</domain>\n\
         <acct-file logacct.csv>\n    records d, b\n\
         \x20   record-fields d *, dlvTlsProtocol, dlvTlsCipher\n\
         \x20   record-fields b *, dlvTlsProtocol, dlvTlsCipher\n</acct-file>\n",
        receivers.encrypts.address.port(),
        receivers.plain.address.port(),
        receivers.broken.address.port(),
        directory = directory.display(),
    )
}

/// Sends to every domain over both ways in; gives the number of messages answered `250`.
async fn send_all(clear: SocketAddr, implicit: SocketAddr, authority: &str) -> Result<usize> {
    let tls = client_config(authority)?;
    let mut session = Client::connect(clear).await?;
    let offered = session.ehlo().await?;
    ensure!(offered.iter().any(|e| e == "STARTTLS"), "STARTTLS is not offered: {offered:?}");
    let mut session = session.starttls("localhost", Arc::clone(&tls)).await?;
    session.ehlo().await?;
    let mut accepted = send(&mut session, "STARTTLS").await?;

    let mut session = Client::connect_tls(implicit, "localhost", tls).await?;
    session.ehlo().await?;
    accepted += send(&mut session, "TLS at once").await?;
    Ok(accepted)
}

async fn send(session: &mut Client, way: &str) -> Result<usize> {
    let mut accepted = 0;
    for domain in DOMAINS {
        for n in 1..=PER_WAY {
            let text = format!(
                "From: sender@client.example\nTo: user{n}@{domain}\n\
                 Subject: {way} to {domain}, {n}\n\nHello over {way}.\n.dots stay\n"
            );
            let to = format!("user{n}@{domain}");
            let reply = session.message("sender@client.example", &[&to], &text).await?;
            ensure!(reply.code == 250, "{to} over {way}: {} {:?}", reply.code, reply.lines);
            accepted += 1;
        }
        println!("sent {PER_WAY} messages over {way} to {domain}: 250");
    }
    session.send("QUIT").await?;
    session.expect(221).await?;
    Ok(accepted)
}

/// Checks what the servers received and what the accounting file says; prints the rows. Gives the
/// number of encrypted deliveries and the file.
async fn check(
    receivers: &Receivers,
    accepted: usize,
    directory: &Path,
) -> Result<(usize, PathBuf)> {
    let each = accepted / DOMAINS.len();
    for (name, sink, encrypted) in [
        ("encrypts.example", &receivers.encrypts, true),
        ("plain.example", &receivers.plain, false),
        ("broken.example", &receivers.broken, false),
    ] {
        let messages = eventually(name, async || {
            Some(sink.messages()).filter(|messages| messages.len() >= each)
        })
        .await?;
        ensure!(messages.len() == each, "{name} received {} of {each}", messages.len());
        ensure!(messages.iter().all(|m| m.encrypted == encrypted), "{name}: wrong encryption");
        let intact = |data: &[u8]| String::from_utf8_lossy(data).contains("\r\n.dots stay\r\n");
        ensure!(messages.iter().all(|m| intact(&m.data)), "{name}: a message was changed");
    }
    ensure!(receivers.broken.handshakes_failed() > 0, "no handshake was tried");

    let rows = eventually("the accounting rows", async || {
        let (path, text) = accounting_file(directory)?;
        (text.lines().count() > accepted).then_some((path, text))
    })
    .await?;
    let (path, text) = rows;
    println!("\n{}:\n{text}", path.display());
    let encrypted = check_rows(&text, accepted)?;
    ensure!(encrypted == each, "{encrypted} rows tell of encryption, not {each}");
    Ok((encrypted, path))
}

fn accounting_file(directory: &Path) -> Option<(PathBuf, String)> {
    let entries = std::fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    let path = files.pop()?;
    let text = std::fs::read_to_string(&path).ok()?;
    Some((path, text))
}

/// Every row tells of a delivery, and of TLS exactly when the server encrypts.
fn check_rows(text: &str, accepted: usize) -> Result<usize> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|h| h == name);
        found.with_context(|| format!("the accounting file has no column {name}"))
    };
    let (kind, rcpt) = (column("type")?, column("rcpt")?);
    let (protocol, cipher) = (column("dlvTlsProtocol")?, column("dlvTlsCipher")?);
    let (mut rows, mut encrypted) = (0, 0);
    for row in reader.records() {
        let row = row?;
        ensure!(&row[kind] == "d", "a message was not delivered: {row:?}");
        let expected = row[rcpt].ends_with("@encrypts.example");
        let tells = row[protocol].starts_with("TLSv1.") && !row[cipher].is_empty();
        ensure!(tells == expected, "the TLS columns are wrong: {row:?}");
        ensure!(tells || (row[protocol].is_empty() && row[cipher].is_empty()), "half: {row:?}");
        rows += 1;
        encrypted += usize::from(tells);
    }
    ensure!(rows == accepted, "{rows} rows for {accepted} messages");
    Ok(encrypted)
}
