//! Names of things that travel between modules and nodes.

mod peer;

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;

pub use peer::{Peer, Role, UnknownRole};

/// A Raft group of the cluster.
///
/// Group 0 is `meta` (membership, placement, operator's switches), group 1 the accounting group,
/// and the queue's partitions follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// Membership, placement, paused queues and jobs.
    pub const META: Self = Self(0);
    /// Accounting batches; its leader is the collector.
    pub const ACCOUNTING: Self = Self(1);
    /// The first partition of the queue.
    pub const FIRST_PARTITION: u32 = 2;

    /// The n-th partition of the queue, counted from 0.
    #[must_use]
    pub const fn partition(n: u32) -> Self {
        Self(Self::FIRST_PARTITION + n)
    }

    /// True for groups that hold messages.
    #[must_use]
    pub const fn is_partition(self) -> bool {
        self.0 >= Self::FIRST_PARTITION
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::META => f.write_str("meta"),
            Self::ACCOUNTING => f.write_str("accounting"),
            Self(n) => write!(f, "p{}", n - Self::FIRST_PARTITION),
        }
    }
}

/// A node of the cluster. A wiped disk comes back under a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A message, from reception to its last accounting row.
///
/// 48 bits of milliseconds and 80 random bits, printed as 26 characters of Crockford's base32 (the
/// form of a ULID), so that ids sort by time of reception. It is drawn when the message is
/// received and is also the token by which a repeated proposal is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl MessageId {
    /// A new id: `at` for its time, `random` for its low 80 bits.
    #[must_use]
    pub const fn new(at: Timestamp, random: u128) -> Self {
        Self((((at.as_millis() & 0xffff_ffff_ffff) as u128) << 80) | (random & ((1 << 80) - 1)))
    }

    /// A new id for a message received now.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(Timestamp::now(), rand::random())
    }

    /// When the message was received.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        Timestamp((self.0 >> 80) as u64)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 26];
        for (i, c) in text.iter_mut().enumerate() {
            *c = BASE32[((self.0 >> (5 * (25 - i))) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 26 characters out of 0-9 and A-Z without I, L, O, U")]
pub struct InvalidMessageId;

impl FromStr for MessageId {
    type Err = InvalidMessageId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 26 {
            return Err(InvalidMessageId);
        }
        let mut id: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let digit =
                BASE32.iter().position(|b| *b == c.to_ascii_uppercase()).ok_or(InvalidMessageId)?;
            if i == 0 && digit > 7 {
                return Err(InvalidMessageId);
            }
            id = (id << 5) | digit as u128;
        }
        Ok(Self(id))
    }
}

/// Where a message stands in the store: the log entry that brought it, and its place therein.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator {
    /// The partition that holds the message.
    pub group: GroupId,
    /// Index of the log entry.
    pub index: u64,
    /// Number of the message within the entry, from 0.
    pub slot: u16,
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.group, self.index, self.slot)
    }
}

/// The name of a queue: `domain/vmta`, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName {
    /// Recipient domain in A-label form, or the rollup name that `queue-to` gave.
    pub domain: String,
    /// Name of the virtual MTA; `{default}` when none was chosen.
    pub vmta: String,
}

/// The virtual MTA of messages for which none was chosen.
pub const DEFAULT_VMTA: &str = "{default}";

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.vmta)
    }
}

/// `domain/vmta`, or a domain alone for the default virtual MTA.
impl FromStr for QueueName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (domain, vmta) = text.split_once('/').unwrap_or((text, DEFAULT_VMTA));
        Ok(Self { domain: domain.to_ascii_lowercase(), vmta: vmta.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_read_back() {
        for value in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = MessageId(value);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("x".parse::<MessageId>(), Err(InvalidMessageId));
        assert_eq!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<MessageId>(), Err(InvalidMessageId));
    }

    #[test]
    fn message_ids_sort_by_time() {
        let earlier = MessageId::new(Timestamp(1000), u128::MAX);
        let later = MessageId::new(Timestamp(1001), 0);
        assert!(earlier < later);
        assert_eq!(later.time(), Timestamp(1001));
    }
}
