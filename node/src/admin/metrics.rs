//! Figures of the node in the text format of Prometheus.
//!
//! A small set with bounded labels: no queue, no address and no job is named, so that the number
//! of series does not grow with the mail.

use std::fmt::{Display, Write as _};

use super::health::Unready;
use super::ports::{CertificateFigures, Leadership, NodeFigures};
use super::window::Tally;
use crate::clock::Timestamp;

/// What the format is called in HTTP.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that is shown.
pub(super) struct Figures {
    pub(super) now: Timestamp,
    pub(super) version: &'static str,
    pub(super) node: NodeFigures,
    pub(super) readiness: Result<(), Unready>,
    pub(super) groups: Vec<Leadership>,
    pub(super) certificates: Vec<CertificateFigures>,
    /// Queues with recipients in partitions that this node leads, their recipients and bytes.
    pub(super) queues: u64,
    pub(super) recipients: u64,
    pub(super) bytes: u64,
    pub(super) inbound: u64,
    pub(super) outbound: u64,
    pub(super) accepted: Tally,
    pub(super) delivered: Tally,
    /// Accounting rows that the collector does not have yet.
    pub(super) waiting_rows: u64,
}

const SECONDS_A_DAY: f64 = 86_400.0;

/// The whole text.
pub(super) fn text(figures: &Figures) -> String {
    let mut page = Page::default();
    node(&mut page, figures);
    mail(&mut page, figures);
    groups(&mut page, &figures.groups);
    let days = |at: Timestamp| {
        let (then, now) = (at.as_millis() as f64, figures.now.as_millis() as f64);
        format!("{:.3}", (then - now) / 1000.0 / SECONDS_A_DAY)
    };
    let certificates = figures.certificates.iter();
    page.family(
        "convoy_certificate_days_left",
        "gauge",
        "Days until a certificate expires; negative when it has.",
        certificates.map(|known| (label("certificate", &known.name), days(known.expires_at))),
    );
    page.text
}

fn node(page: &mut Page, figures: &Figures) {
    let node = &figures.node;
    let labels = format!(
        "{},{},{}",
        label("version", figures.version),
        label("node", &node.node.to_string()),
        label("host", &node.host_name)
    );
    page.family("convoy_info", "gauge", "Which node and program this is.", [(labels, 1)]);
    let ready = u8::from(figures.readiness.is_ok());
    page.one("convoy_ready", "gauge", "1 while the node accepts mail.", ready);
    let started = node.started.as_secs();
    page.one("convoy_start_time_seconds", "gauge", "When the node started, Unix time.", started);
    let free = node.free_bytes;
    page.one("convoy_store_free_bytes", "gauge", "Free on the file system of the spool.", free);
}

fn mail(page: &mut Page, figures: &Figures) {
    let about = "Recipients in queues, in the partitions that this node leads.";
    page.one("convoy_queue_recipients", "gauge", about, figures.recipients);
    let about = "Bytes of their messages, counted once per recipient.";
    page.one("convoy_queue_bytes", "gauge", about, figures.bytes);
    page.one("convoy_queues", "gauge", "Queues with recipients, as above.", figures.queues);
    let directions = [("in", figures.inbound), ("out", figures.outbound)];
    page.family(
        "convoy_connections",
        "gauge",
        "Open SMTP connections.",
        directions.map(|(direction, n)| (label("direction", direction), n)),
    );
    let both = [("accepted", figures.accepted), ("delivered", figures.delivered)];
    for (what, tally) in both {
        for (unit, n) in
            [("messages", tally.messages), ("recipients", tally.recipients), ("bytes", tally.bytes)]
        {
            let name = format!("convoy_{what}_{unit}_total");
            page.one(&name, "counter", &format!("{unit} {what} since the start."), n);
        }
    }
    let about = "Accounting rows on their way to the collector.";
    page.one("convoy_accounting_rows_waiting", "gauge", about, figures.waiting_rows);
}

fn groups(page: &mut Page, groups: &[Leadership]) {
    let led = groups.iter().filter(|figures| figures.led).count();
    page.one("convoy_groups_led", "gauge", "Raft groups that this node leads.", led);
    let named = |figures: &Leadership| label("group", &figures.group.to_string());
    page.family(
        "convoy_group_has_leader",
        "gauge",
        "1 when this node knows a leader of the group.",
        groups.iter().map(|figures| (named(figures), u8::from(figures.leader.is_some()))),
    );
}

/// `name="value"`.
fn label(name: &str, value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("{name}=\"{escaped}\"")
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// A metric without labels.
    fn one(&mut self, name: &str, kind: &str, about: &str, value: impl Display) {
        self.family(name, kind, about, [(String::new(), value)]);
    }

    /// A metric with a value per set of labels. Writing into a string does not fail.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        about: &str,
        values: impl IntoIterator<Item = (String, V)>,
    ) {
        let _ = writeln!(self.text, "# HELP {name} {about}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = if labels.is_empty() {
                writeln!(self.text, "{name} {value}")
            } else {
                writeln!(self.text, "{name}{{{labels}}} {value}")
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ports::RunState;
    use crate::id::{GroupId, NodeId};
    use crate::queue::model::Pressure;

    #[test]
    fn every_figure_has_its_line() {
        let figures = Figures {
            now: Timestamp(86_400_000),
            version: "1.2.3",
            node: NodeFigures {
                node: NodeId(2),
                host_name: "a \"b\" \\c".to_owned(),
                most_inbound: 1,
                most_outbound: 1,
                build: String::new(),
                started: Timestamp(5_500),
                state: RunState::Running,
                pressure: Pressure::Normal,
                free_bytes: 77,
                partitions: Vec::new(),
            },
            readiness: Err(Unready::NoLeader),
            groups: vec![
                Leadership { group: GroupId::META, leader: Some(NodeId(2)), led: true },
                Leadership { group: GroupId(2), leader: None, led: false },
            ],
            certificates: vec![CertificateFigures {
                name: "smtp".to_owned(),
                expires_at: Timestamp(43_200_000),
            }],
            queues: 3,
            recipients: 4,
            bytes: 5,
            inbound: 6,
            outbound: 7,
            accepted: Tally { recipients: 8, messages: 9, bytes: 10 },
            delivered: Tally { recipients: 11, messages: 12, bytes: 13 },
            waiting_rows: 14,
        };
        let text = text(&figures);
        for line in [
            r#"convoy_info{version="1.2.3",node="n2",host="a \"b\" \\c"} 1"#,
            "convoy_ready 0",
            "convoy_start_time_seconds 5",
            "convoy_store_free_bytes 77",
            "convoy_queues 3",
            "convoy_queue_recipients 4",
            "convoy_queue_bytes 5",
            r#"convoy_connections{direction="in"} 6"#,
            r#"convoy_connections{direction="out"} 7"#,
            "convoy_accepted_recipients_total 8",
            "convoy_accepted_messages_total 9",
            "convoy_accepted_bytes_total 10",
            "convoy_delivered_recipients_total 11",
            "convoy_delivered_messages_total 12",
            "convoy_delivered_bytes_total 13",
            "convoy_accounting_rows_waiting 14",
            "convoy_groups_led 1",
            r#"convoy_group_has_leader{group="meta"} 1"#,
            r#"convoy_group_has_leader{group="p0"} 0"#,
            r#"convoy_certificate_days_left{certificate="smtp"} -0.500"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples, 20, "{text}");
    }
}
