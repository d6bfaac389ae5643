//! What this node may use of the limits of the cluster, and what it says about them.
//!
//! A pure state machine: time is an argument, and its clock is this node's monotonic one.

mod sight;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::share;
use super::terms::{Answer, Ask, GIVEN_BACK, Grant, Item, LEASE, RIGHT};
use crate::clock::Instant;
use crate::delivery::limits::{Bound, Key, Measure, Share, Usage};
use crate::id::{GroupId, NodeId};

/// A limit that nobody has used for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// How a node stands to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is the only member.
    Alone,
    /// It has a lease.
    Granted,
    /// It has a lease of a coordinator that does not know yet what others have.
    Learning,
    /// It uses its part of the limit without asking.
    SafeShare,
    /// It has heard of no coordinator for so long that it may use nothing.
    Nothing,
}

/// A limit, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which limit.
    pub key: Key,
    /// All units of the cluster.
    pub limit: u64,
    /// Length of the period of a rate; zero for connections.
    pub period: Duration,
    /// What this node may use.
    pub granted: u64,
    /// Connections in use.
    pub used: u64,
    /// The group whose leader coordinates it.
    pub group: GroupId,
    /// How this node stands to it.
    pub state: State,
}

/// The right to safe shares.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    members: Vec<NodeId>,
    /// Other members that the node has gone by since: its share is the smallest of all.
    also: Vec<Vec<NodeId>>,
    /// None while the node is alone.
    until: Option<Instant>,
    /// When the node got it; None when it has had it from the beginning.
    since: Option<Instant>,
}

/// What is between this node and the coordinator of one group.
#[derive(Clone, Debug, Default)]
struct Link {
    epoch: u64,
    number: u64,
    heard: u64,
    right: Option<Right>,
    learning: bool,
}

/// A lease.
#[derive(Clone, Copy, Debug)]
struct Lease {
    epoch: u64,
    serial: u64,
    amount: u64,
    until: Instant,
    /// A smaller one, which takes effect once no more than that is in use.
    next: Option<Smaller>,
    /// The safe share is this node's again then.
    back_at: Instant,
}

/// A lease that waits until no more than that is in use.
#[derive(Clone, Copy, Debug)]
struct Smaller {
    epoch: u64,
    serial: u64,
    amount: u64,
    until: Instant,
}

#[derive(Clone, Debug)]
struct Record {
    bound: Bound,
    group: GroupId,
    used: u64,
    wanted: u64,
    wanted_until: Option<Instant>,
    busy_until: Option<Instant>,
    lease: Option<Lease>,
    /// What was wanted in the last ask.
    asked: u64,
    touched: Instant,
    /// There were too few units for anything when it was last looked at.
    low: bool,
    /// The first event of a rate after that.
    ready_at: Option<Instant>,
    /// The first event of a rate that another node had before.
    barred_until: Option<Instant>,
}

impl Record {
    fn ready_at(&self) -> Option<Instant> {
        self.ready_at.max(self.barred_until)
    }

    fn wanted(&self, now: Instant) -> u64 {
        let fresh = self.wanted_until.is_none_or(|until| until > now);
        if fresh { self.wanted.max(self.used) } else { self.used }
    }
}

/// What a node may do at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    open: u64,
    held: u64,
}

/// The limits of this node.
#[derive(Clone, Debug)]
pub struct Holder {
    me: NodeId,
    incarnation: u64,
    partitions: u32,
    members: Vec<NodeId>,
    links: BTreeMap<GroupId, Link>,
    records: HashMap<Key, Record>,
    /// Somebody waits for more, or others may have more.
    urgent: bool,
}

impl Holder {
    /// A node that knows the cluster as `members`. `incarnation` is drawn at its start.
    #[must_use]
    pub fn new(me: NodeId, incarnation: u64, partitions: u32, members: Vec<NodeId>) -> Self {
        let groups = (0..partitions).map(GroupId::partition);
        let mut holder = Self {
            me,
            incarnation,
            partitions,
            members,
            links: groups.map(|group| (group, Link::default())).collect(),
            records: HashMap::new(),
            urgent: false,
        };
        if holder.is_alone() {
            let right = Right { members: vec![me], also: Vec::new(), until: None, since: None };
            holder.links.values_mut().for_each(|link| link.right = Some(right.clone()));
        }
        holder
    }

