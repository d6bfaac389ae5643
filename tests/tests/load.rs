//! Load source, receivers and checker on a single node: a kill under load breaks no law.

use std::time::Duration;

use anyhow::{Result, ensure};
use convoy_tests::history::{Limit, Rule};
use convoy_tests::laws::{Tolerance, judge};
use convoy_tests::node::eventually;
use convoy_tests::place::Place;
use convoy_tests::receiver::Manner;
use convoy_tests::trial::{Setting, Target, Trial};
use tempfile::TempDir;

const CONNECTIONS: u32 = 4;

fn targets() -> Vec<Target> {
    let short = Duration::from_millis(5)..=Duration::from_millis(30);
    let moody =
        Manner { delay: short, defer_recipients: 0.1, defer_messages: 0.1, ..Manner::default() };
    let clear = Target {
        domain: "clear.example".to_owned(),
        directives: format!(" max-smtp-out {CONNECTIONS}"),
        manner: moody,
        ..Target::default()
    };
    let encrypted =
        Target { domain: "tls.example".to_owned(), encrypted: true, ..Target::default() };
    vec![clear, encrypted]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_under_load_keeps_the_laws() -> Result<()> {
    let directory = TempDir::new()?;
    let place = Place::loopback();
    let setting = Setting::new(1, place, directory.path().to_owned(), targets());
    let mut trial = Trial::start(setting).await?;
    trial.limits.push(Limit { receiver: 0, source: None, rule: Rule::Connections(CONNECTIONS) });
    let mut load = trial.load(300);
    load.connections = 6;
    load.recipients = 1..=3;
    load.sizes = vec![200, 5_000, 60_000];
    load.bounces = 0.1;
    load.retries = 20;
    let source = trial.send(load);
    eventually("half of the load", async || (source.accepted() > 150).then_some(())).await?;
    trial.kill(0).await?;
    trial.cluster.restart(0).await?;
    let sent = source.finish().await;
    let missing = trial.settle(&sent, Duration::from_secs(60)).await;
    ensure!(missing.is_empty(), "not dealt with: {missing:?}\n{}", trial.cluster.logs());

    let judgement = judge(&trial.history(sent).await?, Tolerance::default());
    let broken: Vec<_> = judgement.violations.iter().map(ToString::to_string).collect();
    ensure!(broken.is_empty(), "{}\n{:?}", broken.join("\n"), judgement.figures);
    let figures = &judgement.figures;
    ensure!(figures.accepted > 300 && figures.bounced > 10, "{figures:?}");
    ensure!(figures.peaks[0].most > 1, "the limit was not tried: {figures:?}");
    Ok(())
}
