//! Limits on connections that many queues share: `total-max-smtp-out`, and `max-smtp-out` of a
//! virtual MTA. Waiters get their turn in the order in which they came.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;

/// A limit that can change while permits are out.
#[derive(Debug)]
struct Gate {
    semaphore: Arc<Semaphore>,
    size: usize,
    /// Permits that are out beyond the size: they are dropped as they come back.
    excess: usize,
}

impl Gate {
    fn new(size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { semaphore: Arc::new(Semaphore::new(size)), size, excess: 0 }
    }

    fn resize(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        if size >= self.size {
            let more = size - self.size;
            let forgiven = more.min(self.excess);
            self.excess -= forgiven;
            self.semaphore.add_permits(more - forgiven);
        } else {
            self.excess += self.size - size;
        }
        self.size = size;
        self.settle();
    }

    /// Drops free permits that should not exist.
    fn settle(&mut self) {
        self.excess -= self.semaphore.forget_permits(self.excess);
    }
}

/// The right to one connection; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _total: OwnedSemaphorePermit,
    _vmta: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Gates {
    total: Gate,
    vmtas: HashMap<String, Gate>,
}

/// All shared limits of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    gates: Mutex<Gates>,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let gates =
            Gates { total: Gate::new(config.server.total_max_smtp_out), vmtas: HashMap::new() };
        let limits = Self { gates: Mutex::new(gates) };
        limits.reconfigure(config);
        limits
    }

    /// Takes the limits of a new configuration; connections beyond them are left to end.
    pub(crate) fn reconfigure(&self, config: &Config) {
        let mut gates = self.gates.lock();
        gates.total.resize(config.server.total_max_smtp_out);
        gates.vmtas.retain(|name, _| {
            config.vmtas.get(name).is_some_and(|vmta| vmta.max_smtp_out.is_some())
        });
        for (name, vmta) in &config.vmtas {
            let Some(size) = vmta.max_smtp_out else { continue };
            let gate = gates.vmtas.entry(name.clone()).or_insert_with(|| Gate::new(size));
            gate.resize(size);
        }
    }

    /// Waits for the right to a connection of `vmta`. None when the node stops.
    pub(crate) async fn acquire(&self, vmta: &str) -> Option<Permit> {
        let (total, of_vmta) = {
            let mut gates = self.gates.lock();
            gates.total.settle();
            let of_vmta = gates.vmtas.get_mut(vmta).map(|gate| {
                gate.settle();
                Arc::clone(&gate.semaphore)
            });
            (Arc::clone(&gates.total.semaphore), of_vmta)
        };
        // Always in this order: nobody holds the scarcer right while waiting for the other.
        let of_vmta = match of_vmta {
            Some(semaphore) => Some(semaphore.acquire_owned().await.ok()?),
            None => None,
        };
        Some(Permit { _total: total.acquire_owned().await.ok()?, _vmta: of_vmta })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn config(total: u32, vmta: u32) -> Config {
        let text = format!(
            "total-max-smtp-out {total}\n<virtual-mta v>\nmax-smtp-out {vmta}\n</virtual-mta>\n"
        );
        Config::from_text(&text).unwrap()
    }

    fn now(limits: &Limits, vmta: &str) -> Option<Permit> {
        limits.acquire(vmta).now_or_never().flatten()
    }

    #[test]
    fn both_limits_hold_and_permits_come_back() {
        let limits = Limits::new(&config(3, 2));
        let held: Vec<_> = (0..2).map(|_| now(&limits, "v").unwrap()).collect();
        assert!(now(&limits, "v").is_none(), "the virtual MTA is at its limit");
        let other = now(&limits, "w").unwrap();
        assert!(now(&limits, "w").is_none(), "the node is at its limit");
        drop(held);
        assert!(now(&limits, "v").is_some());
        drop(other);
    }

    #[test]
    fn a_lower_limit_takes_effect_as_connections_end() {
        let limits = Limits::new(&config(10, 10));
        let mut held: Vec<_> = (0..3).map(|_| now(&limits, "v").unwrap()).collect();
        limits.reconfigure(&config(10, 1));
        assert!(now(&limits, "v").is_none());
        held.truncate(1);
        assert!(now(&limits, "v").is_none(), "one is still out");
        held.clear();
        let one = now(&limits, "v").unwrap();
        assert!(now(&limits, "v").is_none());
        limits.reconfigure(&config(10, 2));
        assert!(now(&limits, "v").is_some());
        drop(one);
    }
}
