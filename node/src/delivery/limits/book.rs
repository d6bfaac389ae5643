//! What is in use here of every limit of the cluster, and who waits for more of it.
//!
//! How much may be in use, [`Shared`] says. Connections that wait get their turn in the order in
//! which they came; those that are too many when a share shrinks are asked to end, newest first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bound::{Bound, Key};
use super::recall::{Recall, Stage};
use super::shared::{Share, Shared, Usage, WISH};
use crate::clock::Instant;
use crate::delivery::rate::Pace;

/// How long events are counted to tell what a queue needs.
const WINDOW: Duration = Duration::from_secs(4);
/// A queue whose share of a rate is nothing asks again after this time.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// A queue that waits for a rate says so again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(2);
/// A pace that has not been used for so long, and owes nothing, is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// All limits in use.
#[derive(Debug)]
pub(super) struct Book {
    shared: Arc<dyn Shared>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    places: HashMap<Key, Places>,
    paces: HashMap<Key, Paced>,
    next: u64,
}

/// A limit on connections.
#[derive(Debug)]
struct Places {
    bound: Bound,
    /// Connections that have a place, oldest first.
    taken: BTreeMap<u64, Arc<Recall>>,
    waiting: VecDeque<oneshot::Sender<()>>,
    /// How many more could be used by who waits.
    more: u64,
}

impl Places {
    fn usage(&mut self) -> Usage {
        self.waiting.retain(|waiter| !waiter.is_closed());
        let used = self.taken.len() as u64;
        let waiting = self.waiting.len() as u64;
        let more = if waiting == 0 { 0 } else { waiting.max(self.more) };
        Usage { used, wanted: used + more, wanted_until: None, busy_until: None }
    }

    fn share(&mut self, shared: &dyn Shared, now: Instant) -> Share {
        let usage = self.usage();
        shared.share(&self.bound, usage, now)
    }

    /// Asks for places back, or gives free ones away.
    fn settle(&mut self, shared: &dyn Shared, now: Instant) {
        let share = self.share(shared, now);
        let used = self.taken.len() as u64;
        let beyond = |limit: u64| usize::try_from(used.saturating_sub(limit)).unwrap_or(usize::MAX);
        for recall in self.taken.values().rev().take(beyond(share.units)) {
            recall.raise(Stage::Finish);
        }
        for recall in self.taken.values().rev().take(beyond(share.held)) {
            recall.raise(Stage::Stop);
        }
        let mut free = share.units.saturating_sub(used);
        while free > 0
            && let Some(waiter) = self.waiting.pop_front()
        {
            free -= u64::from(waiter.send(()).is_ok());
        }
    }
}

/// A limit on events.
#[derive(Debug)]
struct Paced {
    pace: Pace,
    since: Instant,
    events: u64,
    last_used: Instant,
}

impl Paced {
    /// Events per period of `bound` that were taken lately, and a quarter more.
    fn need(&mut self, bound: &Bound, now: Instant) -> u64 {
        let watched = now.saturating_duration_since(self.since);
        let scale = bound.period.as_secs_f64() / watched.max(WINDOW).as_secs_f64();
        let need = super::precise(self.events) * scale * 1.25;
        if watched > WINDOW * 2 {
            (self.since, self.events) = (now.checked_sub(WINDOW).unwrap_or(now), self.events / 2);
        }
        let most = super::precise(bound.units);
        whole(need.min(most)).saturating_add(bound.step()).min(bound.units)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between nothing and a limit of the configuration"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

/// A place among the connections of a limit; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    book: Arc<Book>,
    key: Key,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.book.release(&self.key, self.number);
    }
}

impl Book {
    pub(super) fn new(shared: Arc<dyn Shared>) -> Self {
        Self { shared, lines: Mutex::default() }
    }

    pub(super) fn shared(&self) -> &dyn Shared {
        &*self.shared
    }

    /// Takes a place of each limit, or none. When one has no place left, gives what resolves when
    /// there may be one. `more` is how many places could be used, this one included.
    pub(super) fn take(
        self: &Arc<Self>,
        bounds: &[Bound],
        recall: &Arc<Recall>,
        more: u64,
        now: Instant,
    ) -> Result<Vec<Place>, oneshot::Receiver<()>> {
        let mut lines = self.lines.lock();
        if let Some(full) = bounds.iter().find(|bound| !lines.has_place(bound, &*self.shared, now))
        {
            return Err(lines.wait(full, more, &*self.shared, now));
        }
        Ok(bounds.iter().map(|bound| self.enter(&mut lines, bound, recall, now)).collect())
    }

    /// The same, without waiting.
    pub(super) fn try_take(
        self: &Arc<Self>,
        bounds: &[Bound],
        recall: &Arc<Recall>,
        now: Instant,
    ) -> Option<Vec<Place>> {
        let mut lines = self.lines.lock();
        if bounds.iter().all(|bound| lines.has_place(bound, &*self.shared, now)) {
            let taken = bounds.iter().map(|bound| self.enter(&mut lines, bound, recall, now));
            return Some(taken.collect());
        }
        None
    }

