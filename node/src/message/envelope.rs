//! The envelope: everything about a message but its bytes.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::id::{MessageId, QueueName};
use crate::smtp::address::{Address, ReversePath};
pub use crate::smtp::parameter::{BodyType, Notify, Ret};

/// One accepted message without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Identity, also shown in the `Received` header and to operators.
    pub id: MessageId,
    /// When reception ended.
    pub received_at: Timestamp,
    /// `MAIL FROM`.
    pub sender: ReversePath,
    /// `RCPT TO`, in the order given; at least one.
    pub recipients: Vec<Recipient>,
    /// Bytes of the message as stored, trace headers included.
    pub size_bytes: u64,
    /// `BODY=`.
    pub body_type: BodyType,
    /// `SMTPUTF8` was given (RFC 6531).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 4.3).
    pub ret: Option<Ret>,
    /// `ENVID=` after xtext decoding (RFC 3461 4.4), or from `x-envid:`.
    pub envid: Option<String>,
    /// `x-job:` or the header named by `jobid-header`.
    pub job: Option<String>,
    /// The pool from which each recipient's virtual MTA was drawn.
    pub vmta_pool: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// True when no delivery status may be sent (`suppress-local-dsn`).
    pub suppress_dsn: bool,
}

/// One `RCPT TO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward path.
    pub address: Address,
    /// `NOTIFY=` (RFC 3461 4.1).
    pub notify: Notify,
    /// `ORCPT=` as given after xtext decoding, address type included (`rfc822;user@host`).
    pub orcpt: Option<String>,
    /// The queue it waits in.
    pub queue: QueueName,
}

/// Protocol and suite of a TLS connection in OpenSSL's names, as accounting prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: String,
    /// For instance `ECDHE-RSA-AES256-GCM-SHA384`.
    pub cipher: String,
}

/// The client and connection that brought a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Received over SMTP.
    Smtp {
        /// The name given in `EHLO` or `HELO`.
        helo: String,
        /// The client's address.
        client: IpAddr,
        /// The address that it connected to.
        local: IpAddr,
        /// `<smtp-user>` after `AUTH`.
        user: Option<String>,
        /// Present when the message came over TLS.
        tls: Option<TlsInfo>,
    },
    /// Made by this cluster: a delivery status notification.
    Internal,
}
