//! `status` and `show version`.

use std::fmt::Write as _;

use convoy_proto::admin::{
    Connections, QueueTotals, RunState, StatusReply, StatusRequest, Traffic, TrafficBoth,
    TrafficWindows, VersionReply, VersionRequest,
};
use serde_json::{Value, json};

use super::Done;
use crate::client::Client;
use crate::format::{kb, kbytes, plain, time, time_zoned, uptime};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(super) async fn status(mut client: Client, output: &Output) -> Done {
    let reply = client.status(StatusRequest {}).await?.into_inner();
    Ok(output.answer(&Answer::data(text(&reply), data(&reply)))?)
}

pub(super) async fn version(mut client: Client, output: &Output) -> Done {
    let reply = client.version(VersionRequest {}).await?.into_inner();
    Ok(output.answer(&render_version(&reply))?)
}

fn render_version(reply: &VersionReply) -> Answer {
    let build = match reply.build.as_str() {
        "" => String::new(),
        build => format!(" ({build})"),
    };
    Answer::data(
        format!("Convoy v{}{build}.\n", reply.version),
        json!({"name": "Convoy", "version": reply.version, "build": reply.build,
               "api": reply.api}),
    )
}

fn state(reply: &StatusReply) -> &'static str {
    match RunState::try_from(reply.state) {
        Ok(RunState::Starting) => "starting",
        Ok(RunState::Running) => "running",
        Ok(RunState::Draining) => "draining",
        Ok(RunState::Stopping) => "stopping",
        Ok(RunState::Unspecified) | Err(_) => "unknown",
    }
}

/// The block that PowerMTA's operators know.
fn text(reply: &StatusReply) -> String {
    let mut text = format!(
        "Convoy v{} status on {} on {}\n\n",
        reply.version,
        plain(&reply.host_name),
        time(reply.time_now_ms)
    );
    traffic_text(&mut text, reply.traffic.as_ref());
    let led = reply.partitions.iter().filter(|p| p.led).count();
    let (inbound, outbound) =
        (reply.inbound.unwrap_or_default(), reply.outbound.unwrap_or_default());
    let store = reply.store.clone().unwrap_or_default();
    let accepting = if store.refusing.is_empty() { "yes" } else { "no" };
    let (smtp, other) =
        (reply.smtp_queues.unwrap_or_default(), reply.other_queues.unwrap_or_default());
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(" Connections    active       top     maximum  Cluster      node  partitions".into());
    line(connections_text("Inbound", inbound) + &format!("  Leads  {:>10}  {led:>10}", reply.node));
    line(connections_text("Outbound", outbound));
    line("     Queues      rcpts   domains      kbytes  Spool     free MB   accepting".into());
    let free_mb = store.free_bytes / (1024 * 1024);
    line(queues_text("SMTP", smtp) + &format!("  Disk  {free_mb:>11}  {accepting:>10}"));
    line(queues_text("other", other));
    let seconds = reply.time_now_ms.saturating_sub(reply.started_ms) / 1000;
    line(format!(
        "     Status {:>10}    Started  {}    Uptime   {}",
        state(reply),
        time(reply.started_ms),
        uptime(seconds)
    ));
    if !store.refusing.is_empty() {
        line(format!("\nNo mail is accepted: {}", plain(&store.refusing)));
    }
    text + &nodes_text(reply)
}

/// A line per node, when the figures above are those of several.
fn nodes_text(reply: &StatusReply) -> String {
    if reply.nodes.is_empty() && reply.missing.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("host", Align::Left),
        ("status", Align::Left),
        ("leads", Align::Right),
        ("in/min", Align::Right),
        ("out/min", Align::Right),
        ("conn in", Align::Right),
        ("conn out", Align::Right),
        ("#rcpt", Align::Right),
        ("free MB", Align::Right),
        ("accepting", Align::Left),
    ]);
    for node in &reply.nodes {
        let (inbound, outbound) = directions(node.traffic.as_ref());
        let minute = |w: &TrafficWindows| w.last_minute.unwrap_or_default().recipients.to_string();
        let current = |c: Option<Connections>| c.unwrap_or_default().current.to_string();
        let queues = [node.smtp_queues, node.other_queues];
        let store = node.store.clone().unwrap_or_default();
        table.row([
            format!("n{}", node.node),
            node.host_name.clone(),
            state(node).to_owned(),
            node.partitions.iter().filter(|p| p.led).count().to_string(),
            minute(&inbound),
            minute(&outbound),
            current(node.inbound),
            current(node.outbound),
            queues.iter().flatten().map(|q| q.recipients).sum::<u64>().to_string(),
            (store.free_bytes / (1024 * 1024)).to_string(),
            if store.refusing.is_empty() { "yes".to_owned() } else { store.refusing },
        ]);
    }
    format!("\n{}{}", table.text(), missing::text(&reply.missing))
}

