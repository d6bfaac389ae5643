//! Looks up what a route needs and puts it in order.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::{Candidate, Hop, RouteError, Sender, Target, graver};
use crate::dns::{DnsError, Mx, Resolve};

/// Mail exchangers of one domain that are looked at.
const HOSTS_MAX: usize = 10;

/// One plan being made.
pub(super) struct Planner<'a> {
    pub(super) resolver: &'a dyn Resolve,
    pub(super) sender: &'a Sender,
    pub(super) rng: StdRng,
}

impl Planner<'_> {
    pub(super) async fn hop(&mut self, hop: &Hop) -> Result<Vec<Candidate>, RouteError> {
        match &hop.target {
            Target::Address(address) => {
                let address = SocketAddr::new(*address, hop.port);
                Ok(vec![Candidate { host: address.ip().to_string(), address, preference: 0 }])
            }
            Target::Host(host) => {
                let addresses = self.resolver.addresses(host.clone()).await?;
                self.candidates(host, 0, addresses, hop.port)
            }
            Target::Mx(domain) => self.mx(domain, hop.port).await,
        }
    }

    pub(super) fn literal(&self, address: SocketAddr) -> Result<Vec<Candidate>, RouteError> {
        if self.sender.sockets.contains(&address) {
            return Err(RouteError::Loop);
        }
        Ok(vec![Candidate { host: address.ip().to_string(), address, preference: 0 }])
    }

    pub(super) async fn mx(
        &mut self,
        domain: &str,
        port: u16,
    ) -> Result<Vec<Candidate>, RouteError> {
        let mut records = match self.resolver.mx(domain.to_owned()).await {
            Ok(records) => records,
            // The implicit MX: the domain itself.
            Err(DnsError::NoRecords) => {
                vec![Mx { preference: 0, host: domain.to_ascii_lowercase() }]
            }
            Err(error) => return Err(error.into()),
        };
        if records.iter().all(|mx| mx.host.is_empty()) {
            return Err(RouteError::NullMx);
        }
        records.retain(|mx| !mx.host.is_empty());
        records.shuffle(&mut self.rng);
        records.sort_by_key(|mx| mx.preference);
        self.reachable(self.before_own_name(records)?, port).await
    }

    /// Drops this server and all that are no better: mail must get closer to its destination.
    fn before_own_name(&self, mut records: Vec<Mx>) -> Result<Vec<Mx>, RouteError> {
        let own = records.iter().find(|mx| self.sender.is_named(&mx.host)).map(|mx| mx.preference);
        if let Some(own) = own {
            records.retain(|mx| mx.preference < own);
        }
        let mut seen = HashSet::new();
        records.retain(|mx| seen.insert(mx.host.clone()));
        records.truncate(HOSTS_MAX);
        if records.is_empty() { Err(RouteError::Loop) } else { Ok(records) }
    }

    /// Looks the hosts up, all at once, and cuts where an address is this server's own.
    async fn reachable(
        &mut self,
        records: Vec<Mx>,
        port: u16,
    ) -> Result<Vec<Candidate>, RouteError> {
        let looking = records.iter().map(|mx| self.resolver.addresses(mx.host.clone()));
        let answers = join_all(looking).await;
        let (mut found, mut why, mut own) = (Vec::new(), RouteError::NoMx, None);
        for (mx, answer) in records.iter().zip(answers) {
            let candidates = answer
                .map_err(RouteError::from)
                .and_then(|a| self.candidates(&mx.host, mx.preference, a, port));
            match candidates {
                Ok(new) if new.iter().any(|c| self.sender.sockets.contains(&c.address)) => {
                    own = own.or(Some(mx.preference));
                }
                Ok(new) => found.extend(new),
                // An exchanger that does not exist does not make its domain disappear.
                Err(RouteError::NoSuchDomain) => {}
                Err(error) => why = graver(why, error),
            }
        }
        if let Some(own) = own {
            found.retain(|c| c.preference < own);
            why = graver(RouteError::Loop, why);
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }

    /// The addresses of a host, families in turn, IPv6 first.
    fn candidates(
        &mut self,
        host: &str,
        preference: u16,
        addresses: Vec<IpAddr>,
        port: u16,
    ) -> Result<Vec<Candidate>, RouteError> {
        let (mut v6, mut v4): (Vec<_>, Vec<_>) =
            addresses.into_iter().filter(|a| self.sender.reaches(*a)).partition(|a| a.is_ipv6());
        if v6.is_empty() && v4.is_empty() {
            let text = format!("{host} has only addresses of a family that is not sent from");
            return Err(RouteError::Temporary(text));
        }
        v6.shuffle(&mut self.rng);
        v4.shuffle(&mut self.rng);
        let count = v6.len() + v4.len();
        let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
        let turns =
            (0..count * 2).filter_map(|turn| if turn % 2 == 0 { v6.next() } else { v4.next() });
        let candidate = |address| Candidate {
            host: host.to_ascii_lowercase(),
            address: SocketAddr::new(address, port),
            preference,
        };
        Ok(turns.map(candidate).collect())
    }
}