    /// Is nobody else a member?
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.members == [self.me]
    }

    /// Takes the members as they are known here now.
    pub fn set_members(&mut self, members: Vec<NodeId>, now: Instant) {
        if self.members == members {
            return;
        }
        self.members = members;
        let alone = self.is_alone();
        for link in self.links.values_mut() {
            if alone {
                // With the last other member, whatever it held is gone.
                let members = vec![self.me];
                let (also, until, since) = (Vec::new(), None, Some(now));
                link.right = Some(Right { members, also, until, since });
            } else if let Some(right) = &mut link.right {
                right.until.get_or_insert(now + RIGHT);
                if right.members != self.members && !right.also.contains(&self.members) {
                    right.also.push(self.members.clone());
                }
            }
        }
    }

    /// The group whose leader coordinates a limit.
    fn group(&self, key: &Key) -> GroupId {
        let groups = u64::from(self.partitions.max(1));
        let number = share::hash(key.as_str()) % groups;
        GroupId::partition(u32::try_from(number).unwrap_or(0))
    }

    /// What may be used of `bound` now. Takes note of what it is used for.
    pub fn share(&mut self, bound: &Bound, usage: Usage, now: Instant) -> Share {
        if !self.records.contains_key(&bound.key) {
            let record = self.fresh(bound, now);
            self.records.insert(bound.key.clone(), record);
        }
        let alone = self.is_alone();
        let Some(record) = self.records.get_mut(&bound.key) else {
            return Share { units: 0, held: 0, ready_at: None };
        };
        if record.bound != *bound {
            record.bound = bound.clone();
        }
        (record.used, record.wanted) = (usage.used, usage.wanted);
        record.wanted_until = usage.wanted_until;
        record.busy_until = usage.busy_until.or(record.busy_until);
        record.touched = now;
        if alone {
            return Share { units: bound.units, held: u64::MAX, ready_at: record.ready_at() };
        }
        self.urgent |= adopt(record);
        let allowed = self.look(&bound.key, now);
        let Some(record) = self.records.get(&bound.key) else {
            return Share { units: 0, held: 0, ready_at: None };
        };
        let wanted = record.wanted(now);
        self.urgent |= wanted > allowed.open && wanted > record.asked;
        Share { units: allowed.open, held: allowed.held, ready_at: record.ready_at() }
    }

    fn fresh(&self, bound: &Bound, now: Instant) -> Record {
        let group = self.group(&bound.key);
        let mut record = Record {
            bound: bound.clone(),
            group,
            used: 0,
            wanted: 0,
            wanted_until: None,
            busy_until: None,
            lease: None,
            asked: 0,
            touched: now,
            low: false,
            ready_at: None,
            barred_until: None,
        };
        let safe = self.safe(&record, now);
        record.low = safe < bound_step(bound);
        let since = self.links.get(&group).and_then(|link| link.right.as_ref()?.since);
        record.ready_at = since.map(|since| since + first_gap(bound, safe));
        record
    }

    /// Its part of a limit that nobody has leased out.
    fn safe(&self, record: &Record, now: Instant) -> u64 {
        let link = self.links.get(&record.group);
        let right = link.and_then(|link| link.right.as_ref());
        let right = right.filter(|right| right.until.is_none_or(|until| until > now));
        right.map_or(0, |right| {
            let all = right.also.iter().chain([&right.members, &self.members]);
            let shares = all.map(|members| share::safe(&record.bound, members, self.me));
            shares.min().unwrap_or(0)
        })
    }

    fn allowed(&self, record: &Record, now: Instant) -> Allowed {
        let Allowed { open, held } = self.leased(record, now);
        // A lease may be from before the configuration became stricter.
        Allowed { open: open.min(record.bound.units), held }
    }

    fn leased(&self, record: &Record, now: Instant) -> Allowed {
        let safe = self.safe(record, now);
        let Some(lease) = record.lease else { return Allowed { open: safe, held: safe } };
        let (latest, latest_until) = match lease.next {
            Some(next) => (next.amount, next.until),
            None => (lease.amount, lease.until),
        };
        if now < lease.until {
            return Allowed { open: latest.min(lease.amount), held: lease.amount };
        }
        let open = if now < latest_until {
            latest
        } else if now < lease.back_at {
            latest.min(safe)
        } else {
            safe
        };
        Allowed { open, held: open }
    }

    /// What is allowed now, with what follows from it for the first event of a rate.
    fn look(&mut self, key: &Key, now: Instant) -> Allowed {
        let Some(record) = self.records.get(key) else { return Allowed { open: 0, held: 0 } };
        let allowed = self.allowed(record, now);
        let low = allowed.open < bound_step(&record.bound);
        let gap = first_gap(&record.bound, allowed.open);
        let Some(record) = self.records.get_mut(key) else { return allowed };
        if record.low && !low {
            record.ready_at = Some(now + gap);
        }
        // With a larger share it has saved up for the first step sooner.
        record.ready_at = record.ready_at.map(|at| if low { at } else { at.min(now + gap) });
        record.low = low;
        let over = |lease: Lease| lease.back_at <= now && lease.until <= now;
        if record.lease.is_some_and(over) {
            record.lease = None;
        }
        allowed
    }

    /// Is there something that should not wait for the next second? Asking ends it.
    pub fn is_urgent(&mut self) -> bool {
        std::mem::take(&mut self.urgent)
    }

    /// Does anybody want more than there is?
    #[must_use]
    pub fn is_short(&self, now: Instant) -> bool {
        let short = |record: &Record| record.wanted(now) > self.allowed(record, now).open;
        !self.is_alone() && self.records.values().any(short)
    }

    /// What to say to the coordinator of `group`. None when the node is alone.
    pub fn ask(&mut self, group: GroupId, now: Instant) -> Option<Ask> {
        if self.is_alone() {
            return None;
        }
        let keys: Vec<Key> =
            self.records.iter().filter(|(_, r)| r.group == group).map(key).collect();
        let mut items = Vec::new();
        for key in keys {
            let allowed = self.look(&key, now);
            let Some(record) = self.records.get_mut(&key) else { continue };
            let wanted = record.wanted(now);
            record.asked = wanted;
            if record.lease.is_none() && wanted <= allowed.open {
                continue;
            }
            let wait = record.busy_until.map(|at| at.saturating_duration_since(now));
            items.push(Item {
                bound: record.bound.clone(),
                amount: allowed.held.max(record.used),
                grant: record.lease.map(|lease| (lease.epoch, lease.serial)),
                used: record.used,
                wanted,
                wait: wait.unwrap_or_default(),
            });
        }
        // What is leased must be told; wishes may be too many to tell.
        items.sort_by_key(|item| item.grant.is_none());
        let link = self.links.get_mut(&group)?;
        link.number += 1;
        let right = link.right.as_ref().filter(|right| right.until.is_none_or(|until| until > now));
        Some(Ask {
            node: self.me,
            incarnation: self.incarnation,
            number: link.number,
            heard: link.heard,
            epoch: link.epoch,
            members: self.members.clone(),
            right: right.map(|right| right.members.clone()),
            items,
        })
    }

    /// Takes the answer to an ask that was sent at `sent`. False when it says nothing any more.
    pub fn answer(&mut self, group: GroupId, answer: &Answer, sent: Instant, now: Instant) -> bool {
        let Some(link) = self.links.get_mut(&group) else { return false };
        if answer.epoch < link.epoch || answer.number != link.number || self.members == [self.me] {
            return false;
        }
        (link.epoch, link.heard, link.learning) = (answer.epoch, answer.number, answer.learning);
        if let Some(members) = &answer.right {
            let had = link.right.take();
            let had = had.filter(|right| right.until.is_none_or(|until| until > now));
            let (also, since) = had.map_or((Vec::new(), Some(now)), |had| (had.also, had.since));
            let also = if answer.settled { Vec::new() } else { also };
            let until = Some(sent + RIGHT);
            link.right = Some(Right { members: members.clone(), also, until, since });
        }
        for grant in &answer.grants {
            self.take(group, answer.epoch, grant, sent, now);
        }
        let named = |key: &Key| answer.grants.iter().any(|grant| grant.bound.key == *key);
        let over: Vec<Key> = self
            .records
            .iter()
            .filter(|(_, r)| r.group == group && r.lease.is_some_and(|l| l.epoch == answer.epoch))
            .map(key)
            .filter(|key| !named(key))
            .collect();
        for key in over {
            if let Some(record) = self.records.get_mut(&key) {
                record.lease = None;
            }
            self.look(&key, now);
        }
        true
    }

    fn take(&mut self, group: GroupId, epoch: u64, grant: &Grant, sent: Instant, now: Instant) {
        let key = &grant.bound.key;
        if !self.records.contains_key(key) {
            let mut record = self.fresh(&grant.bound, now);
            record.group = group;
            self.records.insert(key.clone(), record);
        }
        self.look(key, now);
        let Some(record) = self.records.get(key) else { return };
        let held = self.allowed(record, now).held;
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(amount) = grant.amount else {
            if let Some(lease) = &mut record.lease {
                lease.back_at = now + GIVEN_BACK;
            }
            return;
        };
        let (serial, until, back_at) = (grant.serial, sent + LEASE, now + GIVEN_BACK);
        if amount >= record.used {
            self.urgent |= amount < held;
            record.lease = Some(Lease { epoch, serial, amount, until, next: None, back_at });
        } else {
            let old = record.lease;
            let old_until = match old {
                Some(lease) if !grant.keep => lease.until,
                Some(_) | None => until,
            };
            // The new lease counts once the old use has gone; till then it is not confirmed.
            record.lease = Some(Lease {
                epoch: old.map_or(0, |lease| lease.epoch),
                serial: old.map_or(0, |lease| lease.serial),
                amount: held,
                until: old_until,
                next: Some(Smaller { epoch, serial, amount, until }),
                back_at,
            });
        }
        let was_low = record.low;
        self.look(key, now);
        let Some(record) = self.records.get_mut(key) else { return };
        if was_low
            && !record.low
            && let Some(wait) = grant.wait
        {
            (record.ready_at, record.barred_until) = (None, Some(now + wait));
        }
    }
}

