//! `<domain>` sections of one level and which of them are about a domain.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::merge::Settings;
use super::network::{DomainPattern, holds, literal_address};

/// The sections of one level (the global one, a virtual MTA's, a pool's) by pattern.
#[derive(Clone, Default)]
pub(super) struct DomainTable {
    entries: Vec<Entry>,
    /// Indices into `entries` by pattern, the one that wins first.
    by_pattern: HashMap<DomainPattern, Vec<u32>>,
    /// Patterns of address literals, the longest prefix first.
    literals: Vec<IpNet>,
}

#[derive(Clone)]
struct Entry {
    settings: Settings,
    /// Was the pattern written out, not expanded from a macro?
    explicit: bool,
}

impl DomainTable {
    /// Adds a section. Sections are added in file order.
    pub(super) fn add(&mut self, patterns: Vec<DomainPattern>, explicit: bool, settings: Settings) {
        let index = u32::try_from(self.entries.len()).expect("files have fewer lines");
        self.entries.push(Entry { settings, explicit });
        for pattern in patterns {
            if let DomainPattern::Literal(net) = &pattern
                && !self.literals.contains(net)
            {
                self.literals.push(*net);
                self.literals.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
            }
            let list = self.by_pattern.entry(pattern).or_default();
            let entries = &self.entries;
            let place = list.iter().position(|i| explicit || !entries[*i as usize].explicit);
            list.insert(place.unwrap_or(list.len()), index);
        }
    }

    /// Is there no section at all?
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every pattern that some section has.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &DomainPattern> {
        self.by_pattern.keys()
    }

    pub(super) fn settings(&self, index: u32) -> &Settings {
        &self.entries[index as usize].settings
    }

    /// Indices of the sections about this domain, the one that wins first.
    pub(super) fn matching(&self, domain: &str) -> Vec<u32> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut add = |pattern| found.extend(self.by_pattern.get(&pattern).into_iter().flatten());
        if let Some(address) = literal_address(domain) {
            for net in self.literals.iter().filter(|net| holds(net, address)) {
                add(DomainPattern::Literal(*net));
            }
        } else {
            for pattern in patterns_of(domain) {
                add(pattern);
            }
        }
        add(DomainPattern::Any);
        found
    }
}

/// The patterns with a name that a domain matches, from the most specific to the most general:
/// itself, `[*.]itself`, then for each parent `[*.]parent` and `*.parent`.
pub(super) fn patterns_of(domain: &str) -> Vec<DomainPattern> {
    let mut patterns =
        vec![DomainPattern::Exact(domain.to_owned()), DomainPattern::Within(domain.to_owned())];
    let mut rest = domain;
    while let Some((_, parent)) = rest.split_once('.') {
        patterns.push(DomainPattern::Within(parent.to_owned()));
        patterns.push(DomainPattern::Below(parent.to_owned()));
        rest = parent;
    }
    patterns
}

/// Does one pattern match a domain (lower case, DNS form)?
pub(super) fn matches(pattern: &DomainPattern, domain: &str) -> bool {
    let below = |base: &str| domain.strip_suffix(base).is_some_and(|head| head.ends_with('.'));
    match pattern {
        DomainPattern::Any => true,
        DomainPattern::Exact(name) => domain == name,
        DomainPattern::Below(base) => below(base),
        DomainPattern::Within(base) => domain == base || below(base),
        DomainPattern::Literal(net) => {
            literal_address(domain).is_some_and(|address: IpAddr| holds(net, address))
        }
    }
}
