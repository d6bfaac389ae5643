//! The configuration that nodes share, on three nodes: a new member takes it, all switch together,
//! one that finds an error keeps all from switching, and one that was away follows.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use convoy_tests::node::{Node, base_config, eventually};
use convoy_tests::programs::free_port;
use tempfile::TempDir;

/// What is about the machine. Alone it is no configuration: the source is shared.
fn own(directory: &Path, cluster: SocketAddr) -> String {
    format!(
        "{}queue-partitions 2\ncluster-listener {cluster}\n\
         <smtp-listener 127.0.0.1:0>\n source customers\n</smtp-listener>\n",
        base_config(directory)
    )
}

fn shared(limit: u32, more: &str) -> String {
    format!(
        "<source customers>\n always-allow-relaying yes\n</source>\n\
         <domain *>\n max-smtp-out {limit}\n {more}\n</domain>\n"
    )
}

struct Three {
    directories: Vec<TempDir>,
    nodes: Vec<Option<Node>>,
    /// The shared configuration as it lies beside the first node.
    file: String,
}

impl Three {
    async fn start() -> Result<Self> {
        let directories = vec![TempDir::new()?, TempDir::new()?, TempDir::new()?];
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let path = directories[0].path();
        let file = path.join("cluster.conf");
        std::fs::write(&file, shared(7, ""))?;
        let file = file.display().to_string();
        std::fs::write(path.join("config"), own(path, address) + &shared(3, ""))?;
        let first = Node::restart(path).await?;
        first.mtactl(&["cluster", "init"]).await?;
        first.mtactl(&["config", "push", &file]).await?;
        std::fs::write(path.join("config"), own(path, address))?;
        first.mtactl(&["reload"]).await?;
        let mut nodes = vec![Some(first)];
        for directory in &directories[1..] {
            let (path, port) = (directory.path(), free_port()?);
            let here = SocketAddr::from(([127, 0, 0, 1], port));
            std::fs::write(path.join("config"), own(path, here))?;
            let first = nodes[0].as_ref().context("the first node runs")?;
            // The node that joined before may be changing who leads.
            let token =
                eventually("a token", async || first.mtactl(&["cluster", "token"]).await.ok())
                    .await?;
            let token = token.split_whitespace().next().context("no token")?.to_owned();
            let join = ["--join", &address.to_string(), "--token", &token];
            nodes.push(Some(Node::restart_with(path, &join).await?));
        }
        Ok(Self { directories, nodes, file })
    }

    fn node(&self, n: usize) -> Result<&Node> {
        self.nodes[n].as_ref().context("this node was stopped")
    }

    async fn limit(&self, n: usize) -> Result<String> {
        let settings = self.node(n)?.mtactl(&["show", "settings", "x.example"]).await?;
        let limit = |line: &&str| line.trim_start().starts_with("max-smtp-out ");
        let line = settings.lines().rfind(limit).unwrap_or_default();
        Ok(line.split_whitespace().nth(1).unwrap_or_default().to_owned())
    }

    /// Pushes by way of a node; what it says, whether or not it did.
    async fn push(&self, by: usize, text: &str, more: &[&str]) -> Result<(bool, String)> {
        std::fs::write(&self.file, text)?;
        let arguments = [&["config", "push", &self.file][..], more].concat();
        Ok(match self.node(by)?.mtactl(&arguments).await {
            Ok(said) => (true, said),
            Err(error) => (false, error.to_string()),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_switch_or_none_and_whoever_was_away_follows() -> Result<()> {
    let mut three = Three::start().await?;
    for n in 0..3 {
        ensure!(three.limit(n).await? == "7", "node {n} did not take what is shared");
    }
    let (done, said) = three.push(1, &shared(9, ""), &[]).await?;
    ensure!(done && said.contains("Version 2 is active: 3 nodes run with it."), "{said}");
    for n in 0..3 {
        ensure!(three.limit(n).await? == "9", "node {n} did not switch");
    }

    // A file that only some of them have.
    let pem = rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()])?.cert.pem();
    for directory in &three.directories[..2] {
        std::fs::write(directory.path().join("roots.pem"), &pem)?;
    }
    let text = shared(8, "smtp-tls-ca-file roots.pem");
    let (done, said) = three.push(0, &text, &[]).await?;
    ensure!(!done && said.contains("Nothing was changed"), "{said}");
    let error = "cluster.conf:6:19: error: roots.pem: No such file";
    let found = |line: &str| line.contains(error) && line.ends_with("[n3]");
    ensure!(said.lines().any(found), "{said}");
    for n in 0..3 {
        ensure!(three.limit(n).await? == "9", "node {n} switched");
    }

    three.nodes[2].take().context("n3 runs")?.kill().await?;
    let (done, said) = three.push(0, &shared(11, ""), &[]).await?;
    ensure!(!done && said.contains("n3") && said.contains("--skip-unreachable"), "{said}");
    ensure!(three.limit(0).await? == "9");
    // The two that are left may have to elect a leader first.
    let skipped = eventually("a push by two of three nodes", async || {
        let pushed = three.push(0, &shared(11, ""), &["--skip-unreachable"]).await.ok()?;
        pushed.0.then_some(pushed.1)
    })
    .await?;
    ensure!(skipped.contains("2 nodes run with it. 1 node does not answer."), "{skipped}");
    let back = Node::restart(three.directories[2].path()).await?;
    three.nodes[2] = Some(back);
    eventually("the node that was away to follow", async || {
        (three.limit(2).await.ok()? == "11").then_some(())
    })
    .await?;
    Ok(())
}