/// Lets a smaller lease take effect once no more than that is in use. True when it did.
fn adopt(record: &mut Record) -> bool {
    let used = record.used;
    let Some(lease) = &mut record.lease else { return false };
    match lease.next {
        Some(Smaller { epoch, serial, amount, until }) if used <= amount => {
            let back_at = lease.back_at;
            *lease = Lease { epoch, serial, amount, until, next: None, back_at };
            true
        }
        Some(_) | None => false,
    }
}

fn key<T>((key, _): (&Key, T)) -> Key {
    key.clone()
}

/// Fewer units are of no use.
const fn bound_step(bound: &Bound) -> u64 {
    match bound.measure {
        Measure::Places => 1,
        Measure::Events { step, .. } => step,
    }
}

/// How long a node that begins with `share` units of a rate waits for its first event: it may
/// not bring along what it did not save.
fn first_gap(bound: &Bound, share: u64) -> Duration {
    match (bound.pace(share), bound.measure) {
        (Some(pace), Measure::Events { step, .. }) => {
            let part = u32::try_from(step).unwrap_or(u32::MAX);
            let events = u32::try_from(pace.events).unwrap_or(u32::MAX);
            pace.period.saturating_mul(part) / events.max(1)
        }
        (_, Measure::Events { .. } | Measure::Places) => Duration::ZERO,
    }
}
