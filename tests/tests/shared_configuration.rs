//! The configuration that nodes share, on one node: pushed, refused, rolled back, and in force
//! again after a restart.

use std::path::Path;
use std::process::Output;

use anyhow::{Result, ensure};
use convoy_tests::node::{Node, base_config, program};
use tempfile::TempDir;
use tokio::process::Command;

const LISTENER: &str = "<smtp-listener 127.0.0.1:0>\n source customers\n</smtp-listener>\n";
const CLUSTER: &str = "postmaster admin@example.com\ninclude conf.d/*.conf\n\
                       <source customers>\n always-allow-relaying yes\n</source>\n\
                       <smtp-user a>\n password s3cret\n</smtp-user>\n";

fn limit(n: u32) -> String {
    format!("<domain *>\n max-smtp-out {n}\n</domain>\n")
}

/// A node with everything in one file, and in `cluster.conf` what it is to share.
async fn node(directory: &TempDir) -> Result<Node> {
    let place = directory.path();
    std::fs::create_dir(place.join("conf.d"))?;
    std::fs::write(place.join("cluster.conf"), CLUSTER)?;
    std::fs::write(place.join("conf.d/limits.conf"), limit(7))?;
    let source = "<source customers>\n always-allow-relaying yes\n</source>\n";
    Node::start(place, &format!("{LISTENER}{source}{}", limit(3))).await
}

