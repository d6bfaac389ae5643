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
    const fn from_switches(use_starttls: bool, require_starttls: bool, ca_file: bool) -> Self {
        match (use_starttls, require_starttls, ca_file) {
            (false, _, _) => Self::None,
            (true, false, false) => Self::May,
            (true, false, true) => Self::MayVerify,
            (true, true, false) => Self::Encrypt,
            (true, true, true) => Self::Verify,
        }
    }

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
        let level = Level::from_switches(
            settings.use_starttls,
            settings.require_starttls,
            settings.tls.ca_file.is_some(),
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [Level; 5] =
        [Level::None, Level::May, Level::MayVerify, Level::Encrypt, Level::Verify];

    /// One letter per level, in the order of [`LEVELS`]: S for STARTTLS, H for clear here, N for
    /// clear on a new connection, 4 and 5 for a failure with `4.7.4` or `4.7.5`.
    fn row(event: Event, guards_credentials: bool) -> String {
        let letter = |level| match (Policy { level, guards_credentials }).decide(event) {
            Decision::StartTls => 'S',
            Decision::ClearHere => 'H',
            Decision::ClearOnNewConnection => 'N',
            Decision::Defer { status: Status(4, 7, 4), .. } => '4',
            Decision::Defer { status: Status(4, 7, 5), .. } => '5',
            other @ Decision::Defer { .. } => panic!("{other:?}"),
        };
        LEVELS.into_iter().map(letter).collect()
    }

    #[test]
    fn every_level_and_event_has_its_answer() {
        let check = |event, free: &str, guarded: &str| {
            assert_eq!(row(event, false), free, "{event:?}");
            assert_eq!(row(event, true), guarded, "{event:?} with credentials to guard");
        };
        check(Event::Offered { broken: false }, "HSSSS", "HSSSS");
        check(Event::Offered { broken: true }, "HHHSS", "HSSSS");
        check(Event::NotOffered, "HHH44", "HHH44");
        check(Event::Refused { code: 454 }, "HHH44", "44444");
        check(Event::HandshakeFailed, "NNN55", "55555");
        check(Event::VerifyFailed, "NNN55", "55555");
    }

    #[test]
    fn the_level_follows_from_the_directives() {
        let check = |starttls, require, ca_file, expected| {
            assert_eq!(Level::from_switches(starttls, require, ca_file), expected);
        };
        check(false, false, false, Level::None);
        check(false, true, true, Level::None);
        check(true, false, false, Level::May);
        check(true, false, true, Level::MayVerify);
        check(true, true, false, Level::Encrypt);
        check(true, true, true, Level::Verify);
    }

    #[test]
    fn only_levels_with_authorities_demand_verification() {
        let demanding: Vec<_> = LEVELS.into_iter().filter(|l| l.demands_verification()).collect();
        assert_eq!(demanding, [Level::MayVerify, Level::Verify]);
    }
}
