//! What came out of the runs: a table for people, JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::history::Rule;
use crate::laws::Judgement;

/// What a cluster costs when it has nothing to do, the most of its nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// Of one core, in percent.
    pub cpu_percent: f64,
    /// Resident memory in MiB.
    pub rss_mib: f64,
}

/// What came out of one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What the laws say; or why the run itself failed.
    pub judgement: Result<Judgement, String>,
    /// From each kill until the dead node's mail went on.
    pub takeovers: Vec<Duration>,
    /// How long each drain took.
    pub drains: Vec<Duration>,
    /// Before the load.
    pub idle: Idle,
    /// How long it all took.
    pub took: Duration,
}

impl Outcome {
    /// Did the run go through, and were no laws broken?
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.judgement.as_ref().is_ok_and(|judgement| judgement.violations.is_empty())
    }
}

/// All outcomes of a run of the program.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// One for each scenario that ran.
    pub outcomes: Vec<Outcome>,
    /// Scenarios that could not run here, and why.
    pub skipped: Vec<(&'static str, String)>,
}

impl Report {
    /// Did everything go well?
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_good)
    }

    fn sorted(&self, of: impl Fn(&Outcome) -> &Vec<Duration>) -> Vec<Duration> {
        let mut all: Vec<Duration> =
            self.outcomes.iter().flat_map(|outcome| of(outcome).clone()).collect();
        all.sort();
        all
    }

    /// The whole as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let takeovers = self.sorted(|outcome| &outcome.takeovers);
        let drains = self.sorted(|outcome| &outcome.drains);
        let idle = self.outcomes.iter().map(|outcome| outcome.idle);
        let most = |of: fn(Idle) -> f64| idle.clone().map(of).fold(0.0, f64::max);
        json!({
            "seed": self.seed,
            "good": self.is_good(),
            "takeover_ms": quantiles(&takeovers),
            "drain_ms": quantiles(&drains),
            "idle": {
                "cpu_percent": most(|idle| idle.cpu_percent),
                "rss_mib": most(|idle| idle.rss_mib),
            },
            "scenarios": self.outcomes.iter().map(outcome).collect::<Vec<_>>(),
            "skipped": self.skipped.iter()
                .map(|(name, why)| json!({"name": name, "why": why})).collect::<Vec<_>>(),
        })
    }

    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:16} {:6} {:>8} {:>9} {:>7} {:>6} {:>4} {:>9} {:>9} {:>12} {:>8}\n",
            "scenario",
            "result",
            "accepted",
            "delivered",
            "bounced",
            "queued",
            "lost",
            "duplicate",
            "in flight",
            "rows -/twice",
            "takeover",
        );
        for outcome in &self.outcomes {
            text += &row(outcome);
        }
        for (name, why) in &self.skipped {
            text += &format!("{name:16} skipped: {why}\n");
        }
        let takeovers = self.sorted(|outcome| &outcome.takeovers);
        let (p50, p99) = (quantile(&takeovers, 0.5), quantile(&takeovers, 0.99));
        text += &format!(
            "takeover of {} kills: p50 {} ms, p99 {} ms\n",
            takeovers.len(),
            p50.as_millis(),
            p99.as_millis()
        );
        text
    }
}

fn row(outcome: &Outcome) -> String {
    let name = outcome.name;
    let judgement = match &outcome.judgement {
        Ok(judgement) => judgement,
        Err(why) => return format!("{name:16} FAILED {why}\n"),
    };
    let (figures, good) = (&judgement.figures, judgement.violations.is_empty());
    let takeover = outcome
        .takeovers
        .iter()
        .max()
        .map_or(String::new(), |longest| format!("{} ms", longest.as_millis()));
    let mut text = format!(
        "{name:16} {:6} {:8} {:9} {:7} {:6} {:4} {:9} {:9} {:>12} {takeover:>8}\n",
        if good { "good" } else { "BROKEN" },
        figures.accepted,
        figures.delivered,
        figures.bounced,
        figures.queued,
        figures.lost,
        figures.duplicates,
        figures.in_flight,
        format!("{}/{}", figures.rows_missing, figures.rows_twice),
    );
    for violation in &judgement.violations {
        text += &format!("    {violation}\n");
    }
    text
}

fn outcome(outcome: &Outcome) -> Value {
    let ms = |all: &[Duration]| all.iter().map(|d| millis(*d)).collect::<Vec<_>>();
    let mut value = json!({
        "name": outcome.name,
        "good": outcome.is_good(),
        "took_ms": millis(outcome.took),
        "takeover_ms": ms(&outcome.takeovers),
        "drain_ms": ms(&outcome.drains),
        "idle": {"cpu_percent": outcome.idle.cpu_percent, "rss_mib": outcome.idle.rss_mib},
    });
    match &outcome.judgement {
        Err(why) => value["failed"] = why.clone().into(),
        Ok(judgement) => {
            value["figures"] = figures(judgement);
            let violations = judgement.violations.iter();
            value["violations"] = violations.map(|v| Value::from(v.to_string())).collect();
        }
    }
    value
}

fn figures(judgement: &Judgement) -> Value {
    let figures = &judgement.figures;
    let peaks = figures.peaks.iter().map(|peak| {
        let (what, allowed) = match peak.rule {
            Rule::Connections(allowed) => ("connections", allowed),
            Rule::Messages(allowed, _) => ("messages", allowed),
            Rule::Connects(allowed, _) => ("connects", allowed),
        };
        json!({"receiver": peak.receiver, "what": what, "allowed": allowed, "most": peak.most})
    });
    json!({
        "accepted": figures.accepted,
        "delivered": figures.delivered,
        "bounced": figures.bounced,
        "queued": figures.queued,
        "lost": figures.lost,
        "in_doubt": figures.in_doubt,
        "duplicates": figures.duplicates,
        "repeated_by_source": figures.repeated,
        "in_flight": figures.in_flight,
        "rows": figures.rows,
        "rows_missing": figures.rows_missing,
        "rows_twice": figures.rows_twice,
        "limits": peaks.collect::<Vec<_>>(),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The value below which this part of the sorted values lies; zero without values.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn quantiles(sorted: &[Duration]) -> Value {
    if sorted.is_empty() {
        return Value::Null;
    }
    json!({
        "count": sorted.len(),
        "p50": millis(quantile(sorted, 0.5)),
        "p99": millis(quantile(sorted, 0.99)),
        "max": millis(quantile(sorted, 1.0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (part, expected) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(quantile(&sorted, part), Duration::from_millis(expected));
        }
        assert_eq!(quantile(&sorted[..1], 0.99), Duration::from_millis(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
