//! Protocol buffers of Convoy. Generated types and nothing else.
//!
//! One module per package. `bytes` fields are [`bytes::Bytes`], so that a body that came in a frame
//! is not copied.

/// `convoy.storage.v1`: what a node keeps on disk and carries in log entries.
#[allow(clippy::all, clippy::use_self, unreachable_pub, reason = "generated code")]
pub mod storage {
    tonic::include_proto!("convoy.storage.v1");
}

/// `convoy.admin.v1`: what `mtactl` asks of a node.
#[allow(
    clippy::all,
    clippy::use_self,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod admin {
    tonic::include_proto!("convoy.admin.v1");
}

/// `convoy.accounting.v1`: rows on their way to the collector, and what its group keeps.
#[allow(
    clippy::all,
    clippy::use_self,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod accounting {
    tonic::include_proto!("convoy.accounting.v1");
}

/// `convoy.peer.v1`: Raft and commands between nodes.
#[allow(
    clippy::all,
    clippy::use_self,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod peer {
    tonic::include_proto!("convoy.peer.v1");
}
