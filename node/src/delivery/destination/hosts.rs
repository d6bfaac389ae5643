//! Hosts of a queue that are not to be tried for a while.

use std::net::SocketAddr;

use crate::clock::Instant;

/// Hosts remembered; a plan has fewer.
const HOSTS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Hosts {
    skipped: Vec<(SocketAddr, Instant)>,
}

impl Hosts {
    pub(super) fn skip(&mut self, hosts: &[SocketAddr], until: Instant) {
        for host in hosts {
            self.skipped.retain(|(known, _)| known != host);
            if self.skipped.len() < HOSTS_MAX {
                self.skipped.push((*host, until));
            }
        }
    }

    pub(super) fn skipped(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.skipped.retain(|(_, until)| *until > now);
        self.skipped.iter().map(|(host, _)| *host).collect()
    }

    /// Everything may work again.
    pub(super) fn clear(&mut self) {
        self.skipped.clear();
    }
}
