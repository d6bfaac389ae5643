//! `make cluster`: three nodes on loopback, mail through all of them, one killed in the middle, and
//! the proof that nothing was lost.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_tests::cluster::{Status, fresh_directory};
use convoy_tests::laws::{Judgement, Tolerance, judge};
use convoy_tests::load::{Pace, Source};
use convoy_tests::place::Place;
use convoy_tests::receiver::Manner;
use convoy_tests::trial::{Setting, Target, Trial};
use tokio::time::sleep;

const NODES: u8 = 3;
const MESSAGES: u32 = 900;
/// Messages a second; more than the receivers take, so that there is a queue when the node dies.
const RATE: f64 = 60.0;
/// Messages accepted before the kill.
const BEFORE: u32 = 400;
/// How long a part of the demonstration may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> ExitCode {
    let shown = tokio::select! {
        shown = demonstrate() => shown,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cluster: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn target(domain: &str, encrypted: bool) -> Target {
    let delay = Duration::from_millis(300)..=Duration::from_millis(600);
    Target {
        domain: domain.to_owned(),
        directives: " max-smtp-out 12".to_owned(),
        encrypted,
        manner: Manner { delay, ..Manner::default() },
    }
}

async fn demonstrate() -> Result<bool> {
    let directory = fresh_directory("convoy-cluster")?;
    println!("Starting {NODES} nodes below {}", directory.display());
    let targets = vec![target("clear.example", false), target("tls.example", true)];
    let setting = Setting::new(NODES, Place::loopback(), directory, targets);
    let mut trial = Trial::start(setting).await?;
    let result = run(&mut trial).await;
    if result.is_err() {
        eprintln!("{}", trial.cluster.logs());
    }
    result
}

async fn run(trial: &mut Trial) -> Result<bool> {
    show(&trial.cluster.status().await?);
    let mut load = trial.load(MESSAGES);
    load.pace = Pace::Open(RATE);
    load.connections = 12;
    load.bounces = 0.05;
    load.retries = 20;
    println!("\nSending {MESSAGES} messages through all nodes, {RATE} a second");
    let source = trial.send(load);
    wait_accepted(&source, BEFORE).await?;

    let victim = victim(trial).await?;
    let before = source.sent();
    let member = trial.cluster.member(victim);
    println!("{} messages accepted; kill -9 of {}", source.accepted(), member.id);
    let killed = trial.kill(victim).await?;
    let takeover = trial.takeover(&before, victim, killed).await?;
    println!("After {} ms the others send the mail that it was sending", takeover.as_millis());
    show(&trial.cluster.status().await?);

    trial.cluster.restart(victim).await?;
    trial.cluster.wait_healthy().await?;
    println!("\nThe killed node is back; waiting until everything is delivered");
    let sent = tokio::time::timeout(PATIENCE, source.finish()).await.context("sending hangs")?;
    let missing = trial.settle(&sent, PATIENCE).await;
    if !missing.is_empty() {
        println!("{} recipients are not dealt with after {PATIENCE:?}", missing.len());
    }
    let judgement = judge(&trial.history(sent).await?, Tolerance::default());
    Ok(tell(&judgement, takeover))
}

async fn wait_accepted(source: &Source, count: u32) -> Result<()> {
    let reached = async {
        while source.accepted() < count {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, reached).await;
    waited.with_context(|| format!("only {} messages were accepted", source.accepted()))
}

/// The node that leads most partitions.
async fn victim(trial: &Trial) -> Result<u8> {
    let status = trial.cluster.status().await?;
    let leads = |node: &u8| {
        let led = status.led_by(&trial.cluster.member(*node).id);
        led.iter().filter(|group| group.starts_with('p')).count()
    };
    let victim = trial.cluster.all_running().into_iter().max_by_key(leads);
    let victim = victim.context("no node runs")?;
    ensure!(leads(&victim) > 0, "no node leads a partition");
    Ok(victim)
}

fn show(status: &Status) {
    for member in &status.members {
        let led = status.led_by(&member.id).join(" ");
        let reached = if member.reachable { "reached" } else { "not reached" };
        println!("  {:4} {:22} {:9} {reached}; leads {led}", member.id, member.address, {
            &member.standing
        });
    }
}

fn tell(judgement: &Judgement, takeover: Duration) -> bool {
    let figures = &judgement.figures;
    for violation in &judgement.violations {
        println!("violated: {violation}");
    }
    println!(
        "cluster: accepted={} delivered={} bounced={} queued={} lost={} duplicates={} \
         in_flight_at_kill={} takeover_ms={}",
        figures.accepted,
        figures.delivered,
        figures.bounced,
        figures.queued,
        figures.lost,
        figures.duplicates,
        figures.in_flight,
        takeover.as_millis()
    );
    judgement.violations.is_empty() && figures.duplicates <= figures.in_flight
}
