//! `audit`.

use std::time::Duration;

use clap::Args;
use convoy_proto::admin::{AuditFigures, AuditReply, AuditRequest, AuditedPartition};
use serde_json::{Value, json};

use super::Done;
use crate::client::Client;
use crate::format::{parse_duration, plain};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(crate) const EXAMPLES: &str = "Examples:
  mtactl audit
  mtactl audit --no-bodies --timeout 5m
  mtactl --json audit

Every partition is read on all its replicas as it is after the same log entry, while mail flows.
What must hold: accepted = delivered + bounced + deleted + queued; counters and rows agree;
recipients wait in their queues exactly when they are open and not paused; all bodies are there;
accounting rows made = acknowledged + waiting; replicas are equal. Exit code 1 when something
does not add up.";

/// Options of `audit`.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// Do not read the bodies of messages
    #[arg(long)]
    no_bodies: bool,
    /// How long one partition may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

pub(super) async fn audit(mut client: Client, output: &Output, options: Audit) -> Done {
    let request = AuditRequest {
        no_bodies: options.no_bodies,
        most_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
        point: None,
    };
    let reply = client.audit(request).await?.into_inner();
    let answer = Answer::data(text(&reply), data(&reply));
    match (findings(&reply), reply.missing.is_empty()) {
        (0, true) => Ok(output.answer(&answer)?),
        (0, false) => Err(output.found(&answer, "Not all nodes were audited.")),
        (n, _) => Err(output.found(&answer, &format!("{n} finding(s): it does not add up."))),
    }
}

fn findings(reply: &AuditReply) -> u64 {
    reply.partitions.iter().map(|p| p.findings.len() as u64 + p.more_findings).sum()
}

/// Accepted − terminal − queued: not nought when mail has vanished, or came from nowhere.
fn difference(f: &AuditFigures) -> i128 {
    let sum = |parts: &[u64]| parts.iter().map(|n| i128::from(*n)).sum::<i128>();
    i128::from(f.accepted) - sum(&[f.delivered, f.bounced, f.deleted, f.queued_recipients])
}

/// Counters, with what was found of what is queued.
fn figures(p: &AuditedPartition) -> AuditFigures {
    let (counted, found) = (p.counted.unwrap_or_default(), p.found.unwrap_or_default());
    AuditFigures {
        rows_acknowledged: counted.rows_acknowledged,
        rows_made: counted.rows_made,
        accepted: counted.accepted,
        delivered: counted.delivered,
        bounced: counted.bounced,
        deleted: counted.deleted,
        ..found
    }
}

fn total(reply: &AuditReply) -> AuditFigures {
    let mut sum = AuditFigures::default();
    for f in reply.partitions.iter().map(figures) {
        sum.accepted += f.accepted;
        sum.delivered += f.delivered;
        sum.bounced += f.bounced;
        sum.deleted += f.deleted;
        sum.queued_recipients += f.queued_recipients;
        sum.queued_messages += f.queued_messages;
        sum.held += f.held;
        sum.due += f.due;
        sum.unknown += f.unknown;
        sum.rows_made += f.rows_made;
        sum.rows_acknowledged += f.rows_acknowledged;
        sum.rows_waiting += f.rows_waiting;
        sum.bodies += f.bodies;
    }
    sum
}

