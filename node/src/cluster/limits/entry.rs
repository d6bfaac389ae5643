//! One limit, as its coordinator sees it: what each node may be using, and what it gets next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::coordinator::Room;
use super::fair;
use super::share;
use super::terms::{Grant, Item, LEASE_COUNTED};
use crate::clock::Instant;
use crate::delivery::limits::{Bound, Measure};
use crate::id::NodeId;

/// When there is less than one unit for each node that wants some, units go around in turns of this
/// length.
const TURN: Duration = Duration::from_secs(15);
/// A limit of which nobody wants more than its safe share for this long is not leased any more.
const CALM: Duration = Duration::from_secs(10);

/// A grant that may be in use.
#[derive(Clone, Copy, Debug)]
struct Granted {
    serial: u64,
    amount: u64,
    /// It is counted so long.
    until: Instant,
}

/// What is known of one node.
#[derive(Clone, Debug, Default)]
struct Hold {
    /// In the order in which they were made: the first one is what the node goes by, as far as is
    /// known, and the last one is what it will go by.
    grants: Vec<Granted>,
    /// What it said that it has. None when it did not name the limit: then it is the safe share.
    said: Option<u64>,
    /// Its lease takes the place of its safe share until then.
    bound_until: Option<Instant>,
    wanted: u64,
    limit: u64,
    waiting_since: Option<Instant>,
    turn_until: Option<Instant>,
    /// Of a rate: it has nothing left before then.
    busy_until: Option<Instant>,
}

impl Hold {
    /// The most that it may use under what it was granted.
    fn leased(&self, now: Instant) -> u64 {
        let live = self.grants.iter().filter(|granted| granted.until > now);
        live.map(|granted| granted.amount).max().unwrap_or(0)
    }
}

/// A limit that is leased out.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    bound: Bound,
    holds: BTreeMap<NodeId, Hold>,
    /// While learning: what each node had when it was first heard of.
    told: BTreeMap<NodeId, u64>,
    /// Of a rate that one node has at a time: the next one may begin then.
    free_at: Instant,
    calm_since: Option<Instant>,
}

impl Entry {
    pub(super) fn new(bound: &Bound, room: &Room<'_>) -> Self {
        Self {
            bound: bound.clone(),
            holds: BTreeMap::new(),
            told: BTreeMap::new(),
            // Somebody may have used it up before this coordinator was there.
            free_at: room.started + LEASE_COUNTED + gap(bound),
            calm_since: None,
        }
    }

    /// Keeps what a node may be using when it is heard of for the first time.
    pub(super) fn first_contact(&mut self, node: NodeId, room: &Room<'_>) {
        if room.learning {
            let amount = self.sure(node, room);
            self.told.entry(node).or_insert(amount);
        }
    }

    /// Takes a node's report.
    pub(super) fn note(&mut self, node: NodeId, item: &Item, room: &Room<'_>) {
        let hold = self.holds.entry(node).or_default();
        (hold.wanted, hold.limit) = (item.wanted.max(item.used), item.bound.units);
        hold.said = Some(item.amount);
        if hold.wanted == 0 {
            (hold.waiting_since, hold.turn_until) = (None, None);
        }
        let own = item.grant.filter(|(epoch, _)| *epoch == room.epoch).map(|(_, serial)| serial);
        let known = own.filter(|serial| hold.grants.iter().any(|g| g.serial == *serial));
        let least = share::least(&self.bound, room.members.len());
        let had = hold.leased(room.now) >= least;
        match known {
            Some(serial) => {
                hold.grants.retain(|granted| granted.serial >= serial);
                // The node has answered for what it was told then, and keeps to it.
                let heard = room.heard(node).map(|at| at + LEASE_COUNTED);
                hold.bound_until = hold.bound_until.max(heard);
            }
            // From another coordinator, or from before this limit was leased again.
            None => {
                hold.grants.retain(|granted| granted.serial > 0);
                let until = room.now + LEASE_COUNTED;
                hold.grants.insert(0, Granted { serial: 0, amount: item.amount, until });
            }
        }
        let busy_until = room.now + item.wait;
        let has = hold.leased(room.now) >= least;
        if has {
            hold.busy_until = Some(busy_until);
        } else if had {
            self.free_at = self.free_at.max(busy_until);
            hold.busy_until = None;
        }
        // While configurations differ, the smaller limit counts.
        let live = self.holds.iter().filter(|(node, hold)| hold.limit > 0 && room.is_live(**node));
        if let Some(units) = live.map(|(_, hold)| hold.limit).min() {
            let changed = Bound { units, ..item.bound.clone() };
            if changed != self.bound && units == item.bound.units {
                self.bound = changed;
            }
        }
    }

    /// A node has told of all its leases, and this limit was not among them.
    pub(super) fn note_absent(&mut self, node: NodeId) {
        if let Some(hold) = self.holds.get_mut(&node) {
            (hold.wanted, hold.limit, hold.said) = (0, 0, None);
            (hold.waiting_since, hold.turn_until) = (None, None);
        }
    }

