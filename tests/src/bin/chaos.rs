//! `make chaos`: clusters of real nodes under load and faults; a table and `chaos-report.json`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use convoy_tests::chaos::{Options, Report, SCENARIOS, Scenario, run};
use convoy_tests::network;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// Runs clusters of real nodes under load and faults, and checks that they keep their promises.
#[derive(Debug, Parser)]
#[command(name = "chaos", max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// Repeat a run: waits, sizes and recipients come from it.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Run only scenarios whose name contains this; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Begin no further scenario after so many minutes, and until then go on over again, each
    /// time with another seed. Without it each scenario runs once.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,

    /// Where to write the report.
    #[arg(long, value_name = "FILE", default_value = "chaos-report.json")]
    report: PathBuf,

    /// List the scenarios and exit.
    #[arg(long)]
    list: bool,
}

const EXAMPLES: &str = "Examples:
  chaos --list
  chaos --only kill-leader --seed 7
  chaos --minutes 60

Exit status: 0 when every law was kept, 1 when one was broken or a run failed.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for Scenario { name, about, .. } in SCENARIOS {
            println!("{name:16} {about}");
        }
        return ExitCode::SUCCESS;
    }
    let done = tokio::select! {
        done = all(&arguments) => done,
        why = interrupted() => why.and_then(|name| anyhow::bail!("interrupted by {name}")),
    };
    // Whatever a run did not get to remove.
    network::sweep();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<&'static str> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = int.recv() => Ok("SIGINT"),
        _ = term.recv() => Ok("SIGTERM"),
    }
}

async fn all(arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("chaos: seed {seed}");
    let wanted = |scenario: &&Scenario| {
        let mut only = arguments.only.iter();
        arguments.only.is_empty() || only.any(|part| scenario.name.contains(part.as_str()))
    };
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(wanted).collect();
    ensure!(!chosen.is_empty(), "no scenario has such a name; --list shows them");
    let end = arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let mut report = Report { seed, ..Report::default() };
    for round in 0.. {
        for scenario in &chosen {
            if end.is_some_and(|end| Instant::now() > end) {
                return finish(arguments, &report);
            }
            let options = Options { seed: seed.wrapping_add(round) };
            println!("chaos: {} (seed {}): {}", scenario.name, options.seed, scenario.about);
            match run(scenario, options).await {
                Ok(outcome) => report.outcomes.push(outcome),
                Err(why) => report.skipped.push((scenario.name, why)),
            }
            write(arguments, &report)?;
        }
        if end.is_none() {
            break;
        }
    }
    finish(arguments, &report)
}

fn write(arguments: &Arguments, report: &Report) -> Result<()> {
    let text = format!("{:#}\n", report.json());
    std::fs::write(&arguments.report, text)
        .with_context(|| format!("cannot write {}", arguments.report.display()))
}

fn finish(arguments: &Arguments, report: &Report) -> Result<bool> {
    print!("\n{}", report.table());
    println!("chaos: the report is in {}", arguments.report.display());
    Ok(report.is_good())
}
