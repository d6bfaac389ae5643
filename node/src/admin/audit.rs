//! `audit`: every partition is added up on all its replicas as it is after the same log entry, and
//! compared with its counters, with the other replicas and with the accounting group.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_proto::admin as proto;
use tonic::Status;

use super::members::{self, Seen};
use super::service::Ports;
use super::spread::{self, Scope};
use crate::id::{GroupId, NodeId};
use crate::queue::audit::{AuditFigures, Audited};
use crate::queue::door::{AuditError, AuditPoint};
use crate::queue::model::OutboxPosition;

/// How long one partition may take, unless told otherwise.
const MOST: Duration = Duration::from_secs(60);
/// What a replica may need beyond that, to come to the entry.
const REACH: Duration = Duration::from_secs(15);
/// How far ahead of the log the entry lies at which replicas are compared: the farther, the busier
/// the partition is.
const AHEAD: [u64; 3] = [16, 1024, 16_384];

/// Audits all partitions, or one as this node has it.
pub(super) async fn audit(
    ports: &Ports,
    scope: Scope,
    request: proto::AuditRequest,
) -> Result<proto::AuditReply, Status> {
    if let Some(point) = request.point {
        let group = GroupId(point.group);
        let index = (point.index > 0).then_some(point.index);
        let one = here(ports, &request, group, index).await?;
        return Ok(proto::AuditReply {
            partitions: vec![one],
            missing: vec![],
            marks: marks(ports),
        });
    }
    let (views, missing) = members::views(ports, scope).await;
    let mut reply = proto::AuditReply { missing, ..proto::AuditReply::default() };
    let mut marks = read_marks(marks(ports));
    for (group, replicas) in partitions(&views) {
        let said = compare(ports, &request, group, &replicas, &mut marks).await;
        reply.partitions.push(said);
    }
    for partition in &mut reply.partitions {
        check_marks(partition, &marks);
    }
    Ok(reply)
}

/// Partitions with the nodes that have a replica and answer; perhaps none.
fn partitions(views: &members::Views) -> BTreeMap<GroupId, BTreeMap<NodeId, Seen>> {
    let mut partitions: BTreeMap<GroupId, BTreeMap<NodeId, Seen>> = BTreeMap::new();
    for (node, seen) in views {
        for one in seen.iter().filter(|one| one.group.is_partition()) {
            let replicas = partitions.entry(one.group).or_default();
            if one.voters.contains(node) || one.learners.contains(node) {
                replicas.insert(*node, one.clone());
            }
        }
    }
    partitions
}

/// One partition on all its replicas.
async fn compare(
    ports: &Ports,
    request: &proto::AuditRequest,
    group: GroupId,
    replicas: &BTreeMap<NodeId, Seen>,
    marks: &mut BTreeMap<GroupId, OutboxPosition>,
) -> proto::AuditedPartition {
    let leads = replicas.iter().filter(|(node, one)| one.leader == Some(**node));
    let leader = leads.max_by_key(|(_, one)| one.term);
    let leader = leader.map(|(node, _)| *node);
    let mut last = replicas.values().map(|one| one.last).max().unwrap_or(0);
    let alone = replicas.len() == 1;
    let mut said = Vec::new();
    for ahead in AHEAD {
        // Without a leader, the log does not go on: each replica is read where it is.
        let index = (!alone && leader.is_some()).then_some(last + ahead);
        said = ask_replicas(ports, request, group, index, replicas).await;
        let missed = said.iter().any(|(_, one)| matches!(one, Err(text) if text == TOO_LATE));
        if !missed {
            break;
        }
        last = said
            .iter()
            .filter_map(|(_, one)| Some(one.as_ref().ok()?.partitions.first()?.applied))
            .fold(last + ahead, u64::max);
    }
    for (_, one) in &said {
        for (group, at) in one.iter().flat_map(|reply| read_marks(reply.marks.clone())) {
            let known = marks.entry(group).or_default();
            *known = at.max(*known);
        }
    }
    put_together(group, leader, said)
}

const TOO_LATE: &str = "the replica is beyond the entry";

type Said = Vec<(NodeId, Result<proto::AuditReply, String>)>;

async fn ask_replicas(
    ports: &Ports,
    request: &proto::AuditRequest,
    group: GroupId,
    index: Option<u64>,
    replicas: &BTreeMap<NodeId, Seen>,
) -> Said {
    let point = proto::AuditPoint { group: group.0, index: index.unwrap_or(0) };
    let passed = proto::AuditRequest { point: Some(point), ..*request };
    let deadline = most(request) + REACH;
    let others = spread::ask_some(
        ports,
        deadline,
        |node| replicas.contains_key(&node),
        |mut peer| async move { Ok(peer.audit(passed).await?.into_inner()) },
    );
    let own = async {
        if !replicas.contains_key(&ports.cluster.me()) {
            return None;
        }
        Some(here(ports, request, group, index).await)
    };
    let (own, (others, missing)) = tokio::join!(own, others);
    let mut said: Said = others.into_iter().map(|(node, reply)| (node, Ok(reply))).collect();
    said.extend(missing.into_iter().map(|gone| (NodeId(gone.node), Err(gone.reason))));
    if let Some(own) = own {
        let own = own.map(|one| proto::AuditReply { partitions: vec![one], ..Default::default() });
        said.push((ports.cluster.me(), own.map_err(|status| status.message().to_owned())));
    }
    said.sort_by_key(|(node, _)| *node);
    said
}

