//! What a reply or a failure means: one pure table from the words of the protocol to an
//! [`Outcome`].

use std::time::Duration;

use crate::config::DomainSettings;
use crate::config::settings::BounceUponNoMx;
use crate::dns::route::RouteError;
use crate::message::{Class, Outcome, Status};
use crate::smtp::client::{Answer, Failure, Lack, Phase, Verdict};

/// What a failure that concerns a queue as a whole does to its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueueFailure {
    /// The queue waits by `retry-after`.
    Retry(Outcome),
    /// The queue waits by `retry-after-dns-error`.
    RetryDns(Outcome),
    /// Messages bounce once they have waited for this long; the others wait by `retry-after`.
    Bounce {
        /// What is said about them.
        outcome: Outcome,
        /// Zero for all.
        after: Duration,
    },
}

impl QueueFailure {
    /// Does no message of the queue wait any longer?
    pub(crate) const fn bounces_all(&self) -> bool {
        matches!(self, Self::Bounce { after, .. } if after.is_zero())
    }

    /// The outcome for messages that wait.
    pub(crate) fn while_waiting(&self) -> Outcome {
        let outcome = self.outcome().clone();
        let Status(_, subject, detail) = outcome.status;
        Outcome { class: Class::Deferred, status: Status(4, subject, detail), ..outcome }
    }

    pub(crate) const fn outcome(&self) -> &Outcome {
        match self {
            Self::Retry(outcome) | Self::RetryDns(outcome) | Self::Bounce { outcome, .. } => {
                outcome
            }
        }
    }
}

/// An outcome in our own words.
pub(crate) fn own(class: Class, status: Status, reason: impl Into<String>) -> Outcome {
    let (reply, mta) = (String::new(), String::new());
    Outcome { class, status, reply, reason: reason.into(), mta }
}

/// The outcome of a transaction for one recipient. `mta` is the server as `name (address)`.
pub(crate) fn recipient(verdict: &Verdict, mta: &str, settings: &DomainSettings) -> Outcome {
    let outcome = match verdict {
        Verdict::Accepted(answer) => replied(Class::Delivered, answer),
        Verdict::Refused { phase, answer } => refused(*phase, answer, settings),
        Verdict::Lacks(lack) => lacking(*lack),
        Verdict::Broken(failure) => broken(failure, settings),
    };
    Outcome { mta: mta.to_owned(), ..outcome }
}

fn replied(class: Class, answer: &Answer) -> Outcome {
    let digit = match class {
        Class::Delivered => 2,
        Class::Deferred => 4,
        Class::Bounced => 5,
    };
    let status = answer.enhanced.map_or(Status(digit, 0, 0), |e| Status(digit, e.1, e.2));
    Outcome { reply: answer.to_string(), ..own(class, status, "") }
}

fn refused(phase: Phase, answer: &Answer, settings: &DomainSettings) -> Outcome {
    if !answer.is_permanent() {
        return replied(Class::Deferred, answer);
    }
    let outcome = replied(Class::Bounced, answer);
    let invalid_mailbox = answer.code == 553
        && answer.enhanced.is_none()
        && phase == Phase::Rcpt
        && settings.smtp_553_means_invalid_mailbox;
    if invalid_mailbox { Outcome { status: Status(5, 1, 1), ..outcome } } else { outcome }
}

fn lacking(lack: Lack) -> Outcome {
    let (status, reason) = match lack {
        Lack::EightBit => {
            (Status(5, 6, 3), "the message has 8-bit text and the server takes none".to_owned())
        }
        Lack::SmtpUtf8 => {
            (Status(5, 6, 7), "an address needs SMTPUTF8 and the server lacks it".to_owned())
        }
        Lack::Size { limit_bytes } => {
            (Status(5, 3, 4), format!("the server takes messages up to {limit_bytes} bytes"))
        }
    };
    own(Class::Bounced, status, reason)
}

