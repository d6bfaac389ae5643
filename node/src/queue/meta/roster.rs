//! Applies changes of the cluster to its state.
//!
//! The state is in memory as a whole: a cluster has few members, and the texts of configurations
//! are kept in rows only, but for the active one.

use std::net::SocketAddr;

use convoy_proto::storage as proto;
use convoy_proto::storage::cluster_change::{
    Admit, BrokenTls, Configure, Describe, Found, Kind, SetStanding,
};
use prost::Message;

use super::{decode, rows};
use crate::clock::Timestamp;
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{
    BadRow, BrokenHost, Cluster, Configuration, Identity, Member, Placement, Standing,
    TicketSecret, Token, standing,
};
use crate::queue::machine::{Answer, Changes, MachineError, Table, View};

/// Versions of the configuration that are kept.
const VERSIONS: usize = 50;
/// Join tokens that wait.
const TOKENS: usize = 256;
/// Hosts with broken TLS that are remembered.
const BROKEN: usize = 4096;
/// Ticket secrets that are kept: the current one, and two for tickets that are still around.
const TICKET_SECRETS: usize = 3;

impl From<BadRow> for MachineError {
    fn from(error: BadRow) -> Self {
        Self::Inconsistent(error.to_string())
    }
}

/// Where a change stands.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub index: u64,
    pub proposed_at: u64,
}

/// The cluster's state and whether it is shown as it is.
#[derive(Default)]
pub(super) struct Roster {
    cluster: Cluster,
    changed: bool,
}

/// Rows whose keys begin with `prefix`.
fn each(
    view: &dyn View,
    prefix: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), MachineError>,
) -> Result<(), MachineError> {
    let mut end = prefix.to_vec();
    // No key goes on with a byte this high: they are numbers of members and groups, hashes and
    // addresses behind a prefix that ends in a slash.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    for row in view.scan(Table::State, prefix, &end, usize::MAX)? {
        take(&row.key, &row.value)?;
    }
    Ok(())
}

