//! `config show`, `config history`, `config diff`: the versions of the shared configuration.

use convoy_proto::admin as proto;
use tonic::Status;

use super::difference::{self, Side};
use super::push::{bundle, missing};
use super::service::Ports;
use crate::queue::cluster::{Configuration, VersionNote};

/// A version with its text.
pub(super) async fn configuration(ports: &Ports, version: u64) -> Result<Configuration, Status> {
    let cluster = ports.meta.cluster().borrow().clone();
    let Some(active) = &cluster.configuration else {
        return Err(Status::failed_precondition(
            "no configuration has been pushed: the node's own file is all that there is",
        ));
    };
    if version == 0 || version == active.version {
        return Ok(active.clone());
    }
    ports.meta.configuration(version).await.ok_or_else(|| {
        Status::failed_precondition(format!(
            "there is no version {version} any more or yet: `mtactl config history` lists them"
        ))
    })
}

/// One version as a text.
pub(super) async fn show(
    ports: &Ports,
    request: proto::ConfigShowRequest,
) -> Result<proto::ConfigShowReply, Status> {
    let active = ports.meta.cluster().borrow().configuration.as_ref().map_or(0, |c| c.version);
    let configuration = configuration(ports, request.version).await?;
    let version = proto::ConfigVersion {
        version: configuration.version,
        pushed_ms: configuration.pushed_at.as_millis(),
        author: configuration.author,
        comment: configuration.comment,
    };
    let shown = |(name, text): (String, String)| proto::ConfigFile {
        text: if request.secrets { text } else { difference::hidden(&text) },
        name,
    };
    Ok(proto::ConfigShowReply {
        active: version.version == active,
        version: Some(version),
        files: configuration.files.into_iter().map(shown).collect(),
    })
}

/// All versions that are kept.
pub(super) fn history(ports: &Ports) -> proto::ConfigHistoryReply {
    let cluster = ports.meta.cluster().borrow().clone();
    let in_force = ports.runtime.in_force().borrow().clone();
    let version = |note: &VersionNote| proto::ConfigVersion {
        version: note.version,
        pushed_ms: note.pushed_at.as_millis(),
        author: note.author.clone(),
        comment: note.comment.clone(),
    };
    proto::ConfigHistoryReply {
        versions: cluster.history.iter().map(version).collect(),
        running: in_force.version,
        refused: in_force.refused,
    }
}

/// What differs between two versions, or between a version and files.
pub(super) async fn diff(
    ports: &Ports,
    request: proto::ConfigDiffRequest,
) -> Result<proto::ConfigDiffReply, Status> {
    let secrets = request.secrets;
    let old = side(ports, request.old).await?;
    let new = side(ports, request.new).await?;
    let missing: Vec<String> = [&old, &new].into_iter().flat_map(|s| s.1.clone()).collect();
    if !missing.is_empty() {
        return Ok(proto::ConfigDiffReply { missing, text: String::new() });
    }
    let text = tokio::task::spawn_blocking(move || difference::unified(&old.0, &new.0, secrets))
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(proto::ConfigDiffReply { missing, text })
}

/// One side, and what its bundle lacks.
async fn side(
    ports: &Ports,
    side: Option<proto::ConfigSide>,
) -> Result<(Side, Vec<String>), Status> {
    use proto::config_side::What;
    match side.and_then(|side| side.what) {
        Some(What::Bundle(given)) => {
            let asked = given.asked.clone();
            let bundle = bundle(Some(given))?;
            let missing = missing(&bundle, asked).await?;
            Ok((Side { label: "new".to_owned(), files: bundle.into_files() }, missing))
        }
        Some(What::Version(version)) => version_side(ports, version).await,
        None => version_side(ports, 0).await,
    }
}

async fn version_side(ports: &Ports, version: u64) -> Result<(Side, Vec<String>), Status> {
    let configuration = configuration(ports, version).await?;
    let label = format!("version {}", configuration.version);
    Ok((Side { label, files: configuration.files }, Vec::new()))
}