/// The leader's figures count; the others must have the same state.
fn put_together(group: GroupId, leader: Option<NodeId>, said: Said) -> proto::AuditedPartition {
    let mut audited: Vec<(NodeId, proto::AuditedPartition)> = Vec::new();
    let mut failed = Vec::new();
    for (node, one) in said {
        match one.map(|reply| reply.partitions.into_iter().next()) {
            Ok(Some(one)) => audited.push((node, one)),
            Ok(None) => failed.push(format!("{node} said nothing")),
            Err(reason) => failed.push(format!("{node} could not be audited: {reason}")),
        }
    }
    let best = audited.iter().position(|(node, _)| Some(*node) == leader);
    let best = best.or_else(|| {
        let newest = audited.iter().enumerate().max_by_key(|(_, (_, one))| one.applied);
        newest.map(|(at, _)| at)
    });
    let Some(best) = best else {
        if failed.is_empty() {
            failed.push("no node that answers has a replica".to_owned());
        }
        return proto::AuditedPartition {
            name: group.to_string(),
            group: group.0,
            findings: failed,
            unfinished: true,
            ..proto::AuditedPartition::default()
        };
    };
    let (node, mut sum) = audited.swap_remove(best);
    sum.led = leader == Some(node);
    if leader.is_none() {
        sum.findings.push(format!("{group} has no leader"));
    }
    sum.findings.append(&mut failed);
    for (other, one) in audited {
        if one.unfinished || sum.unfinished {
            continue;
        }
        if one.applied == sum.applied && one.checksum == sum.checksum {
            sum.agreeing.push(other.0);
        } else if one.applied == sum.applied {
            sum.findings.push(format!(
                "{other} has another state than {node} at entry {}: {} and {}",
                sum.applied, one.checksum, sum.checksum
            ));
        }
        let at = |finding: &String| format!("on {other}: {finding}");
        let own: Vec<String> = one.findings.iter().map(at).collect();
        sum.findings.extend(own);
        sum.more_findings += one.more_findings;
    }
    sum
}

/// One partition as this node has it.
async fn here(
    ports: &Ports,
    request: &proto::AuditRequest,
    group: GroupId,
    index: Option<u64>,
) -> Result<proto::AuditedPartition, Status> {
    let point = AuditPoint { group, index, bodies: !request.no_bodies, most: most(request) };
    let node = ports.cluster.me().0;
    match ports.examine.audit(point).await {
        Ok(audited) => Ok(partition(node, audited)),
        Err(AuditError::Expired) => Ok(proto::AuditedPartition {
            name: group.to_string(),
            group: group.0,
            node,
            unfinished: true,
            findings: vec![format!(
                "{} s were not enough to read it to its end: see --timeout",
                most(request).as_secs()
            )],
            ..proto::AuditedPartition::default()
        }),
        Err(AuditError::TooLate) => Err(Status::aborted(TOO_LATE)),
        Err(error @ AuditError::NotReached) => Err(Status::unavailable(error.to_string())),
        Err(AuditError::Failed(text)) => Err(Status::internal(text)),
    }
}

fn most(request: &proto::AuditRequest) -> Duration {
    match request.most_ms {
        0 => MOST,
        ms => Duration::from_millis(ms),
    }
}

/// What is acknowledged, the accounting group must have.
fn check_marks(partition: &mut proto::AuditedPartition, marks: &BTreeMap<GroupId, OutboxPosition>) {
    let Some(acknowledged) = partition.acknowledged else { return };
    let at = read_mark(&acknowledged);
    let mark = marks.get(&GroupId(partition.group)).copied().unwrap_or_default();
    if at > mark {
        partition.findings.push(format!(
            "accounting rows up to {}.{} are acknowledged, and the accounting group has them up to \
             {}.{}",
            at.index, at.n, mark.index, mark.n
        ));
    }
}

fn marks(ports: &Ports) -> Vec<proto::AuditMark> {
    let mark = |(group, at): (GroupId, OutboxPosition)| mark(group, at);
    ports.accounting.marks().into_iter().map(mark).collect()
}

fn mark(group: GroupId, at: OutboxPosition) -> proto::AuditMark {
    proto::AuditMark { group: group.0, index: at.index, n: at.n.into() }
}

fn read_mark(mark: &proto::AuditMark) -> OutboxPosition {
    OutboxPosition { index: mark.index, n: u16::try_from(mark.n).unwrap_or(u16::MAX) }
}

fn read_marks(marks: Vec<proto::AuditMark>) -> BTreeMap<GroupId, OutboxPosition> {
    marks.iter().map(|mark| (GroupId(mark.group), read_mark(mark))).collect()
}

fn partition(node: u64, audited: Audited) -> proto::AuditedPartition {
    proto::AuditedPartition {
        name: audited.group.to_string(),
        group: audited.group.0,
        node,
        led: false,
        applied: audited.applied,
        counted: Some(figures(audited.counted)),
        found: Some(figures(audited.found)),
        findings: audited.findings,
        more_findings: audited.more_findings,
        checksum: audited.checksum.iter().map(|byte| format!("{byte:02x}")).collect(),
        agreeing: Vec::new(),
        acknowledged: Some(mark(audited.group, audited.acknowledged)),
        unfinished: false,
    }
}

const fn figures(f: AuditFigures) -> proto::AuditFigures {
    proto::AuditFigures {
        accepted: f.accepted,
        delivered: f.delivered,
        bounced: f.bounced,
        deleted: f.deleted,
        queued_recipients: f.queued_recipients,
        queued_messages: f.queued_messages,
        held: f.held,
        due: f.due,
        unknown: f.unknown,
        rows_made: f.rows_made,
        rows_acknowledged: f.rows_acknowledged,
        rows_waiting: f.rows_waiting,
        bodies: f.bodies,
    }
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
