//! What administration asks, answered by the owners.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::node::Parts;
use super::{reload, stewardship, versions};
use crate::accounting::RotateError;
use crate::admin::Ports;
use crate::admin::monitor::Monitor;
use crate::admin::ports::{
    AccountingPort, AcctFigures, AcctFileFigures, CheckSource, ConnectionFigures, Drained,
    EffectiveSetting, EffectiveSettings, Finding, IngressPort, NodeFigures, PartitionFigures,
    Refusal, RunState, RuntimePort,
};
use crate::admin::window::Tally;
use crate::config::settings::{Lookup, Rate, VirtualMta};
use crate::config::{self, InForce};
use crate::dns::Resolve;
use crate::id::GroupId;
use crate::queue::model::OutboxPosition;
use crate::queue::{self, door::Inbox as _, door::Meta};
use crate::runtime::check::{self, Shared};

/// The ports of a node.
pub(super) fn of(parts: &Arc<Parts>, dns: Arc<dyn Resolve>, monitor: Arc<Monitor>) -> Ports {
    Ports {
        queue: parts.queue.clone(),
        ingress: Arc::new(Ingress(Arc::clone(parts))),
        examine: parts.queue.clone(),
        cluster: Arc::new(super::cluster_port::Port(Arc::clone(parts))),
        delivery: Arc::new(super::delivery_port::Port(Arc::clone(parts))),
        accounting: Arc::new(Accounts(Arc::clone(parts))),
        runtime: Arc::new(Runtime(Arc::clone(parts))),
        founding: Arc::new(super::founding::Port(Arc::clone(parts))),
        dns,
        monitor,
        meta: parts.queue.clone(),
        peers: Arc::clone(&parts.peers),
        switching: tokio::sync::Mutex::new(()),
    }
}

struct Ingress(Arc<Parts>);

impl IngressPort for Ingress {
    fn accepted(&self) -> Tally {
        let figures = self.0.ingress.counters().figures();
        Tally { recipients: figures.recipients, messages: figures.messages, bytes: figures.bytes }
    }

    fn connections(&self) -> ConnectionFigures {
        let figures = self.0.ingress.counters().figures();
        ConnectionFigures { current: figures.connections, top: figures.top_connections }
    }

    fn reset_top(&self) {
        self.0.ingress.counters().reset_top();
    }
}

struct Accounts(Arc<Parts>);

impl AccountingPort for Accounts {
    fn rotate(&self, file: Option<String>) -> BoxFuture<'_, Result<u64, Refusal>> {
        async move {
            match self.0.accounting.rotate(file.as_deref()).await {
                Ok(files) => Ok(files.len() as u64),
                Err(RotateError::Unknown(text)) => Err(Refusal::Refused(text)),
                Err(RotateError::Unavailable(text)) => Err(Refusal::Unavailable(text)),
            }
        }
        .boxed()
    }

    fn figures(&self) -> BoxFuture<'_, AcctFigures> {
        async move {
            let status = self.0.accounting.status().await;
            let error = status.error.unwrap_or_default();
            let files = status.files.into_iter().map(|file| AcctFileFigures {
                target: file.target,
                directory: file.directory.display().to_string(),
                current: file.current.map(|p| p.display().to_string()).unwrap_or_default(),
                rows: file.rows,
                bytes: file.length_bytes,
                last_written: file.last_row_at,
                last_error: error.clone(),
            });
            let files = files.collect();
            let meta: &dyn Meta = &*self.0.queue;
            let placed = meta.cluster().borrow().placement.get(&GroupId::ACCOUNTING).cloned();
            let keeps = placed.is_none_or(|placement| {
                placement.voters.iter().chain(&placement.learners).any(|node| *node == meta.me())
            });
            AcctFigures {
                collector: meta.leader(GroupId::ACCOUNTING),
                keeps,
                applied: status.applied,
                applied_at: status.applied_at,
                waiting_rows: status.waiting_rows as u64,
                files,
                error,
            }
        }
        .boxed()
    }

    fn marks(&self) -> BTreeMap<GroupId, OutboxPosition> {
        self.0.accounting.marks()
    }
}

struct Runtime(Arc<Parts>);