fn traffic_text(text: &mut String, traffic: Option<&TrafficBoth>) {
    let (inbound, outbound) = directions(traffic);
    text.push_str(
        "  Traffic    ------------inbound------------  ------------outbound-----------\n\
         \x20                rcpts      msgs      kbytes      rcpts      msgs      kbytes\n",
    );
    for (name, pick) in WINDOWS {
        let _infallible = write!(text, "{name:>11}");
        for windows in [&inbound, &outbound] {
            let traffic = pick(windows).unwrap_or_default();
            let kbytes = kbytes(traffic.bytes);
            let _infallible =
                write!(text, "{:>11}{:>10}{kbytes:>12}", traffic.recipients, traffic.messages);
        }
        text.push('\n');
    }
}

type Pick = fn(&TrafficWindows) -> Option<Traffic>;

const WINDOWS: [(&str, Pick); 5] = [
    ("Total", |w| w.total),
    ("Last Hour", |w| w.last_hour),
    ("Top/Hour", |w| w.top_hour),
    ("Last Min.", |w| w.last_minute),
    ("Top/Min.", |w| w.top_minute),
];

fn directions(traffic: Option<&TrafficBoth>) -> (TrafficWindows, TrafficWindows) {
    let traffic = traffic.copied().unwrap_or_default();
    (traffic.inbound.unwrap_or_default(), traffic.outbound.unwrap_or_default())
}

fn connections_text(name: &str, figures: Connections) -> String {
    format!("{name:>11}{:>11}{:>10}{:>12}", figures.current, figures.top, figures.maximum)
}

fn queues_text(name: &str, totals: QueueTotals) -> String {
    let kbytes = kbytes(totals.bytes);
    format!("{name:>11}{:>11}{:>10}{kbytes:>12}", totals.recipients, totals.domains)
}

/// The tree of PowerMTA's machine form.
fn data(reply: &StatusReply) -> Value {
    let (inbound, outbound) = directions(reply.traffic.as_ref());
    let window = |pick: Pick| json!({"in": traffic_data(pick(&inbound)), "out": traffic_data(pick(&outbound))});
    let store = reply.store.clone().unwrap_or_default();
    let partitions: Vec<Value> = reply
        .partitions
        .iter()
        .map(|p| json!({"name": p.name, "led": p.led, "term": p.term, "leader": p.leader}))
        .collect();
    json!({
        "mta": {
            "product": {"name": "Convoy", "version": reply.version},
            "fullHostName": reply.host_name,
            "hostId": reply.node,
        },
        "status": {
            "status": state(reply),
            "timeNow": time_zoned(reply.time_now_ms),
            "startupTime": time_zoned(reply.started_ms),
            "shuttingDown": state(reply) == "stopping",
            "traffic": {
                "total": window(|w| w.total),
                "lastHr": window(|w| w.last_hour),
                "topPerHr": window(|w| w.top_hour),
                "lastMin": window(|w| w.last_minute),
                "topPerMin": window(|w| w.top_minute),
            },
            "conn": {
                "smtpIn": connections_data(reply.inbound),
                "smtpOut": connections_data(reply.outbound),
            },
            "queue": {
                "smtp": queues_data(reply.smtp_queues),
                "other": queues_data(reply.other_queues),
            },
            "spool": {"freeBytes": store.free_bytes, "refusing": store.refusing},
            "partition": partitions,
        },
        "node": reply.nodes.iter().map(data).collect::<Vec<_>>(),
        "missing": missing::data(&reply.missing),
    })
}

fn traffic_data(traffic: Option<Traffic>) -> Value {
    let traffic = traffic.unwrap_or_default();
    json!({"rcp": traffic.recipients, "msg": traffic.messages, "kb": kb(traffic.bytes)})
}

fn connections_data(figures: Option<Connections>) -> Value {
    let figures = figures.unwrap_or_default();
    json!({"cur": figures.current, "top": figures.top, "max": figures.maximum})
}

fn queues_data(totals: Option<QueueTotals>) -> Value {
    let totals = totals.unwrap_or_default();
    json!({"rcp": totals.recipients, "dom": totals.domains, "kb": kb(totals.bytes)})
}