async fn in_force(node: &Node) -> Result<String> {
    let settings = node.mtactl(&["show", "settings", "x.example"]).await?;
    // The virtual MTA's own limit comes first, the queue's after it.
    let limit = |line: &&str| line.trim_start().starts_with("max-smtp-out ");
    let line = settings.lines().rfind(limit).unwrap_or_default();
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What `mtactl` printed, which failed.
async fn refused(node: &Node, arguments: &[&str]) -> Result<String> {
    match node.mtactl(arguments).await {
        Ok(printed) => anyhow::bail!("mtactl {} did not fail: {printed}", arguments.join(" ")),
        Err(error) => Ok(error.to_string()),
    }
}

async fn mtad(arguments: &[&str], directory: &Path) -> Result<Output> {
    Ok(Command::new(program("mtad")).args(arguments).current_dir(directory).output().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_configuration_is_in_force_at_once_and_after_a_restart() -> Result<()> {
    let directory = TempDir::new()?;
    let node = node(&directory).await?;
    let file = directory.path().join("cluster.conf").display().to_string();
    ensure!(in_force(&node).await?.contains("max-smtp-out 3"));
    let history = node.mtactl(&["config", "history"]).await?;
    ensure!(history.contains("No configuration has been pushed"), "{history}");

    let said = node.mtactl(&["config", "push", &file, "--dry-run"]).await?;
    ensure!(said.contains("1 node accepts it"), "{said}");
    ensure!(in_force(&node).await?.contains("max-smtp-out 3"));
    let said = node.mtactl(&["config", "push", &file, "--comment", "first"]).await?;
    ensure!(said.contains("Version 1 is active: 1 node runs with it."), "{said}");
    ensure!(said.contains("<domain *> is taken from the cluster's configuration"), "{said}");
    let limit_now = in_force(&node).await?;
    ensure!(limit_now.contains("max-smtp-out 7"), "{limit_now}");
    ensure!(limit_now.contains("cluster@1/conf.d/limits.conf:2"), "{limit_now}");

    // What stays in the node's file would not be a configuration by itself.
    let own = format!("{}{LISTENER}", base_config(directory.path()));
    std::fs::write(directory.path().join("config"), own)?;
    let said = node.mtactl(&["reload"]).await?;
    ensure!(!said.contains("is taken from"), "{said}");
    node.stop().await?;
    let node = Node::restart(directory.path()).await?;
    ensure!(in_force(&node).await?.contains("max-smtp-out 7"));
    let history = node.mtactl(&["config", "history"]).await?;
    ensure!(history.contains("active") && history.contains("first"), "{history}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_leaves_everything_as_it_was() -> Result<()> {
    let directory = TempDir::new()?;
    let node = node(&directory).await?;
    let file = directory.path().join("cluster.conf").display().to_string();
    for (text, place) in [
        ("log-file x\n", "cluster.conf:1:1: error: `log-file` is node-local"),
        ("<domain *>\n max-smtp-out x\n</domain>\n", "cluster.conf:2:15: error:"),
        ("include gone.conf\n", "cluster.conf:1:9: error: gone.conf cannot be read"),
        // The node's own listener names a source that is shared from then on.
        ("postmaster a@example.com\n", "config:6:9: error: source `customers` does not exist"),
    ] {
        std::fs::write(&file, text)?;
        let said = refused(&node, &["config", "push", &file]).await?;
        ensure!(said.contains(place), "{text}: {said}");
        ensure!(said.contains("Nothing was changed"), "{said}");
        ensure!(in_force(&node).await?.contains("max-smtp-out 3"));
    }
    let history = node.mtactl(&["config", "history"]).await?;
    ensure!(history.contains("No configuration has been pushed"), "{history}");
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_compared_shown_and_rolled_back() -> Result<()> {
    let directory = TempDir::new()?;
    let node = node(&directory).await?;
    let file = directory.path().join("cluster.conf").display().to_string();
    node.mtactl(&["config", "push", &file]).await?;
    std::fs::write(directory.path().join("conf.d/limits.conf"), limit(9))?;
    let said = node.mtactl(&["config", "diff", &file]).await?;
    ensure!(
        said.contains("--- version 1/conf.d/limits.conf\n+++ new/conf.d/limits.conf"),
        "{said}"
    );
    ensure!(said.contains("- max-smtp-out 7\n+ max-smtp-out 9"), "{said}");
    node.mtactl(&["config", "push", &file, "--comment", "more"]).await?;
    ensure!(in_force(&node).await?.contains("max-smtp-out 9"));

    let said = node.mtactl(&["config", "push", &file]).await?;
    ensure!(said.contains("Nothing to change: version 2"), "{said}");
    let said = node.mtactl(&["config", "diff"]).await?;
    ensure!(said.contains("- max-smtp-out 7\n+ max-smtp-out 9"), "{said}");
    let said = node.mtactl(&["config", "rollback", "1"]).await?;
    ensure!(said.contains("Version 3 is active"), "{said}");
    ensure!(in_force(&node).await?.contains("max-smtp-out 7"));
    let said = node.mtactl(&["config", "diff", "1", "3"]).await?;
    ensure!(said.contains("No difference."), "{said}");
    let said = refused(&node, &["config", "rollback", "8"]).await?;
    ensure!(said.contains("no version 8"), "{said}");

    let shown = node.mtactl(&["config", "show"]).await?;
    ensure!(shown.contains("password ********") && !shown.contains("s3cret"), "{shown}");
    let shown = node.mtactl(&["config", "show", "1", "--secrets"]).await?;
    ensure!(shown.contains("password s3cret"), "{shown}");
    let history = node.mtactl(&["--json", "config", "history"]).await?;
    ensure!(
        history.contains("back to version 1") && history.contains("\"running\":3"),
        "{history}"
    );
    node.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_use_the_active_version_starts_with_an_older_one() -> Result<()> {
    let directory = TempDir::new()?;
    let node = node(&directory).await?;
    let place = directory.path();
    let file = place.join("cluster.conf").display().to_string();
    node.mtactl(&["config", "push", &file]).await?;
    let list = place.join("roots.pem");
    let pem = rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()])?.cert.pem();
    std::fs::write(&list, pem)?;
    let with_roots =
        format!("<domain *>\n max-smtp-out 9\n smtp-tls-ca-file {}\n</domain>\n", list.display());
    std::fs::write(place.join("conf.d/limits.conf"), with_roots)?;
    node.mtactl(&["config", "push", &file]).await?;
    ensure!(in_force(&node).await?.contains("max-smtp-out 9"));
    node.stop().await?;

    std::fs::rename(&list, place.join("elsewhere.pem"))?;
    let node = Node::restart(place).await?;
    ensure!(in_force(&node).await?.contains("max-smtp-out 7"));
    let history = node.mtactl(&["config", "history"]).await?;
    ensure!(history.contains("This node runs with version 1"), "{history}");
    ensure!(history.contains("roots.pem"), "{history}");
    std::fs::rename(place.join("elsewhere.pem"), &list)?;
    node.mtactl(&["reload"]).await?;
    ensure!(in_force(&node).await?.contains("max-smtp-out 9"));
    node.stop().await
}

#[tokio::test]
async fn one_file_becomes_two_that_are_good_together() -> Result<()> {
    let directory = TempDir::new()?;
    let place = directory.path();
    let whole = format!("{}{LISTENER}{CLUSTER}{}", base_config(place), limit(3));
    std::fs::create_dir(place.join("conf.d"))?;
    std::fs::write(place.join("conf.d/x.conf"), "relay-domain x.example\n")?;
    std::fs::write(place.join("whole"), whole)?;
    let done = mtad(&["--split-config", "whole", "--out", "new"], place).await?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    ensure!(said.contains("node.conf: spool, log-file, admin-socket, host-name"), "{said}");
    ensure!(said.contains("conf.d/x.conf: as it is"), "{said}");

    let files = ["--check-config", "new/node.conf", "--shared", "new/cluster.conf"];
    let done = mtad(&files, place).await?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let again = mtad(&["--split-config", "whole", "--out", "new"], place).await?;
    ensure!(!again.status.success());
    let errors = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(errors.contains("is there already"), "{errors}");
    Ok(())
}
