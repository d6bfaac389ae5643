//! Keys of a partition's rows. Integers are big-endian, so that keys sort like their numbers.
//!
//! | table | key | value |
//! |---|---|---|
//! | Message | index, slot, 0 | `MessageRow` |
//! | Message | index, slot, 1 | number of open recipients; absent when the message had one |
//! | Recipient | index, slot, recipient | `RecipientRow` |
//! | Due | queue, time, index, slot, recipient | nothing; absent while the recipient is held |
//! | Outbox | index, n | `Record` |
//! | Token | `i`, message id | `TokenRow` |
//! | Token | `t`, time, message id | nothing: tokens by age |
//! | Token | `m`, message id | `TokenRow` of an open message whose token has expired |
//! | State | `c` | `Counters` |
//! | State | `a` | position of the outbox's last acknowledgement |
//! | State | `u`, index, part | `ChunkRow`: a piece of a body that no message has claimed |
//! | State | `h`, index, part | nothing: a piece that a live message of a later entry needs |

use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, QueueName};
use crate::queue::machine::BodyPart;
use crate::queue::model::{Due, OutboxPosition};

pub(crate) const COUNTERS: &[u8] = b"c";
pub(crate) const ACKNOWLEDGED: &[u8] = b"a";
pub(crate) const UNCLAIMED: u8 = b'u';
pub(crate) const HELD: u8 = b'h';
const TOKEN_BY_ID: u8 = b'i';
const TOKEN_BY_TIME: u8 = b't';
const OPEN_BY_ID: u8 = b'm';

/// Bytes of a message's position in a key.
const PLACE: usize = 10;

fn place(index: u64, slot: u16) -> [u8; PLACE] {
    let mut key = [0; PLACE];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&slot.to_be_bytes());
    key
}

fn read_place(key: &[u8]) -> Option<(u64, u16)> {
    let index = key.get(..8)?.try_into().ok()?;
    let slot = key.get(8..PLACE)?.try_into().ok()?;
    Some((u64::from_be_bytes(index), u16::from_be_bytes(slot)))
}

/// A message.
pub(crate) fn message(at: Locator) -> Vec<u8> {
    [place(at.index, at.slot).as_slice(), &[0]].concat()
}

/// The number of open recipients of a message that had several.
pub(crate) fn open_count(at: Locator) -> Vec<u8> {
    [place(at.index, at.slot).as_slice(), &[1]].concat()
}

