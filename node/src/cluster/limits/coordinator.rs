//! Divides the limits of one partition among the nodes, while this node leads the partition.
//!
//! A pure state machine: it takes asks with the time at which they came, and answers them. Nothing
//! is kept: a new leader begins anew and learns from what nodes tell it.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;
use super::share;
use super::terms::{Answer, Ask, GATHERING, LEASE_COUNTED, RIGHT_COUNTED};
use crate::clock::Instant;
use crate::delivery::limits::{Bound, Key};
use crate::id::NodeId;

/// Limits that are leased out at the same time. Others stay at their safe shares.
const ENTRIES_MAX: usize = 16_384;
/// Answers whose time is remembered: the one that a node has heard is one of the last.
const ANSWERS_MAX: usize = 32;

/// What is known of a node that has asked.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    incarnation: u64,
    number: u64,
    last: Instant,
    members: Vec<NodeId>,
    right: Option<Vec<NodeId>>,
    /// Numbers of asks, and when they were answered.
    answered: Vec<(u64, Instant)>,
    /// When the last answer was given that the node is known to have.
    heard_at: Option<Instant>,
}

/// The coordinator of a group in one term.
#[derive(Clone, Debug)]
pub struct Coordinator {
    epoch: u64,
    started: Instant,
    members: Vec<NodeId>,
    /// When `members` came to be the members.
    since: Instant,
    /// Members of before, and until when somebody may go by them.
    former: Vec<(Vec<NodeId>, Instant)>,
    contacts: BTreeMap<NodeId, Contact>,
    entries: BTreeMap<Key, Entry>,
    serial: u64,
}

/// All that the division of one limit depends on besides the limit.
pub(super) struct Room<'a> {
    pub(super) epoch: u64,
    pub(super) now: Instant,
    pub(super) started: Instant,
    pub(super) learning: bool,
    pub(super) gathering: bool,
    pub(super) members: &'a [NodeId],
    former: &'a [(Vec<NodeId>, Instant)],
    pub(super) contacts: &'a BTreeMap<NodeId, Contact>,
}

impl Room<'_> {
    /// Everybody who may be using something.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        let former = self.former.iter().flat_map(|(members, _)| members);
        self.members.iter().chain(former).chain(self.contacts.keys()).copied().collect()
    }

    /// Has it asked lately?
    pub(super) fn is_live(&self, node: NodeId) -> bool {
        self.contacts.get(&node).is_some_and(|contact| contact.last + LEASE_COUNTED > self.now)
    }

    /// When the last answer was given that the node is known to have.
    pub(super) fn heard(&self, node: NodeId) -> Option<Instant> {
        self.contacts.get(&node)?.heard_at
    }

    /// Had it the right to safe shares when it asked?
    pub(super) fn may_use_safe_share(&self, node: NodeId) -> bool {
        self.contacts.get(&node).is_none_or(|contact| contact.right.is_some())
    }

    /// The most that a node may use of a limit of which it has no lease.
    pub(super) fn safe(&self, bound: &Bound, node: NodeId) -> u64 {
        if let Some(contact) = self.contacts.get(&node) {
            let right = contact.right.as_ref().filter(|_| contact.last + RIGHT_COUNTED > self.now);
            return right.map_or(0, |right| {
                let share = share::safe(bound, right, node);
                share.min(share::safe(bound, &contact.members, node))
            });
        }
        if self.started + RIGHT_COUNTED <= self.now {
            return 0;
        }
        let former = self.former.iter().map(|(members, _)| members.as_slice());
        let shares = former.chain([self.members]).map(|members| share::safe(bound, members, node));
        shares.max().unwrap_or(0)
    }
}

impl Coordinator {
    /// Begins to coordinate. `epoch` is the term in which this node leads the group; `former` are
    /// earlier sets of members with the times until which somebody may go by them.
    #[must_use]
    pub fn new(
        epoch: u64,
        members: &[NodeId],
        former: Vec<(Vec<NodeId>, Instant)>,
        now: Instant,
    ) -> Self {
        Self {
            epoch,
            started: now,
            members: members.to_vec(),
            since: now,
            former,
            contacts: BTreeMap::new(),
            entries: BTreeMap::new(),
            serial: 0,
        }
    }

