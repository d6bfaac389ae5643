//! `show status`, `show version` and `reset counters`.

use std::collections::BTreeSet;

use convoy_proto::admin as proto;

use super::ports::{ConnectionFigures, PartitionFigures, RunState};
use super::service::Ports;
use super::spread::{self, Scope};
use super::window::{Tally, Windows};
use crate::clock::Timestamp;
use crate::config::settings::DeliveryType;
use crate::id::NodeId;
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

/// Domains of one node that are told to the node that adds up; beyond, some may be counted twice.
const DOMAINS_MAX: usize = 1 << 18;

/// All figures of the nodes that are meant.
pub(super) async fn status(ports: &Ports, scope: Scope) -> proto::StatusReply {
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        Ok(peer.status(proto::StatusRequest {}).await?.into_inner())
    });
    let (others, missing) = others.await;
    let own = here(ports);
    if others.is_empty() && missing.is_empty() {
        return match scope {
            Scope::Here => own,
            Scope::Everywhere => {
                proto::StatusReply { smtp_domains: vec![], other_domains: vec![], ..own }
            }
        };
    }
    let nodes = std::iter::once(own).chain(others.into_iter().map(|(_, reply)| reply)).collect();
    total(nodes, missing)
}

/// Figures of this node.
fn here(ports: &Ports) -> proto::StatusReply {
    let node = ports.runtime.figures();
    let (inbound, outbound) = ports.monitor.windows();
    let QueueSums { smtp, other, smtp_domains, other_domains } = queue_totals(ports);
    let (smtp_queues, other_queues) = (smtp, other);
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
        smtp_queues,
        other_queues,
        store: Some(proto::Store {
            free_bytes: node.free_bytes,
            refusing: refusing(&node.pressure),
        }),
        partitions: node.partitions.into_iter().map(|p| partition(node.node, p)).collect(),
        nodes: Vec::new(),
        missing: Vec::new(),
        smtp_domains,
        other_domains,
    }
}

/// Adds up what the nodes said. The first one is the asked node: its name and times are shown.
fn total(mut nodes: Vec<proto::StatusReply>, missing: Vec<proto::Missing>) -> proto::StatusReply {
    let mut sum = nodes.first().cloned().unwrap_or_default();
    let (mut smtp, mut other) = (BTreeSet::new(), BTreeSet::new());
    for (n, node) in nodes.iter_mut().enumerate() {
        smtp.extend(std::mem::take(&mut node.smtp_domains));
        other.extend(std::mem::take(&mut node.other_domains));
        if n == 0 {
            continue;
        }
        sum.traffic = Some(both(sum.traffic, node.traffic));
        sum.inbound = Some(connections_sum(sum.inbound, node.inbound));
        sum.outbound = Some(connections_sum(sum.outbound, node.outbound));
        sum.smtp_queues = Some(queues_sum(sum.smtp_queues, node.smtp_queues));
        sum.other_queues = Some(queues_sum(sum.other_queues, node.other_queues));
        for theirs in &node.partitions {
            match sum.partitions.iter_mut().find(|ours| ours.name == theirs.name) {
                Some(ours) if theirs.leader > 0 && theirs.term > ours.term => {
                    ours.clone_from(theirs);
                }
                Some(_) => {}
                None => sum.partitions.push(theirs.clone()),
            }
        }
    }
    let mine = sum.node;
    for partition in &mut sum.partitions {
        partition.led = partition.leader == mine;
    }
    if let Some(queues) = &mut sum.smtp_queues {
        queues.domains = smtp.len() as u64;
    }
    if let Some(queues) = &mut sum.other_queues {
        queues.domains = other.len() as u64;
    }
    nodes.sort_by_key(|node| node.node);
    proto::StatusReply { nodes, missing, smtp_domains: vec![], other_domains: vec![], ..sum }
}

fn both(a: Option<proto::TrafficBoth>, b: Option<proto::TrafficBoth>) -> proto::TrafficBoth {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    proto::TrafficBoth {
        inbound: Some(windows_sum(a.inbound, b.inbound)),
        outbound: Some(windows_sum(a.outbound, b.outbound)),
    }
}

/// The tops of nodes need not have come at the same time: their sum is the most that it can have
/// been.
fn windows_sum(
    a: Option<proto::TrafficWindows>,
    b: Option<proto::TrafficWindows>,
) -> proto::TrafficWindows {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    let sum = |a: Option<proto::Traffic>, b: Option<proto::Traffic>| {
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        Some(proto::Traffic {
            recipients: a.recipients + b.recipients,
            messages: a.messages + b.messages,
            bytes: a.bytes + b.bytes,
        })
    };
    proto::TrafficWindows {
        total: sum(a.total, b.total),
        last_hour: sum(a.last_hour, b.last_hour),
        top_hour: sum(a.top_hour, b.top_hour),
        last_minute: sum(a.last_minute, b.last_minute),
        top_minute: sum(a.top_minute, b.top_minute),
    }
}

fn connections_sum(
    a: Option<proto::Connections>,
    b: Option<proto::Connections>,
) -> proto::Connections {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    proto::Connections {
        current: a.current + b.current,
        top: a.top + b.top,
        maximum: a.maximum + b.maximum,
    }
}

fn queues_sum(a: Option<proto::QueueTotals>, b: Option<proto::QueueTotals>) -> proto::QueueTotals {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    proto::QueueTotals {
        recipients: a.recipients + b.recipients,
        domains: a.domains + b.domains,
        bytes: a.bytes + b.bytes,
    }
}

/// Lets traffic and the tops of connections begin again, on all nodes that are meant.
pub(super) async fn reset(ports: &Ports, scope: Scope) -> proto::ResetCountersReply {
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        peer.reset_counters(proto::ResetCountersRequest {}).await
    });
    reset_here(ports);
    let (_, missing) = others.await;
    proto::ResetCountersReply { missing }
}

fn reset_here(ports: &Ports) {
    ports.monitor.reset(ports.ingress.accepted(), ports.delivery.delivered());
    ports.ingress.reset_top();
    ports.delivery.reset_top();
    tracing::info!("traffic counters reset by administrator");
}

/// Totals of the queues that are sent by SMTP, and of those that are filed or discarded.
fn queue_totals(ports: &Ports) -> QueueSums {
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
    let hashes = |domains: BTreeSet<String>| {
        domains.iter().take(DOMAINS_MAX).map(|domain| hash(domain)).collect()
    };
    QueueSums {
        smtp: Some(smtp),
        other: Some(other),
        smtp_domains: hashes(smtp_domains),
        other_domains: hashes(other_domains),
    }
}

/// Totals, and hashes of the domains in them: the same domain may be on several nodes.
struct QueueSums {
    smtp: Option<proto::QueueTotals>,
    other: Option<proto::QueueTotals>,
    smtp_domains: Vec<u64>,
    other_domains: Vec<u64>,
}

/// FNV-1a: the same on every node, whatever its version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
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

fn partition(node: NodeId, figures: PartitionFigures) -> proto::Partition {
    let PartitionFigures { name, led, term } = figures;
    proto::Partition { name, led, term, leader: if led { node.0 } else { 0 } }
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
