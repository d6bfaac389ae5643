//! Between what is known of the cluster and the rows that keep it.

use super::*;

/// A row of the meta group cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the cluster's state")]
pub(crate) struct BadRow(pub(crate) &'static str);

pub(in crate::queue) fn octets(address: IpAddr) -> bytes::Bytes {
    match address {
        IpAddr::V4(address) => address.octets().to_vec().into(),
        IpAddr::V6(address) => address.octets().to_vec().into(),
    }
}

pub(in crate::queue) fn octets_of(addresses: &BTreeSet<IpAddr>) -> Vec<bytes::Bytes> {
    addresses.iter().map(|address| octets(*address)).collect()
}

fn addresses(octets: &[bytes::Bytes]) -> Result<BTreeSet<IpAddr>, BadRow> {
    octets.iter().map(|bytes| address(bytes).ok_or(BadRow("an address"))).collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(Into::into)
}

impl From<&Identity> for proto::ClusterIdentity {
    fn from(identity: &Identity) -> Self {
        Self {
            id: identity.id.clone(),
            authority_certificate_pem: identity.authority_certificate_pem.clone(),
            authority_key_pem: identity.authority_key_pem.clone(),
            founded_at: identity.founded_at.0,
        }
    }
}

impl From<proto::ClusterIdentity> for Identity {
    fn from(row: proto::ClusterIdentity) -> Self {
        Self {
            id: row.id,
            authority_certificate_pem: row.authority_certificate_pem,
            authority_key_pem: row.authority_key_pem,
            founded_at: Timestamp(row.founded_at),
        }
    }
}

impl From<Standing> for proto::Standing {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Active,
            Standing::Draining => Self::Draining,
            Standing::Removing => Self::Removing,
        }
    }
}

pub(in crate::queue) fn standing(number: i32) -> Option<Standing> {
    match proto::Standing::try_from(number).ok()? {
        proto::Standing::Active => Some(Standing::Active),
        proto::Standing::Draining => Some(Standing::Draining),
        proto::Standing::Removing => Some(Standing::Removing),
        proto::Standing::Unspecified => None,
    }
}

impl Placement {
    /// Does it name this node?
    #[must_use]
    pub fn names(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }

    /// Are its nodes the same, in the same order?
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.voters == other.voters && self.learners == other.learners
    }
}

impl Member {
    /// What it said of itself.
    #[must_use]
    pub fn description(&self) -> Description {
        Description {
            address: self.address.clone(),
            name: self.name.clone(),
            level: self.level,
            version: self.version.clone(),
            egress_addresses: self.egress_addresses.clone(),
            configuration_refused: self.configuration_refused.clone(),
            configuration_version: self.configuration_version,
            leaving: self.leaving,
        }
    }

    /// May it lead and take mail?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.standing == Standing::Active && !self.leaving
    }

    pub(in crate::queue) fn row(&self, node: NodeId) -> proto::Member {
        proto::Member {
            node_id: node.0,
            address: self.address.clone(),
            name: self.name.clone(),
            standing: proto::Standing::from(self.standing).into(),
            level: self.level,
            version: self.version.clone(),
            egress_addresses: octets_of(&self.egress_addresses),
            configuration_refused: self.configuration_refused.clone(),
            configuration_version: self.configuration_version,
            admitted_at: self.admitted_at.0,
            replaces: self.replaces.map_or(0, |node| node.0),
            claim: self.claim.map(|claim| claim.to_vec().into()).unwrap_or_default(),
            leaving: self.leaving,
        }
    }

    pub(in crate::queue) fn read(row: proto::Member) -> Result<Self, BadRow> {
        Ok(Self {
            address: row.address,
            name: row.name,
            standing: standing(row.standing).ok_or(BadRow("the standing of a member"))?,
            level: row.level,
            version: row.version,
            egress_addresses: addresses(&row.egress_addresses)?,
            configuration_refused: row.configuration_refused,
            configuration_version: row.configuration_version,
            admitted_at: Timestamp(row.admitted_at),
            replaces: (row.replaces != 0).then_some(NodeId(row.replaces)),
            claim: row.claim.as_ref().try_into().ok(),
            leaving: row.leaving,
        })
    }
}

impl From<&Placement> for proto::Placement {
    fn from(placement: &Placement) -> Self {
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        Self {
            voters: numbers(&placement.voters),
            learners: numbers(&placement.learners),
            reached: placement.reached,
        }
    }
}

impl From<proto::Placement> for Placement {
    fn from(row: proto::Placement) -> Self {
        let nodes = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect();
        let reached = row.reached;
        Self { voters: nodes(row.voters), learners: nodes(row.learners), reached }
    }
}

impl From<&Configuration> for proto::Configuration {
    fn from(configuration: &Configuration) -> Self {
        let file = |(name, text): &(String, String)| proto::ConfigurationFile {
            name: name.clone(),
            text: text.clone(),
        };
        Self {
            version: configuration.version,
            pushed_at: configuration.pushed_at.0,
            author: configuration.author.clone(),
            comment: configuration.comment.clone(),
            files: configuration.files.iter().map(file).collect(),
        }
    }
}

impl From<proto::Configuration> for Configuration {
    fn from(row: proto::Configuration) -> Self {
        Self {
            version: row.version,
            pushed_at: Timestamp(row.pushed_at),
            author: row.author,
            comment: row.comment,
            files: row.files.into_iter().map(|file| (file.name, file.text)).collect(),
        }
    }
}

impl Configuration {
    /// Without the texts.
    #[must_use]
    pub fn note(&self) -> VersionNote {
        VersionNote {
            version: self.version,
            pushed_at: self.pushed_at,
            author: self.author.clone(),
            comment: self.comment.clone(),
        }
    }
}

impl From<&TicketSecret> for proto::TicketSecret {
    fn from(secret: &TicketSecret) -> Self {
        Self { secret: secret.secret.to_vec().into(), from: secret.from.0 }
    }
}

impl TicketSecret {
    pub(in crate::queue) fn read(row: &proto::TicketSecret) -> Result<Self, BadRow> {
        let secret = row.secret.as_ref().try_into().map_err(|_| BadRow("a ticket secret"))?;
        Ok(Self { secret, from: Timestamp(row.from) })
    }
}

impl From<&BrokenHost> for proto::BrokenHost {
    fn from(host: &BrokenHost) -> Self {
        Self {
            host: host.host.to_string(),
            verifies: host.verifies,
            until: host.until.0,
            name: host.name.clone(),
            reason: host.reason.clone(),
        }
    }
}

impl BrokenHost {
    pub(in crate::queue) fn read(row: proto::BrokenHost) -> Result<Self, BadRow> {
        Ok(Self {
            host: row.host.parse().map_err(|_| BadRow("the address of a host"))?,
            verifies: row.verifies,
            until: Timestamp(row.until),
            name: row.name,
            reason: row.reason,
        })
    }
}