#[cfg(test)]
mod tests {
    use convoy_proto::admin::{Missing, Partition, Store};

    use super::*;
    use crate::output::machine;

    fn reply() -> StatusReply {
        let traffic = |recipients| Some(Traffic { recipients, messages: 10, bytes: 2048 });
        let windows = |n| {
            Some(TrafficWindows {
                total: traffic(n),
                last_hour: traffic(n / 2),
                top_hour: traffic(n / 2),
                last_minute: traffic(1),
                top_minute: traffic(2),
            })
        };
        StatusReply {
            version: "0.1.0".into(),
            host_name: "mx.example.com".into(),
            node: 1,
            time_now_ms: 1_700_000_000_000,
            started_ms: 1_700_000_000_000 - 90_061_000,
            state: RunState::Running.into(),
            traffic: Some(TrafficBoth { inbound: windows(939_437), outbound: windows(8) }),
            inbound: Some(Connections { current: 0, top: 1, maximum: 5 }),
            outbound: Some(Connections { current: 3, top: 4, maximum: 1000 }),
            smtp_queues: Some(QueueTotals { recipients: 99_459, domains: 2895, bytes: 1 << 30 }),
            other_queues: None,
            store: Some(Store { free_bytes: 5 << 20, refusing: String::new() }),
            partitions: vec![Partition { name: "p0".into(), led: true, term: 2, leader: 1 }],
            ..StatusReply::default()
        }
    }

    #[test]
    fn the_block_looks_like_powermtas() {
        let expected = "
  Traffic    ------------inbound------------  ------------outbound-----------
                 rcpts      msgs      kbytes      rcpts      msgs      kbytes
      Total     939437        10         2.0          8        10         2.0
  Last Hour     469718        10         2.0          4        10         2.0
   Top/Hour     469718        10         2.0          4        10         2.0
  Last Min.          1        10         2.0          1        10         2.0
   Top/Min.          2        10         2.0          2        10         2.0
 Connections    active       top     maximum  Cluster      node  partitions
    Inbound          0         1           5  Leads           1           1
   Outbound          3         4        1000
     Queues      rcpts   domains      kbytes  Spool     free MB   accepting
       SMTP      99459      2895   1048576.0  Disk            5         yes
      other          0         0         0.0
";
        let text = text(&reply());
        assert!(text.starts_with("Convoy v0.1.0 status on mx.example.com on 2023-11-1"), "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("     Status    running    Started  2023-11-1"), "{text}");
        assert!(text.ends_with("Uptime   1  1:01:01\n"), "{text}");
    }

    #[test]
    fn nodes_of_a_cluster_have_a_line_each_and_those_that_are_missing_too() {
        let gone = Missing { node: 3, reason: "connection refused".into() };
        let reply = StatusReply { nodes: vec![reply()], missing: vec![gone], ..reply() };
        let expected = "
node  host            status   leads  in/min  out/min  conn in  conn out  #rcpt  free MB  accepting
n1    mx.example.com  running      1       1        1        0         3  99459        5  yes
missing: n3: connection refused
";
        assert!(text(&reply).ends_with(expected), "{}", text(&reply));
        assert_eq!(data(&reply)["node"][0]["mta"]["hostId"], 1);
        assert_eq!(data(&reply)["missing"][0]["node"], 3);
    }

    #[test]
    fn a_full_disk_is_said_in_words() {
        let store = Some(Store { free_bytes: 0, refusing: "disk full".into() });
        let text = text(&StatusReply { store, ..reply() });
        assert!(text.ends_with("\nNo mail is accepted: disk full\n"), "{text}");
    }

    #[test]
    fn scripts_find_powermtas_keys() {
        let answer = Answer::data(String::new(), data(&reply()));
        let json: Value = serde_json::from_str(&machine(&answer)).unwrap();
        assert_eq!(json["status"], "success");
        assert_eq!(json["data"]["status"]["traffic"]["total"]["in"]["rcp"], 939_437);
        assert_eq!(json["data"]["status"]["queue"]["smtp"]["kb"], 1_048_576.0);
        assert_eq!(json["data"]["status"]["conn"]["smtpOut"]["max"], 1000);
        assert_eq!(json["data"]["mta"]["fullHostName"], "mx.example.com");
    }

    #[test]
    fn an_empty_reply_of_another_version_is_shown_too() {
        assert!(text(&StatusReply::default()).contains("unknown"));
    }
}
