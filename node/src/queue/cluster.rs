//! What the meta group knows of the cluster: members, placement of groups, the shared
//! configuration, secrets. Every node has it, since every node keeps a replica of that group.
//!
//! [`Cluster`] is read; [`Change`] is proposed. A change that does not fit the state is refused by
//! the machine and changes nothing.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use convoy_proto::storage as proto;
use convoy_proto::storage::cluster_change::Kind;

use crate::clock::Timestamp;
use crate::id::{GroupId, NodeId};

pub(crate) use rows::BadRow;
pub(in crate::queue) use rows::{octets_of, standing};

/// Replicas of a group, when there are enough nodes.
pub const REPLICAS: usize = 3;

/// The cluster as it is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// None while the node is alone and no cluster was founded.
    pub identity: Option<Identity>,
    /// Members by number.
    pub members: BTreeMap<NodeId, Member>,
    /// The number of the next member. Smaller numbers were given, and are never given again.
    pub next_node: u64,
    /// Join tokens that are not spent, by SHA-256.
    pub tokens: BTreeMap<[u8; 32], Token>,
    /// Where groups should be. Groups without an entry stay where they are.
    pub placement: BTreeMap<GroupId, Placement>,
    /// The configuration that all nodes share, if one was pushed.
    pub configuration: Option<Configuration>,
    /// Versions of it, oldest first, without their texts; the last one is active.
    pub history: Vec<VersionNote>,
    /// Secrets of session tickets, newest last.
    pub ticket_secrets: Vec<TicketSecret>,
    /// Hosts whose TLS is broken, by address and by whether certificates had to verify.
    pub broken_tls: BTreeMap<(SocketAddr, bool), BrokenHost>,
    /// Formats up to this one may be proposed: every member reads them.
    pub level: u32,
    /// Log index of the last change.
    pub index: u64,
}

/// Name and authority of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// A random name; certificates carry it.
    pub id: String,
    /// The authority's certificate.
    pub authority_certificate_pem: String,
    /// The authority's key.
    pub authority_key_pem: String,
    /// When it was founded.
    pub founded_at: Timestamp,
}

/// Never prints the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a member is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Takes mail, leads, sends.
    #[default]
    Active,
    /// Leads nothing and takes no mail, but keeps its replicas.
    Draining,
    /// Its replicas move to other nodes; then it is forgotten.
    Removing,
}

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// `HOST:PORT` of its cluster listener.
    pub address: String,
    /// Its host name.
    pub name: String,
    /// Where it is in its life.
    pub standing: Standing,
    /// Formats up to this one are read by it.
    pub level: u32,
    /// Version of its program.
    pub version: String,
    /// Source addresses that exist on it.
    pub egress_addresses: BTreeSet<IpAddr>,
    /// Why it does not run with the active configuration; empty when it does.
    pub configuration_refused: String,
    /// The version that it runs with.
    pub configuration_version: u64,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// The member whose place it takes.
    pub replaces: Option<NodeId>,
    /// By which it was admitted; none for the first node.
    pub claim: Option<[u8; 32]>,
    /// It is about to stop, and leads nothing until it starts again.
    pub leaving: bool,
}

/// A join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Not good any more from then on.
    pub expires_at: Timestamp,
    /// The member that the new node takes the place of.
    pub replaces: Option<NodeId>,
}

/// Where a group should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The first one is the preferred leader.
    pub voters: Vec<NodeId>,
    /// Replicas that do not vote.
    pub learners: Vec<NodeId>,
    /// The group's members are these.
    pub reached: bool,
}

/// A version of the shared configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Counted from 1.
    pub version: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Name and text of the main file, then of those that it includes.
    pub files: Vec<(String, String)>,
}

/// A version without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNote {
    /// Counted from 1.
    pub version: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it.
    pub author: String,
    /// Why.
    pub comment: String,
}

/// A secret from which keys of session tickets are made.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketSecret {
    /// The secret.
    pub secret: [u8; 32],
    /// Used from then on.
    pub from: Timestamp,
}

/// Never prints the secret.
impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketSecret").field("from", &self.from).finish_non_exhaustive()
    }
}

/// A host whose TLS failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenHost {
    /// Where it is.
    pub host: SocketAddr,
    /// It failed where certificates had to verify.
    pub verifies: bool,
    /// Remembered until then.
    pub until: Timestamp,
    /// Its name.
    pub name: String,
    /// What went wrong.
    pub reason: String,
}

impl Cluster {
    /// Members that may lead and take mail.
    pub fn active(&self) -> impl Iterator<Item = NodeId> + '_ {
        let active = |(id, member): (&NodeId, &Member)| member.is_active().then_some(*id);
        self.members.iter().filter_map(active)
    }

    /// Has a member that is being removed no replica any more?
    #[must_use]
    pub fn may_forget(&self, node: NodeId) -> bool {
        let gone = |placement: &Placement| placement.reached && !placement.names(node);
        self.members.get(&node).is_some_and(|member| member.standing == Standing::Removing)
            && self.placement.values().all(gone)
    }

    /// Who has this source address.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = NodeId> + '_ {
        let owns = move |(_, member): &(&NodeId, &Member)| {
            member.egress_addresses.contains(&address) && member.standing != Standing::Removing
        };
        self.members.iter().filter(owns).map(|(id, _)| *id)
    }
}