fn number(view: &dyn View, key: &[u8]) -> Result<Option<u64>, MachineError> {
    let Some(row) = view.get(Table::State, key)? else { return Ok(None) };
    let bytes = row.as_slice().try_into().map_err(|_| BadRow("a number"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

impl Roster {
    /// Reads the state.
    pub(super) fn open(view: &dyn View) -> Result<Self, MachineError> {
        let mut cluster = Cluster::default();
        if let Some(row) = view.get(Table::State, rows::IDENTITY)? {
            cluster.identity = Some(Identity::from(decode::<proto::ClusterIdentity>(&row)?));
        }
        each(view, rows::MEMBERS, |_, value| {
            let row: proto::Member = decode(value)?;
            cluster.members.insert(NodeId(row.node_id), Member::read(row)?);
            Ok(())
        })?;
        each(view, rows::TOKENS, |key, value| {
            let hash = rows::hash_of(key).ok_or(BadRow("a token"))?;
            let row: proto::JoinToken = decode(value)?;
            cluster.tokens.insert(hash, token(&row));
            Ok(())
        })?;
        each(view, rows::PLACES, |key, value| {
            let group = rows::group_of(key).ok_or(BadRow("a placement"))?;
            let row: proto::Placement = decode(value)?;
            cluster.placement.insert(group, row.into());
            Ok(())
        })?;
        each(view, rows::VERSIONS, |_, value| {
            let configuration = Configuration::from(decode::<proto::Configuration>(value)?);
            cluster.history.push(configuration.note());
            cluster.configuration = Some(configuration);
            Ok(())
        })?;
        each(view, rows::TICKETS, |_, value| {
            cluster.ticket_secrets.push(TicketSecret::read(&decode(value)?)?);
            Ok(())
        })?;
        each(view, rows::BROKEN, |_, value| {
            let host = BrokenHost::read(decode(value)?)?;
            cluster.broken_tls.insert((host.host, host.verifies), host);
            Ok(())
        })?;
        let level = number(view, rows::LEVEL)?.unwrap_or(1);
        cluster.level = u32::try_from(level).map_err(|_| BadRow("the level"))?;
        cluster.next_node = number(view, rows::NEXT_NODE)?.unwrap_or(0);
        Ok(Self { cluster, changed: true })
    }

    /// The state, if it has changed since it was last taken.
    pub(super) fn take_changed(&mut self) -> Option<Cluster> {
        std::mem::take(&mut self.changed).then(|| self.cluster.clone())
    }

    /// Applies a change; one that does not fit is refused.
    pub(super) fn apply(
        &mut self,
        at: At,
        change: proto::ClusterChange,
        changes: &mut dyn Changes,
    ) -> Result<Answer, MachineError> {
        let Some(kind) = change.kind else { return Ok(Answer::Refused) };
        let answer = match kind {
            Kind::Found(found) => self.found(found, changes)?,
            Kind::AddToken(new) => self.add_token(at, &new, changes),
            Kind::Admit(admit) => self.admit(at, admit, changes),
            Kind::Describe(describe) => self.describe(describe, changes)?,
            Kind::SetStanding(set) => self.set_standing(set, changes),
            Kind::Forget(forget) => self.forget(NodeId(forget.node_id), changes),
            Kind::Place(place) => {
                let placement = place.placement.unwrap_or_default().into();
                self.place(GroupId(place.group), placement, changes)
            }
            Kind::Reached(place) => {
                let placement = place.placement.unwrap_or_default().into();
                self.reached(GroupId(place.group), &placement, changes)
            }
            Kind::Configure(configure) => self.configure(configure, changes),
            Kind::AddTicketSecret(add) => {
                self.add_ticket_secret(&add.secret.unwrap_or_default(), changes)?
            }
            Kind::BrokenTls(broken) => self.broken_tls(at, broken, changes)?,
            Kind::RaiseLevel(raise) => self.raise_level(raise.level, changes),
        };
        // Also a change that is refused may have let tokens expire.
        self.cluster.index = at.index;
        self.changed = true;
        Ok(answer)
    }

    fn found(&mut self, found: Found, changes: &mut dyn Changes) -> Result<Answer, MachineError> {
        let (Some(identity), Some(member)) = (found.identity, found.member) else {
            return Ok(Answer::Refused);
        };
        if self.cluster.identity.is_some() {
            return Ok(Answer::Refused);
        }
        changes.put(Table::State, rows::IDENTITY, &identity.encode_to_vec());
        self.cluster.identity = Some(identity.into());
        let node = NodeId(member.node_id);
        self.set_next_node(node.0 + 1, changes);
        let member = Member::read(member)?;
        self.put_member(node, member, changes);
        Ok(Answer::Number(node.0))
    }

    fn set_next_node(&mut self, next: u64, changes: &mut dyn Changes) {
        self.cluster.next_node = next;
        changes.put(Table::State, rows::NEXT_NODE, &next.to_be_bytes());
    }

    fn put_member(&mut self, node: NodeId, member: Member, changes: &mut dyn Changes) {
        changes.put(Table::State, &rows::member(node), &member.row(node).encode_to_vec());
        self.cluster.members.insert(node, member);
    }

    fn add_token(
        &mut self,
        at: At,
        new: &proto::cluster_change::AddToken,
        changes: &mut dyn Changes,
    ) -> Answer {
        let Ok(hash) = <[u8; 32]>::try_from(new.hash.as_ref()) else { return Answer::Refused };
        let now = Timestamp(at.proposed_at);
        self.expire_tokens(now, changes);
        let replaced = NodeId(new.replaces);
        let unknown = new.replaces != 0 && !self.cluster.members.contains_key(&replaced);
        let full = self.cluster.tokens.len() >= TOKENS;
        if self.cluster.identity.is_none() || unknown || full || new.expires_at <= now.0 {
            return Answer::Refused;
        }
        let row = proto::JoinToken {
            hash: new.hash.clone(),
            expires_at: new.expires_at,
            replaces: new.replaces,
        };
        changes.put(Table::State, &rows::token(&hash), &row.encode_to_vec());
        self.cluster.tokens.insert(hash, token(&row));
        Answer::Done
    }

    fn expire_tokens(&mut self, now: Timestamp, changes: &mut dyn Changes) {
        self.cluster.tokens.retain(|hash, token| {
            let good = token.expires_at > now;
            if !good {
                changes.delete(Table::State, &rows::token(hash));
            }
            good
        });
    }

    fn admit(&mut self, at: At, admit: Admit, changes: &mut dyn Changes) -> Answer {
        let Ok(hash) = <[u8; 32]>::try_from(admit.token_hash.as_ref()) else {
            return Answer::Refused;
        };
        self.expire_tokens(Timestamp(at.proposed_at), changes);
        let claim = <[u8; 32]>::try_from(admit.claim.as_ref()).ok();
        let mut members = self.cluster.members.iter();
        if let Some((node, _)) = members.find(|(_, m)| claim.is_some() && m.claim == claim) {
            return Answer::Number(node.0);
        }
        let Some(token) = self.cluster.tokens.remove(&hash) else { return Answer::Refused };
        changes.delete(Table::State, &rows::token(&hash));
        // A node that does not read what is proposed already cannot follow.
        if admit.level < self.cluster.level {
            return Answer::Refused;
        }
        let node = NodeId(self.cluster.next_node);
        self.set_next_node(node.0 + 1, changes);
        let member = Member {
            address: admit.address,
            name: admit.name,
            level: admit.level,
            version: admit.version,
            admitted_at: Timestamp(at.proposed_at),
            replaces: token.replaces,
            claim,
            ..Member::default()
        };
        self.put_member(node, member, changes);
        Answer::Number(node.0)
    }

    fn describe(
        &mut self,
        describe: Describe,
        changes: &mut dyn Changes,
    ) -> Result<Answer, MachineError> {
        let node = NodeId(describe.node_id);
        let Some(known) = self.cluster.members.get(&node) else { return Ok(Answer::Refused) };
        // Without an address nobody could reach it, not even to tell it so.
        if describe.address.is_empty() {
            return Ok(Answer::Refused);
        }
        let told = Member::read(proto::Member {
            address: describe.address,
            name: describe.name,
            level: describe.level,
            version: describe.version,
            egress_addresses: describe.egress_addresses,
            configuration_refused: describe.configuration_refused,
            configuration_version: describe.configuration_version,
            leaving: describe.leaving,
            ..known.row(node)
        })?;
        self.put_member(node, told, changes);
        Ok(Answer::Done)
    }

    fn set_standing(&mut self, set: SetStanding, changes: &mut dyn Changes) -> Answer {
        let node = NodeId(set.node_id);
        let (Some(new), Some(known)) = (standing(set.standing), self.cluster.members.get(&node))
        else {
            return Answer::Refused;
        };
        // Replicas that are on their way elsewhere do not come back.
        if known.standing == Standing::Removing && new != Standing::Removing {
            return Answer::Refused;
        }
        // Somebody must be left to take the replicas.
        let others = self.cluster.members.iter();
        let mut staying = others.filter(|(id, m)| **id != node && m.standing != Standing::Removing);
        if new == Standing::Removing && staying.next().is_none() {
            return Answer::Refused;
        }
        let member = Member { standing: new, ..known.clone() };
        self.put_member(node, member, changes);
        Answer::Done
    }

    fn forget(&mut self, node: NodeId, changes: &mut dyn Changes) -> Answer {
        if !self.cluster.may_forget(node) {
            return Answer::Refused;
        }
        changes.delete(Table::State, &rows::member(node));
        self.cluster.members.remove(&node);
        Answer::Done
    }

    fn place(&mut self, group: GroupId, placement: Placement, changes: &mut dyn Changes) -> Answer {
        let known = |node: &NodeId| self.cluster.members.contains_key(node);
        let mut all = placement.voters.iter().chain(&placement.learners);
        if placement.voters.is_empty() || !all.all(known) {
            return Answer::Refused;
        }
        // Members that are the same already need not move when only the preferred leader changes.
        let set = |p: &Placement| (sorted(&p.voters), sorted(&p.learners));
        let known = self.cluster.placement.get(&group);
        let reached = known.is_some_and(|known| known.reached && set(known) == set(&placement));
        self.put_placement(group, Placement { reached, ..placement }, changes);
        Answer::Done
    }

    fn reached(
        &mut self,
        group: GroupId,
        placement: &Placement,
        changes: &mut dyn Changes,
    ) -> Answer {
        match self.cluster.placement.get(&group) {
            Some(known) if known.is_same(placement) => {
                let reached = Placement { reached: true, ..known.clone() };
                self.put_placement(group, reached, changes);
                Answer::Done
            }
            Some(_) | None => Answer::Refused,
        }
    }

    fn put_placement(&mut self, group: GroupId, placement: Placement, changes: &mut dyn Changes) {
        let row = proto::Placement::from(&placement);
        changes.put(Table::State, &rows::place(group), &row.encode_to_vec());
        self.cluster.placement.insert(group, placement);
    }

    fn configure(&mut self, configure: Configure, changes: &mut dyn Changes) -> Answer {
        let active = self.cluster.configuration.as_ref().map_or(0, |c| c.version);
        let Some(row) = configure.configuration else { return Answer::Refused };
        if configure.expected_version != active || row.files.is_empty() {
            return Answer::Refused;
        }
        let row = proto::Configuration { version: active + 1, ..row };
        changes.put(Table::State, &rows::version_row(row.version), &row.encode_to_vec());
        let version = row.version;
        let configuration = Configuration::from(row);
        self.cluster.history.push(configuration.note());
        self.cluster.configuration = Some(configuration);
        while self.cluster.history.len() > VERSIONS {
            let oldest = self.cluster.history.remove(0);
            changes.delete(Table::State, &rows::version_row(oldest.version));
        }
        Answer::Number(version)
    }

    fn add_ticket_secret(
        &mut self,
        row: &proto::TicketSecret,
        changes: &mut dyn Changes,
    ) -> Result<Answer, MachineError> {
        let newest = self.cluster.ticket_secrets.last().map(|secret| secret.from.0);
        if row.secret.len() != 32 || newest.is_some_and(|newest| newest >= row.from) {
            return Ok(Answer::Refused);
        }
        changes.put(Table::State, &rows::ticket(row.from), &row.encode_to_vec());
        self.cluster.ticket_secrets.push(TicketSecret::read(row)?);
        while self.cluster.ticket_secrets.len() > TICKET_SECRETS {
            let oldest = self.cluster.ticket_secrets.remove(0);
            changes.delete(Table::State, &rows::ticket(oldest.from.0));
        }
        Ok(Answer::Done)
    }

    fn broken_tls(
        &mut self,
        at: At,
        broken: BrokenTls,
        changes: &mut dyn Changes,
    ) -> Result<Answer, MachineError> {
        let known = &mut self.cluster.broken_tls;
        let before = known.len();
        if !broken.forget.is_empty() {
            let meant = |host: &BrokenHost| names(host, &broken.forget);
            known.retain(|(address, verifies), host| {
                let stays = !meant(host);
                if !stays {
                    changes.delete(Table::State, &rows::broken(*address, *verifies));
                }
                stays
            });
            return Ok(Answer::Changed((before - known.len()) as u64));
        }
        known.retain(|(address, verifies), host| {
            let stays = host.until.0 > at.proposed_at;
            if !stays {
                changes.delete(Table::State, &rows::broken(*address, *verifies));
            }
            stays
        });
        for row in broken.hosts {
            let host = BrokenHost::read(row.clone())?;
            let key: (SocketAddr, bool) = (host.host, host.verifies);
            if known.len() < BROKEN || known.contains_key(&key) {
                changes.put(Table::State, &rows::broken(key.0, key.1), &row.encode_to_vec());
                known.insert(key, host);
            }
        }
        Ok(Answer::Done)
    }

    fn raise_level(&mut self, level: u32, changes: &mut dyn Changes) -> Answer {
        let all_read_it = self.cluster.members.values().all(|member| member.level >= level);
        if level <= self.cluster.level || !all_read_it {
            return Answer::Refused;
        }
        changes.put(Table::State, rows::LEVEL, &u64::from(level).to_be_bytes());
        self.cluster.level = level;
        Answer::Done
    }
}

fn sorted(nodes: &[NodeId]) -> Vec<NodeId> {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    sorted
}

fn token(row: &proto::JoinToken) -> Token {
    Token {
        expires_at: Timestamp(row.expires_at),
        replaces: (row.replaces != 0).then_some(NodeId(row.replaces)),
    }
}

/// Does an operator's word mean this host?
fn names(host: &BrokenHost, word: &str) -> bool {
    word == "*"
        || host.name.eq_ignore_ascii_case(word)
        || host.host.to_string() == word
        || host.host.ip().to_string() == word
}
