//! `reload`, `config check`, `show settings`, `rotate` and `drain`: passed on to
//! their owners.

use std::path::PathBuf;

use convoy_proto::admin as proto;
use tonic::Status;

use super::ports::{CheckSource, EffectiveSetting, Finding};
use super::service::Ports;
use super::spread::{self, Scope};
use crate::id::DEFAULT_VMTA;

/// Settings in force for a queue.
pub(super) fn settings(
    ports: &Ports,
    request: &proto::SettingsRequest,
) -> Result<proto::SettingsReply, Status> {
    if request.domain.is_empty() {
        return Err(Status::invalid_argument("say which domain: show settings DOMAIN[/VMTA]"));
    }
    let vmta = if request.vmta.is_empty() { DEFAULT_VMTA } else { &request.vmta };
    let settings = ports.runtime.settings(&request.domain.to_ascii_lowercase(), vmta)?;
    Ok(proto::SettingsReply {
        vmta: settings.vmta.into_iter().map(setting).collect(),
        queue: settings.queue.into_iter().map(setting).collect(),
    })
}

/// Passwords are not shown, whatever the configuration hands out.
fn setting(setting: EffectiveSetting) -> proto::Setting {
    let EffectiveSetting { name, value, origin } = setting;
    let given = !value.is_empty() && value != "\"\"";
    let secret = name.ends_with("password") && given;
    let value = if secret { "********".to_owned() } else { value };
    proto::Setting { name, value, origin }
}

/// Reads the configuration again.
pub(super) async fn reload(ports: &Ports) -> Result<proto::ReloadReply, Status> {
    let findings = ports.runtime.reload().await?;
    let applied = is_valid(&findings);
    tracing::info!(
        "{}",
        if applied {
            "configuration reloaded by administrator"
        } else {
            "configuration not reloaded: it has errors"
        }
    );
    Ok(proto::ReloadReply { applied, diagnostics: diagnostics(findings) })
}

/// Reads a configuration without putting it to use.
pub(super) async fn config_check(
    ports: &Ports,
    request: proto::ConfigCheckRequest,
) -> Result<proto::ConfigCheckReply, Status> {
    use proto::config_check_request::What;
    let source = match request.what {
        Some(What::Text(text)) => CheckSource::Text(text),
        Some(What::Path(path)) if !path.is_empty() => CheckSource::File(PathBuf::from(path)),
        Some(What::Path(_)) | None => CheckSource::Running,
    };
    let findings = ports.runtime.check(source).await?;
    Ok(proto::ConfigCheckReply { valid: is_valid(&findings), diagnostics: diagnostics(findings) })
}

fn is_valid(findings: &[Finding]) -> bool {
    !findings.iter().any(|finding| finding.is_error)
}

pub(super) fn diagnostics(findings: Vec<Finding>) -> Vec<proto::Diagnostic> {
    let one = |finding: Finding| proto::Diagnostic {
        severity: if finding.is_error { proto::Severity::Error } else { proto::Severity::Warning }
            .into(),
        file: finding.file,
        line: finding.line,
        column: finding.column,
        text: finding.text,
    };
    findings.into_iter().map(one).collect()
}

/// Begins new accounting files.
pub(super) async fn rotate_acct(
    ports: &Ports,
    file: String,
) -> Result<proto::RotateAcctReply, Status> {
    let rotated = ports.accounting.rotate((!file.is_empty()).then_some(file)).await?;
    Ok(proto::RotateAcctReply { rotated })
}

/// Begins a new log file.
pub(super) async fn rotate_log(ports: &Ports) -> Result<proto::RotateLogReply, Status> {
    ports.runtime.rotate_log().await?;
    Ok(proto::RotateLogReply {})
}

/// Forgets names, on all nodes that are meant.
pub(super) async fn clear_dns_cache(ports: &Ports, scope: Scope) -> proto::ClearDnsCacheReply {
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        peer.clear_dns_cache(proto::ClearDnsCacheRequest::default()).await
    });
    ports.dns.clear_cache();
    let (_, missing) = others.await;
    proto::ClearDnsCacheReply { missing }
}

/// Hands everything over to other nodes.
pub(super) async fn drain(ports: &Ports) -> Result<proto::DrainReply, Status> {
    tracing::info!("drain asked for by administrator");
    let drained = ports.runtime.drain().await?;
    Ok(proto::DrainReply { handed_over: drained.handed_over, kept: drained.kept })
}
