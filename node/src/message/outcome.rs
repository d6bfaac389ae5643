//! What became of a recipient in one attempt: the one currency for "why", built where it happened
//! and kept unchanged to the bounce, the log and the accounting row.

use std::fmt;

/// An enhanced status code (RFC 3463), for instance `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// How an attempt ended for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The next hop took responsibility, or the message was filed or discarded as configured.
    Delivered,
    /// Failed for good.
    Bounced,
    /// Failed for now.
    Deferred,
}

/// The result of an attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Final or not, good or bad.
    pub class: Class,
    /// Enhanced status: the remote's own when its reply had one.
    pub status: Status,
    /// The SMTP reply that decided, code first, lines joined by blanks; empty when there was none.
    pub reply: String,
    /// What happened in our words when no reply decided (`connection refused`); else empty.
    pub reason: String,
    /// The remote host as `name (address)`; empty when none was reached.
    pub mta: String,
}

impl Outcome {
    /// The `Diagnostic-Code` of a delivery status notification and accounting's `dsnDiag`:
    /// `smtp;` and the reply, or `X-Convoy;` and the reason, or nothing.
    #[must_use]
    pub fn diagnostic(&self) -> String {
        match (self.reply.is_empty(), self.reason.is_empty()) {
            (false, _) => format!("smtp;{}", self.reply),
            (true, false) => format!("X-Convoy;{}", self.reason),
            (true, true) => String::new(),
        }
    }
}
