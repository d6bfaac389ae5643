//! Is this node fit to be sent mail? The verdict that load balancers and orchestrators ask for.

use super::ports::{Leadership, NodeFigures, RunState};
use crate::queue::model::Pressure;

/// Why no mail should be sent here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// Not everything is up yet.
    #[error("starting")]
    Starting,
    /// Its work has been handed over to other nodes.
    #[error("draining")]
    Draining,
    /// On the way out.
    #[error("stopping")]
    Stopping,
    /// No room for messages.
    #[error("disk full")]
    DiskFull,
    /// The database cannot follow.
    #[error("the database delays writes")]
    Stalled,
    /// No partition has a leader that this node knows of, so no message could be stored.
    #[error("no partition has a leader")]
    NoLeader,
}

/// Would a message be accepted? `leaving` says that the cluster was told to do without this node.
///
/// # Errors
///
/// The reason when it would not; the one that lasts longest comes first.
pub fn ready(node: &NodeFigures, groups: &[Leadership], leaving: bool) -> Result<(), Unready> {
    match node.state {
        RunState::Running => {}
        RunState::Starting => return Err(Unready::Starting),
        RunState::Draining => return Err(Unready::Draining),
        RunState::Stopping => return Err(Unready::Stopping),
    }
    if leaving {
        return Err(Unready::Draining);
    }
    match node.pressure {
        Pressure::Normal => {}
        Pressure::DiskFull { .. } => return Err(Unready::DiskFull),
        Pressure::Stalled => return Err(Unready::Stalled),
    }
    let takes_messages =
        |figures: &Leadership| figures.group.is_partition() && figures.leader.is_some();
    if groups.iter().any(takes_messages) { Ok(()) } else { Err(Unready::NoLeader) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{GroupId, NodeId};

    fn node(state: RunState, pressure: Pressure) -> NodeFigures {
        NodeFigures {
            node: NodeId(1),
            host_name: String::new(),
            most_inbound: 1,
            most_outbound: 1,
            build: String::new(),
            started: Timestamp(0),
            state,
            pressure,
            free_bytes: 0,
            partitions: Vec::new(),
        }
    }

    fn group(group: GroupId, leader: Option<u64>) -> Leadership {
        Leadership { group, leader: leader.map(NodeId), led: leader == Some(1) }
    }

    #[test]
    fn a_node_is_ready_when_a_message_would_be_accepted() {
        use RunState::{Draining, Running, Starting, Stopping};
        let led = [group(GroupId::META, None), group(GroupId(2), None), group(GroupId(3), Some(1))];
        let elsewhere = [group(GroupId(2), Some(2))];
        let leaderless = [group(GroupId::META, Some(1)), group(GroupId(2), None)];
        let full = Pressure::DiskFull { free_bytes: 0 };
        for (state, pressure, groups, leaving, expected) in [
            (Running, Pressure::Normal, &led[..], false, Ok(())),
            (Running, Pressure::Normal, &elsewhere, false, Ok(())),
            (Running, Pressure::Normal, &leaderless, false, Err(Unready::NoLeader)),
            (Running, Pressure::Normal, &[], false, Err(Unready::NoLeader)),
            (Running, Pressure::Normal, &led, true, Err(Unready::Draining)),
            (Running, full.clone(), &led, false, Err(Unready::DiskFull)),
            (Running, Pressure::Stalled, &led, false, Err(Unready::Stalled)),
            (Starting, Pressure::Normal, &led, false, Err(Unready::Starting)),
            (Draining, Pressure::Normal, &led, false, Err(Unready::Draining)),
            (Stopping, full, &leaderless, false, Err(Unready::Stopping)),
        ] {
            assert_eq!(ready(&node(state, pressure), groups, leaving), expected);
        }
    }
}
