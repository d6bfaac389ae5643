//! Protocol buffers of Convoy. Generated types and nothing else.
//!
//! One module per package. `bytes` fields are [`bytes::Bytes`], so that a body that came in a frame
//! is not copied.

/// The packages by their names, as generated code refers to them.
#[allow(unreachable_pub, reason = "what is meant for others is named below")]
mod convoy {
    macro_rules! packages {
        ($($name:ident: $package:literal,)*) => {
            $(pub mod $name {
                #[allow(
                    clippy::all,
                    clippy::use_self,
                    unreachable_pub,
                    unused_qualifications,
                    reason = "generated code"
                )]
                pub mod v1 {
                    tonic::include_proto!($package);
                }
            })*
        };
    }

    packages! {
        accounting: "convoy.accounting.v1",
        admin: "convoy.admin.v1",
        indoubt: "convoy.indoubt.v1",
        join: "convoy.join.v1",
        limits: "convoy.limits.v1",
        peer: "convoy.peer.v1",
        storage: "convoy.storage.v1",
    }
}

/// `convoy.accounting.v1`: rows on their way to the collector, and what its group keeps.
pub use convoy::accounting::v1 as accounting;
/// `convoy.admin.v1`: what `mtactl` asks of a node.
pub use convoy::admin::v1 as admin;
/// `convoy.indoubt.v1`: attempts whose result is not known yet.
pub use convoy::indoubt::v1 as indoubt;
/// `convoy.join.v1`: how a new node becomes a member.
pub use convoy::join::v1 as join;
/// `convoy.limits.v1`: leases of limits between nodes.
pub use convoy::limits::v1 as limits;
/// `convoy.peer.v1`: Raft and commands between nodes.
pub use convoy::peer::v1 as peer;
/// `convoy.storage.v1`: what a node keeps on disk and carries in log entries.
pub use convoy::storage::v1 as storage;
