//! Where the mail of a queue goes, and from which address.

use std::net::{IpAddr, SocketAddr};

use crate::config::settings::{RouteHost, RouteTarget, SourceHost};
use crate::config::{Config, DomainSettings};
use crate::dns::Resolve;
use crate::dns::route::{self, Candidate, Hop, RouteError, Sender, Target};
use crate::id::{DEFAULT_VMTA, QueueName};

/// The source addresses of a virtual MTA; empty leaves the choice to the system. None when there
/// is no such virtual MTA.
pub(crate) fn sources<'a>(config: &'a Config, vmta: &str) -> Option<&'a [SourceHost]> {
    let found = config.vmtas.get(vmta)?;
    let of_server = vmta == DEFAULT_VMTA && found.source_hosts.is_empty();
    Some(if of_server { &config.server.source_hosts } else { &found.source_hosts })
}

/// The source for a connection to `address`: those of its family in turn. None when there is no
/// choice.
pub(crate) fn source(sources: &[SourceHost], address: IpAddr, turn: usize) -> Option<&SourceHost> {
    let fitting = sources.iter().filter(|s| s.address.is_ipv4() == address.is_ipv4());
    let fitting: Vec<_> = fitting.collect();
    (!fitting.is_empty()).then(|| fitting[turn % fitting.len()])
}

/// The name for EHLO.
pub(crate) fn helo(config: &Config, vmta: &str, source: Option<&SourceHost>) -> String {
    let of_source = source.and_then(|source| source.host_name.as_ref());
    let of_vmta = || config.vmtas.get(vmta).and_then(|vmta| vmta.host_name.as_ref());
    of_source.or_else(of_vmta).unwrap_or(&config.server.host_name).clone()
}

/// Candidates in the order in which they are to be tried.
pub(crate) async fn plan(
    resolver: &dyn Resolve,
    config: &Config,
    settings: &DomainSettings,
    queue: &QueueName,
    sources: &[SourceHost],
) -> Result<Vec<Candidate>, RouteError> {
    let sender = sender(config, sources);
    let seed = rand::random();
    let port = settings.default_smtp_port;
    if settings.smtp_hosts.is_empty() {
        route::plan(resolver, &queue.domain, port, &sender, seed).await
    } else {
        let hop = |host: &RouteHost| Hop {
            target: target(&host.target),
            port: host.port.unwrap_or(port),
        };
        let levels: Vec<Vec<Hop>> =
            settings.smtp_hosts.iter().map(|level| level.iter().map(hop).collect()).collect();
        route::plan_hosts(resolver, &levels, &sender, seed).await
    }
}

fn target(target: &RouteTarget) -> Target {
    match target {
        RouteTarget::Address(address) => Target::Address(*address),
        RouteTarget::Host(host) => Target::Host(host.clone()),
        RouteTarget::Mx(domain) => Target::Mx(domain.clone()),
    }
}

fn sender(config: &Config, sources: &[SourceHost]) -> Sender {
    let mut names = config.server.local_names.clone();
    names.push(config.server.host_name.clone());
    let listeners = config.listeners.iter().map(|listener| listener.address);
    let sockets: Vec<SocketAddr> =
        listeners.filter(|address| !address.ip().is_unspecified()).collect();
    let any = sources.is_empty();
    Sender {
        names,
        sockets,
        ipv4: any || sources.iter().any(|source| source.address.is_ipv4()),
        ipv6: any || sources.iter().any(|source| source.address.is_ipv6()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "host-name mta.example\n\
        <virtual-mta v>\n smtp-source-host 192.0.2.1 one.example\n\
        smtp-source-host 192.0.2.2 two.example\n smtp-source-host 2001:db8::1 six.example\n\
        </virtual-mta>\n<virtual-mta w>\n host-name w.example\n</virtual-mta>\n";

    #[test]
    fn sources_of_the_right_family_take_turns() {
        let config = Config::from_text(CONFIG).unwrap();
        let sources = sources(&config, "v").unwrap();
        let name = |to: &str, turn| {
            let source = source(sources, to.parse().unwrap(), turn);
            helo(&config, "v", source)
        };
        assert_eq!(name("198.51.100.1", 0), "one.example");
        assert_eq!(name("198.51.100.1", 1), "two.example");
        assert_eq!(name("198.51.100.1", 2), "one.example");
        assert_eq!(name("2001:db8::2", 1), "six.example");
    }

    #[test]
    fn the_name_for_ehlo_is_the_nearest_one() {
        let config = Config::from_text(CONFIG).unwrap();
        assert_eq!(helo(&config, "w", None), "w.example");
        assert_eq!(helo(&config, DEFAULT_VMTA, None), "mta.example");
        assert_eq!(sources(&config, "w").map(<[_]>::len), Some(0));
        assert!(sources(&config, "gone").is_none());
    }
}
