//! The resolver of a running node, over hickory.
//!
//! Names are always taken as complete: no search domain is ever appended. `/etc/hosts` and
//! `localhost` are honoured. What is told apart with care is "there is nothing" from "nobody
//! answered", because the first may bounce mail and the second must not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as NetDnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, Resolver, TokioResolver, system_conf};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{DnsError, Mx, Resolve};

/// Why a resolver cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// Neither the configuration nor the system names a server.
    #[error("no name servers: none configured, and /etc/resolv.conf gives none: {0}")]
    NoNameServers(String),
    /// The library refused the settings.
    #[error("the resolver cannot be set up: {0}")]
    Setup(String),
}

/// Answers kept; the least useful go first.
const CACHE_ENTRIES: u64 = 32_768;
/// "There is nothing" is believed no longer than this, whatever the zone says: operators repair
/// zones and expect mail to move.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(15 * 60);
/// Answers are believed no longer than this.
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// One look-up with all its retries and aliases takes no longer than this.
const LOOKUP_MAX: Duration = Duration::from_secs(30);
/// Look-ups under way at once; the others wait.
const LOOKUPS_MAX: usize = 512;
/// Times are those of resolv.conf(5).
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES_AGAIN: usize = 2;

/// A caching resolver. Sockets belong to the runtime that it was created on; look-ups may come
/// from any thread and any runtime.
pub struct SystemResolver {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// Asks `name_servers`, or the system's when there are none. To be called on the runtime that
    /// is to own the sockets.
    ///
    /// # Errors
    /// When no server is known.
    pub fn new(name_servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let hosts = Hosts::from_system().unwrap_or_default();
        let (config, mut options) = if name_servers.is_empty() {
            system(std::fs::read("/etc/resolv.conf"))?
        } else {
            let servers = name_servers.iter().map(server).collect();
            let mut options = ResolverOpts::default();
            options.timeout = TRY_TIMEOUT;
            options.attempts = TRIES_AGAIN;
            (ResolverConfig::from_name_servers(servers), options)
        };
        options.cache_size = CACHE_ENTRIES;
        options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
        Self::with(config, options, hosts)
    }

    fn with(
        config: ResolverConfig,
        options: ResolverOpts,
        hosts: Hosts,
    ) -> Result<Self, ResolverError> {
        let provider = TokioRuntimeProvider::default();
        let mut resolver = Resolver::builder_with_config(config, provider)
            .with_options(options)
            .build()
            .map_err(|error| ResolverError::Setup(error.to_string()))?;
        let hosts = Arc::new(hosts);
        resolver.set_hosts(Arc::clone(&hosts));
        Ok(Self {
            resolver,
            hosts,
            runtime: Handle::current(),
            permits: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        })
    }

    /// One look-up, on the runtime that owns the sockets.
    async fn lookup(&self, name: Name, kind: RecordType) -> Result<Lookup, DnsError> {
        let (resolver, permits) = (self.resolver.clone(), Arc::clone(&self.permits));
        let work = self.runtime.spawn(async move {
            let looking = async {
                let _permit = permits.acquire().await;
                resolver.lookup(name, kind).await.map_err(error)
            };
            let timed_out = || DnsError::Temporary("DNS look-up timed out".to_owned());
            tokio::time::timeout(LOOKUP_MAX, looking).await.unwrap_or_else(|_| Err(timed_out()))
        });
        work.await.unwrap_or_else(|_| Err(DnsError::Temporary("DNS look-up ended".to_owned())))
    }

