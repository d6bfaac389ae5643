//! What a client tells its caller.

#[cfg(doc)]
use super::Client;
use super::{Answer, Failure, Verdict};

/// What the caller has to know or to decide.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The server answered EHLO. Call [`Client::start_tls`] or [`Client::proceed`].
    Hello,
    /// The server refused STARTTLS; the session stands where it stood after EHLO.
    TlsRefused(Answer),
    /// Do the TLS handshake, then call [`Client::tls_started`].
    StartTls,
    /// A message can be sent.
    Ready,
    /// Only the last part of the message is left. Call [`Client::finish`], or drop the connection
    /// and the message is not sent.
    Finishing,
    /// The transaction is over: one verdict per recipient. [`Event::Ready`] or [`Event::Failed`]
    /// follows.
    Done(Vec<Verdict>),
    /// The session is over. Drop the connection, after [`Client::quit`] if
    /// [`Client::may_quit`].
    Failed(Failure),
    /// The session is over in good order after [`Client::quit`].
    Closed,
}

/// A line of the dialogue. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// From the server.
    Received(String),
    /// From here.
    Sent(String),
}