    /// The most that a node may be using now.
    pub(super) fn reserved(&self, node: NodeId, room: &Room<'_>) -> u64 {
        let safe = room.safe(&self.bound, node);
        let Some(hold) = self.holds.get(&node) else { return safe };
        let leased = hold.leased(room.now);
        if hold.bound_until.is_some_and(|until| until > room.now) {
            leased
        } else {
            leased.max(safe)
        }
    }

    /// What a node has for certain, as it says itself.
    fn sure(&self, node: NodeId, room: &Room<'_>) -> u64 {
        let said = self.holds.get(&node).and_then(|hold| hold.said);
        said.unwrap_or_else(|| room.safe(&self.bound, node))
    }

    /// What `node` gets now.
    pub(super) fn grant(&mut self, node: NodeId, room: &Room<'_>, serial: &mut u64) -> Grant {
        self.lapse(room);
        let nodes = room.members.len();
        let all = share::units(&self.bound, nodes);
        let least = share::least(&self.bound, nodes);
        let current = self.reserved(node, room);
        let target = self.targets(node, room, all, least).get(&node).copied().unwrap_or(0);
        let (free, keep) = self.free(room, all);
        // What may be in use is not always there to be used: as long as that is too much, or not
        // known, nobody gets more than he says that he has.
        let has = if keep && !room.learning { current } else { self.sure(node, room).min(current) };
        let mut amount = target.min(has + free);
        if amount < least {
            amount = 0;
        }
        let sure = self.sure(node, room).min(current);
        let gathering = room.gathering && amount < sure;
        if gathering {
            amount = sure;
        }
        let wait = (share::is_exclusive(&self.bound, nodes) && current < least)
            .then(|| self.free_at.saturating_duration_since(room.now));
        let hold = self.holds.entry(node).or_default();
        let until = room.now + LEASE_COUNTED;
        if keep {
            let live = |granted: &&mut Granted| granted.until > room.now;
            hold.grants.iter_mut().filter(live).for_each(|granted| granted.until = until);
        }
        if gathering && !keep {
            return Grant { bound: self.bound.clone(), serial: 0, amount: None, keep, wait: None };
        }
        match hold.grants.last_mut() {
            Some(last) if last.amount == amount && last.serial > 0 => last.until = until,
            Some(_) | None => {
                *serial += 1;
                hold.grants.push(Granted { serial: *serial, amount, until });
            }
        }
        if !room.may_use_safe_share(node) {
            // Whatever answer brings it the right to safe shares names this lease, too.
            hold.bound_until = hold.bound_until.max(Some(until));
        }
        let serial = hold.grants.last().map_or(0, |granted| granted.serial);
        Grant { bound: self.bound.clone(), serial, amount: Some(amount), keep, wait }
    }

    /// Units that nobody may be using; and whether there is no less than that: only then do grants
    /// go on that are larger than what their holders are to have.
    fn free(&self, room: &Room<'_>, all: u64) -> (u64, bool) {
        let used: u64 = room.nodes().into_iter().map(|node| self.reserved(node, room)).sum();
        let mut free = all.saturating_sub(used);
        if room.learning {
            let told: u64 = self.told.values().sum();
            let heard: u64 = room.contacts.keys().map(|node| self.reserved(*node, room)).sum();
            free = free.min(told.saturating_sub(heard));
        }
        (free, used <= all)
    }

    /// May a node take its safe share at any time? It has the right to it, and is not known to
    /// have heard that a lease takes its place.
    fn is_free(&self, node: NodeId, room: &Room<'_>) -> bool {
        let bound_until = self.holds.get(&node).and_then(|hold| hold.bound_until);
        let bound = bound_until.is_some_and(|until| until > room.now);
        !bound && room.safe(&self.bound, node) > 0
    }

    /// What `asking` and each node that goes by its lease should have. Of the others it is kept
    /// what they may use.
    fn targets(
        &mut self,
        asking: NodeId,
        room: &Room<'_>,
        all: u64,
        least: u64,
    ) -> BTreeMap<NodeId, u64> {
        let live: Vec<NodeId> =
            room.members.iter().copied().filter(|node| room.is_live(*node)).collect();
        if let Some(safe) = self.calm(&live, room, all) {
            return safe;
        }
        let takes_part = |node: &NodeId| *node == asking || !self.is_free(*node, room);
        let live: Vec<NodeId> = live.into_iter().filter(takes_part).collect();
        let others: Vec<NodeId> = room.nodes().into_iter().filter(|n| !live.contains(n)).collect();
        let kept: u64 = others.iter().map(|node| self.reserved(*node, room)).sum();
        let mut all = all.saturating_sub(kept);
        if room.learning {
            let heard = others.iter().filter(|node| room.contacts.contains_key(node));
            let kept: u64 = heard.map(|node| self.reserved(*node, room)).sum();
            all = all.min(self.told.values().sum::<u64>().saturating_sub(kept));
        }
        let wanted = |node| self.holds.get(&node).map_or(0, |hold| hold.wanted.min(all));
        let wants: BTreeMap<NodeId, u64> = live.iter().map(|n| (*n, wanted(*n))).collect();
        let wishing = wants.values().filter(|want| **want > 0).count() as u64;
        if all >= least.saturating_mul(wishing) {
            return fair::divide(all, least, &wants);
        }
        let chosen = self.turns(room, &wants, all / least.max(1));
        let wants = wants.into_iter().filter(|(node, _)| chosen.contains(node)).collect();
        fair::divide(all, least, &wants)
    }

