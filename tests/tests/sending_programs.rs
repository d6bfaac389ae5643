//! Mail comes in from programs that others wrote: swaks, openssl, Python's smtplib, Postfix.

use anyhow::{Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::node::{Node, eventually};
use convoy_tests::programs::{Postfix, run, try_run};
use convoy_tests::rows;
use convoy_tests::sink::{Behaviour, Received, Sink, Tls};
use tempfile::TempDir;

/// A node with every way in, a user by password and one by certificate, and where it delivers.
struct Site {
    directory: TempDir,
    sink: Sink,
    node: Node,
    authority: Authority,
}

impl Site {
    async fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let at = |name: &str| directory.path().join(name);
        let authority = Authority::new("test")?;
        authority.issue(&["localhost"])?.write(&at("server.pem"))?;
        authority.issue(&["client.example"])?.write(&at("client.pem"))?;
        std::fs::write(at("ca.pem"), authority.pem())?;
        let sink = Sink::start(Behaviour::new(Tls::NotOffered)).await?;
        let config = format!(
            "smtp-listener 127.0.0.1:0\nsmtp-listener 127.0.0.1:0 tls=yes\n\
             smtp-listener [::1]:0\nsmtp-listener 127.0.0.1:0 proxy-protocol=yes\n\
             proxy-trusted-source 127.0.0.1\n\
             smtp-server-tls-certificate {here}/server.pem\n\
             smtp-server-tls-ca-file {here}/ca.pem\n\
             <source 0/0>\n allow-starttls yes\n require-starttls-before-auth yes\n\
             require-auth yes\n</source>\n\
             <source ::1>\n always-allow-relaying yes\n require-auth no\n</source>\n\
             <source 192.0.2.0/24>\n always-allow-relaying yes\n require-auth no\n\
             log-connections yes\n</source>\n\
             <source 2001:db8::/32>\n always-allow-relaying yes\n require-auth no\n</source>\n\
             <source {{auth}}>\n always-allow-relaying yes\n require-auth no\n</source>\n\
             <source {{trusted}}>\n always-allow-relaying yes\n require-auth no\n</source>\n\
             <smtp-user alice>\n password sesame\n</smtp-user>\n\
             <smtp-user robot>\n authentication-method certificate\n\
             tls-certificate {here}/client.pem\n source {{trusted}}\n</smtp-user>\n\
             <domain *>\n smtp-hosts [127.0.0.1]:{port}\n</domain>\n\
             <acct-file acct.csv>\n records d, b, r\n</acct-file>\n\
             <acct-file received.csv>\n records r\n</acct-file>\n",
            here = directory.path().display(),
            port = sink.address.port(),
        );
        let node = Node::start(directory.path(), &config).await?;
        Ok(Self { directory, sink, node, authority })
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Port of the n-th listener: STARTTLS, implicit TLS, IPv6, PROXY protocol.
    fn port(&self, n: usize) -> String {
        self.node.listeners[n].port().to_string()
    }

    async fn received(&self, count: usize) -> Result<Vec<Received>> {
        let waiting = self.sink.wait_for(count);
        match tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await {
            Ok(messages) => Ok(messages),
            Err(_) => anyhow::bail!("nothing came; the log says:\n{}", self.node.log()),
        }
    }
}

fn text(message: &Received) -> String {
    String::from_utf8_lossy(&message.data).into_owned()
}

const PASSWORD: [&str; 4] = ["--auth-user", "alice", "--auth-password", "sesame"];

#[tokio::test(flavor = "multi_thread")]
async fn swaks_delivers_over_starttls_and_implicit_tls_with_every_mechanism() -> Result<()> {
    let site = Site::start().await?;
    let mut sent = 0;
    for (listener, tls) in [(0, "--tls"), (1, "--tlsc")] {
        for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
            let port = site.port(listener);
            let mut arguments = vec![
                "--server",
                "127.0.0.1",
                "--port",
                &port,
                "--from",
                "a@client.example",
                "--to",
                "b@sink.example",
                tls,
                "--auth",
                mechanism,
            ];
            arguments.extend(PASSWORD);
            run("swaks", &arguments).await?;
            sent += 1;
        }
    }
    let messages = site.received(sent).await?;
    for message in &messages {
        let text = text(message);
        ensure!(text.contains("(using TLSv1.3 with cipher TLS_"), "no TLS in the trace:\n{text}");
        ensure!(text.contains(" with ESMTPSA id "), "{text}");
    }
    site.node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_missing_one_are_refused() -> Result<()> {
    let site = Site::start().await?;
    let port = site.port(0);
    let base = ["--server", "127.0.0.1", "--port", &port, "--to", "b@sink.example"];
    let wrong = ["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "no"];
    let (good, said) = try_run("swaks", &[&base[..], &wrong].concat()).await?;
    ensure!(!good && said.contains("535 5.7.8"), "{said}");
    let (good, said) = try_run("swaks", &[&base[..], &["--tls"]].concat()).await?;
    ensure!(!good && said.contains("530 5.7"), "{said}");
    // In clear, AUTH is not even offered.
    let clear = [&base[..], &["--auth", "PLAIN"], &PASSWORD].concat();
    let (good, said) = try_run("swaks", &clear).await?;
    ensure!(!good && !said.contains("250-AUTH") && !said.contains("250 AUTH"), "{said}");
    ensure!(site.sink.messages().is_empty(), "something came through");
    site.node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_authenticates_its_user_and_no_other_one_does() -> Result<()> {
    let site = Site::start().await?;
    let (port, good) = (site.port(0), site.file("client.pem"));
    let base =
        ["--server", "127.0.0.1", "--port", &port, "--to", "b@sink.example", "--tls", "--tls-cert"];
    run("swaks", &[&base[..], &[&good, "--tls-key", &good]].concat()).await?;
    site.received(1).await?;

    let stranger = site.file("stranger.pem");
    site.authority.issue(&["client.example"])?.write(stranger.as_ref())?;
    let (accepted, said) =
        try_run("swaks", &[&base[..], &[&stranger, "--tls-key", &stranger]].concat()).await?;
    ensure!(!accepted && said.contains("530 5.7"), "{said}");
    site.node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_smtplib_agree_with_the_server() -> Result<()> {
    let site = Site::start().await?;
    let (starttls, ca) = (site.port(0), site.file("ca.pem"));
    let target = format!("127.0.0.1:{starttls}");
    let said = run(
        "openssl",
        &[
            "s_client",
            "-starttls",
            "smtp",
            "-connect",
            &target,
            "-CAfile",
            &ca,
            "-verify_hostname",
            "localhost",
            "-brief",
        ],
    )
    .await?;
    ensure!(said.contains("Verification: OK") && said.contains("TLSv1.3"), "{said}");

    let script = site.file("send.py");
    std::fs::write(&script, SMTPLIB)?;
    let (implicit, six) = (site.port(1), site.port(2));
    run("python3", &[&script, &starttls, &implicit, &six, &ca]).await?;
    let messages = site.received(3).await?;
    ensure!(messages.iter().any(|m| text(m).contains("Grüße")), "8-bit text was changed");
    ensure!(messages.iter().any(|m| text(m).contains("\r\n..two dots\r\n")), "dots were changed");
    site.node.stop().await
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
starttls, implicit, six, ca = sys.argv[1:5]
context = ssl.create_default_context(cafile=ca)
def message(subject):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "a@client.example", "b@sink.example", subject
    m.set_content("Grüße\n..two dots\n.\nend\n", cte="8bit")
    return m
with smtplib.SMTP("localhost", int(starttls)) as s:
    s.starttls(context=context)
    s.login("alice", "sesame")
    s.send_message(message("starttls"), mail_options=["BODY=8BITMIME"])
with smtplib.SMTP_SSL("localhost", int(implicit), context=context) as s:
    s.login("alice", "sesame")
    s.send_message(message("implicit"), mail_options=["BODY=8BITMIME"])
with smtplib.SMTP("::1", int(six)) as s:
    s.send_message(message("six"), mail_options=["BODY=8BITMIME"])
"#;

/// Arguments by which swaks claims to be a proxy.
fn proxied(
    version: &'static str,
    family: &'static str,
    ends: [&'static str; 2],
) -> Vec<&'static str> {
    let [source, destination] = ends;
    vec![
        "--proxy-version",
        version,
        "--proxy-family",
        family,
        "--proxy-source",
        source,
        "--proxy-source-port",
        "40000",
        "--proxy-dest",
        destination,
        "--proxy-dest-port",
        "25",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_as_a_proxy_names_its_client() -> Result<()> {
    let site = Site::start().await?;
    let port = site.port(3);
    let base = ["--server", "127.0.0.1", "--port", &port, "--to", "b@sink.example"];
    let four = ["192.0.2.7", "198.51.100.1"];
    let six = ["2001:db8::7", "2001:db8::25"];
    let mut expected = Vec::new();
    for (version, family, ends) in
        [("1", "TCP4", four), ("1", "TCP6", six), ("2", "AF_INET", four), ("2", "AF_INET6", six)]
    {
        run("swaks", &[&base[..], &["--tls"], &proxied(version, family, ends)].concat()).await?;
        expected.push(ends.map(str::to_owned));
    }
    let received = eventually("rows", async || {
        let rows = rows::read(&site.node.directory, "received").ok()?;
        (rows.len() >= expected.len()).then_some(rows)
    });
    let rows = received.await?;
    let ends = |row: &rows::Row| [row["rcvSourceIp"].clone(), row["rcvDestinationIp"].clone()];
    let mut told: Vec<_> = rows.iter().map(ends).collect();
    told.sort();
    expected.sort();
    ensure!(told == expected, "{told:?}");
    for message in site.received(4).await? {
        let text = text(&message);
        let named = text.contains("([192.0.2.7])") || text.contains("([IPv6:2001:db8::7])");
        ensure!(named, "{text}");
    }
    let line = "connection from 192.0.2.7 by proxy 127.0.0.1 on 198.51.100.1:25";
    ensure!(site.node.log().contains(line), "{}", site.node.log());

    // Of another client the settings are others, and without a header nothing is said at all.
    let stranger = proxied("2", "AF_INET", ["203.0.113.7", "198.51.100.1"]);
    let (good, said) = try_run("swaks", &[&base[..], &stranger].concat()).await?;
    ensure!(!good && said.contains("530 5.7"), "{said}");
    let (good, said) = try_run("swaks", &base).await?;
    ensure!(!good && !said.contains("<-  220"), "{said}");
    let (good, said) =
        try_run("swaks", &[&base[..], &["--proxy", "TCP4 192.0.2.7 198.51.100.1"]].concat())
            .await?;
    ensure!(!good && !said.contains("<-  220"), "{said}");
    ensure!(site.node.log().contains("its PROXY header is malformed"), "{}", site.node.log());
    site.node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_relays_through_the_node() -> Result<()> {
    let site = Site::start().await?;
    let settings = format!(
        "relayhost = [127.0.0.1]:{}\nsmtp_tls_security_level = verify\n\
         smtp_tls_CAfile = {}\nsmtp_tls_verify_cert_match = localhost\n\
         smtp_tls_cert_file = {cert}\nsmtp_tls_key_file = {cert}\n\
         default_transport = smtp\nrelay_transport = smtp",
        site.port(0),
        site.file("ca.pem"),
        cert = site.file("client.pem"),
    );
    let postfix = Postfix::start(site.directory.path(), &settings, "").await?;
    let log = || postfix.log();
    let message = "Subject: relayed\n\nby postfix\n";
    postfix.submit("a@client.example", "b@sink.example", message).await?;
    let messages = site.received(1).await;
    ensure!(messages.is_ok(), "postfix says:\n{}", log());
    let text = text(&messages?[0]);
    ensure!(text.contains("from postfix.example") && text.contains("(using TLSv1.3"), "{text}");
    postfix.stop().await?;
    site.node.stop().await
}
