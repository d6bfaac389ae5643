//! `mtad --check-config` and reload, as an operator meets them.

use std::path::Path;

use anyhow::{Result, ensure};
use convoy_tests::node::{Node, base_config, program};
use convoy_tests::programs::try_run;
use tempfile::TempDir;

async fn check_config(directory: &Path, text: &str) -> Result<(bool, String)> {
    let path = directory.join("checked");
    std::fs::write(&path, text)?;
    let mtad = program("mtad").display().to_string();
    try_run(&mtad, &["--check-config", &path.display().to_string()]).await
}

#[tokio::test]
async fn every_error_is_shown_with_its_position_and_the_nearest_name() -> Result<()> {
    let directory = TempDir::new()?;
    let text = "host-name a.example\n\
                smtp-listner 127.0.0.1:25\n\
                <domain *>\n    use-starttls maybe\n    max-smtp-out\n\
                \x20   smtp-listener 127.0.0.1:26\n</domain>\n";
    let (good, said) = check_config(directory.path(), text).await?;
    ensure!(!good, "accepted:\n{said}");
    for part in [
        "checked:2:1: error",
        "smtp-listener",
        "checked:4:18: error",
        "yes",
        "checked:5:",
        "checked:6:5: error",
    ] {
        ensure!(said.contains(part), "no {part:?} in\n{said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_acted_on_is_named() -> Result<()> {
    let directory = TempDir::new()?;
    let text = format!(
        "{}smtp-listener 127.0.0.1:0\nhttp-mgmt-port 8081\n\
         <domain *>\n dkim-sign yes\n</domain>\n",
        base_config(directory.path())
    );
    let (good, said) = check_config(directory.path(), &text).await?;
    ensure!(good, "refused:\n{said}");
    ensure!(said.contains("2 directives are understood but not acted on yet:"), "{said}");
    ensure!(said.contains("http-mgmt-port") && said.contains("dkim-sign"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_reload_keeps_the_old_configuration_and_a_good_one_takes_effect() -> Result<()> {
    let directory = TempDir::new()?;
    let good = "smtp-listener 127.0.0.1:0\n<domain x.example>\n max-smtp-out 7\n</domain>\n";
    let node = Node::start(directory.path(), good).await?;
    let settings = ["show", "settings", "x.example"];
    let setting = |text: &str| {
        // The virtual MTA's own limit comes first, the queue's after it.
        let line = text.lines().rfind(|line| line.trim_start().starts_with("max-smtp-out "));
        line.unwrap_or_default().trim().to_owned()
    };
    ensure!(setting(&node.mtactl(&settings).await?).contains('7'), "not in force at start");

    let config = directory.path().join("config");
    let before = std::fs::read_to_string(&config)?;
    std::fs::write(&config, before.replace("max-smtp-out 7", "max-smtp-out seven"))?;
    let refused = node.mtactl(&["reload"]).await;
    let said = format!("{refused:?}");
    ensure!(refused.is_err() && said.contains("config:"), "{said}");
    ensure!(setting(&node.mtactl(&settings).await?).contains('7'), "the old one is gone");

    std::fs::write(&config, before.replace("max-smtp-out 7", "max-smtp-out 9"))?;
    node.mtactl(&["reload"]).await?;
    ensure!(setting(&node.mtactl(&settings).await?).contains('9'), "the new one is not in force");
    node.stop().await
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    let mtad = program("mtad").display().to_string();
    let script = format!("({mtad} --manual conf | head -1 > /dev/null) 2>&1");
    let (_, said) = try_run("sh", &["-c", &script]).await?;
    ensure!(said.trim().is_empty(), "it said:\n{said}");
    Ok(())
}
