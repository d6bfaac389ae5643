//! Mail goes out to programs that others wrote: Postfix and aiosmtpd; and Python reads the rows.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::client::Client;
use convoy_tests::node::{Node, eventually};
use convoy_tests::programs::{Postfix, free_port, run};
use convoy_tests::rows::{self, Row};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

async fn node(directory: &Path, sections: &str) -> Result<Node> {
    let config = format!(
        "smtp-listener 127.0.0.1:0\n\
         <source 127.0.0.1>\n always-allow-relaying yes\n</source>\n\
         <acct-file acct.csv>\n records d, b\n\
         record-fields d *, dlvTlsProtocol, dlvTlsCipher, header_Subject\n\
         record-fields b *\n</acct-file>\n\
         <acct-file plain.csv>\n records d, b\n</acct-file>\n\
         <domain *>\n retry-after 1s\n</domain>\n{sections}"
    );
    Node::start(directory, &config).await
}

async fn send(node: &Node, to: &[&str], text: &str) -> Result<()> {
    let mut session = Client::connect(node.listeners[0]).await?;
    session.ehlo().await?;
    let reply = session.message("sender@client.example", to, text).await?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

async fn rows_of(node: &Node, count: usize) -> Result<Vec<Row>> {
    eventually("accounting rows", async || {
        rows::read(&node.directory, "acct").ok().filter(|rows| rows.len() >= count)
    })
    .await
    .with_context(|| format!("the log says:\n{}", node.log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_receives_over_tls_and_refusals_bounce() -> Result<()> {
    let directory = TempDir::new()?;
    let authority = Authority::new("test")?;
    let certificate = directory.path().join("postfix.pem");
    authority.issue(&["127.0.0.1"])?.write(&certificate)?;
    let port = free_port()?;
    let settings = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {cert}\n\
         smtpd_tls_key_file = {cert}\nsmtpd_tls_mandatory_protocols = >=TLSv1.2\n\
         relay_domains = sink.example\nrelay_transport = discard:\n\
         relay_recipient_maps = inline:{{ user@sink.example=ok other@sink.example=ok }}\n\
         smtpd_relay_restrictions = reject_unauth_destination\nmynetworks = 192.0.2.0/24",
        cert = certificate.display()
    );
    let service = format!("127.0.0.1:{port} inet n - n - - smtpd");
    let postfix = Postfix::start(directory.path(), &settings, &service).await?;
    let hosts = format!("<domain sink.example>\n smtp-hosts [127.0.0.1]:{port}\n</domain>\n");
    let node = node(directory.path(), &hosts).await?;
    let to = ["user@sink.example", "nobody@sink.example", "other@sink.example"];
    send(&node, &to, "Subject: three recipients\n\n.dot\nGruss\n").await?;
    // Three outcomes, and the notice to a sender without a route is another story.
    let rows = rows_of(&node, 3).await;
    let log = postfix.log();
    let rows = rows.with_context(|| format!("postfix says:\n{log}"))?;
    let find = |rcpt: &str| rows.iter().find(|row| row["rcpt"] == rcpt).context("no row");
    for rcpt in ["user@sink.example", "other@sink.example"] {
        let row = find(rcpt)?;
        assert_eq!(row["type"], "d");
        assert_eq!(row["dlvTlsProtocol"], "TLSv1.3");
        assert_eq!(row["header_Subject"], "three recipients");
        ensure!(row["dsnDiag"].starts_with("smtp;250 2.0.0 Ok: queued as "), "{row:?}");
        ensure!(row["dlvEsmtpAvailable"].contains("STARTTLS"), "{row:?}");
    }
    let bounced = find("nobody@sink.example")?;
    assert_eq!(bounced["type"], "b");
    assert_eq!(bounced["bounceCat"], "bad-mailbox");
    ensure!(bounced["dsnStatus"].starts_with("5.1.1 (bad destination mailbox"), "{bounced:?}");
    let queued_as = find("user@sink.example")?["dsnDiag"].clone();
    assert_eq!(queued_as, find("other@sink.example")?["dsnDiag"], "one transaction for both");
    node.stop().await?;
    postfix.stop().await
}

/// An aiosmtpd that prints where it listens and each message as it comes.
async fn aiosmtpd(directory: &Path) -> Result<(Child, u16)> {
    let script = directory.join("receive.py");
    std::fs::write(&script, AIOSMTPD)?;
    let mut child = Command::new("python3")
        .arg(&script)
        .arg(directory.join("aiosmtpd.pem"))
        .arg(directory.join("received"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let line = line.context("aiosmtpd did not start: `make test` installs it")?;
    Ok((child, line.trim().parse()?))
}

const AIOSMTPD: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP
certificate, folder = sys.argv[1:3]
class Handler:
    n = 0
    async def handle_DATA(self, server, session, envelope):
        Handler.n += 1
        with open(f"{folder}-{Handler.n}", "wb") as f:
            f.write(envelope.original_content)
        return "250 2.0.0 stored"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="aiosmtpd.example", tls_context=context,
                     require_starttls=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

#[tokio::test(flavor = "multi_thread")]
async fn aiosmtpd_that_insists_on_starttls_receives_the_bytes_unchanged() -> Result<()> {
    let directory = TempDir::new()?;
    let authority = Authority::new("test")?;
    authority.issue(&["127.0.0.1"])?.write(&directory.path().join("aiosmtpd.pem"))?;
    let (_server, port) = aiosmtpd(directory.path()).await?;
    let hosts = format!("<domain sink.example>\n smtp-hosts [127.0.0.1]:{port}\n</domain>\n");
    let node = node(directory.path(), &hosts).await?;
    let body = "line one\n..\n.\n. x\n\ttab\n\nlast\n";
    send(&node, &["user@sink.example"], &format!("Subject: bytes\n\n{body}")).await?;
    let rows = rows_of(&node, 1).await?;
    assert_eq!(rows[0]["type"], "d", "{:?}", rows[0]);
    assert_eq!(rows[0]["dsnDiag"], "smtp;250 2.0.0 stored");
    let received = std::fs::read(directory.path().join("received-1"))?;
    let received = String::from_utf8(received)?;
    let expected = body.replace('\n', "\r\n");
    ensure!(received.ends_with(&format!("Subject: bytes\r\n\r\n{expected}")), "{received:?}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_the_default_columns_by_position() -> Result<()> {
    let directory = TempDir::new()?;
    let node = node(directory.path(), "<domain sink.example>\n type discard\n</domain>\n").await?;
    send(&node, &["\"a,\\\"b\"@sink.example"], "Subject: x\n\ny\n").await?;
    rows_of(&node, 1).await?;
    node.stop().await?;
    let file = rows::files(directory.path(), "plain")?.pop().context("no accounting file")?;
    let script = directory.path().join("read.py");
    std::fs::write(&script, CSV)?;
    let said =
        run("python3", &[&script.display().to_string(), &file.display().to_string()]).await?;
    assert_eq!(said.trim(), "ok");
    Ok(())
}

const CSV: &str = r#"
import csv, re, sys
raw = open(sys.argv[1], "rb").read()
assert raw.count(b"\n") == raw.count(b"\r\n"), "records end with CRLF"
rows = list(csv.reader(open(sys.argv[1], newline="", encoding="utf-8")))
assert len(rows) == 2, rows
head, row = rows
assert head == ("type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,"
    "bounceCat,srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,"
    "vmta,jobId,envId,queue,vmtaPool").split(","), head
assert len(row) == 23, row
assert row[0] == "d" and row[3] == "sender@client.example", row
assert row[4] == '"a,\\"b"@sink.example', row
assert row[7] == "2.0.0 (success)" and row[13] == "discard", row
assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}", row[1]), row
assert row[21] == "sink.example/{default}", row
print("ok")
"#;