impl RuntimePort for Runtime {
    fn figures(&self) -> NodeFigures {
        let parts = &self.0;
        let config = parts.config.load();
        let pressure = parts.queue.pressure();
        let groups = parts.queue.groups().into_iter().map(|(group, term)| PartitionFigures {
            name: group.to_string(),
            led: term.is_some(),
            term: term.unwrap_or_default(),
        });
        NodeFigures {
            node: parts.queue.me(),
            host_name: config.server.host_name.clone(),
            most_inbound: config.server.total_max_smtp_in,
            most_outbound: config.server.total_max_smtp_out,
            build: String::new(),
            started: parts.started,
            state: parts.state(),
            free_bytes: queue::free_bytes(&config.server.spool).unwrap_or_default(),
            pressure,
            partitions: groups.collect(),
        }
    }

    fn lookup(&self) -> Arc<dyn Lookup + Send + Sync> {
        self.0.config.load_full()
    }

    fn settings(&self, domain: &str, vmta: &str) -> Result<EffectiveSettings, Refusal> {
        let config = self.0.config.load();
        let known = config.vmtas.contains_key(vmta) || config.pools.contains_key(vmta);
        if !known {
            return Err(Refusal::Refused(format!("there is no virtual MTA {vmta}")));
        }
        let shown = |settings: Vec<(String, String, Option<config::Position>)>| {
            let setting = |(name, value, position): (String, String, Option<config::Position>)| {
                let origin = position.map_or_else(
                    || "default".to_owned(),
                    |at| format!("{}:{}", at.file().display(), at.line()),
                );
                EffectiveSetting { name, value, origin }
            };
            settings.into_iter().map(setting).collect()
        };
        Ok(EffectiveSettings {
            vmta: config.vmtas.get(vmta).map(vmta_settings).unwrap_or_default(),
            queue: shown(config.show_settings(domain, vmta)),
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        reload::reload(&self.0).boxed()
    }

    fn check(&self, source: CheckSource) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        let running = self.0.path.clone();
        async move {
            let shared = versions::active(&*self.0.queue)?;
            let checked = reload::read(move || match source {
                CheckSource::Running => check::read(&running, shared.as_ref()),
                CheckSource::File(path) => check::read(&path, shared.as_ref()),
                CheckSource::Text(text) => check::read_text(&text, shared.as_ref()),
            })
            .await?;
            Ok(checked.diagnostics.iter().map(reload::finding).collect())
        }
        .boxed()
    }

    fn verify(&self, bundle: config::Bundle) -> BoxFuture<'_, Result<Vec<Finding>, Refusal>> {
        let path = self.0.path.clone();
        async move {
            let shared = Shared { bundle, version: None };
            let checked = reload::read(move || check::read(&path, Some(&shared))).await?;
            Ok(checked.diagnostics.iter().map(reload::finding).collect())
        }
        .boxed()
    }

    fn in_force(&self) -> watch::Receiver<InForce> {
        self.0.in_force.subscribe()
    }

    fn rotate_log(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        async move { self.0.log.rotate().await.map_err(|error| Refusal::Failed(error.to_string())) }
            .boxed()
    }

    fn drain(&self) -> BoxFuture<'_, Result<Drained, Refusal>> {
        async move {
            let parts = &self.0;
            parts.set_state(RunState::Draining);
            parts.ingress.decline(true);
            stewardship::describe_now(parts);
            let (handed, kept) = stewardship::hand_over(&parts.steward).await;
            Ok(Drained { handed_over: handed as u64, kept: kept as u64 })
        }
        .boxed()
    }
}

/// What is in force for a virtual MTA itself.
fn vmta_settings(vmta: &VirtualMta) -> Vec<EffectiveSetting> {
    let setting = |name: &str, value: String| EffectiveSetting {
        name: name.to_owned(),
        value: if value.is_empty() { "\"\"".to_owned() } else { value },
        origin: String::new(),
    };
    let hosts = vmta.source_hosts.iter().map(|host| match &host.host_name {
        Some(name) => format!("{} {name}", host.address),
        None => host.address.to_string(),
    });
    vec![
        setting("host-name", vmta.host_name.clone().unwrap_or_default()),
        setting(
            "max-smtp-out",
            vmta.max_smtp_out.map_or_else(|| "unlimited".to_owned(), |n| n.to_string()),
        ),
        setting(
            "max-smtp-msg-rate",
            vmta.max_smtp_msg_rate.map_or_else(|| "unlimited".to_owned(), rate),
        ),
        setting("smtp-source-host", hosts.collect::<Vec<_>>().join(", ")),
    ]
}

/// As it could stand in a configuration.
fn rate(rate: Rate) -> String {
    format!("{}/{}s", rate.events, rate.period.as_secs())
}
