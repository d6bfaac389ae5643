//! Keys of the meta group's state.

use std::net::SocketAddr;

use crate::id::{GroupId, NodeId};

/// Name and authority.
pub(super) const IDENTITY: &[u8] = b"cluster/identity";
/// The number of the next member.
pub(super) const NEXT_NODE: &[u8] = b"cluster/next-node";
/// Formats that may be proposed.
pub(super) const LEVEL: &[u8] = b"cluster/level";
/// Ticket secrets, all in one row.
pub(super) const TICKETS: &[u8] = b"cluster/tickets/";
/// Members.
pub(super) const MEMBERS: &[u8] = b"cluster/member/";
/// Join tokens.
pub(super) const TOKENS: &[u8] = b"cluster/token/";
/// Placements.
pub(super) const PLACES: &[u8] = b"cluster/place/";
/// Versions of the configuration.
pub(super) const VERSIONS: &[u8] = b"cluster/version/";
/// Hosts with broken TLS.
pub(super) const BROKEN: &[u8] = b"cluster/broken/";

pub(super) fn member(node: NodeId) -> Vec<u8> {
    [MEMBERS, &node.0.to_be_bytes()].concat()
}

pub(super) fn token(hash: &[u8]) -> Vec<u8> {
    [TOKENS, hash].concat()
}

pub(super) fn place(group: GroupId) -> Vec<u8> {
    [PLACES, &group.0.to_be_bytes()].concat()
}

/// A version of the configuration with its text.
pub(crate) fn version_row(version: u64) -> Vec<u8> {
    [VERSIONS, &version.to_be_bytes()].concat()
}

pub(super) fn ticket(from: u64) -> Vec<u8> {
    [TICKETS, &from.to_be_bytes()].concat()
}

pub(super) fn broken(host: SocketAddr, verifies: bool) -> Vec<u8> {
    [BROKEN, host.to_string().as_bytes(), if verifies { b"+" } else { b"-" }].concat()
}

/// The group in a key of a placement.
pub(super) fn group_of(key: &[u8]) -> Option<GroupId> {
    let number = key.strip_prefix(PLACES)?;
    Some(GroupId(u32::from_be_bytes(number.try_into().ok()?)))
}

/// The hash in a key of a token.
pub(super) fn hash_of(key: &[u8]) -> Option<[u8; 32]> {
    key.strip_prefix(TOKENS)?.try_into().ok()
}