    /// The safe shares of all nodes, if nobody wants more than that and they are there to be had.
    fn calm(
        &mut self,
        live: &[NodeId],
        room: &Room<'_>,
        all: u64,
    ) -> Option<BTreeMap<NodeId, u64>> {
        let silent = room.nodes().into_iter().filter(|node| !live.contains(node));
        let kept: u64 = silent.map(|node| self.reserved(node, room)).sum();
        let share = |node: &NodeId| (*node, room.safe(&self.bound, *node));
        let safe: BTreeMap<NodeId, u64> = live.iter().map(share).collect();
        let wanted = |node| self.holds.get(node).map_or(0, |hold| hold.wanted);
        let is_calm = safe.iter().all(|(node, share)| wanted(node) <= *share)
            && kept + safe.values().sum::<u64>() <= all;
        if !is_calm {
            self.calm_since = None;
            return None;
        }
        self.calm_since.get_or_insert(room.now);
        Some(safe)
    }

    /// Which nodes have their turn, when there is only something for `places` of them.
    fn turns(
        &mut self,
        room: &Room<'_>,
        wants: &BTreeMap<NodeId, u64>,
        places: u64,
    ) -> Vec<NodeId> {
        let now = room.now;
        let turn = TURN.max(gap(&self.bound) * 3);
        let wishing = wants.iter().filter(|(_, want)| **want > 0).map(|(node, _)| *node);
        let wishing: Vec<NodeId> = wishing.collect();
        let mut chosen = Vec::new();
        for node in &wishing {
            let hold = self.holds.entry(*node).or_default();
            match hold.turn_until {
                Some(until) if until > now => chosen.push((until, *node)),
                Some(_) => (hold.turn_until, hold.waiting_since) = (None, Some(now)),
                None => _ = hold.waiting_since.get_or_insert(now),
            }
        }
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        chosen.sort_unstable();
        chosen.truncate(places);
        let waits = |node: &NodeId| self.holds.get(node).and_then(|hold| hold.waiting_since);
        let mut waiting: Vec<(Instant, NodeId)> = wishing
            .iter()
            .filter(|node| !chosen.iter().any(|(_, other)| other == *node))
            .filter_map(|node| Some((waits(node)?, *node)))
            .collect();
        waiting.sort_unstable();
        for (_, node) in waiting.into_iter().take(places - chosen.len()) {
            let hold = self.holds.entry(node).or_default();
            (hold.turn_until, hold.waiting_since) = (Some(now + turn), None);
            chosen.push((now + turn, node));
        }
        chosen.into_iter().map(|(_, node)| node).collect()
    }

    /// Takes note of leases that have run out: whoever had the rate may have used it to the end.
    fn lapse(&mut self, room: &Room<'_>) {
        let least = share::least(&self.bound, room.members.len());
        let gap = gap(&self.bound);
        let nodes = room.nodes();
        self.holds.retain(|node, hold| nodes.contains(node) || hold.leased(room.now) > 0);
        for hold in self.holds.values_mut() {
            if hold.busy_until.is_some() && hold.leased(room.now) < least {
                let ended = hold.grants.iter().map(|granted| granted.until).max();
                self.free_at = self.free_at.max(ended.unwrap_or(room.now) + gap);
                hold.busy_until = None;
            }
            if hold.grants.len() > 1 {
                hold.grants.retain(|granted| granted.until > room.now);
            }
        }
    }

    /// Does every node use no more than its safe share, and has for a while?
    pub(super) fn is_over(&self, room: &Room<'_>) -> bool {
        let calm = self.calm_since.is_some_and(|since| since + CALM <= room.now);
        let within =
            |(node, hold): (&NodeId, &Hold)| hold.leased(room.now) <= room.safe(&self.bound, *node);
        let exclusive = share::is_exclusive(&self.bound, room.members.len());
        let spent = exclusive && self.free_at > room.now;
        calm && !room.learning && !spent && self.holds.iter().all(within)
    }
}

const fn gap(bound: &Bound) -> Duration {
    match bound.measure {
        Measure::Places => Duration::ZERO,
        Measure::Events { gap, .. } => gap,
    }
}