fn text(reply: &AuditReply) -> String {
    let mut table = Table::new(&[
        ("partition", Align::Left),
        ("accepted", Align::Right),
        ("delivered", Align::Right),
        ("bounced", Align::Right),
        ("deleted", Align::Right),
        ("queued", Align::Right),
        ("difference", Align::Right),
        ("unknown", Align::Right),
        ("bodies", Align::Right),
        ("rows made", Align::Right),
        ("acknowledged", Align::Right),
        ("waiting", Align::Right),
        ("equal replicas", Align::Left),
    ]);
    let mut row = |name: &str, f: &AuditFigures, replicas: String| {
        table.row([
            name.to_owned(),
            f.accepted.to_string(),
            f.delivered.to_string(),
            f.bounced.to_string(),
            f.deleted.to_string(),
            f.queued_recipients.to_string(),
            difference(f).to_string(),
            f.unknown.to_string(),
            f.bodies.to_string(),
            f.rows_made.to_string(),
            f.rows_acknowledged.to_string(),
            f.rows_waiting.to_string(),
            replicas,
        ]);
    };
    for p in &reply.partitions {
        let mut nodes = vec![p.node];
        nodes.extend(&p.agreeing);
        nodes.sort_unstable();
        let names: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
        row(&p.name, &figures(p), names.join(" "));
    }
    row("total", &total(reply), String::new());
    let mut text = table.text();
    for p in &reply.partitions {
        for finding in &p.findings {
            text.push_str(&format!("{}: {}\n", p.name, plain(finding)));
        }
        if p.more_findings > 0 {
            text.push_str(&format!("{}: and {} more\n", p.name, p.more_findings));
        }
    }
    text + &missing::text(&reply.missing)
}

fn data(reply: &AuditReply) -> Value {
    let partition = |p: &AuditedPartition| {
        json!({
            "name": p.name, "node": p.node, "led": p.led, "applied": p.applied,
            "counted": numbers(&p.counted.unwrap_or_default()),
            "found": numbers(&p.found.unwrap_or_default()),
            "difference": i64::try_from(difference(&figures(p))).unwrap_or(i64::MAX),
            "checksum": p.checksum, "equalReplicas": p.agreeing, "unfinished": p.unfinished,
            "finding": p.findings, "moreFindings": p.more_findings,
        })
    };
    let sum = total(reply);
    json!({
        "partition": reply.partitions.iter().map(partition).collect::<Vec<_>>(),
        "total": numbers(&sum),
        "difference": i64::try_from(difference(&sum)).unwrap_or(i64::MAX),
        "findings": findings(reply),
        "missing": missing::data(&reply.missing),
    })
}

fn numbers(f: &AuditFigures) -> Value {
    json!({
        "accepted": f.accepted, "delivered": f.delivered, "bounced": f.bounced,
        "deleted": f.deleted, "queuedRecipients": f.queued_recipients,
        "queuedMessages": f.queued_messages, "paused": f.held, "due": f.due,
        "unknown": f.unknown, "rowsMade": f.rows_made,
        "rowsAcknowledged": f.rows_acknowledged, "rowsWaiting": f.rows_waiting,
        "bodies": f.bodies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(findings: &[&str]) -> AuditReply {
        let counted = AuditFigures {
            accepted: 10,
            delivered: 6,
            bounced: 1,
            queued_recipients: 3,
            rows_made: 17,
            rows_acknowledged: 12,
            ..AuditFigures::default()
        };
        let found = AuditFigures {
            queued_recipients: 3,
            rows_waiting: 5,
            bodies: 2,
            ..AuditFigures::default()
        };
        let partition = AuditedPartition {
            name: "p0".into(),
            node: 2,
            counted: Some(counted),
            found: Some(found),
            agreeing: vec![3, 1],
            findings: findings.iter().map(|f| (*f).to_owned()).collect(),
            ..AuditedPartition::default()
        };
        AuditReply { partitions: vec![partition], ..AuditReply::default() }
    }

    #[test]
    fn partitions_add_up_in_a_table() {
        let expected = "\
partition  accepted  delivered  bounced  deleted  queued  difference  unknown  bodies  rows made  acknowledged  waiting  equal replicas
p0               10          6        1        0       3           0        0       2         17            12        5  n1 n2 n3
total            10          6        1        0       3           0        0       2         17            12        5
";
        assert_eq!(text(&reply(&[])), expected);
        assert_eq!(data(&reply(&[]))["difference"], 0);
    }

    #[test]
    fn findings_are_told_below() {
        let reply = reply(&["a body is missing"]);
        assert!(text(&reply).ends_with("p0: a body is missing\n"), "{}", text(&reply));
        assert_eq!((findings(&reply), data(&reply)["findings"].as_u64()), (1, Some(1)));
    }
}
