//! What nodes and coordinators say to each other about limits, and for how long it counts.
//!
//! Every time here is a duration on one node's monotonic clock, and each is measured from the side
//! that makes it shorter for whoever may use something, and longer for whoever counts on that.

use std::time::Duration;

use crate::delivery::limits::Bound;
use crate::id::NodeId;

/// A lease may be used for so long after the ask that brought it was sent.
pub const LEASE: Duration = Duration::from_secs(6);
/// The coordinator counts it for so long after it was asked: what is cut off at the end of a lease
/// has the difference to end in.
pub const LEASE_COUNTED: Duration = Duration::from_secs(8);
/// Who has less than its safe share under a lease takes the safe share again so long after the last
/// answer. By then all that others have been granted instead has run out: the coordinator counts on
/// it for [`LEASE_COUNTED`], and what it grants in that time is counted for as long again.
pub const GIVEN_BACK: Duration = Duration::from_secs(17);
/// Safe shares may be used for so long after the last ask that was answered.
pub const RIGHT: Duration = Duration::from_secs(60);
/// The coordinator counts them for so long.
pub const RIGHT_COUNTED: Duration = Duration::from_secs(70);
/// A new coordinator takes nothing away in its first moments, while nodes tell it what they have.
pub const GATHERING: Duration = Duration::from_secs(2);

/// A node's report on one limit, and its wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The limit as the node's configuration states it.
    pub bound: Bound,
    /// What the node may use at most as it asks.
    pub amount: u64,
    /// Epoch and serial of the grant that it goes by.
    pub grant: Option<(u64, u64)>,
    /// Units in use.
    pub used: u64,
    /// Units that it could use.
    pub wanted: u64,
    /// A rate has nothing left for so long.
    pub wait: Duration,
}

/// All that a node says to the coordinator of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub node: NodeId,
    /// Drawn when its program started.
    pub incarnation: u64,
    /// Counted from 1.
    pub number: u64,
    /// The number of the last ask that was answered in `epoch`; 0 when there is none.
    pub heard: u64,
    /// Of the last answer.
    pub epoch: u64,
    /// The cluster as it knows it.
    pub members: Vec<NodeId>,
    /// The members among whom it divides limits for its safe share.
    pub right: Option<Vec<NodeId>>,
    /// Limits with a lease, or of which it wants more than it may use.
    pub items: Vec<Item>,
}

/// What a node gets of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The limit.
    pub bound: Bound,
    /// Numbers grants within an epoch.
    pub serial: u64,
    /// Units. None leaves the lease as it is.
    pub amount: Option<u64>,
    /// A larger grant from before goes on as long as this one, for what is in use.
    pub keep: bool,
    /// When the first event of a fresh lease may go; None when the lease's own rate says so.
    pub wait: Option<Duration>,
}

/// What the coordinator of a group answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the ask.
    pub number: u64,
    /// The term in which it leads the group.
    pub epoch: u64,
    /// It does not know yet what others have granted.
    pub learning: bool,
    /// The right to safe shares is a new one, whatever the node went by before.
    pub settled: bool,
    /// The right to safe shares, for [`RIGHT`].
    pub right: Option<Vec<NodeId>>,
    /// Every limit that is leased out.
    pub grants: Vec<Grant>,
}
