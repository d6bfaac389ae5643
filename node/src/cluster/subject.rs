//! Who a certificate is for: a URI among its names.
//!
//! - `convoy://CLUSTER/node/3`: node 3 of the cluster.
//! - `convoy://CLUSTER/operator/NAME?role=ROLE`: an operator, with what they may do.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::clock::Timestamp;
use crate::id::{NodeId, Peer};

/// In the certificate of every node, for clients that do not mind which one they reach.
pub const ANY_NODE: &str = "node.convoy.internal";

/// In the certificate of one node only, so that a connection to it cannot end at another one.
#[must_use]
pub fn name_of(node: NodeId) -> String {
    format!("{node}.convoy.internal")
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The cluster's name.
    pub cluster: String,
    /// Node or operator.
    pub peer: Peer,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.cluster;
        match &self.peer {
            Peer::Node(node) => write!(f, "convoy://{cluster}/node/{}", node.0),
            Peer::Operator { name, role } => {
                write!(f, "convoy://{cluster}/operator/{name}?role={role}")
            }
        }
    }
}

/// The certificate does not say whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate names neither a node nor an operator")]
pub struct NoSubject;

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(uri: &str) -> Result<Self, NoSubject> {
        let rest = uri.strip_prefix("convoy://").ok_or(NoSubject)?;
        let (cluster, path) = rest.split_once('/').ok_or(NoSubject)?;
        let peer = match path.split_once('/').ok_or(NoSubject)? {
            ("node", number) => Peer::Node(NodeId(number.parse().map_err(|_| NoSubject)?)),
            ("operator", rest) => {
                let (name, role) = rest.split_once("?role=").ok_or(NoSubject)?;
                let role = role.parse().map_err(|_| NoSubject)?;
                Peer::Operator { name: name.to_owned(), role }
            }
            _ => return Err(NoSubject),
        };
        Ok(Self { cluster: cluster.to_owned(), peer })
    }
}

impl Subject {
    /// Reads it from a certificate. Whether an authority vouches for it, the caller knows.
    ///
    /// # Errors
    /// When it has no such name.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, NoSubject> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| NoSubject)?;
        let names = parsed.subject_alternative_name().ok().flatten().ok_or(NoSubject)?;
        let uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        uris.filter_map(|uri| uri.parse().ok()).next().ok_or(NoSubject)
    }
}

/// First and last moment of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not good before.
    pub from: Timestamp,
    /// Not good after.
    pub until: Timestamp,
}

impl Validity {
    /// Reads it from a certificate; none if it cannot be read.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let millis = |seconds: i64| u64::try_from(seconds).ok()?.checked_mul(1000).map(Timestamp);
        let validity = parsed.validity();
        Some(Self {
            from: millis(validity.not_before.timestamp())?,
            until: millis(validity.not_after.timestamp())?,
        })
    }

    /// Two thirds of its life are over; or it has not begun, since it was made while the clock ran
    /// ahead, and nobody takes it.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let life = self.until.since(self.from);
        now < self.from || now >= self.from + life * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::Role;

    #[test]
    fn subjects_read_back() {
        let operator = Peer::Operator { name: "anna@example.com".to_owned(), role: Role::Monitor };
        for (peer, uri) in [
            (Peer::Node(NodeId(3)), "convoy://c1/node/3"),
            (operator, "convoy://c1/operator/anna@example.com?role=monitor"),
        ] {
            let subject = Subject { cluster: "c1".to_owned(), peer };
            assert_eq!(subject.to_string(), uri);
            assert_eq!(uri.parse(), Ok(subject));
        }
    }

    #[test]
    fn other_uris_are_nobody() {
        for uri in [
            "",
            "convoy://c1",
            "convoy://c1/node",
            "convoy://c1/node/x",
            "convoy://c1/node/3/4",
            "convoy://c1/operator/anna",
            "convoy://c1/operator/anna?role=root",
            "https://c1/node/3",
        ] {
            assert_eq!(uri.parse::<Subject>(), Err(NoSubject), "{uri}");
        }
    }

    #[test]
    fn a_certificate_is_due_after_two_thirds() {
        let day = Duration::from_secs(86_400);
        let from = Timestamp(1_000_000);
        let validity = Validity { from, until: from + day * 90 };
        assert!(!validity.is_due(from + day * 59));
        assert!(validity.is_due(from + day * 60));
        assert!(validity.is_due(from + day * 100));
        assert!(validity.is_due(from - Duration::from_secs(1)));
    }
}
