//! What the machine exchanges with its driver.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::config::settings::SourceSettings;
use crate::id::MessageId;
use crate::smtp::address::Address;
use crate::smtp::command::{MailFrom, RcptTo};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::Credentials;

/// What the driver is to do, in this order.
#[derive(Debug)]
pub enum Action {
    /// Write to the client.
    Send(Bytes),
    /// Write to the log (`log-commands`).
    Log(LogLine),
    /// Do the TLS handshake, then call [`super::Server::tls_started`]; when it fails, close.
    StartTls,
    /// Check these, then call [`super::Server::authenticated`].
    Authenticate(Credentials),
    /// Store this, then call [`super::Server::submitted`].
    Submit(Box<Incoming>),
    /// Close the connection. Nothing follows.
    Close,
}

/// A line of the dialogue. Secrets are masked, control characters replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// From the client.
    Received(String),
    /// To the client.
    Sent(String),
}

/// A message that has been received completely.
#[derive(Debug)]
pub struct Incoming {
    /// How the client introduced itself.
    pub greeting: Greeting,
    /// Settings that held for the transaction.
    pub settings: Arc<SourceSettings>,
    /// The encryption under which it came.
    pub tls: Option<Tls>,
    /// Who sent it, after AUTH.
    pub user: Option<String>,
    /// Sender and parameters.
    pub mail: MailFrom,
    /// At least one.
    pub recipients: Vec<RcptTo>,
    /// [`super::HEADROOM_BYTES`] of room, then the text with CRLF line ends, not stuffed.
    pub body: BytesMut,
}

/// `EHLO` or `HELO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The name given.
    pub name: String,
    /// It was `EHLO`.
    pub esmtp: bool,
}

/// An encrypted connection.
#[derive(Clone, Debug)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: String,
    /// OpenSSL's name of the suite.
    pub cipher: String,
    /// A word about the certificate that the client showed, if it did.
    pub client_certificate: Option<String>,
    /// The `<smtp-user>` whose certificate it is.
    pub certificate_user: Option<Identity>,
}

/// A client that has shown who it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the `<smtp-user>`.
    pub user: String,
    /// What it may do.
    pub settings: Arc<SourceSettings>,
}

/// The result of [`Action::Authenticate`].
#[derive(Clone, Debug)]
pub enum AuthResult {
    /// The proof holds.
    Accepted(Identity),
    /// It does not.
    Refused,
    /// This client has failed too often; the proof was not looked at.
    Locked,
}

/// The result of [`Action::Submit`].
#[derive(Clone, Debug)]
pub enum SubmitResult {
    /// Stored: the client is told so, with the id under which administrators find it.
    Accepted(MessageId),
    /// Not stored.
    Refused(Reply),
}

/// What may change under a session from one command to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// No new message is taken now, with `452`.
    pub overloaded: bool,
    /// No TLS handshake can be done now, with `454`.
    pub handshakes_exhausted: bool,
}

/// Questions about the configuration beyond the settings of the source.
pub trait Policy: Send + Sync {
    /// May anybody send to this recipient through here?
    fn may_relay(&self, recipient: &Address) -> bool;
}
