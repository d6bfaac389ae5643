//! Which local address a connection has, under the limits of each address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Spec;
use crate::clock::{Instant, monotonic};
use crate::config::settings::SourceHost;
use crate::delivery::limits::{Bound, OfSources};
use crate::delivery::route;

/// When all addresses are in use, they are looked at again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A local address that may open a connection; its places are taken.
pub(super) struct Choice {
    /// None leaves the name, and the address if there is none, to the system.
    pub(super) host: Option<SourceHost>,
    pub(super) address: Option<IpAddr>,
    places: Vec<Bound>,
    /// Limits on opening connections, those of the queue included.
    connects: Vec<Bound>,
    /// The next connection is counted already.
    counted: bool,
}

/// The first address in turn that its limits allow a connection to `to`. Else when to look again.
/// `counted` tells whether the connection is counted already; under limits of source addresses it
/// is not, before it is known that there is an address for it.
pub(super) async fn choose(
    spec: &Spec,
    sources: &[SourceHost],
    to: SocketAddr,
    turn: usize,
    counted: bool,
) -> Result<Choice, Instant> {
    let limits = OfSources::new(&spec.settings, &spec.queue);
    if !limits.any() {
        let host = route::source(sources, to.ip(), turn).cloned();
        let address = host.as_ref().map(|host| host.address);
        let connects = spec.connects.clone();
        return Ok(Choice { host, address, places: Vec::new(), connects, counted });
    }
    let fitting = sources.iter().filter(|s| s.address.is_ipv4() == to.is_ipv4());
    let mut fitting: Vec<_> = fitting.cloned().map(|host| (host.address, Some(host))).collect();
    if fitting.is_empty() {
        fitting.extend(system_choice(to).map(|address| (address, None)));
    }
    let count = fitting.len().max(1);
    fitting.rotate_left(turn % count);
    let mut again = None;
    for (address, host) in fitting {
        match admit(spec, &limits, address) {
            Ok(places) => {
                wait(spec, &spec.connects).await;
                let connects = spec.connects.iter().cloned().chain(limits.connects(address));
                let (connects, address) = (connects.collect(), Some(address));
                return Ok(Choice { host, address, places, connects, counted: true });
            }
            Err(when) => again = Some(again.map_or(when, |again: Instant| again.min(when))),
        }
    }
    Err(again.unwrap_or_else(|| monotonic() + AGAIN_AFTER))
}

/// Takes what a connection from `address` needs; gives the places.
fn admit(spec: &Spec, limits: &OfSources<'_>, address: IpAddr) -> Result<Vec<Bound>, Instant> {
    let places = limits.places(address);
    if !spec.env.limits.extend(&spec.permit, &places) {
        return Err(monotonic() + AGAIN_AFTER);
    }
    let spent = spec.env.limits.spend(&limits.connects(address), 1, monotonic());
    if let Err(when) = spent {
        spec.env.limits.give_back(&spec.permit, &places);
        return Err(when);
    }
    Ok(places)
}

impl Choice {
    /// Waits until a connection may be opened, the first one or another.
    pub(super) async fn ready(&mut self, spec: &Spec) {
        if !std::mem::take(&mut self.counted) {
            wait(spec, &self.connects).await;
        }
    }

    /// No connection came of it.
    pub(super) fn give_back(&self, spec: &Spec) {
        spec.env.limits.give_back(&spec.permit, &self.places);
    }
}

/// Waits until the rates allow another connection.
async fn wait(spec: &Spec, connects: &[Bound]) {
    while let Err(when) = spec.env.limits.spend(connects, 1, monotonic()) {
        tokio::time::sleep_until(when.into()).await;
    }
}

/// The address that the system would use. Nothing is sent to find out.
fn system_choice(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
