//! The settings of sections in the form in which lookups need them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

use super::bounce_categories::BounceCategories;
use super::directive::Scope;
use super::domains::{self, DomainTable};
use super::merge::{Settings, View};
use super::network::{DomainPattern, domain_to_ascii, holds};
use super::settings::DomainSettings;
use crate::message::RecordType;

/// Different combinations of `<domain>` sections whose outcome is kept.
const MAX_CACHED: usize = 4_096;

/// What [`super::settings::Lookup`] answers from.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) domains: Levels,
    pub(super) sources: SourceTable,
    pub(super) relay: Relay,
    pub(super) categories: Arc<BounceCategories>,
    /// Headers that accounting files name, by record type.
    pub(super) headers: HashMap<RecordType, Vec<String>>,
}

/// Says nothing: settings may hold passwords.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

/// `<domain>` sections at all levels.
#[derive(Clone)]
pub(super) struct Levels {
    pub(super) global: DomainTable,
    pub(super) vmtas: HashMap<String, DomainTable>,
    pub(super) pools: HashMap<String, DomainTable>,
    /// The pool with `<domain>` sections in which a virtual MTA is.
    pub(super) pool_of: HashMap<String, String>,
    /// Outcomes by the sections that took part. They depend on nothing else.
    cache: Arc<Mutex<HashMap<CacheKey, Arc<DomainSettings>>>>,
}

/// Virtual MTA, if it or its pool has sections, and the sections of each level.
type CacheKey = (Option<String>, [Vec<u32>; 3]);

impl Levels {
    /// Levels of which only the global one has sections.
    pub(super) fn new(global: DomainTable) -> Self {
        let [vmtas, pools] = Default::default();
        Self { global, vmtas, pools, pool_of: HashMap::new(), cache: Arc::default() }
    }

    /// Virtual MTA, pool, global: what each level has for a virtual MTA.
    fn tables(&self, vmta: &str) -> [Option<&DomainTable>; 3] {
        let pool = self.pool_of.get(vmta).and_then(|pool| self.pools.get(pool));
        [self.vmtas.get(vmta), pool, Some(&self.global)]
    }

    /// The settings of a queue in the order in which they win.
    pub(super) fn view(&self, domain: &str, vmta: &str) -> View<'_> {
        let domain = domain_to_ascii(domain).unwrap_or_else(|| domain.to_lowercase());
        let tables = self.tables(vmta);
        let layers = tables.into_iter().flatten().flat_map(|table| {
            table.matching(&domain).into_iter().map(|index| table.settings(index))
        });
        View::new(Scope::Domain, layers.collect())
    }

    /// A domain and a virtual MTA for every `<domain>` section: queues that show what is
    /// configured.
    pub(super) fn representatives(&self) -> Vec<(String, String)> {
        let shown = |table: Option<&DomainTable>| -> Vec<String> {
            table.map(|t| t.patterns().map(representative).collect()).unwrap_or_default()
        };
        let default = crate::id::DEFAULT_VMTA;
        let vmtas = self.vmtas.keys().chain(self.pool_of.keys()).map(String::as_str);
        let mut queues: Vec<_> = std::iter::once(default)
            .chain(vmtas)
            .flat_map(|vmta| {
                let [own, pool, global] = self.tables(vmta);
                let global = if vmta == default { shown(global) } else { Vec::new() };
                let any = vec![representative(&DomainPattern::Any)];
                let domains = [any, shown(own), shown(pool), global].concat();
                domains.into_iter().map(|domain| (domain, vmta.to_owned()))
            })
            .collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// The settings of a queue, made by `build` unless they are known.
    pub(super) fn settings(
        &self,
        domain: &str,
        vmta: &str,
        build: impl FnOnce(&View<'_>) -> DomainSettings,
    ) -> Arc<DomainSettings> {
        let domain = domain_to_ascii(domain).unwrap_or_else(|| domain.to_lowercase());
        let tables = self.tables(vmta);
        let own = tables[0].is_some() || tables[1].is_some();
        let matched = tables.map(|t| t.map(|t| t.matching(&domain)).unwrap_or_default());
        let key = (own.then(|| vmta.to_owned()), matched);
        if let Some(known) = self.cache.lock().get(&key) {
            return known.clone();
        }
        let layers = tables.iter().zip(&key.1).flat_map(|(table, indices)| {
            table.iter().flat_map(|t| indices.iter().map(|i| t.settings(*i)))
        });
        let settings = Arc::new(build(&View::new(Scope::Domain, layers.collect())));
        let mut cache = self.cache.lock();
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(key, settings.clone());
        settings
    }
}

/// A domain that a pattern matches.
fn representative(pattern: &DomainPattern) -> String {
    match pattern {
        DomainPattern::Any => "any.invalid".to_owned(),
        DomainPattern::Exact(name) | DomainPattern::Within(name) => name.clone(),
        DomainPattern::Below(base) => format!("any.{base}"),
        DomainPattern::Literal(net) => match net.addr() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        },
    }
}

/// `<source>` sections.
#[derive(Clone, Default)]
pub(super) struct SourceTable {
    /// What the top level says about every client.
    pub(super) base: Settings,
    /// By network, the widest first.
    pub(super) networks: Vec<(IpNet, Settings)>,
    pub(super) named: HashMap<String, Settings>,
}

impl SourceTable {
    /// Adds a section about a network. The same network again is merged.
    pub(super) fn add_network(&mut self, network: IpNet, settings: Incoming) {
        match self.networks.iter_mut().find(|(known, _)| *known == network) {
            Some((_, known)) => known.extend(settings),
            None => self.networks.push((network, Settings::new(settings))),
        }
        self.networks.sort_by_key(|(net, _)| (net.prefix_len(), net.addr().is_ipv6()));
    }

    /// The layers for a client, the one that wins first, and the name of the winning section.
    pub(super) fn view(&self, client: IpAddr, names: &[&str]) -> (String, View<'_>) {
        let mut layers = Vec::new();
        let mut winner = None;
        for name in names {
            if let Some(settings) = self.named.get(*name) {
                winner = winner.or_else(|| Some((*name).to_owned()));
                layers.push(settings);
            }
        }
        for (network, settings) in self.networks.iter().rev() {
            if holds(network, client) {
                winner = winner.or_else(|| Some(network.to_string()));
                layers.push(settings);
            }
        }
        layers.push(&self.base);
        (winner.unwrap_or_default(), View::new(Scope::Source, layers))
    }
}

/// Settings that are on their way into a table.
pub(super) type Incoming = Vec<super::checker::Setting>;

/// For which recipients anyone may leave mail here.
#[derive(Clone, Default)]
pub(super) struct Relay {
    /// `relay-domain` and the local names.
    pub(super) domains: Vec<DomainPattern>,
    /// `relay-address` as an address, lower case.
    pub(super) addresses: Vec<String>,
    /// `relay-address` as a pattern.
    pub(super) patterns: Vec<fancy_regex::Regex>,
}

impl Relay {
    pub(super) fn allows(&self, local: &str, domain: &str) -> bool {
        let domain = domain_to_ascii(domain).unwrap_or_else(|| domain.to_lowercase());
        if self.domains.iter().any(|pattern| domains::matches(pattern, &domain)) {
            return true;
        }
        let address = format!("{}@{domain}", local.to_lowercase());
        let matched = |regex: &fancy_regex::Regex| regex.is_match(&*address).unwrap_or(false);
        self.addresses.contains(&address) || self.patterns.iter().any(matched)
    }
}
