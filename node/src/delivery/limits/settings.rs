//! The limits of a queue, as its settings and those of its virtual MTA state them.

use std::net::IpAddr;

use super::bound::{Bound, Key};
use crate::config::settings::PerSource;
use crate::config::{Config, DomainSettings};
use crate::id::QueueName;

/// Limits of a queue, whatever source address it uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfQueue {
    /// On its connections.
    pub(crate) places: Vec<Bound>,
    /// On opening them.
    pub(crate) connects: Vec<Bound>,
    /// On recipients that are tried.
    pub(crate) messages: Vec<Bound>,
    /// Recipients that may go in one transaction.
    pub(crate) step: usize,
    /// There are limits for its source addresses, too.
    by_source: bool,
}

impl OfQueue {
    pub(crate) fn new(config: &Config, settings: &DomainSettings, queue: &QueueName) -> Self {
        let vmta = config.vmtas.get(&queue.vmta);
        let of_queue = |directive| Key::of_queue(directive, queue);
        let of_vmta = |directive| Key::of_vmta(directive, &queue.vmta);
        let places = settings.max_smtp_out.map(|n| Bound::places(of_queue("max-smtp-out"), n));
        let all = vmta.and_then(|vmta| vmta.max_smtp_out);
        let all = all.map(|n| Bound::places(of_vmta("max-smtp-out"), n));
        let connects = settings.max_connect_rate;
        let connects = connects.map(|r| Bound::events(of_queue("max-connect-rate"), r));
        let messages = settings.max_msg_rate.map(|r| Bound::events(of_queue("max-msg-rate"), r));
        let mails = vmta.and_then(|vmta| vmta.max_smtp_msg_rate);
        let mails = mails.map(|rate| Bound::events(of_vmta("max-smtp-msg-rate"), rate));
        let messages: Vec<_> = messages.into_iter().chain(mails).collect();
        let of_sources = OfSources::new(settings, queue);
        let steps = messages.iter().map(Bound::step).chain(of_sources.steps());
        let step = steps.fold(u64::from(settings.max_rcpt_per_transaction.max(1)), u64::min);
        Self {
            places: places.into_iter().chain(all).collect(),
            connects: connects.into_iter().collect(),
            messages,
            step: usize::try_from(step).unwrap_or(usize::MAX),
            by_source: of_sources.any(),
        }
    }

    /// Rates by which a connection is counted before it has a source address. Where addresses have
    /// limits of their own, it is counted once one of them is free.
    pub(crate) fn counted_here(&self) -> &[Bound] {
        if self.by_source { &[] } else { &self.connects }
    }
}

/// Limits of a queue for each of its source addresses.
#[derive(Clone, Debug)]
pub(crate) struct OfSources<'a> {
    settings: &'a DomainSettings,
    queue: &'a QueueName,
}

impl<'a> OfSources<'a> {
    pub(crate) const fn new(settings: &'a DomainSettings, queue: &'a QueueName) -> Self {
        Self { settings, queue }
    }

    /// Are there any?
    pub(crate) fn any(&self) -> bool {
        let settings = self.settings;
        !(settings.source_ip_max_smtp_out.is_empty()
            && settings.source_ip_max_connect_rate.is_empty()
            && settings.source_ip_max_msg_rate.is_empty())
    }

    /// On connections from `source`.
    pub(crate) fn places(&self, source: IpAddr) -> Vec<Bound> {
        let limit = self.settings.source_ip_max_smtp_out.of(source);
        let key = || Key::of_source("source-ip-max-smtp-out", self.queue, source);
        limit.map(|n| Bound::places(key(), n)).into_iter().collect()
    }

    /// On opening them.
    pub(crate) fn connects(&self, source: IpAddr) -> Vec<Bound> {
        self.rate("source-ip-max-connect-rate", &self.settings.source_ip_max_connect_rate, source)
    }

    /// On recipients that are tried from `source`.
    pub(crate) fn messages(&self, source: IpAddr) -> Vec<Bound> {
        self.rate("source-ip-max-msg-rate", &self.settings.source_ip_max_msg_rate, source)
    }

    fn rate(
        &self,
        directive: &str,
        rates: &PerSource<crate::config::settings::Rate>,
        source: IpAddr,
    ) -> Vec<Bound> {
        let key = || Key::of_source(directive, self.queue, source);
        rates.of(source).map(|rate| Bound::events(key(), rate)).into_iter().collect()
    }

    /// Recipients in one transaction, by each rate that may come to bear.
    fn steps(&self) -> Vec<u64> {
        let rates = self.settings.source_ip_max_msg_rate.values();
        rates.map(|rate| Bound::events(Key::from_text(""), rate).step()).collect()
    }
}
