//! `show queues` and `show topqueues`.

use convoy_proto::admin::queue_item::Item;
use convoy_proto::admin::{EventKind, ListEnd, QueueMode, QueueRow, QueuesRequest};
use serde_json::{Value, json};

use super::{Done, cut_short, sort};
use crate::cli::{Mode, Queues, Sort};
use crate::client::Client;
use crate::format::{kb, kbytes, plain, time, time_zoned};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(super) async fn queues(
    mut client: Client,
    output: &Output,
    options: Queues,
    otherwise: Option<Sort>,
) -> Done {
    let request = QueuesRequest {
        pattern: options.pattern.unwrap_or_default(),
        connected: options.connected,
        paused: options.paused,
        mode: options.mode.map_or(QueueMode::Unspecified, mode).into(),
        errors: options.errors,
        sort: sort(options.sorted.sort, otherwise).into(),
        max_items: options.sorted.maxitems,
        no_recipient_events: options.no_rcpt_events,
        mode_events: options.mode_events,
        unfiltered: false,
    };
    let mut items = client.queues(request).await?.into_inner();
    let mut rows = Vec::new();
    loop {
        match items.message().await?.and_then(|item| item.item) {
            Some(Item::Row(row)) => rows.push(row),
            Some(Item::End(end)) => return Ok(output.answer(&render(&rows, &end))?),
            None => return Err(cut_short()),
        }
    }
}

/// The mode as the protocol names it.
pub(super) const fn mode(mode: Mode) -> QueueMode {
    match mode {
        Mode::Normal => QueueMode::Normal,
        Mode::Backoff => QueueMode::Backoff,
    }
}

fn render(rows: &[QueueRow], end: &ListEnd) -> Answer {
    let data = json!({
        "title": "queues",
        "queue": rows.iter().map(data).collect::<Vec<_>>(),
        "shown": end.shown,
        "total": end.total,
        "missing": missing::data(&end.missing),
    });
    let footer = format!("{} of {} queues shown.\n", end.shown, end.total);
    Answer::data(text(rows) + &footer + &missing::text(&end.missing), data)
}

/// One line per queue; its events below it, indented.
fn text(rows: &[QueueRow]) -> String {
    let mut table = Table::new(&[
        ("queue", Align::Left),
        ("#rcpt", Align::Right),
        ("kbytes", Align::Right),
        ("conn", Align::Right),
        ("st", Align::Left),
        ("retry", Align::Left),
        ("last error", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.recipients.to_string(),
            kbytes(row.bytes),
            row.connections.to_string(),
            state(row),
            time(row.retry_ms),
            row.last_error.clone(),
        ]);
    }
    let mut text = String::new();
    let mut lines = table.lines().into_iter();
    text.push_str(&lines.next().unwrap_or_default());
    text.push('\n');
    for (line, row) in lines.zip(rows) {
        text.push_str(&line);
        text.push('\n');
        for event in &row.events {
            text.push_str(&format!("    {} {}\n", time(event.at_ms), plain(&event.text)));
        }
    }
    text
}

/// `P` paused, `B` back-off mode.
fn state(row: &QueueRow) -> String {
    let paused = if row.paused { "P" } else { "" };
    let backoff = if row.mode() == QueueMode::Backoff { "B" } else { "" };
    format!("{paused}{backoff}")
}

fn data(row: &QueueRow) -> Value {
    let events: Vec<Value> = row
        .events
        .iter()
        .map(|event| {
            let kind = match event.kind() {
                EventKind::Unspecified | EventKind::QueueEvent => "queue",
                EventKind::RecipientEvent => "rcpt",
                EventKind::ModeEvent => "mode",
            };
            json!({"type": kind, "time": time_zoned(event.at_ms), "text": event.text})
        })
        .collect();
    json!({
        "name": row.name,
        "rcp": row.recipients,
        "kb": kb(row.bytes),
        "conn": row.connections,
        "paused": row.paused,
        "mode": if row.mode() == QueueMode::Backoff { "backoff" } else { "normal" },
        "retryTime": time_zoned(row.retry_ms),
        "lastError": row.last_error,
        "event": events,
    })
}

#[cfg(test)]
mod tests {
    use convoy_proto::admin::QueueEvent;

    use super::*;
    use crate::output::{human, machine};

    fn rows() -> Vec<QueueRow> {
        vec![
            QueueRow {
                name: "yahoo.com/{default}".into(),
                recipients: 12_345,
                bytes: 51_200,
                connections: 2,
                paused: true,
                mode: QueueMode::Backoff.into(),
                last_error: "421 4.7.0 \"busy\"\u{1b}[31m".into(),
                events: vec![QueueEvent {
                    kind: EventKind::QueueEvent.into(),
                    at_ms: 0,
                    text: "connect rate limit reached".into(),
                }],
                ..QueueRow::default()
            },
            QueueRow {
                name: "a.io/v1".into(),
                recipients: 1,
                mode: QueueMode::Normal.into(),
                ..QueueRow::default()
            },
        ]
    }

    #[test]
    fn queues_are_a_table_with_events_below() {
        let expected = "\
queue                #rcpt  kbytes  conn  st  retry  last error
yahoo.com/{default}  12345    50.0     2  PB         421 4.7.0 \"busy\"?[31m
     connect rate limit reached
a.io/v1                  1     0.0     0
2 of 30 queues shown.
";
        let answer = render(&rows(), &ListEnd { shown: 2, total: 30, missing: vec![] });
        assert_eq!(human(&answer), expected);
    }

    #[test]
    fn no_queue_is_still_a_table() {
        let answer = render(&[], &ListEnd::default());
        let expected = "queue  #rcpt  kbytes  conn  st  retry  last error\n0 of 0 queues shown.\n";
        assert_eq!(human(&answer), expected);
    }

    #[test]
    fn scripts_get_the_text_unchanged() {
        let answer = render(&rows(), &ListEnd { shown: 2, total: 30, missing: vec![] });
        let json: Value = serde_json::from_str(&machine(&answer)).unwrap();
        let queue = &json["data"]["queue"][0];
        assert_eq!(queue["lastError"], "421 4.7.0 \"busy\"\u{1b}[31m");
        assert_eq!(queue["rcp"], 12_345);
        assert_eq!(queue["kb"], 50.0);
        assert_eq!(queue["mode"], "backoff");
        assert_eq!(queue["event"][0]["type"], "queue");
        assert_eq!(json["data"]["total"], 30);
    }
}