    fn enter(
        self: &Arc<Self>,
        lines: &mut Lines,
        bound: &Bound,
        recall: &Arc<Recall>,
        now: Instant,
    ) -> Place {
        lines.next += 1;
        let number = lines.next;
        let places = lines.places(bound);
        places.taken.insert(number, Arc::clone(recall));
        places.share(&*self.shared, now);
        Place { book: Arc::clone(self), key: bound.key.clone(), number }
    }

    fn release(&self, key: &Key, number: u64) {
        let now = crate::clock::monotonic();
        let mut lines = self.lines.lock();
        let Some(places) = lines.places.get_mut(key) else { return };
        places.taken.remove(&number);
        places.settle(&*self.shared, now);
        if places.taken.is_empty() && places.waiting.is_empty() {
            lines.places.remove(key);
        }
    }

    /// Takes `events` of each limit, or says when that may be tried again.
    pub(super) fn spend(&self, bounds: &[Bound], events: u32, now: Instant) -> Result<(), Instant> {
        let mut lines = self.lines.lock();
        for bound in bounds {
            if let Err(when) = lines.ready(bound, &*self.shared, now) {
                let wish = Usage {
                    used: 0,
                    wanted: bound.units,
                    wanted_until: Some(now + WISH),
                    busy_until: None,
                };
                let share = self.shared.share(bound, wish, now);
                // Who shares with others has to say again and again that it wants more.
                let alone = share.units >= bound.units;
                return Err(if alone { when } else { when.min(now + SAY_AGAIN) });
            }
        }
        for bound in bounds {
            let Some(paced) = lines.paces.get_mut(&bound.key) else { continue };
            paced.pace.charge(events, now);
            paced.events += u64::from(events);
            paced.last_used = now;
            let usage = Usage {
                used: 0,
                wanted: paced.need(bound, now),
                wanted_until: Some(now + WISH),
                busy_until: Some(paced.pace.next()),
            };
            self.shared.share(bound, usage, now);
        }
        Ok(())
    }

    /// Does what changed shares ask for.
    pub(super) fn settle(&self, now: Instant) {
        let mut lines = self.lines.lock();
        for places in lines.places.values_mut() {
            places.settle(&*self.shared, now);
        }
        lines.places.retain(|_, places| !places.taken.is_empty() || !places.waiting.is_empty());
        let in_use =
            |paced: &Paced| paced.pace.next() > now || paced.last_used + FORGET_AFTER > now;
        lines.paces.retain(|_, paced| in_use(paced));
    }

    /// Looks at one limit anew.
    pub(super) fn look(&self, key: &Key, now: Instant) {
        if let Some(places) = self.lines.lock().places.get_mut(key) {
            places.settle(&*self.shared, now);
        }
    }
}

impl Place {
    /// Looks at the limit anew: whoever has to go knows it then.
    pub(super) fn look(&self, now: Instant) {
        self.book.look(&self.key, now);
    }

    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.key == *key
    }
}

impl Lines {
    fn places(&mut self, bound: &Bound) -> &mut Places {
        let places = self.places.entry(bound.key.clone()).or_insert_with(|| Places {
            bound: bound.clone(),
            taken: BTreeMap::new(),
            waiting: VecDeque::new(),
            more: 0,
        });
        if places.bound != *bound {
            places.bound = bound.clone();
        }
        places
    }

    fn has_place(&mut self, bound: &Bound, shared: &dyn Shared, now: Instant) -> bool {
        let places = self.places(bound);
        places.share(shared, now).units > places.taken.len() as u64
    }

    fn wait(
        &mut self,
        bound: &Bound,
        more: u64,
        shared: &dyn Shared,
        now: Instant,
    ) -> oneshot::Receiver<()> {
        let (waiter, place) = oneshot::channel();
        let places = self.places(bound);
        places.waiting.push_back(waiter);
        places.more = more;
        places.share(shared, now);
        place
    }

    /// May an event of this limit go now? Else when.
    fn ready(&mut self, bound: &Bound, shared: &dyn Shared, now: Instant) -> Result<(), Instant> {
        let known = self.paces.get_mut(&bound.key);
        let need = known.map_or(0, |paced| paced.need(bound, now));
        let wanted = need.max(bound.step());
        let usage = Usage { used: 0, wanted, wanted_until: Some(now + WISH), busy_until: None };
        let share = shared.share(bound, usage, now);
        let Some(rate) = bound.pace(share.units) else { return Err(now + AGAIN_AFTER) };
        let paced = self.paces.entry(bound.key.clone()).or_insert_with(|| Paced {
            pace: Pace::new(rate, now),
            since: now,
            events: 0,
            last_used: now,
        });
        paced.pace.set_rate(rate, now);
        if let Some(at) = share.ready_at {
            paced.pace.hold_until(at);
        }
        paced.pace.ready(now)
    }
}
