//! The messages between the actors of delivery. Reading this file is reading how they work
//! together.
//!
//! ```text
//! queue --NewWork--> Scheduler --Kick--> Destination --Batch--> session (task)
//!                    Scheduler <--Idle-- Destination <--FromSession--
//! ```

use std::net::{IpAddr, SocketAddr};

use actix::{Addr, Message};

use super::agenda::Rest;
use super::classify::QueueFailure;
use super::destination::Destination;
use super::record::Path;
use crate::clock::{Instant, Timestamp};
use crate::id::{GroupId, QueueName};
use crate::queue::model::Wake;

/// To the scheduler: queues have work that was not there before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct NewWork(pub(crate) Vec<Wake>);

/// To the scheduler: switches or the configuration have changed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Changed;

/// To the scheduler: an operator wants a queue tried now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Hasten(pub(crate) QueueName);

/// To the scheduler: a destination has nothing to do. True lets it go; false says that there is
/// a [`Kick`] on its way.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct Idle {
    pub(crate) queue: QueueName,
    pub(crate) from: Addr<Destination>,
    /// The number of the last kick that it has seen.
    pub(crate) kicks: u64,
    /// What is left to do later.
    pub(crate) rest: Rest,
}

/// To a destination: there is work.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Kick {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) group: GroupId,
    pub(crate) due: Timestamp,
}

/// To a destination: settings or switches have changed; what was set aside may go on.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Refresh;

/// To a destination: an operator wants it to stop waiting.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TryNow;

/// To a destination: what became of a session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct FromSession {
    /// Number of the session in its destination.
    pub(crate) session: u64,
    pub(crate) what: SessionEvent,
}

#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// It can take a batch.
    Ready {
        /// Hosts that could not be reached on the way.
        unreachable: Vec<SocketAddr>,
        /// The local address of its connection, where limits depend on it.
        source: Option<IpAddr>,
    },
    /// It is done with its batch.
    Ended {
        result: BatchEnd,
        /// It takes no more.
        last: bool,
    },
    /// It is over. No message follows.
    Gone(SessionEnd),
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// The queue knows the results, or the message was gone already.
    Reported {
        /// The earliest time at which one of its recipients is to be tried again.
        later: Option<Timestamp>,
    },
    /// An operator's switch holds the message.
    SetAside,
    /// Nothing was decided for some recipients; they are still due.
    NotTried,
    /// This node is not responsible any more.
    Lost,
}

/// Why a session is over.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// Nothing is wrong with the queue.
    Finished,
    /// It never took a message.
    Failed {
        failure: QueueFailure,
        /// The way of the last attempt, for the accounting row.
        path: Box<Path>,
    },
    /// No source address may open a connection before then.
    Held { until: Instant },
    /// The server said 421, and that means that the host is not available.
    HostUnavailable { host: SocketAddr, failure: QueueFailure, path: Box<Path> },
}
