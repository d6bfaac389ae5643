//! Entries of a log as the store keeps them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use convoy_proto::storage as proto;

use super::StoreError;

/// What is proposed to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// What the machine reads.
    pub payload: Bytes,
    /// Parts of message bodies, kept apart from the log.
    pub bodies: Vec<Bytes>,
}

impl Proposal {
    /// Bytes of memory and log that it takes, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        self.payload.len() + self.bodies.iter().map(Bytes::len).sum::<usize>()
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with {} body parts", self.size_bytes(), self.bodies.len())
    }
}

/// A position in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogId {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// Number of the entry.
    pub index: u64,
}

impl From<proto::LogId> for LogId {
    fn from(id: proto::LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<LogId> for proto::LogId {
    fn from(id: LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// Something for the machine.
    Normal(Arc<Proposal>),
    /// A change of members.
    Membership(Arc<proto::Membership>),
}

/// An entry. Cloning it copies no bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogEntry {
    /// Where it stands.
    pub id: LogId,
    /// What it carries.
    pub payload: Payload,
}

impl LogEntry {
    /// Bytes of memory that it takes, roughly.
    pub(crate) fn size_bytes(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD
            + match &self.payload {
                Payload::Blank => 0,
                Payload::Normal(proposal) => proposal.size_bytes(),
                Payload::Membership(membership) => 64 * membership.nodes.len(),
            }
    }

    /// The parts of bodies that are kept apart from the record.
    pub(crate) fn bodies(&self) -> &[Bytes] {
        match &self.payload {
            Payload::Normal(proposal) => &proposal.bodies,
            Payload::Blank | Payload::Membership(_) => &[],
        }
    }

    /// The record of the log, without the bytes of bodies.
    pub(crate) fn to_record(&self) -> proto::LogRecord {
        use proto::log_record::{Blank, Normal, Payload as Kind};
        let payload = match &self.payload {
            Payload::Blank => Kind::Blank(Blank {}),
            Payload::Normal(proposal) => Kind::Normal(Normal {
                payload: proposal.payload.clone(),
                bodies: proposal.bodies.iter().map(body_part).collect(),
            }),
            Payload::Membership(membership) => Kind::Membership(membership.as_ref().clone()),
        };
        proto::LogRecord { term: self.id.term, payload: Some(payload) }
    }

    /// Joins a record with the bytes of its bodies, which `body` reads by number.
    pub(crate) fn from_record(
        index: u64,
        record: proto::LogRecord,
        mut body: impl FnMut(u16) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Self, StoreError> {
        use proto::log_record::Payload as Kind;
        let damaged = |what: &str| StoreError::Damaged(format!("{what} of log entry {index}"));
        let payload = match record.payload.ok_or_else(|| damaged("payload"))? {
            Kind::Blank(_) => Payload::Blank,
            Kind::Membership(membership) => Payload::Membership(Arc::new(membership)),
            Kind::Normal(normal) => {
                let mut bodies = Vec::with_capacity(normal.bodies.len());
                for (number, expected) in (0..).zip(&normal.bodies) {
                    let bytes = Bytes::from(body(number)?.ok_or_else(|| damaged("a body"))?);
                    if body_part(&bytes) != *expected {
                        return Err(damaged("checksum of a body"));
                    }
                    bodies.push(bytes);
                }
                Payload::Normal(Arc::new(Proposal { payload: normal.payload, bodies }))
            }
        };
        Ok(Self { id: LogId { term: record.term, index }, payload })
    }
}

fn body_part(bytes: &Bytes) -> proto::BodyPart {
    proto::BodyPart { size_bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
}
