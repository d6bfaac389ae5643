//! What to do when encryption cannot be had: pure, one table.
//!
//! Opportunistic TLS (`use-starttls yes`, `require-starttls no`) ends in clear rather than not at
//! all, on a new connection once bytes of a handshake were sent: a connection whose handshake
//! failed is never spoken on again. Required TLS ends in a temporary failure. Credentials are
//! never sent in clear because a handshake failed, unless the configuration allows that.

use crate::config::DomainSettings;
use crate::message::Status;

/// How much protection a domain's settings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// `use-starttls no`.
    None,
    /// Opportunistic, any certificate.
    May,
    /// Opportunistic, and the certificate must verify (`smtp-tls-ca-file`); else in clear.
    MayVerify,
    /// `require-starttls yes`, any certificate.
    Encrypt,
    /// `require-starttls yes`, and the certificate must verify.
    Verify,
}

impl Level {
    /// Must a handshake with an unverified certificate fail?
    #[must_use]
    pub const fn demands_verification(self) -> bool {
        match self {
            Self::None | Self::May | Self::Encrypt => false,
            Self::MayVerify | Self::Verify => true,
        }
    }

    /// May mail leave in clear?
    #[must_use]
    pub const fn opportunistic(self) -> bool {
        match self {
            Self::None | Self::May | Self::MayVerify => true,
            Self::Encrypt | Self::Verify => false,
        }
    }
}

/// A domain's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Protection asked for.
    pub level: Level,
    /// `auth-username` is set and `use-unencrypted-plain-auth` is not: falling back to clear would
    /// expose credentials or fail to log in.
    pub guards_credentials: bool,
}

/// What happened, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The reply to EHLO lists STARTTLS.
    Offered {
        /// The host is remembered as one whose handshakes fail.
        broken: bool,
    },
    /// The reply to EHLO does not list STARTTLS, or EHLO was refused.
    NotOffered,
    /// STARTTLS was answered with this 4xx or 5xx code; the session goes on in clear.
    Refused {
        /// The reply code.
        code: u16,
    },
    /// The handshake failed, bytes came between the 220 reply and the handshake, or STARTTLS was
    /// answered with nonsense.
    HandshakeFailed,
    /// The handshake failed because the certificate did not verify.
    VerifyFailed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send STARTTLS.
    StartTls,
    /// Go on in clear on this connection.
    ClearHere,
    /// Close, connect again, and speak in clear. The host is to be remembered as broken.
    ClearOnNewConnection,
    /// Give this host up for now.
    Defer {
        /// Enhanced status of the failure.
        status: Status,
        /// For logs and delivery status, a phrase without a full stop.
        reason: &'static str,
    },
}

impl Policy {
    /// The rule of a queue's settings. `require-starttls` counts only with `use-starttls`.
    #[must_use]
    pub fn of(settings: &DomainSettings) -> Self {
        let verify = settings.tls.ca_file.is_some();
        let level = match (settings.use_starttls, settings.require_starttls) {
            (false, _) => Level::None,
            (true, false) if verify => Level::MayVerify,
            (true, false) => Level::May,
            (true, true) if verify => Level::Verify,
            (true, true) => Level::Encrypt,
        };
        let guards_credentials = settings.auth.is_some() && !settings.use_unencrypted_plain_auth;
        Self { level, guards_credentials }
    }

    /// What to do after `event`.
    #[must_use]
    pub fn decide(self, event: Event) -> Decision {
        match event {
            Event::Offered { broken } => self.offered(broken),
            Event::NotOffered => self.not_offered(),
            Event::Refused { .. } if self.falls_back() => Decision::ClearHere,
            Event::Refused { .. } => defer(4, "the server refused STARTTLS and TLS is required"),
            Event::HandshakeFailed | Event::VerifyFailed if self.falls_back() => {
                Decision::ClearOnNewConnection
            }
            Event::HandshakeFailed => defer(5, "the TLS handshake failed and TLS is required"),
            Event::VerifyFailed => defer(5, "the server's certificate cannot be verified"),
        }
    }

    fn offered(self, broken: bool) -> Decision {
        match self.level {
            Level::None => Decision::ClearHere,
            // A remembered host is spared another failing handshake only where clear will do.
            Level::May | Level::MayVerify if broken && self.falls_back() => Decision::ClearHere,
            Level::May | Level::MayVerify | Level::Encrypt | Level::Verify => Decision::StartTls,
        }
    }

    /// A server without STARTTLS is no failure: whether a login without TLS is possible is then
    /// the question of its AUTH mechanisms.
    fn not_offered(self) -> Decision {
        if self.level.opportunistic() {
            Decision::ClearHere
        } else {
            defer(4, "the server does not offer STARTTLS and TLS is required")
        }
    }

    /// May a failure of TLS end in clear?
    const fn falls_back(self) -> bool {
        self.level.opportunistic() && !self.guards_credentials
    }
}

/// `4.7.detail`: 4 is "security features not supported", 5 "cryptographic failure" (RFC 3463 3.8).
const fn defer(detail: u16, reason: &'static str) -> Decision {
    Decision::Defer { status: Status(4, 7, detail), reason }
}
