//! `acct status`: how accounting stands on this node, and the answers of all nodes put together.

use convoy_proto::admin as proto;

use super::Ports;
use super::ports::{AcctFigures, AcctFileFigures};
use super::spread::{self, Scope};
use crate::clock::Timestamp;
use crate::id::NodeId;

/// How accounting stands on the nodes that are meant.
pub(super) async fn status(ports: &Ports, scope: Scope) -> proto::AcctStatusReply {
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        let request = proto::AcctStatusRequest { local: true };
        Ok(peer.acct_status(request).await?.into_inner())
    });
    let (own, (others, missing)) = tokio::join!(own_status(ports), others);
    let gone = missing.into_iter().map(|gone| (NodeId(gone.node), Err(gone.reason)));
    together(own, others.into_iter().map(|(node, reply)| (node, Ok(reply))).chain(gone).collect())
}

/// What this node knows of itself: a reply with one replica.
async fn own_status(ports: &Ports) -> proto::AcctStatusReply {
    let node = ports.runtime.figures().node;
    let figures = ports.accounting.figures().await;
    let collector = figures.collector.map_or(0, |node| node.0);
    let own = replica(node, figures);
    let reply = proto::AcctStatusReply {
        collector,
        here: own.collector,
        waiting_rows: own.waiting_rows,
        files: own.files.clone(),
        replicas: vec![own],
    };
    together(reply, Vec::new())
}

/// The reply of the node that was asked (first) together with those of the other nodes, each
/// asked for its own status only, or why they gave none.
fn together(
    own: proto::AcctStatusReply,
    others: Vec<(NodeId, Result<proto::AcctStatusReply, String>)>,
) -> proto::AcctStatusReply {
    let mut all = own;
    for (node, reply) in others {
        match reply {
            Ok(reply) => all.replicas.extend(reply.replicas),
            Err(error) => all.replicas.push(proto::AcctReplica {
                node: node.0,
                error,
                ..proto::AcctReplica::default()
            }),
        }
    }
    // Of two that claim the role, one has not learned yet that it lost it: the other is ahead.
    let collectors = all.replicas.iter().filter(|replica| replica.collector);
    let ahead = collectors.max_by_key(|replica| replica.applied);
    let ahead = ahead.map(|replica| (replica.node, replica.applied));
    if let Some((node, _)) = ahead {
        all.collector = node;
    }
    for replica in &mut all.replicas {
        let lag = ahead.map(|(_, applied)| applied.saturating_sub(replica.applied));
        replica.lag_entries = lag.filter(|_| replica.keeps);
    }
    all.waiting_rows = all.replicas.iter().map(|replica| replica.waiting_rows).sum();
    all
}

fn replica(node: NodeId, figures: AcctFigures) -> proto::AcctReplica {
    proto::AcctReplica {
        node: node.0,
        collector: figures.collector == Some(node),
        keeps: figures.keeps,
        applied: figures.applied,
        applied_ms: figures.applied_at.map_or(0, Timestamp::as_millis),
        lag_entries: None,
        files: figures.files.into_iter().map(file).collect(),
        waiting_rows: figures.waiting_rows,
        error: figures.error,
    }
}

fn file(file: AcctFileFigures) -> proto::AcctFile {
    proto::AcctFile {
        target: file.target,
        current: file.current,
        rows: file.rows,
        bytes: file.bytes,
        last_written_ms: file.last_written.map_or(0, Timestamp::as_millis),
        last_error: file.last_error,
        directory: file.directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: u64, collector: bool, applied: u64) -> proto::AcctStatusReply {
        let replica = proto::AcctReplica {
            node,
            collector,
            applied,
            keeps: applied > 0,
            waiting_rows: node,
            ..proto::AcctReplica::default()
        };
        proto::AcctStatusReply { replicas: vec![replica], ..proto::AcctStatusReply::default() }
    }

    #[test]
    fn the_lag_is_told_against_the_collector_and_silence_is_told() {
        let others = vec![
            (NodeId(2), Ok(of(2, true, 50))),
            (NodeId(3), Err("it does not answer".to_owned())),
            (NodeId(4), Ok(of(4, false, 0))),
        ];
        // The first one has not heard yet that it was replaced.
        let all = together(of(1, true, 47), others);
        let lags: Vec<Option<u64>> = all.replicas.iter().map(|r| r.lag_entries).collect();
        assert_eq!(lags, [Some(3), Some(0), None, None]);
        assert_eq!((all.collector, all.waiting_rows), (2, 7));
        assert_eq!(all.replicas[2].error, "it does not answer");

        let alone = together(of(1, false, 47), Vec::new());
        assert_eq!(alone.replicas[0].lag_entries, None, "nobody to compare with");
    }
}
