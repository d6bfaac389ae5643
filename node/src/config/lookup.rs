//! The questions that the rest of the node asks.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::build::{domain_settings, source_settings};
use super::network::domain_to_ascii;
use super::settings::{Config, DomainSettings, Lookup, SmtpUser, SourceSettings};
use crate::message::RecordType;

/// The source of users who have none of their own.
const AUTH_SOURCE: &str = "{auth}";

impl Config {
    /// Queues (domain, virtual MTA) that between them show every `<domain>` section: for checks
    /// of what the sections name.
    #[must_use]
    pub fn representative_queues(&self) -> Vec<(String, String)> {
        self.rules.domains.representatives()
    }
}

impl Lookup for Config {
    fn source(
        &self,
        client: IpAddr,
        listener_source: Option<&str>,
        user: Option<&SmtpUser>,
    ) -> Arc<SourceSettings> {
        let user = user.map(|user| user.source.as_deref().unwrap_or(AUTH_SOURCE));
        let names: Vec<&str> = user.into_iter().chain(listener_source).collect();
        let (name, view) = self.rules.sources.view(client, &names);
        Arc::new(source_settings(name, &view))
    }

    fn queue(&self, domain: &str, vmta: &str) -> Arc<DomainSettings> {
        self.rules.domains.settings(domain, vmta, domain_settings)
    }

    fn queue_domain(&self, domain: &str, vmta: &str) -> String {
        let own = domain_to_ascii(domain).unwrap_or_else(|| domain.to_lowercase());
        let target = self.rules.domains.view(&own, vmta).text("queue-to");
        target.map_or(own, |t| domain_to_ascii(&t).unwrap_or_else(|| t.to_lowercase()))
    }

    fn relay_allowed(&self, local: &str, domain: &str) -> bool {
        self.rules.relay.allows(local, domain)
    }

    fn bounce_category(&self, text: &str) -> &str {
        self.rules.categories.category(text)
    }

    fn source_networks(&self) -> Vec<IpNet> {
        self.rules.sources.networks.iter().map(|(network, _)| *network).collect()
    }

    fn accounting_headers(&self, kind: RecordType) -> &[String] {
        self.rules.headers.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn wants_records(&self, kind: RecordType) -> bool {
        self.acct_files.iter().any(|file| file.records.iter().any(|columns| columns.kind == kind))
    }
}
