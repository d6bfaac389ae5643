//! Where mail for a domain goes: candidates in the order in which they are to be tried
//! (RFC 5321 5.1, RFC 7505).

mod planner;

use std::net::{IpAddr, SocketAddr};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::{DnsError, Resolve};
use planner::Planner;

/// Candidates of one plan.
const CANDIDATES_MAX: usize = 20;

/// One address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The host's name, lower case; the address as text when there is none.
    pub host: String,
    /// Where to connect.
    pub address: SocketAddr,
    /// Of the MX record, or the position of the level in a list of hosts; lower comes first.
    pub preference: u16,
}

/// Why there is nowhere to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The domain does not exist.
    #[error("no such domain")]
    NoSuchDomain,
    /// The domain says that it takes no mail (RFC 7505).
    #[error("domain does not accept mail (null MX)")]
    NullMx,
    /// The domain exists and names no host that has an address.
    #[error("no mail exchanger with an address")]
    NoMx,
    /// Every host that could be tried is this server (RFC 5321 5.1).
    #[error("mail for this domain loops back to this server")]
    Loop,
    /// Not known for now.
    #[error("{0}")]
    Temporary(String),
}

impl From<DnsError> for RouteError {
    fn from(error: DnsError) -> Self {
        match error {
            DnsError::NoSuchDomain => Self::NoSuchDomain,
            DnsError::NoRecords => Self::NoMx,
            DnsError::Temporary(text) => Self::Temporary(text),
        }
    }
}

/// Who asks: what a route must not lead back to, and what can be reached.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Names of this server or cluster, in any case.
    pub names: Vec<String>,
    /// Addresses and ports that it listens on.
    pub sockets: Vec<SocketAddr>,
    /// It has an IPv4 address to send from.
    pub ipv4: bool,
    /// It has an IPv6 address to send from.
    pub ipv6: bool,
}

impl Sender {
    fn is_named(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    const fn reaches(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        }
    }
}

/// One entry of a configured list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// What it names.
    pub target: Target,
    /// Port to connect to.
    pub port: u16,
}

/// What an entry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(IpAddr),
    /// A name with address records; MX records are not looked up.
    Host(String),
    /// The mail exchangers of a domain.
    Mx(String),
}

/// The way to `domain`, a name or an address literal, by its MX records. `seed` decides the order
/// of equals.
///
/// # Errors
/// When there is nobody to connect to.
pub async fn plan(
    resolver: &dyn Resolve,
    domain: &str,
    port: u16,
    sender: &Sender,
    seed: u64,
) -> Result<Vec<Candidate>, RouteError> {
    let mut planner = Planner { resolver, sender, rng: StdRng::seed_from_u64(seed) };
    let mut found = match literal(domain) {
        Some(address) => planner.literal(SocketAddr::new(address, port)),
        None => planner.mx(domain, port).await,
    }?;
    found.truncate(CANDIDATES_MAX);
    Ok(found)
}

/// The way by configured hosts (`smtp-hosts`): levels of preference, each with equals. A host that
/// gives nothing is passed over.
///
/// # Errors
/// When none gives anything: a temporary reason if there was one, else the last.
pub async fn plan_hosts(
    resolver: &dyn Resolve,
    levels: &[Vec<Hop>],
    sender: &Sender,
    seed: u64,
) -> Result<Vec<Candidate>, RouteError> {
    let mut planner = Planner { resolver, sender, rng: StdRng::seed_from_u64(seed) };
    let (mut found, mut why) = (Vec::new(), RouteError::NoMx);
    for (level, hops) in levels.iter().enumerate() {
        let preference = u16::try_from(level).unwrap_or(u16::MAX);
        let mut hops: Vec<_> = hops.iter().collect();
        hops.shuffle(&mut planner.rng);
        for hop in hops {
            if found.len() >= CANDIDATES_MAX {
                break;
            }
            match planner.hop(hop).await {
                Ok(new) => found.extend(new.into_iter().map(|c| Candidate { preference, ..c })),
                Err(error) => why = graver(why, error),
            }
        }
    }
    found.truncate(CANDIDATES_MAX);
    if found.is_empty() { Err(why) } else { Ok(found) }
}

/// Reads `[192.0.2.1]` and `[IPv6:2001:db8::1]` (RFC 5321 4.1.3).
#[must_use]
pub fn literal(domain: &str) -> Option<IpAddr> {
    let inside = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inside[5..].parse().ok().map(IpAddr::V6),
        Some(_) | None => inside.parse().ok().map(IpAddr::V4),
    }
}

/// Of two reasons the one to report: what may pass by itself comes before what is final.
fn graver(one: RouteError, other: RouteError) -> RouteError {
    match (&one, &other) {
        (RouteError::Temporary(_), _) => one,
        (_, RouteError::Temporary(_)) | (RouteError::NoMx, _) => other,
        (
            RouteError::NoSuchDomain | RouteError::NullMx | RouteError::Loop,
            RouteError::NoSuchDomain | RouteError::NullMx | RouteError::Loop | RouteError::NoMx,
        ) => one,
    }
}

#[cfg(test)]
#[path = "route_test.rs"]
mod tests;
