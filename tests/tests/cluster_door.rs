//! The door of a cluster: making one, joining it, administering it from elsewhere, and what the
//! listener says to strangers, judged by OpenSSL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use convoy_tests::node::{Node, base_config, eventually, program};
use convoy_tests::programs::{free_port, try_run};
use tempfile::TempDir;

/// A node that may become the first of a cluster, and where it listens for others.
async fn first(directory: &TempDir) -> Result<(Node, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let config =
        format!("smtp-listener 127.0.0.1:0\ncluster-listener {address}\nqueue-partitions 2\n");
    Ok((Node::start(directory.path(), &config).await?, address))
}

fn field(json: &str, name: &str) -> Result<String> {
    let start = format!("\"{name}\":\"");
    let rest = json.split(&start).nth(1).with_context(|| format!("no {name} in {json}"))?;
    Ok(rest.split('"').next().unwrap_or_default().replace("\\n", "\n"))
}

async fn token(node: &Node) -> Result<String> {
    field(&node.mtactl(&["--json", "cluster", "token"]).await?, "token")
}

/// Credentials for mtactl, in a file.
async fn credentials(node: &Node, name: &str, role: &str) -> Result<PathBuf> {
    let pem = node.mtactl(&["cluster", "operator", name, "--role", role]).await?;
    let path = node.directory.join(format!("{name}.pem"));
    std::fs::write(&path, pem)?;
    Ok(path)
}

async fn remote(address: SocketAddr, pem: &Path, what: &[&str]) -> Result<(bool, String)> {
    let (address, pem) = (address.to_string(), pem.display().to_string());
    let mut arguments = vec!["--node", &address, "--credentials", &pem];
    arguments.extend_from_slice(what);
    try_run(&program("mtactl").display().to_string(), &arguments).await
}

/// Runs `mtad --join` in a directory to its early end, which is expected.
async fn fails_to_join(directory: &Path, through: SocketAddr, token: &str) -> Result<String> {
    let (through, config) = (through.to_string(), directory.join("config"));
    let config = config.display().to_string();
    let arguments = ["--config", &config, "--join", &through, "--token", token];
    let (success, text) = try_run(&program("mtad").display().to_string(), &arguments).await?;
    ensure!(!success, "it joined: {text}");
    Ok(text)
}

fn configure(directory: &Path, more: &str) -> Result<()> {
    let port = free_port()?;
    let text = format!(
        "{}smtp-listener 127.0.0.1:0\ncluster-listener 127.0.0.1:{port}\n{more}",
        base_config(directory)
    );
    Ok(std::fs::write(directory.join("config"), text)?)
}