/// The first key of messages that entry `index` or a later one brought.
pub(crate) fn messages_from(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// The first key after a message's.
pub(crate) fn message_after(at: Locator) -> Vec<u8> {
    [place(at.index, at.slot).as_slice(), &[2]].concat()
}

/// The message of a key of the Message table; `None` for a count.
pub(crate) fn read_message(group: GroupId, key: &[u8]) -> Option<Locator> {
    let (index, slot) = read_place(key)?;
    (key.get(PLACE) == Some(&0)).then_some(Locator { group, index, slot })
}

/// An open recipient.
pub(crate) fn recipient(at: Locator, number: u16) -> Vec<u8> {
    [place(at.index, at.slot).as_slice(), &number.to_be_bytes()].concat()
}

/// All open recipients of a message: first key and first key after them.
pub(crate) fn recipients(at: Locator) -> (Vec<u8>, Vec<u8>) {
    let mut end = recipient(at, u16::MAX);
    end.push(0);
    (recipient(at, 0), end)
}

/// Message and number of a recipient's key.
pub(crate) fn read_recipient(group: GroupId, key: &[u8]) -> Option<(Locator, u16)> {
    let (index, slot) = read_place(key)?;
    let number = u16::from_be_bytes(key.get(PLACE..PLACE + 2)?.try_into().ok()?);
    Some((Locator { group, index, slot }, number))
}

fn queue_prefix(queue: &QueueName) -> Vec<u8> {
    // Lengths and not separators: no name can then reach into another queue.
    let mut key = Vec::with_capacity(queue.domain.len() + queue.vmta.len() + 32);
    for part in [&queue.domain, &queue.vmta] {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(part.as_bytes());
    }
    key
}

/// A recipient that waits in a queue.
pub(crate) fn due(queue: &QueueName, due: &Due) -> Vec<u8> {
    let mut key = due_from(queue, due.at);
    key.extend_from_slice(&place(due.locator.index, due.locator.slot));
    key.extend_from_slice(&due.recipient.to_be_bytes());
    key
}

/// The first key of recipients of a queue that are due at `at` or later.
pub(crate) fn due_from(queue: &QueueName, at: Timestamp) -> Vec<u8> {
    let mut key = queue_prefix(queue);
    key.extend_from_slice(&at.0.to_be_bytes());
    key
}

/// The first key after all recipients of a queue.
pub(crate) fn due_end(queue: &QueueName) -> Vec<u8> {
    let mut key = due_from(queue, Timestamp(u64::MAX));
    key.extend_from_slice(&[u8::MAX; PLACE + 2]);
    key.push(0);
    key
}

/// The recipient in a key of the Due table.
pub(crate) fn read_due(group: GroupId, key: &[u8]) -> Option<Due> {
    let tail = key.len().checked_sub(8 + PLACE + 2)?;
    let at = u64::from_be_bytes(key.get(tail..tail + 8)?.try_into().ok()?);
    let (locator, recipient) = read_recipient(group, key.get(tail + 8..)?)?;
    Some(Due { at: Timestamp(at), locator, recipient })
}

/// A row of the outbox.
pub(crate) fn outbox(at: OutboxPosition) -> Vec<u8> {
    [at.index.to_be_bytes().as_slice(), &at.n.to_be_bytes()].concat()
}

/// The first key after a row of the outbox.
pub(crate) fn outbox_after(at: OutboxPosition) -> Vec<u8> {
    let mut key = outbox(at);
    key.push(0);
    key
}

/// The first key after all rows of the outbox.
pub(crate) fn outbox_end() -> Vec<u8> {
    outbox_after(OutboxPosition { index: u64::MAX, n: u16::MAX })
}

/// The position in a key of the outbox.
pub(crate) fn read_outbox(key: &[u8]) -> Option<OutboxPosition> {
    let (index, n) = read_place(key)?;
    Some(OutboxPosition { index, n })
}

/// A token by its message's id.
pub(crate) fn token(id: &[u8]) -> Vec<u8> {
    [&[TOKEN_BY_ID], id].concat()
}

/// An open message by its id, when its token has expired.
pub(crate) fn open_id(id: &[u8]) -> Vec<u8> {
    [&[OPEN_BY_ID], id].concat()
}

/// A token by its age.
pub(crate) fn token_at(at: u64, id: &[u8]) -> Vec<u8> {
    [[TOKEN_BY_TIME].as_slice(), &at.to_be_bytes(), id].concat()
}

/// Tokens older than `before`: first key and first key after them.
pub(crate) fn tokens_before(before: u64) -> (Vec<u8>, Vec<u8>) {
    (token_at(0, &[]), token_at(before, &[]))
}

/// The message id in the key of a token by its age.
pub(crate) fn read_token_at(key: &[u8]) -> Option<&[u8]> {
    key.get(9..)
}

/// A piece of a long body; `kind` is [`UNCLAIMED`] or [`HELD`].
pub(crate) fn chunk(kind: u8, part: BodyPart) -> Vec<u8> {
    [[kind].as_slice(), &part.index.to_be_bytes(), &part.part.to_be_bytes()].concat()
}

/// The piece in such a key.
pub(crate) fn read_chunk(key: &[u8]) -> Option<BodyPart> {
    let (index, part) = read_place(key.get(1..)?)?;
    Some(BodyPart { index, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(2);

    #[test]
    fn keys_read_back() {
        let at = Locator { group: GROUP, index: 0x0102_0304_0506_0708, slot: 0xfffe };
        assert_eq!(read_message(GROUP, &message(at)), Some(at));
        assert_eq!(read_message(GROUP, &open_count(at)), None);
        assert_eq!(read_recipient(GROUP, &recipient(at, 9)), Some((at, 9)));
        let queue: QueueName = "x.example/v".parse().unwrap();
        let row = Due { at: Timestamp(77), locator: at, recipient: 3 };
        assert_eq!(read_due(GROUP, &due(&queue, &row)), Some(row));
        let position = OutboxPosition { index: 4, n: 5 };
        assert_eq!(read_outbox(&outbox(position)), Some(position));
        let part = BodyPart { index: 6, part: 7 };
        assert_eq!(read_chunk(&chunk(HELD, part)), Some(part));
        assert_eq!(read_token_at(&token_at(1, b"id")), Some(b"id".as_slice()));
    }

    #[test]
    fn no_queue_reaches_into_another() {
        let queue = |domain: &str, vmta: &str| QueueName {
            domain: domain.to_owned(),
            vmta: vmta.to_owned(),
        };
        let names = [queue("a", "bc"), queue("ab", "c"), queue("a", ""), queue("", "a")];
        for (i, a) in names.iter().enumerate() {
            for b in &names[i + 1..] {
                assert!(!queue_prefix(a).starts_with(&queue_prefix(b)), "{a} {b}");
                assert!(!queue_prefix(b).starts_with(&queue_prefix(a)), "{a} {b}");
            }
        }
    }

    #[test]
    fn ranges_hold_their_rows() {
        let at = |index, slot| Locator { group: GROUP, index, slot };
        let (from, to) = recipients(at(1, 2));
        assert!(from <= recipient(at(1, 2), 0) && recipient(at(1, 2), u16::MAX) < to);
        assert!(recipient(at(1, 1), u16::MAX) < from && to < recipient(at(1, 3), 0));
        assert!(message(at(1, 2)) < message_after(at(1, 2)));
        assert!(message_after(at(1, 2)) < message(at(1, 3)));
        let queue: QueueName = "x/v".parse().unwrap();
        let last =
            Due { at: Timestamp(u64::MAX), locator: at(u64::MAX, u16::MAX), recipient: u16::MAX };
        assert!(due(&queue, &last) < due_end(&queue));
    }
}