/// A session that failed before the server decided.
fn broken(failure: &Failure, settings: &DomainSettings) -> Outcome {
    match failure {
        Failure::TimedOut(Phase::End) if settings.assume_delivery_upon_data_termination_timeout => {
            let reason = "no answer to the end of the message, delivery is assumed";
            own(Class::Delivered, Status(2, 0, 0), reason)
        }
        Failure::TimedOut(Phase::Body | Phase::End)
        | Failure::Closed { phase: Phase::Body | Phase::End, .. }
            if settings.bounce_upon_transfer_failure =>
        {
            own(Class::Bounced, Status(5, 4, 2), failure.to_string())
        }
        Failure::ServiceClosed { answer, .. } => service_closed(answer),
        Failure::Unexpected { .. } | Failure::Garbled { .. } => {
            own(Class::Deferred, Status(4, 5, 0), failure.to_string())
        }
        Failure::Closed { .. }
        | Failure::TimedOut(_)
        | Failure::Greeting(_)
        | Failure::Hello(_)
        | Failure::Login(_)
        | Failure::NoMechanism { .. }
        | Failure::Injected => own(Class::Deferred, Status(4, 4, 2), failure.to_string()),
    }
}

fn service_closed(answer: &Answer) -> Outcome {
    let outcome = replied(Class::Deferred, answer);
    let status = if answer.enhanced.is_some() { outcome.status } else { Status(4, 3, 2) };
    Outcome { status, ..outcome }
}

/// A session that failed before it could take a message.
pub(crate) fn session(failure: &Failure, mta: &str, settings: &DomainSettings) -> QueueFailure {
    let deferred = |status| own(Class::Deferred, status, failure.to_string());
    let outcome = match failure {
        Failure::Greeting(answer) if answer.is_permanent() && settings.bounce_upon_5xx_greeting => {
            let outcome = replied(Class::Bounced, answer);
            let outcome = Outcome { mta: mta.to_owned(), ..outcome };
            return QueueFailure::Bounce { outcome, after: Duration::ZERO };
        }
        Failure::Greeting(answer) | Failure::ServiceClosed { answer, .. } => service_closed(answer),
        Failure::Hello(answer) => replied(Class::Deferred, answer),
        Failure::Login(answer) => {
            let outcome = replied(Class::Deferred, answer);
            let status = if answer.enhanced.is_some() { outcome.status } else { Status(4, 7, 0) };
            Outcome { status, ..outcome }
        }
        Failure::NoMechanism { .. } => deferred(Status(4, 7, 0)),
        Failure::Injected => deferred(Status(4, 7, 5)),
        Failure::Unexpected { .. } | Failure::Garbled { .. } => deferred(Status(4, 5, 0)),
        Failure::TimedOut(Phase::Greeting) => deferred(Status(4, 4, 1)),
        Failure::Closed { .. } | Failure::TimedOut(_) => deferred(Status(4, 4, 2)),
    };
    QueueFailure::Retry(Outcome { mta: mta.to_owned(), ..outcome })
}

/// The text that a domain that does not exist has in PowerMTA's rows.
pub(crate) const NO_SUCH_DOMAIN: &str = "no such domain";

/// There is nowhere to go.
pub(crate) fn route(error: &RouteError, settings: &DomainSettings) -> QueueFailure {
    let bounce = |status, reason: &str, after| {
        let outcome = own(Class::Bounced, status, reason);
        QueueFailure::Bounce { outcome, after }
    };
    let reason = error.to_string();
    match error {
        RouteError::NoSuchDomain => bounce(Status(5, 1, 2), NO_SUCH_DOMAIN, Duration::ZERO),
        RouteError::NullMx => bounce(Status(5, 1, 10), &reason, Duration::ZERO),
        RouteError::Loop => bounce(Status(5, 4, 6), &reason, Duration::ZERO),
        RouteError::NoMx => match settings.bounce_upon_no_mx {
            BounceUponNoMx::Always => bounce(Status(5, 4, 4), &reason, Duration::ZERO),
            BounceUponNoMx::After(after) => bounce(Status(5, 4, 4), &reason, after),
            BounceUponNoMx::Never => {
                QueueFailure::Retry(own(Class::Deferred, Status(4, 4, 4), reason))
            }
        },
        RouteError::Temporary(_) => {
            QueueFailure::RetryDns(own(Class::Deferred, Status(4, 4, 3), reason))
        }
    }
}

/// A message that has waited for `bounce-after`: the last result stays as the reason.
pub(crate) fn expired(last: Option<&Outcome>) -> Outcome {
    let status = Status(5, 4, 7);
    match last {
        Some(last) if !last.reply.is_empty() || !last.reason.is_empty() => {
            Outcome { class: Class::Bounced, status, ..last.clone() }
        }
        Some(_) | None => own(Class::Bounced, status, "message expired"),
    }
}

#[cfg(test)]
#[path = "classify_test.rs"]
mod tests;
