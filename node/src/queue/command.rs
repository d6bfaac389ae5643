//! Commands on their way into an entry.
//!
//! A [`Draft`] is one command with the bytes that travel beside it. Several drafts make one
//! entry: the number of a draft in its entry is the slot of the message that it stores.

use bytes::Bytes;
use convoy_proto::storage as proto;
use prost::Message;

use super::cluster::Change;
use super::codec;
use super::model::{FinalDot, Operation, OutboxPosition, Report, Submission, Switches};
use super::store::entry::Proposal;
use crate::clock::Timestamp;
use crate::id::{MessageId, NodeId};
use crate::message::Record;

/// The newest format of entries that this version reads. It writes the one that the cluster has
/// agreed on: see `docs/upgrade.md`. The feature `next-format` makes a program that is one ahead,
/// for the test that upgrades a running cluster.
pub const FORMAT: u32 = if cfg!(feature = "next-format") { 2 } else { 1 };
/// Longer bodies travel in pieces of this size.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Messages in one entry.
pub(crate) const ENTRY_COMMANDS: usize = 64;
/// Bytes in one entry; a single command may be longer.
pub(crate) const ENTRY_BYTES: usize = 1 << 20;
/// Accounting rows that the commands of one entry make together.
pub(crate) const ENTRY_ROWS: usize = 16_384;

/// A command and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    command: proto::Command,
    bodies: Vec<Bytes>,
    /// Bytes of the command and its bodies, roughly.
    pub size_bytes: usize,
    /// Accounting rows that it makes.
    pub rows: usize,
    /// May only be proposed by the leader of this term.
    pub term: Option<u64>,
}

impl Draft {
    fn new(kind: proto::command::Kind, bodies: Vec<Bytes>, rows: usize) -> Self {
        let command = proto::Command { kind: Some(kind) };
        let size = command.encoded_len() + bodies.iter().map(Bytes::len).sum::<usize>();
        Self { command, bodies, size_bytes: size, rows, term: None }
    }

    /// One that comes from another node.
    pub(crate) fn from_parts(
        command: proto::Command,
        bodies: Vec<Bytes>,
        rows: usize,
        term: Option<u64>,
    ) -> Self {
        let size = command.encoded_len() + bodies.iter().map(Bytes::len).sum::<usize>();
        Self { command, bodies, size_bytes: size, rows, term }
    }

    /// What goes to another node: the command, and the bytes beside it.
    pub(crate) fn parts(&self) -> (&proto::Command, &[Bytes]) {
        (&self.command, &self.bodies)
    }

    /// The same, only in this term.
    pub(crate) const fn in_term(mut self, term: u64) -> Self {
        self.term = Some(term);
        self
    }

    /// Stores a message. Its bytes are in the `pieces` that were stored before, or come with it.
    pub(crate) fn submit(submission: &Submission, pieces: Option<Vec<proto::BodyRef>>) -> Self {
        let (body, bodies) = place_body(&submission.body, pieces);
        let submit = codec::submit(submission, body);
        Self::new(proto::command::Kind::Submit(submit), bodies, submission.records.len())
    }

    /// Stores a piece of a long body.
    pub(crate) fn chunk(id: MessageId, piece: Bytes) -> Self {
        let (mut body, bodies) = place_body(&piece, None);
        let chunk = proto::Chunk { message_id: codec::message_id(id), body: body.pop() };
        Self::new(proto::command::Kind::Chunk(chunk), bodies, 0)
    }

    /// Records an attempt; `pieces` belong to its notice.
    pub(crate) fn report(report: &Report, pieces: Option<Vec<proto::BodyRef>>) -> Self {
        let (mut bodies, mut rows) = (Vec::new(), report.results.len());
        let notice = report.notice.as_ref().map(|notice| {
            let body;
            (body, bodies) = place_body(&notice.body, pieces);
            rows += notice.records.len();
            codec::submit(notice, body)
        });
        let report = codec::report(report, notice);
        Self::new(proto::command::Kind::Report(report), bodies, rows)
    }

    /// Records rows that belong to no message.
    pub(crate) fn records(records: &[Record]) -> Self {
        let rows = proto::Records { records: records.iter().map(codec::record).collect() };
        Self::new(proto::command::Kind::Records(rows), Vec::new(), records.len())
    }

