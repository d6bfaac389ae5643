//! Why a handshake failed, in words for logs and delivery status.

use std::io;

use rustls::{AlertDescription, Error};

use crate::tls::policy::Event;
use crate::tls::verify::{Fault, Finding};

/// A handshake that failed. A time-out is the caller's to notice.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The host's name can stand in no certificate.
    #[error("{0} is not a name that TLS can ask for")]
    InvalidName(String),
    /// The server ended it with this alert.
    #[error("the server ended the TLS handshake: {0}")]
    Alert(String),
    /// The server's certificate did not verify, and it had to.
    #[error("{0}")]
    Certificate(Fault),
    /// The server speaks TLS that cannot be spoken here, or none.
    #[error("the TLS handshake failed: {0}")]
    Protocol(String),
    /// The server closed the connection.
    #[error("the server closed the connection during the TLS handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(io::Error),
}

impl HandshakeError {
    /// What this means for [`crate::tls::policy::Policy::decide`].
    #[must_use]
    pub const fn event(&self) -> Event {
        match self {
            Self::Certificate(_) => Event::VerifyFailed,
            Self::InvalidName(_)
            | Self::Alert(_)
            | Self::Protocol(_)
            | Self::Closed
            | Self::Io(_) => Event::HandshakeFailed,
        }
    }

    /// Sorts what the library reports; the verifier's own finding is more precise.
    pub(super) fn of(error: io::Error, finding: Finding) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match (inner, finding.fault) {
            (Some(Error::InvalidCertificate(_)), Some(fault)) => Self::Certificate(fault),
            (Some(Error::InvalidCertificate(other)), None) => {
                Self::Certificate(Fault::Other(other.to_string()))
            }
            (Some(Error::AlertReceived(alert)), _) => Self::Alert(alert_text(*alert)),
            (Some(Error::InvalidMessage(_)), _) => {
                Self::Protocol("the server's answer is not TLS".to_owned())
            }
            (Some(other), _) => Self::Protocol(other.to_string()),
            (None, _) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            (None, _) => Self::Io(error),
        }
    }
}

/// `HandshakeFailure` as `handshake failure`.
fn alert_text(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    let mut text = String::with_capacity(name.len() + 4);
    let mut previous_upper = true;
    for c in name.chars() {
        let upper = c.is_ascii_uppercase();
        if upper && !previous_upper {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
        previous_upper = upper;
    }
    text
}
