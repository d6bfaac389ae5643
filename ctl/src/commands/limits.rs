//! `show limits`.

use convoy_proto::admin::{LimitRow, LimitState, LimitsReply, LimitsRequest};
use serde_json::{Value, json};

use super::Done;
use crate::cli::Limits;
use crate::client::Client;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(super) async fn limits(mut client: Client, output: &Output, options: Limits) -> Done {
    let pattern = options.pattern.unwrap_or_default();
    let request = LimitsRequest { pattern, max_items: options.maxitems };
    let reply = client.limits(request).await?.into_inner();
    Ok(output.answer(&render(&reply))?)
}

fn render(reply: &LimitsReply) -> Answer {
    let mut table = Table::new(&[
        ("limit", Align::Left),
        ("queue", Align::Left),
        ("source", Align::Left),
        ("cluster", Align::Right),
        ("here", Align::Right),
        ("used", Align::Right),
        ("node", Align::Left),
        ("state", Align::Left),
    ]);
    for row in &reply.rows {
        table.row([
            row.name.clone(),
            row.queue.clone(),
            row.source.clone(),
            amount(row, row.limit),
            amount(row, row.granted),
            if row.period_ms == 0 { row.used.to_string() } else { String::new() },
            if row.coordinator == 0 { String::new() } else { format!("n{}", row.coordinator) },
            state(row.state()).to_owned(),
        ]);
    }
    let end = reply.end.clone().unwrap_or_default();
    let data = json!({
        "title": "limits",
        "limit": reply.rows.iter().map(data).collect::<Vec<_>>(),
        "shown": end.shown,
        "total": end.total,
    });
    let text = format!("{}{} of {} limits shown.\n", table.text(), end.shown, end.total);
    Answer::data(text, data)
}

/// Connections, or a rate as it could stand in a configuration.
fn amount(row: &LimitRow, units: u64) -> String {
    match row.period_ms / 1000 {
        0 => units.to_string(),
        1 => format!("{units}/s"),
        60 => format!("{units}/m"),
        3600 => format!("{units}/h"),
        86_400 => format!("{units}/d"),
        seconds => format!("{units}/{seconds}s"),
    }
}

const fn state(state: LimitState) -> &'static str {
    match state {
        LimitState::Unspecified => "",
        LimitState::Alone => "alone",
        LimitState::Granted => "granted",
        LimitState::Learning => "learning",
        LimitState::SafeShare => "safe share",
        LimitState::Nothing => "nothing",
    }
}

fn data(row: &LimitRow) -> Value {
    json!({
        "name": row.name,
        "queue": row.queue,
        "source": row.source,
        "limit": row.limit,
        "periodSeconds": row.period_ms / 1000,
        "granted": row.granted,
        "used": row.used,
        "coordinator": row.coordinator,
        "state": state(row.state()),
    })
}

#[cfg(test)]
mod tests {
    use convoy_proto::admin::ListEnd;

    use super::*;
    use crate::output::{human, machine};

    #[test]
    fn limits_are_a_table_and_rates_say_their_period() {
        let row = |name: &str, period_ms, state: LimitState| LimitRow {
            name: name.into(),
            queue: "yahoo.com/v1".into(),
            limit: 20,
            period_ms,
            granted: 7,
            used: if period_ms == 0 { 2 } else { 0 },
            coordinator: 3,
            state: state.into(),
            ..LimitRow::default()
        };
        let reply = LimitsReply {
            rows: vec![
                row("max-smtp-out", 0, LimitState::Granted),
                row("max-msg-rate", 3_600_000, LimitState::SafeShare),
            ],
            end: Some(ListEnd { shown: 2, total: 9, missing: Vec::new() }),
        };
        let expected = "\
limit         queue         source  cluster  here  used  node  state
max-smtp-out  yahoo.com/v1               20     7     2  n3    granted
max-msg-rate  yahoo.com/v1             20/h   7/h        n3    safe share
2 of 9 limits shown.
";
        let answer = render(&reply);
        assert_eq!(human(&answer), expected);
        let json: Value = serde_json::from_str(&machine(&answer)).unwrap();
        assert_eq!(json["data"]["limit"][1]["periodSeconds"], 3600);
        assert_eq!(json["data"]["limit"][0]["state"], "granted");
    }
}
