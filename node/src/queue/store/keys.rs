//! Keys of the database. Integers are big-endian, so that keys sort like their numbers.
//!
//! Every key begins with the group. Keys of a group's state go on with the epoch, a number that
//! grows whenever a snapshot replaces the whole state. Logs and bodies have no epoch.

use crate::id::GroupId;
use crate::queue::machine::BodyPart;

/// Group and epoch, before every key of a machine.
pub(crate) fn state(group: GroupId, epoch: u16) -> [u8; 6] {
    let mut key = [0; 6];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4..].copy_from_slice(&epoch.to_be_bytes());
    key
}

/// The first key after all keys of a group's state in `epoch`.
pub(crate) fn state_end(group: GroupId, epoch: u16) -> Vec<u8> {
    after_prefix(&state(group, epoch))
}

/// The first key that does not begin with `prefix`, which is not all ones.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    key
}

/// A record of the log.
pub(crate) fn log(group: GroupId, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The index in a key of the log.
pub(crate) fn log_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(4..12)?.try_into().ok()?))
}

/// A part of a body.
pub(crate) fn body(group: GroupId, part: BodyPart) -> [u8; 14] {
    let mut key = [0; 14];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4..12].copy_from_slice(&part.index.to_be_bytes());
    key[12..].copy_from_slice(&part.part.to_be_bytes());
    key
}

/// The first key of the next group in the log and body families.
pub(crate) fn group_end(group: GroupId) -> [u8; 4] {
    (group.0 + 1).to_be_bytes()
}

/// What is kept about a group beside its log and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The vote.
    Vote,
    /// The last entry removed from the front of the log.
    Purged,
    /// The epoch of the state.
    Epoch,
    /// Bodies of finished messages are removed up to this index.
    Swept,
    /// The epoch that a snapshot is being written to.
    Staging,
    /// What the state was applied to, by epoch.
    Applied(u16),
}

/// A row about a group.
pub(crate) fn meta(group: GroupId, kind: Meta) -> Vec<u8> {
    let mut key = group.0.to_be_bytes().to_vec();
    match kind {
        Meta::Vote => key.push(1),
        Meta::Purged => key.push(2),
        Meta::Epoch => key.push(3),
        Meta::Swept => key.push(4),
        Meta::Staging => key.push(5),
        Meta::Applied(epoch) => {
            key.push(6);
            key.extend_from_slice(&epoch.to_be_bytes());
        }
    }
    key
}

/// The row that says what the database was made with.
pub(crate) const IDENTITY: &[u8] = b"identity";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_of_the_same_length_or_shorter() {
        let check = |prefix: &[u8], expected: &[u8]| assert_eq!(after_prefix(prefix), expected);
        check(&[1, 2], &[1, 3]);
        check(&[1, 255], &[2]);
        check(&[0, 255, 255], &[1]);
    }

    #[test]
    fn keys_sort_like_their_numbers() {
        let group = GroupId(3);
        assert!(log(group, 255) < log(group, 256));
        assert!(log(group, u64::MAX).as_slice() < group_end(group).as_slice());
        let part = |index, part| body(group, BodyPart { index, part });
        assert!(part(1, u16::MAX) < part(2, 0));
        assert_eq!(log_index(&log(group, 7)), Some(7));
    }
}