    async fn mx(&self, domain: &str) -> Result<Vec<Mx>, DnsError> {
        let name = complete(domain)?;
        let found = match self.lookup(name.clone(), RecordType::MX).await {
            // A name that only the hosts file knows exists all the same.
            Err(DnsError::NoSuchDomain) if self.static_addresses(&name).is_some() => {
                return Err(DnsError::NoRecords);
            }
            other => other?,
        };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: host_text(&mx.exchange) }),
            _ => None,
        });
        some(records.collect())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let name = complete(host)?;
        if let Some(known) = self.static_addresses(&name) {
            return Ok(known);
        }
        let (v6, v4) = futures_util::join!(
            self.lookup(name.clone(), RecordType::AAAA),
            self.lookup(name, RecordType::A),
        );
        merge(v6.map(|found| address_records(&found)), v4.map(|found| address_records(&found)))
    }

    async fn names(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let found = self.lookup(Name::from(address), RecordType::PTR).await?;
        let names = found.answers().iter().filter_map(|record| match &record.data {
            RData::PTR(pointer) => Some(host_text(&pointer.0)),
            _ => None,
        });
        some(names.collect())
    }

    /// What the hosts file says about a name: all that there is to say about it.
    fn static_addresses(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found: Vec<_> = [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(of)
            .flat_map(|lookup| address_records(&lookup))
            .collect();
        (!found.is_empty()).then_some(found)
    }
}

impl Resolve for SystemResolver {
    fn mx(&self, domain: String) -> BoxFuture<'_, Result<Vec<Mx>, DnsError>> {
        async move { Self::mx(self, &domain).await }.boxed()
    }

    fn addresses(&self, host: String) -> BoxFuture<'_, Result<Vec<IpAddr>, DnsError>> {
        async move { Self::addresses(self, &host).await }.boxed()
    }

    fn names(&self, address: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>> {
        Self::names(self, address).boxed()
    }

    fn clear_cache(&self) {
        self.resolver.clear_cache();
    }
}

/// The system's servers and timing, without its search list.
fn system(file: io::Result<Vec<u8>>) -> Result<(ResolverConfig, ResolverOpts), ResolverError> {
    let (config, options) = file
        .map_err(NetError::from)
        .and_then(system_conf::parse_resolv_conf)
        .map_err(|error| ResolverError::NoNameServers(error.to_string()))?;
    Ok((ResolverConfig::from_name_servers(config.name_servers), options))
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut config.connections {
        connection.port = address.port();
    }
    config
}

/// A name for the wire, complete. A text that can be no name names no domain.
fn complete(text: &str) -> Result<Name, DnsError> {
    let ascii = if text.is_ascii() {
        text.to_owned()
    } else {
        idna::domain_to_ascii(text).map_err(|_| DnsError::NoSuchDomain)?
    };
    let mut name = Name::from_ascii(ascii).map_err(|_| DnsError::NoSuchDomain)?;
    name.set_fqdn(true);
    Ok(name)
}

/// Lower case, without the final dot; empty for the root.
fn host_text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn address_records(found: &Lookup) -> Vec<IpAddr> {
    found.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn some<T>(found: Vec<T>) -> Result<Vec<T>, DnsError> {
    if found.is_empty() { Err(DnsError::NoRecords) } else { Ok(found) }
}

/// Both families together. A failure of one counts only when the other gives nothing: then it is
/// not known whether there is nothing.
fn merge(
    v6: Result<Vec<IpAddr>, DnsError>,
    v4: Result<Vec<IpAddr>, DnsError>,
) -> Result<Vec<IpAddr>, DnsError> {
    match (v6, v4) {
        (Ok(mut first), Ok(second)) => {
            first.extend(second);
            some(first)
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(error @ DnsError::Temporary(_)), _) | (_, Err(error @ DnsError::Temporary(_))) => {
            Err(error)
        }
        (Err(DnsError::NoSuchDomain), Err(DnsError::NoSuchDomain)) => Err(DnsError::NoSuchDomain),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(DnsError::NoRecords),
    }
}

fn error(error: NetError) -> DnsError {
    let temporary = |text: String| DnsError::Temporary(text);
    match error {
        NetError::Dns(NetDnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => DnsError::NoSuchDomain,
            ResponseCode::NoError => DnsError::NoRecords,
            other => temporary(format!("DNS server answered {other}")),
        },
        NetError::Dns(NetDnsError::ResponseCode(code)) => {
            temporary(format!("DNS server answered {code}"))
        }
        NetError::Timeout => temporary("DNS look-up timed out".to_owned()),
        other => temporary(format!("DNS look-up failed: {other}")),
    }
}

#[cfg(test)]
#[path = "hickory_test.rs"]
mod tests;