    /// The term that it is for.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Answers an ask that came at `now`; `members` are those of the cluster as it is known here.
    /// None when a later ask of the same node has come already.
    pub fn ask(&mut self, ask: &Ask, members: &[NodeId], now: Instant) -> Option<Answer> {
        self.see(members, now);
        let is_new = self.meet(ask, now)?;
        let learning = self.is_learning(now);
        let mut entries = std::mem::take(&mut self.entries);
        let mut serial = self.serial;
        let room = self.room(learning, now);
        take_note(&mut entries, ask, is_new, &room);
        entries.retain(|_, entry| !entry.is_over(&room));
        let grants = entries.values_mut();
        let grants = grants.map(|entry| entry.grant(ask.node, &room, &mut serial)).collect();
        self.entries = entries;
        self.serial = serial;
        let settled = self.is_settled(ask, learning, now);
        let right = if settled { Some(self.members.clone()) } else { ask.right.clone() };
        let contact = self.contacts.get_mut(&ask.node)?;
        if right.is_some() {
            contact.right.clone_from(&right);
        }
        contact.answered.push((ask.number, now));
        if contact.answered.len() > ANSWERS_MAX {
            contact.answered.remove(0);
        }
        Some(Answer { number: ask.number, epoch: self.epoch, learning, settled, right, grants })
    }

    fn room(&self, learning: bool, now: Instant) -> Room<'_> {
        Room {
            epoch: self.epoch,
            now,
            started: self.started,
            learning,
            gathering: now < self.started + GATHERING,
            members: &self.members,
            former: &self.former,
            contacts: &self.contacts,
        }
    }

    /// Takes the members as they are now.
    fn see(&mut self, members: &[NodeId], now: Instant) {
        if self.members != members {
            let old = std::mem::replace(&mut self.members, members.to_vec());
            self.former.push((old, now + RIGHT_COUNTED));
            self.since = now;
        }
        self.former.retain(|(_, until)| *until > now);
        let (members, former) = (&self.members, &self.former);
        self.contacts.retain(|node, contact| {
            let known = members.contains(node) || former.iter().any(|(m, _)| m.contains(node));
            known || contact.last + RIGHT_COUNTED > now
        });
    }

    /// Takes note of who asks. True when it is the first time; None when the ask is out of date.
    fn meet(&mut self, ask: &Ask, now: Instant) -> Option<bool> {
        let known = self.contacts.get(&ask.node);
        let same = known.filter(|contact| contact.incarnation == ask.incarnation);
        if same.is_some_and(|contact| contact.number >= ask.number) {
            return None;
        }
        let is_new = known.is_none();
        let mut answered = same.map(|contact| contact.answered.clone()).unwrap_or_default();
        let mut heard_at = same.and_then(|contact| contact.heard_at);
        if ask.epoch == self.epoch {
            let heard = answered.iter().find(|(number, _)| *number == ask.heard);
            heard_at = heard_at.max(heard.map(|(_, at)| *at));
            answered.retain(|(number, _)| *number > ask.heard);
        }
        let contact = Contact {
            incarnation: ask.incarnation,
            number: ask.number,
            last: now,
            members: ask.members.clone(),
            right: ask.right.clone(),
            answered,
            heard_at,
        };
        self.contacts.insert(ask.node, contact);
        Some(is_new)
    }

    /// Until every lease of an earlier coordinator has run out, or everybody has told of theirs.
    fn is_learning(&self, now: Instant) -> bool {
        let former = self.former.iter().flat_map(|(members, _)| members);
        let mut nodes = self.members.iter().chain(former);
        now < self.started + LEASE_COUNTED && !nodes.all(|node| self.contacts.contains_key(node))
    }

    /// May the node divide limits among the members of today? Once nobody uses more of any limit
    /// than that.
    fn is_settled(&self, ask: &Ask, learning: bool, now: Instant) -> bool {
        let former = self.former.iter().flat_map(|(members, _)| members);
        let known = |node: &NodeId| match self.contacts.get(node) {
            Some(contact) => contact.members == self.members || contact.last + RIGHT_COUNTED <= now,
            None => self.started.max(self.since) + RIGHT_COUNTED <= now,
        };
        !learning
            && now >= self.started + GATHERING
            && self.members.contains(&ask.node)
            && ask.members == self.members
            && self.members.iter().chain(former).all(known)
    }
}

/// Takes the items of an ask, each to its limit.
fn take_note(entries: &mut BTreeMap<Key, Entry>, ask: &Ask, is_new: bool, room: &Room<'_>) {
    for item in &ask.items {
        let key = &item.bound.key;
        if !entries.contains_key(key) {
            if entries.len() >= ENTRIES_MAX {
                continue;
            }
            let mut entry = Entry::new(&item.bound, room);
            for node in room.contacts.keys().filter(|node| !is_new || **node != ask.node) {
                entry.first_contact(*node, room);
            }
            entries.insert(key.clone(), entry);
        }
        if let Some(entry) = entries.get_mut(key) {
            entry.note(ask.node, item, room);
        }
    }
    let named: BTreeSet<&Key> = ask.items.iter().map(|item| &item.bound.key).collect();
    for (key, entry) in entries.iter_mut() {
        if !named.contains(key) {
            entry.note_absent(ask.node);
        }
        if is_new {
            entry.first_contact(ask.node, room);
        }
    }
}
