//! Putting a new configuration to use: wholly, or not at all.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::check::{self, Checked};
use super::log::LogSettings;
use super::node::Parts;
use super::versions;
use crate::admin::ports::{Finding, Refusal};
use crate::config::{Config, Diagnostic, InForce};
use crate::queue::door::Meta as _;

/// Reads the configuration of the running node again: its own file, with what the cluster shares.
/// With an error among the findings, nothing has changed.
pub(super) async fn reload(parts: &Arc<Parts>) -> Result<Vec<Finding>, Refusal> {
    let _one_at_a_time = parts.reloading.lock().await;
    put_to_use(parts).await
}

/// Puts each new version of the shared configuration to use as soon as it is applied here.
pub(super) async fn follow(parts: Arc<Parts>) {
    let mut cluster = parts.queue.cluster();
    loop {
        let active = cluster.borrow_and_update().configuration.as_ref().map_or(0, |c| c.version);
        let tried = || parts.in_force.borrow().tried;
        if active > tried() {
            let _one_at_a_time = parts.reloading.lock().await;
            // A reload may have been quicker. What there is to say is in the log.
            if active > tried()
                && let Err(failed) = put_to_use(&parts).await
            {
                refused(&parts, active, &failed.to_string());
            }
        }
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

async fn put_to_use(parts: &Arc<Parts>) -> Result<Vec<Finding>, Refusal> {
    let shared = versions::active(&*parts.queue)?;
    let version = shared.as_ref().and_then(|shared| shared.version).unwrap_or(0);
    let path = parts.path.clone();
    let Checked { config, diagnostics } = read(move || check::read(&path, shared.as_ref())).await?;
    log_all(&diagnostics);
    let mut findings: Vec<Finding> = diagnostics.iter().map(finding).collect();
    let Some(config) = config else {
        error!("the configuration is refused; the old one stays in force");
        refused(parts, version, &versions::reason(&diagnostics));
        return Ok(findings);
    };
    let old = parts.config.load_full();
    findings.extend(restart_needed(&old, &config));
    let log = LogSettings::of(&config.server);
    parts.config.store(Arc::new(config));
    if let Err(failed) = parts.ingress.reconfigure() {
        parts.config.store(old);
        error!("{failed}; the old configuration stays in force");
        refused(parts, version, &failed.to_string());
        findings.push(Finding { is_error: true, ..remark(failed.to_string()) });
        return Ok(findings);
    }
    if let Err(failed) = parts.log.configure(log).await {
        findings.push(remark(format!("the log stays where it is: {failed}")));
    }
    parts.delivery.config_changed();
    parts.in_force.send_replace(InForce { version, tried: version, refused: String::new() });
    match version {
        0 => info!("configuration reloaded"),
        version => info!("configuration in force: the node's own, and version {version}"),
    }
    Ok(findings)
}

/// Notes that a version was tried in vain. A reload that fails while it is in force takes nothing
/// from it.
fn refused(parts: &Parts, version: u64, reason: &str) {
    parts.in_force.send_if_modified(|in_force| {
        let news = in_force.version != version;
        if news {
            in_force.tried = version;
            in_force.refused = reason.to_owned();
        }
        news
    });
}

fn log_all(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let text = versions::first_line(diagnostic);
        if diagnostic.is_error() { error!("{text}") } else { warn!("{text}") }
    }
}

/// Reads files on a thread that may wait for a disk.
pub(super) async fn read(
    read: impl FnOnce() -> Checked + Send + 'static,
) -> Result<Checked, Refusal> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Refusal::Failed(format!("the configuration was not read: {error}")))
}

/// What a reload does not change.
fn restart_needed(old: &Config, new: &Config) -> Vec<Finding> {
    let (old, new) = (&old.server, &new.server);
    [
        ("spool", old.spool != new.spool),
        ("min-free-space", old.min_free_space_bytes != new.min_free_space_bytes),
        ("admin-socket", old.admin_socket != new.admin_socket),
        ("health-listener", old.health_listener != new.health_listener),
        ("name-server", old.name_servers != new.name_servers),
        ("queue-partitions", old.partitions != new.partitions),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| remark(format!("the change of {name} takes effect at the next start")))
    .collect()
}

fn remark(text: String) -> Finding {
    Finding { is_error: false, file: String::new(), line: 0, column: 0, text }
}

/// A diagnostic as administration hands it on.
pub(super) fn finding(diagnostic: &Diagnostic) -> Finding {
    let position = diagnostic.position.as_ref();
    let text = match &diagnostic.help {
        Some(help) => format!("{}; {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    Finding {
        is_error: diagnostic.is_error(),
        file: position.map(|p| p.file().display().to_string()).unwrap_or_default(),
        line: position.map_or(0, crate::config::Position::line),
        column: position.map_or(0, crate::config::Position::column),
        text,
    }
}
