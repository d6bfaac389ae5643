//! The laws that a cluster must keep whatever happens to its nodes, checked on what was seen from
//! outside.
//!
//! 1. What was answered `250` is delivered, bounced or queued.
//! 2. What was refused is never delivered.
//! 3. A message comes twice only when a fault came between its final dot and the record of its
//!    outcome.
//! 4. Every outcome has one accounting row, and all replicas of the files are the same.
//! 5. Limits hold over all nodes together.
//! 6. Where encryption is required, nothing comes in clear.
//! 7. No `250` without a majority.

mod accounting;
mod limits;
mod mail;

use std::fmt;

pub use limits::Peak;

use crate::history::{At, Fault, History, Recipient, Transaction};

/// The law that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// An accepted message is gone, or came changed.
    NothingLost,
    /// A refused message came.
    RefusedStaysOut,
    /// A message came twice without a reason.
    NoDuplicates,
    /// An accounting row is missing, twice, or not the same everywhere.
    RowsOnce,
    /// The cluster did more to a receiver than it may.
    Limits,
    /// Something came in clear.
    Encrypted,
    /// `250` without a majority.
    Quorum,
    /// A node that was drained refused mail otherwise than by `421`.
    Drain,
}

/// One broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// How, for people.
    pub what: String,
    /// Whom it concerns; the first hundred.
    pub recipients: Vec<Recipient>,
}

impl Violation {
    const MOST: usize = 100;

    /// A violation that concerns nobody in particular.
    #[must_use]
    pub fn new(law: Law, what: impl Into<String>) -> Self {
        Self { law, what: what.into(), recipients: Vec::new() }
    }

    /// A violation that concerns these; none when there are none.
    #[must_use]
    pub fn about(law: Law, what: &str, recipients: &[Recipient]) -> Option<Self> {
        let shown = recipients.iter().take(Self::MOST).copied().collect();
        let what = format!("{}: {what}", recipients.len());
        (!recipients.is_empty()).then_some(Self { law, what, recipients: shown })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)?;
        for (n, recipient) in self.recipients.iter().enumerate() {
            write!(f, "{}{recipient}", if n == 0 { " [" } else { " " })?;
        }
        if self.recipients.is_empty() { Ok(()) } else { f.write_str("]") }
    }
}

/// How exact the harness is.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// A node has recorded an outcome at the latest so long after the reply. Only for sessions that
    /// stay silent after it: a next command tells it sooner.
    pub settle: At,
    /// A receiver may see the end of one connection so much after the begin of the next.
    pub skew: At,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { settle: At::from_secs(2), skew: At::from_millis(250) }
    }
}

/// Counts of a run; recipients unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answered `250`.
    pub accepted: usize,
    /// Accepted, and came to a receiver.
    pub delivered: usize,
    /// Accepted, and have a row that tells of a bounce.
    pub bounced: usize,
    /// Still queued at the end.
    pub queued: usize,
    /// Accepted, and nothing of all that.
    pub lost: usize,
    /// Nobody answered, or `4xx` to the final dot.
    pub in_doubt: usize,
    /// Came once more than needed, and the sender did not repeat it.
    pub duplicates: usize,
    /// Came once more because the load source had to send it again.
    pub repeated: usize,
    /// Transactions between final dot and recorded outcome at the faults.
    pub in_flight: usize,
    /// Terminal accounting rows.
    pub rows: usize,
    /// Outcomes without a row.
    pub rows_missing: usize,
    /// Outcomes with more than one.
    pub rows_twice: usize,
    /// The most of everything that is limited.
    pub peaks: Vec<Peak>,
}

/// What the checker says.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Counts.
    pub figures: Figures,
    /// Broken laws; none when all is well.
    pub violations: Vec<Violation>,
}

/// Checks all laws.
#[must_use]
pub fn judge(history: &History, tolerance: Tolerance) -> Judgement {
    let mut figures = Figures::default();
    let mut violations = mail::judge(history, tolerance, &mut figures);
    violations.extend(accounting::judge(history, &mut figures));
    violations.extend(limits::judge(history, tolerance, &mut figures));
    violations.extend(encrypted(history));
    violations.extend(quorum(history));
    Judgement { figures, violations }
}

/// Could the sender's node not have recorded the outcome of this transaction when the fault came?
///
/// A session records an outcome before it goes on, so a next command before the fault proves that
/// it did. A silent session is believed to have recorded it within the tolerance.
#[must_use]
pub fn is_in_flight(transaction: &Transaction, fault: &Fault, tolerance: Tolerance) -> bool {
    let concerned = fault.node.is_none() || transaction.node.is_none();
    let concerned = concerned || fault.node == transaction.node;
    let next = transaction.next.is_some_and(|next| next < fault.from);
    let settled = transaction.replied.is_some_and(|at| at + tolerance.settle < fault.from);
    concerned && transaction.taken && transaction.dot <= fault.until && !next && !settled
}

fn encrypted(history: &History) -> Vec<Violation> {
    let required = |receiver: u8| history.encrypted_only.contains(&receiver);
    let clear = |t: &&Transaction| required(t.receiver) && !t.encrypted;
    let messages = history.transactions.iter().filter(clear);
    let recipients: Vec<_> = messages.flat_map(|t| t.recipients.iter().copied()).collect();
    let law = Law::Encrypted;
    let mut found: Vec<_> =
        Violation::about(law, "came in clear", &recipients).into_iter().collect();
    let envelopes: u32 = history
        .connections
        .iter()
        .filter(|connection| required(connection.receiver))
        .map(|connection| connection.mails_in_clear)
        .sum();
    if envelopes > 0 {
        found.push(Violation::new(law, format!("{envelopes} envelopes in clear")));
    }
    found
}

fn quorum(history: &History) -> Option<Violation> {
    let without = |sent: &crate::history::Sent| {
        sent.attempts.iter().any(|attempt| {
            let accepted = attempt.answer == crate::history::Answer::Accepted;
            let within = history.minorities.iter().any(|minority| {
                minority.node == attempt.node
                    && attempt.dot.is_some_and(|dot| dot >= minority.from)
                    && attempt.ended < minority.until
            });
            accepted && within
        })
    };
    let wrong = history.sent.iter().filter(|sent| without(sent));
    let recipients: Vec<_> = wrong.flat_map(crate::history::Sent::recipients).collect();
    Violation::about(Law::Quorum, "accepted by a node that had no majority", &recipients)
}

#[cfg(test)]
#[path = "laws_test.rs"]
mod tests;
