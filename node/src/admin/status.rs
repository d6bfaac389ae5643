//! `show status`, `show version` and `reset counters`.

use std::collections::BTreeSet;

use convoy_proto::admin as proto;

use super::ports::{ConnectionFigures, PartitionFigures, RunState};
use super::service::Ports;
use super::window::{Tally, Windows};
use crate::clock::Timestamp;
use crate::config::settings::DeliveryType;
use crate::queue::model::Pressure;

/// Version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Program and protocol.
pub(super) fn version(ports: &Ports) -> proto::VersionReply {
    proto::VersionReply {
        api: proto::Api::Current as u32,
        version: VERSION.to_owned(),
        build: ports.runtime.figures().build,
    }
}

/// All figures of the node.
pub(super) fn status(ports: &Ports) -> proto::StatusReply {
    let node = ports.runtime.figures();
    let (inbound, outbound) = ports.monitor.windows();
    let (smtp_queues, other_queues) = queue_totals(ports);
    proto::StatusReply {
        version: VERSION.to_owned(),
        host_name: node.host_name,
        node: node.node.0,
        time_now_ms: Timestamp::now().as_millis(),
        started_ms: node.started.as_millis(),
        state: run_state(node.state).into(),
        traffic: Some(proto::TrafficBoth {
            inbound: Some(windows(inbound)),
            outbound: Some(windows(outbound)),
        }),
        inbound: Some(connections(ports.ingress.connections(), node.most_inbound)),
        outbound: Some(connections(ports.delivery.connections(), node.most_outbound)),
        smtp_queues: Some(smtp_queues),
        other_queues: Some(other_queues),
        store: Some(proto::Store {
            free_bytes: node.free_bytes,
            refusing: refusing(&node.pressure),
        }),
        partitions: node.partitions.into_iter().map(partition).collect(),
    }
}

/// Lets traffic and the tops of connections begin again.
pub(super) fn reset(ports: &Ports) {
    ports.monitor.reset(ports.ingress.accepted(), ports.delivery.delivered());
    ports.ingress.reset_top();
    ports.delivery.reset_top();
    tracing::info!("traffic counters reset by administrator");
}

/// Totals of the queues that are sent by SMTP, and of those that are filed or discarded.
fn queue_totals(ports: &Ports) -> (proto::QueueTotals, proto::QueueTotals) {
    let lookup = ports.runtime.lookup();
    let (mut smtp, mut other) = (proto::QueueTotals::default(), proto::QueueTotals::default());
    let (mut smtp_domains, mut other_domains) = (BTreeSet::new(), BTreeSet::new());
    for (name, figures) in ports.queue.queues() {
        let settings = lookup.queue(&name.domain, &name.vmta);
        let (totals, domains) = match settings.delivery_type {
            DeliveryType::Smtp => (&mut smtp, &mut smtp_domains),
            DeliveryType::Discard { .. }
            | DeliveryType::File { .. }
            | DeliveryType::Unavailable(_) => (&mut other, &mut other_domains),
        };
        totals.recipients += figures.recipients;
        totals.bytes += figures.bytes;
        domains.insert(name.domain);
    }
    smtp.domains = smtp_domains.len() as u64;
    other.domains = other_domains.len() as u64;
    (smtp, other)
}

const fn run_state(state: RunState) -> proto::RunState {
    match state {
        RunState::Starting => proto::RunState::Starting,
        RunState::Running => proto::RunState::Running,
        RunState::Draining => proto::RunState::Draining,
        RunState::Stopping => proto::RunState::Stopping,
    }
}

fn refusing(pressure: &Pressure) -> String {
    match pressure {
        Pressure::Normal => String::new(),
        Pressure::DiskFull { free_bytes } => {
            format!("disk full: {} MB free are too little", free_bytes / 1_000_000)
        }
        Pressure::Stalled => "the database delays writes".to_owned(),
    }
}

fn partition(figures: PartitionFigures) -> proto::Partition {
    proto::Partition { name: figures.name, led: figures.led, term: figures.term }
}

fn connections(figures: ConnectionFigures, maximum: u32) -> proto::Connections {
    proto::Connections { current: figures.current, top: figures.top, maximum: maximum.into() }
}

const fn windows(windows: Windows) -> proto::TrafficWindows {
    proto::TrafficWindows {
        total: Some(traffic(windows.total)),
        last_hour: Some(traffic(windows.last_hour)),
        top_hour: Some(traffic(windows.top_hour)),
        last_minute: Some(traffic(windows.last_minute)),
        top_minute: Some(traffic(windows.top_minute)),
    }
}

const fn traffic(tally: Tally) -> proto::Traffic {
    proto::Traffic { recipients: tally.recipients, messages: tally.messages, bytes: tally.bytes }
}
