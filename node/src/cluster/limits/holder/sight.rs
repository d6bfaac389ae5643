//! What is shown of a holder, and what it forgets.

use super::*;

impl Holder {
    /// Forgets what nobody uses. To be called now and then.
    pub fn tidy(&mut self, now: Instant) {
        let keys: Vec<Key> = self.records.iter().map(key).collect();
        for key in &keys {
            self.look(key, now);
        }
        self.records.retain(|_, record| {
            let later = |at: Option<Instant>| at.is_some_and(|at| at > now);
            record.lease.is_some()
                || record.used > 0
                || later(record.ready_at())
                || later(record.busy_until)
                || record.touched + FORGET_AFTER > now
        });
    }

    /// All limits that are in use here or leased, by name.
    #[must_use]
    pub fn sights(&self, now: Instant) -> Vec<Sight> {
        let sight = |record: &Record| Sight {
            key: record.bound.key.clone(),
            limit: record.bound.units,
            period: record.bound.period,
            granted: if self.is_alone() {
                record.bound.units
            } else {
                self.allowed(record, now).open
            },
            used: record.used,
            group: record.group,
            state: self.state(record, now),
        };
        let mut sights: Vec<Sight> = self.records.values().map(sight).collect();
        sights.sort_by(|a, b| a.key.cmp(&b.key));
        sights
    }

    fn state(&self, record: &Record, now: Instant) -> State {
        let link = self.links.get(&record.group);
        let live = |lease: Lease| now < lease.until.max(lease.next.map_or(now, |next| next.until));
        let has_right = link.and_then(|link| link.right.as_ref());
        let has_right = has_right.is_some_and(|r| r.until.is_none_or(|until| until > now));
        match record.lease {
            _ if self.is_alone() => State::Alone,
            Some(lease) if live(lease) && link.is_some_and(|link| link.learning) => State::Learning,
            Some(lease) if live(lease) => State::Granted,
            Some(_) | None if has_right => State::SafeShare,
            Some(_) | None => State::Nothing,
        }
    }
}