/// A change that can be proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change(pub(crate) proto::ClusterChange);

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is in the state.
    Done,
    /// It is in the state; its number is this: of a new member, or of a new version.
    Number(u64),
    /// It did not fit the state.
    Refused,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `HOST:PORT` of its cluster listener.
    pub address: String,
    /// Its host name.
    pub name: String,
    /// Formats up to this one are read by it.
    pub level: u32,
    /// Version of its program.
    pub version: String,
    /// Source addresses that exist on it.
    pub egress_addresses: BTreeSet<IpAddr>,
    /// Why it does not run with the active configuration; empty when it does.
    pub configuration_refused: String,
    /// The version that it runs with.
    pub configuration_version: u64,
    /// It is about to stop, and leads nothing until it starts again.
    pub leaving: bool,
}

fn change(kind: Kind) -> Change {
    Change(proto::ClusterChange { kind: Some(kind) })
}

impl Change {
    /// Founds the cluster with its first member. Refused when there is one already.
    #[must_use]
    pub fn found(identity: &Identity, node: NodeId, first: &Description) -> Self {
        let member = Member {
            address: first.address.clone(),
            name: first.name.clone(),
            level: first.level,
            version: first.version.clone(),
            egress_addresses: first.egress_addresses.clone(),
            admitted_at: identity.founded_at,
            ..Member::default()
        };
        change(Kind::Found(proto::cluster_change::Found {
            identity: Some(identity.into()),
            member: Some(member.row(node)),
        }))
    }

    /// Adds a join token, known by its SHA-256.
    #[must_use]
    pub fn add_token(hash: [u8; 32], expires_at: Timestamp, replaces: Option<NodeId>) -> Self {
        change(Kind::AddToken(proto::cluster_change::AddToken {
            hash: hash.to_vec().into(),
            expires_at: expires_at.0,
            replaces: replaces.map_or(0, |node| node.0),
        }))
    }

    /// Spends a token; gives the number of the new member. Refused when the token is unknown or
    /// expired. Repeated with the same claim, which nobody else can make, it gives the same number:
    /// an answer may get lost.
    #[must_use]
    pub fn admit(
        token_hash: [u8; 32],
        claim: [u8; 32],
        address: &str,
        name: &str,
        level: u32,
        version: &str,
    ) -> Self {
        change(Kind::Admit(proto::cluster_change::Admit {
            token_hash: token_hash.to_vec().into(),
            address: address.to_owned(),
            name: name.to_owned(),
            level,
            version: version.to_owned(),
            claim: claim.to_vec().into(),
        }))
    }

    /// What a member says of itself. Refused for a node that is no member, and without an address.
    #[must_use]
    pub fn describe(node: NodeId, description: &Description) -> Self {
        change(Kind::Describe(proto::cluster_change::Describe {
            node_id: node.0,
            address: description.address.clone(),
            name: description.name.clone(),
            level: description.level,
            version: description.version.clone(),
            egress_addresses: octets_of(&description.egress_addresses),
            configuration_refused: description.configuration_refused.clone(),
            configuration_version: description.configuration_version,
            leaving: description.leaving,
        }))
    }

    /// Drains a member, takes it back, or begins its removal.
    #[must_use]
    pub fn set_standing(node: NodeId, standing: Standing) -> Self {
        let standing = i32::from(proto::Standing::from(standing));
        change(Kind::SetStanding(proto::cluster_change::SetStanding { node_id: node.0, standing }))
    }

    /// Forgets a member that is being removed. Refused while a placement names it.
    #[must_use]
    pub fn forget(node: NodeId) -> Self {
        change(Kind::Forget(proto::cluster_change::Forget { node_id: node.0 }))
    }

    /// Says where a group should be. Refused when it names a node that is no member.
    #[must_use]
    pub fn place(group: GroupId, placement: &Placement) -> Self {
        change(Kind::Place(proto::cluster_change::Place {
            group: group.0,
            placement: Some(placement.into()),
        }))
    }

    /// Says that a group is where it should be. Refused when it should be elsewhere by now.
    #[must_use]
    pub fn reached(group: GroupId, placement: &Placement) -> Self {
        change(Kind::Reached(proto::cluster_change::Place {
            group: group.0,
            placement: Some(placement.into()),
        }))
    }

    /// Makes a new version of the shared configuration active; gives its number. `version` of
    /// `configuration` is ignored. Refused when another version than `expected` is active (0: none).
    #[must_use]
    pub fn configure(expected: u64, configuration: &Configuration) -> Self {
        change(Kind::Configure(proto::cluster_change::Configure {
            expected_version: expected,
            configuration: Some(configuration.into()),
        }))
    }

    /// Adds a secret for session tickets.
    #[must_use]
    pub fn add_ticket_secret(secret: &TicketSecret) -> Self {
        change(Kind::AddTicketSecret(proto::cluster_change::AddTicketSecret {
            secret: Some(secret.into()),
        }))
    }

    /// Remembers hosts whose TLS is broken.
    #[must_use]
    pub fn broken_tls(hosts: &[BrokenHost]) -> Self {
        change(Kind::BrokenTls(proto::cluster_change::BrokenTls {
            hosts: hosts.iter().map(Into::into).collect(),
            forget: String::new(),
        }))
    }

    /// Forgets broken hosts of this name or address; `*` for all. Gives their number.
    #[must_use]
    pub fn forget_broken_tls(host: &str) -> Self {
        change(Kind::BrokenTls(proto::cluster_change::BrokenTls {
            hosts: Vec::new(),
            forget: host.to_owned(),
        }))
    }

    /// Lets a newer format be proposed. Refused while a member does not read it.
    #[must_use]
    pub fn raise_level(level: u32) -> Self {
        change(Kind::RaiseLevel(proto::cluster_change::RaiseLevel { level }))
    }
}
