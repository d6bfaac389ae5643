//! Putting a new configuration to use: wholly, or not at all.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::check;
use super::log::LogSettings;
use super::node::Parts;
use crate::admin::ports::{Finding, Refusal};
use crate::config::{Config, Diagnostic};

/// Reads the configuration of the running node again. With an error among the findings, nothing
/// has changed.
pub(super) async fn reload(parts: &Arc<Parts>) -> Result<Vec<Finding>, Refusal> {
    let _one_at_a_time = parts.reloading.lock().await;
    let path = parts.path.clone();
    let checked = read(move || check::read(&path)).await?;
    for diagnostic in &checked.diagnostics {
        let text = first_line(diagnostic);
        if diagnostic.is_error() { error!("{text}") } else { warn!("{text}") }
    }
    let mut findings: Vec<Finding> = checked.diagnostics.iter().map(finding).collect();
    let Some(config) = checked.config else {
        error!("the configuration is refused; the old one stays in force");
        return Ok(findings);
    };
    let old = parts.config.load_full();
    findings.extend(restart_needed(&old, &config));
    let log = LogSettings::of(&config.server);
    parts.config.store(Arc::new(config));
    if let Err(refused) = parts.ingress.reconfigure() {
        parts.config.store(old);
        error!("{refused}; the old configuration stays in force");
        findings.push(Finding { is_error: true, ..remark(refused.to_string()) });
        return Ok(findings);
    }
    if let Err(failed) = parts.log.configure(log).await {
        findings.push(remark(format!("the log stays where it is: {failed}")));
    }
    parts.delivery.config_changed();
    info!("configuration reloaded");
    Ok(findings)
}

/// Reads files on a thread that may wait for a disk.
pub(super) async fn read(
    read: impl FnOnce() -> check::Checked + Send + 'static,
) -> Result<check::Checked, Refusal> {
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

fn first_line(diagnostic: &Diagnostic) -> String {
    diagnostic.to_string().lines().next().unwrap_or_default().to_owned()
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