/// `HOST:PORT` of a node, as it told the others.
fn card_address(directory: &Path) -> Result<String> {
    let card = std::fs::read_to_string(directory.join("spool/cluster/identity.json"))?;
    field(&card.replace("\": \"", "\":\""), "address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_with_a_token_that_is_good_once() -> Result<()> {
    let (one, two, three) = (TempDir::new()?, TempDir::new()?, TempDir::new()?);
    let (first, address) = first(&one).await?;
    let early = first.mtactl(&["cluster", "token"]).await.unwrap_err().to_string();
    ensure!(early.contains("mtactl cluster init"), "{early}");
    let made = first.mtactl(&["cluster", "init"]).await?;
    ensure!(made.contains(&format!("node n1, at {address}")), "{made}");
    let again = first.mtactl(&["cluster", "init"]).await.unwrap_err().to_string();
    ensure!(again.contains("belongs to cluster"), "{again}");

    let token = token(&first).await?;
    // The number of partitions is the cluster's, whatever the file says.
    configure(two.path(), "queue-partitions 5\n")?;
    let join = ["--join", &address.to_string(), "--token", &token];
    let second = Node::restart_with(two.path(), &join).await?;
    let status = second.mtactl(&["--json", "status"]).await?;
    ensure!(status.contains("\"p1\"") && !status.contains("\"p2\""), "{status}");
    let card = std::fs::read_to_string(two.path().join("spool/cluster/identity.json"))?;
    ensure!(card.contains("\"node\": 2"), "{card}");

    configure(three.path(), "")?;
    let used = fails_to_join(three.path(), address, &token).await?;
    ensure!(used.contains("it was used already"), "{used}");
    let cut = fails_to_join(three.path(), address, &token[..40]).await?;
    ensure!(cut.contains("damaged"), "{cut}");

    // Any member lets others in.
    let next = eventually("the second node to know the cluster", async || {
        second.mtactl(&["cluster", "token"]).await.ok()
    })
    .await?;
    let through = &card_address(two.path())?;
    let join_again = ["--join", through, "--token", next.trim()];
    let third = Node::restart_with(three.path(), &join_again).await?;
    logged(&third, "as n3").await?;

    // A member just starts, whatever became of its token.
    second.stop().await?;
    let second = Node::restart_with(two.path(), &join).await?;
    // A quorum of the groups may be on any two of them.
    third.stop().await?;
    second.stop().await?;
    first.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_queue_does_not_start_under_its_number() -> Result<()> {
    let directory = TempDir::new()?;
    let (node, _) = first(&directory).await?;
    node.mtactl(&["cluster", "init"]).await?;
    node.stop().await?;
    std::fs::remove_dir_all(directory.path().join("spool/store"))?;
    let refused = Node::restart(directory.path()).await.err().context("it started")?;
    let refused = format!("{refused:#}");
    ensure!(
        refused.contains("n1 of cluster") && refused.contains("has lost its queue"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_follows_the_configuration() -> Result<()> {
    let directory = TempDir::new()?;
    let (node, old) = first(&directory).await?;
    node.mtactl(&["cluster", "init"]).await?;
    let pem = credentials(&node, "look", "monitor").await?;
    let new = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let path = directory.path().join("config");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replace(&old.to_string(), &new.to_string()))?;
    node.mtactl(&["reload"]).await?;
    eventually("the new listener", async || {
        remote(new, &pem, &["status"]).await.ok().filter(|(done, _)| *done)
    })
    .await?;
    let (done, text) = remote(old, &pem, &["status"]).await?;
    ensure!(!done && text.contains("refused"), "{text}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_in_use_does_not_join() -> Result<()> {
    let (one, two) = (TempDir::new()?, TempDir::new()?);
    let (first, address) = first(&one).await?;
    first.mtactl(&["cluster", "init"]).await?;
    let token = token(&first).await?;
    configure(two.path(), "")?;
    Node::restart(two.path()).await?.stop().await?;
    let refused = fails_to_join(two.path(), address, &token).await?;
    ensure!(refused.contains("mail may be in it"), "{refused}");
    first.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_elsewhere_may_what_their_role_allows() -> Result<()> {
    let directory = TempDir::new()?;
    let (node, address) = first(&directory).await?;
    node.mtactl(&["cluster", "init"]).await?;
    let look = credentials(&node, "look", "monitor").await?;
    let work = credentials(&node, "work", "operator").await?;
    let root = credentials(&node, "root", "admin").await?;
    for (pem, what, allowed) in [
        (&look, &["status"][..], true),
        (&look, &["pause", "queue", "a.example"], false),
        (&work, &["pause", "queue", "a.example"], true),
        (&work, &["cluster", "token"], false),
        (&root, &["cluster", "token"], true),
    ] {
        let (done, text) = remote(address, pem, what).await?;
        ensure!(done == allowed, "{what:?} with {}: {text}", pem.display());
        ensure!(done || text.contains("this needs the role"), "{text}");
    }

    let short = ["cluster", "operator", "gone", "--role", "admin", "--ttl", "1s"];
    let gone = directory.path().join("gone.pem");
    std::fs::write(&gone, node.mtactl(&short).await?)?;
    let refused = eventually("credentials to expire", async || {
        let (done, text) = remote(address, &gone, &["status"]).await.ok()?;
        // A connection that stands at that moment is cut; only the next one is refused.
        (!done && !text.contains("the connection to mtad broke")).then_some(text)
    })
    .await?;
    ensure!(refused.contains("the credentials have expired"), "{refused}");
    logged(&node, "PauseQueue by look (monitor) refused").await?;
    node.stop().await
}

/// The log is written by a thread of its own, a moment later.
async fn logged(node: &Node, text: &str) -> Result<()> {
    eventually(text, async || node.log().contains(text).then_some(())).await
}

/// What `openssl s_client` says about the listener.
async fn openssl(address: SocketAddr, more: &[&str]) -> Result<String> {
    let address = address.to_string();
    let mut arguments =
        vec!["s_client", "-connect", &address, "-servername", "node.convoy.internal"];
    arguments.extend_from_slice(more);
    Ok(try_run("openssl", &arguments).await?.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_mutual_tls_1_3_and_nothing_else() -> Result<()> {
    let directory = TempDir::new()?;
    let (node, address) = first(&directory).await?;
    node.mtactl(&["cluster", "init"]).await?;
    let pem = credentials(&node, "anna", "monitor").await?.display().to_string();
    let authority = directory.path().join("spool/cluster/authority.pem").display().to_string();

    let trust = ["-CAfile", &authority, "-verify_hostname", "node.convoy.internal"];
    let known = [&trust[..], &["-cert", &pem, "-key", &pem, "-verify_return_error"]].concat();
    let good = openssl(address, &known).await?;
    ensure!(good.contains("Verification: OK"), "{good}");
    ensure!(good.contains("TLSv1.3"), "{good}");
    ensure!(!good.contains("alert"), "{good}");

    // The refusal comes when the client is through with the handshake: it has to wait for it.
    let stranger = openssl(address, &[&trust[..], &["-ign_eof"]].concat()).await?;
    ensure!(stranger.contains("certificate required"), "{stranger}");
    let old = openssl(address, &[&known[..], &["-tls1_2"]].concat()).await?;
    ensure!(old.contains("alert protocol version"), "{old}");
    logged(&node, "cluster connection from 127.0.0.1").await?;
    node.stop().await
}
