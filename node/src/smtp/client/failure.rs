//! What can go wrong, with a session and with a recipient.

use std::fmt;

use super::answer::{Answer, AnswerError};

/// What a session is waiting for or doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For the greeting.
    Greeting,
    /// For the answer to EHLO or HELO.
    Hello,
    /// For the answer to STARTTLS.
    StartTls,
    /// For answers to AUTH.
    Login,
    /// For a message to send.
    Idle,
    /// For the answer to RSET.
    Reset,
    /// For the answer to MAIL.
    Mail,
    /// For answers to RCPT.
    Rcpt,
    /// For the answer to DATA.
    Data,
    /// Sending the message.
    Body,
    /// For the answer to the end of the message.
    End,
    /// For the answer to QUIT.
    Quit,
}

/// As a phrase that follows "while".
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "waiting for the greeting",
            Self::Hello => "waiting for the answer to EHLO",
            Self::StartTls => "waiting for the answer to STARTTLS",
            Self::Login => "authenticating",
            Self::Idle => "idle",
            Self::Reset => "waiting for the answer to RSET",
            Self::Mail => "waiting for the answer to MAIL",
            Self::Rcpt => "waiting for the answer to RCPT",
            Self::Data => "waiting for the answer to DATA",
            Self::Body => "sending the message",
            Self::End => "waiting for the answer to the message",
            Self::Quit => "waiting for the answer to QUIT",
        })
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The greeting was not 220.
    Greeting(Answer),
    /// EHLO and HELO were refused.
    Hello(Answer),
    /// AUTH was refused.
    Login(Answer),
    /// Credentials are configured and the server offers no mechanism that may be used.
    NoMechanism {
        /// It offered some that would show the password in clear.
        needs_tls: bool,
    },
    /// Bytes came between the answer to STARTTLS and the handshake: somebody may have put them
    /// there before the encryption (CVE-2021-38371).
    Injected,
    /// Code 421, at any time.
    ServiceClosed {
        /// When.
        phase: Phase,
        /// The reply.
        answer: Answer,
    },
    /// The connection ended or broke.
    Closed {
        /// When.
        phase: Phase,
        /// What the system said; empty when the server closed it in order.
        cause: String,
    },
    /// No answer within the time allowed.
    TimedOut(Phase),
    /// Not SMTP, or an answer that nothing asked for.
    Garbled {
        /// When.
        phase: Phase,
        /// What was wrong.
        cause: AnswerError,
    },
    /// An answer that makes no sense where it stands.
    Unexpected {
        /// When.
        phase: Phase,
        /// The reply.
        answer: Answer,
    },
}

impl Failure {
    /// The reply that decided, if one did.
    #[must_use]
    pub const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Greeting(answer)
            | Self::Hello(answer)
            | Self::Login(answer)
            | Self::ServiceClosed { answer, .. }
            | Self::Unexpected { answer, .. } => Some(answer),
            Self::NoMechanism { .. }
            | Self::Injected
            | Self::Closed { .. }
            | Self::TimedOut(_)
            | Self::Garbled { .. } => None,
        }
    }
}

/// A phrase for logs and notices.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting(answer) => write!(f, "greeting was \"{answer}\""),
            Self::Hello(answer) => write!(f, "EHLO was refused: \"{answer}\""),
            Self::Login(answer) => write!(f, "authentication was refused: \"{answer}\""),
            Self::NoMechanism { needs_tls: true } => {
                f.write_str("the server's authentication would show the password in clear")
            }
            Self::NoMechanism { needs_tls: false } => {
                f.write_str("the server offers no authentication that is known here")
            }
            Self::Injected => f.write_str("the server sent data before the TLS handshake"),
            Self::ServiceClosed { phase, answer } => write!(f, "\"{answer}\" while {phase}"),
            Self::Closed { phase, cause } if cause.is_empty() => {
                write!(f, "connection closed by the server while {phase}")
            }
            Self::Closed { phase, cause } => write!(f, "{cause} while {phase}"),
            Self::TimedOut(phase) => write!(f, "timed out while {phase}"),
            Self::Garbled { phase, cause } => write!(f, "{cause} while {phase}"),
            Self::Unexpected { phase, answer } => {
                write!(f, "unexpected reply \"{answer}\" while {phase}")
            }
        }
    }
}

/// What a server cannot do that a message needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The message has 8-bit characters, and 8BITMIME is not offered.
    EightBit,
    /// An address or a header needs SMTPUTF8, and it is not offered.
    SmtpUtf8,
    /// The message is larger than the limit of SIZE.
    Size {
        /// The limit.
        limit_bytes: u64,
    },
}

/// How a transaction ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server took responsibility.
    Accepted(Answer),
    /// The server refused, in this phase.
    Refused {
        /// The command that was refused: Mail, Rcpt, Data or End.
        phase: Phase,
        /// The reply, 4xx or 5xx.
        answer: Answer,
    },
    /// Nothing was sent: the server cannot take the message.
    Lacks(Lack),
    /// The session failed before the server decided.
    Broken(Failure),
}