    /// Does what an operator asks.
    pub(crate) fn operation(operation: &Operation) -> Self {
        let rows = match operation {
            Operation::Delete { targets } => targets.len(),
            Operation::Schedule { .. } | Operation::Hold { .. } => 0,
        };
        let kind = proto::command::Kind::Operation(codec::operation(operation));
        Self::new(kind, Vec::new(), rows)
    }

    /// Drops rows that the collector has.
    pub(crate) fn acknowledge(upto: OutboxPosition) -> Self {
        let ack = proto::OutboxAck { index: upto.index, n: upto.n.into() };
        Self::new(proto::command::Kind::OutboxAck(ack), Vec::new(), 0)
    }

    /// Changes the switches.
    pub(crate) fn switches(switches: &Switches) -> Self {
        let kind = proto::command::Kind::Switches(codec::switches(switches));
        Self::new(kind, Vec::new(), 0)
    }

    /// Changes what is known of the cluster.
    pub(crate) fn cluster(change: &Change) -> Self {
        Self::new(proto::command::Kind::Cluster(change.0.clone()), Vec::new(), 0)
    }

    /// Notes attempts of `node` in one term whose results are not known.
    pub(crate) fn mark_unknown(node: NodeId, term: u64, dots: &[FinalDot]) -> Self {
        let kind = proto::command::Kind::MarkUnknown(codec::mark_unknown(node, term, dots));
        Self::new(kind, Vec::new(), 0)
    }

    /// Forgets tokens and unclaimed pieces.
    pub(crate) fn expire(before: Timestamp) -> Self {
        let kind = proto::command::Kind::Expire(proto::Expire { before: before.0 });
        Self::new(kind, Vec::new(), 0)
    }

    /// May it be proposed again when it is not known whether it was committed?
    pub(crate) const fn is_repeatable(&self) -> bool {
        use proto::command::Kind;
        match &self.command.kind {
            Some(
                Kind::Submit(_)
                | Kind::Operation(_)
                | Kind::OutboxAck(_)
                | Kind::Switches(_)
                | Kind::MarkUnknown(_)
                | Kind::Expire(_),
            ) => true,
            // A report would count the attempt twice, a record would be a second row, the index of
            // a piece is that of its first entry, and a change of the cluster might be refused
            // because the first one was done.
            Some(Kind::Report(_) | Kind::Records(_) | Kind::Chunk(_) | Kind::Cluster(_)) | None => {
                false
            }
        }
    }
}

/// The references of a command to its body, and the bytes that come with the command.
fn place_body(
    body: &Bytes,
    pieces: Option<Vec<proto::BodyRef>>,
) -> (Vec<proto::BodyRef>, Vec<Bytes>) {
    match pieces {
        Some(pieces) => (pieces, Vec::new()),
        None => {
            let own = proto::BodyRef { index: 0, part: 0, size_bytes: body.len() as u64 };
            (vec![own], vec![body.clone()])
        }
    }
}

/// Makes one entry of several commands.
pub(crate) fn entry<'a>(
    format: u32,
    proposed_at: Timestamp,
    drafts: impl Iterator<Item = &'a Draft>,
) -> Proposal {
    let mut entry = proto::Entry { format, proposed_at: proposed_at.0, commands: vec![] };
    let mut bodies: Vec<Bytes> = Vec::new();
    for draft in drafts {
        let mut command = draft.command.clone();
        let before = u32::try_from(bodies.len()).expect("an entry has few commands");
        for body in own_bodies(&mut command) {
            body.part += before;
        }
        bodies.extend(draft.bodies.iter().cloned());
        entry.commands.push(command);
    }
    Proposal { payload: entry.encode_to_vec().into(), bodies }
}

/// References of a command to bytes that come with it.
fn own_bodies(command: &mut proto::Command) -> impl Iterator<Item = &mut proto::BodyRef> {
    use proto::command::Kind;
    let bodies: &mut [proto::BodyRef] = match &mut command.kind {
        Some(Kind::Submit(submit)) => &mut submit.body,
        Some(Kind::Report(report)) => match &mut report.notice {
            Some(notice) => &mut notice.body,
            None => &mut [],
        },
        Some(Kind::Chunk(chunk)) => chunk.body.as_mut_slice(),
        Some(
            Kind::Records(_)
            | Kind::Operation(_)
            | Kind::OutboxAck(_)
            | Kind::Switches(_)
            | Kind::Cluster(_)
            | Kind::MarkUnknown(_)
            | Kind::Expire(_),
        )
        | None => &mut [],
    };
    bodies.iter_mut().filter(|body| body.index == 0)
}
