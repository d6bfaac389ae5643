//! `config push` and `config rollback`: a configuration becomes that of all nodes when every
//! member has read it together with its own file and found nothing wrong. The change itself is one
//! log entry, made only if no other version became active meanwhile.

use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin as proto;
use convoy_proto::admin::admin_client::AdminClient;
use futures_util::future::join_all;
use tonic::Status;
use tonic::transport::Channel;

use super::service::Ports;
use super::upkeep::diagnostics;
use super::versions;
use crate::clock::{Timestamp, monotonic};
use crate::config::Bundle;
use crate::id::NodeId;
use crate::queue::cluster::{Change, Changed, Cluster, Configuration, Standing};
use crate::queue::door::ReportError;

/// How long a member may take to read a configuration.
const VERIFY_DEADLINE: Duration = Duration::from_secs(10);
/// How long members may take to apply a version and to put it to use.
const SWITCH_DEADLINE: Duration = Duration::from_secs(20);
/// How much longer the answer of another node may be on its way.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// How long a change may wait for a leader, and between two tries.
const PROPOSE_DEADLINE: Duration = Duration::from_secs(10);
const PROPOSE_AGAIN: Duration = Duration::from_millis(200);
/// Longest comment in bytes.
const MAX_COMMENT_BYTES: usize = 1_000;

/// What is to become active.
struct Plan {
    bundle: Bundle,
    author: String,
    comment: String,
    dry_run: bool,
    skip_unreachable: bool,
}

/// Checks a bundle everywhere and makes it active.
pub(super) async fn push(
    ports: &Ports,
    request: proto::ConfigPushRequest,
    author: String,
) -> Result<proto::ConfigPushReply, Status> {
    let asked = request.bundle.as_ref().map(|b| b.asked.clone()).unwrap_or_default();
    let bundle = bundle(request.bundle)?;
    let missing = missing(&bundle, asked).await?;
    if !missing.is_empty() {
        return Ok(proto::ConfigPushReply { missing, ..Default::default() });
    }
    let plan = Plan {
        bundle,
        author,
        comment: request.comment,
        dry_run: request.dry_run,
        skip_unreachable: request.skip_unreachable,
    };
    carry_out(ports, plan).await
}

/// Makes the text of an old version active again, as a new version.
pub(super) async fn rollback(
    ports: &Ports,
    request: proto::ConfigRollbackRequest,
    author: String,
) -> Result<proto::ConfigPushReply, Status> {
    if request.version == 0 {
        return Err(Status::invalid_argument("say which version to go back to"));
    }
    let old = versions::configuration(ports, request.version).await?;
    let comment = match request.comment {
        none if none.is_empty() => format!("back to version {}", request.version),
        comment => comment,
    };
    let plan = Plan {
        bundle: Bundle::new(old.files).map_err(super::service::refused)?,
        author,
        comment,
        dry_run: request.dry_run,
        skip_unreachable: request.skip_unreachable,
    };
    carry_out(ports, plan).await
}

/// The files of a request.
pub(super) fn bundle(bundle: Option<proto::ConfigBundle>) -> Result<Bundle, Status> {
    let files = bundle.unwrap_or_default().files;
    Bundle::new(files.into_iter().map(|file| (file.name, file.text)).collect())
        .map_err(super::service::refused)
}

/// What a bundle includes and does not hold.
pub(super) async fn missing(bundle: &Bundle, asked: Vec<String>) -> Result<Vec<String>, Status> {
    let bundle = bundle.clone();
    tokio::task::spawn_blocking(move || bundle.missing(&asked))
        .await
        .map_err(|error| Status::internal(error.to_string()))
}

/// Reads a bundle on this node alone, for another one.
pub(super) async fn verify(
    ports: &Ports,
    request: proto::ConfigVerifyRequest,
) -> Result<proto::ConfigVerifyReply, Status> {
    let given = proto::ConfigBundle { files: request.files, asked: Vec::new() };
    let findings = ports.runtime.verify(bundle(Some(given))?).await?;
    Ok(proto::ConfigVerifyReply { diagnostics: diagnostics(findings) })
}

/// Waits until this node has tried a version.
pub(super) async fn wait(
    ports: &Ports,
    request: proto::ConfigAwaitRequest,
) -> proto::ConfigAwaitReply {
    let limit = Duration::from_millis(request.wait_ms.into()).min(SWITCH_DEADLINE);
    let mut in_force = ports.runtime.in_force();
    let tried = in_force.wait_for(|state| state.tried >= request.version);
    // What is so at the end of the time is said, too.
    let _late = tokio::time::timeout(limit, tried).await.is_err();
    let state = ports.runtime.in_force().borrow().clone();
    proto::ConfigAwaitReply { running: state.version, tried: state.tried, refused: state.refused }
}

async fn carry_out(ports: &Ports, plan: Plan) -> Result<proto::ConfigPushReply, Status> {
    use proto::ConfigOutcome as Outcome;
    if plan.comment.len() > MAX_COMMENT_BYTES {
        return Err(Status::invalid_argument(format!(
            "a comment has at most {MAX_COMMENT_BYTES} bytes"
        )));
    }
    let cluster = ports.meta.cluster().borrow().clone();
    let active = cluster.configuration.as_ref().map_or(0, |c| c.version);
    let mut members = verify_everywhere(ports, &cluster, &plan.bundle).await;
    let failed = |member: &proto::ConfigMember| {
        member.diagnostics.iter().any(|d| d.severity() == proto::Severity::Error)
    };
    let silent = members.iter().any(|member| !member.unreachable.is_empty());
    let same =
        cluster.configuration.as_ref().is_some_and(|c| c.files.as_slice() == plan.bundle.files());
    let refused = if members.iter().any(failed) {
        Some(Outcome::Rejected)
    } else if silent && !plan.skip_unreachable {
        Some(Outcome::Unreachable)
    } else if same {
        Some(Outcome::Unchanged)
    } else if plan.dry_run {
        Some(Outcome::Acceptable)
    } else {
        None
    };
    let reply = |outcome: Outcome, version, members| proto::ConfigPushReply {
        outcome: outcome.into(),
        version,
        members,
        missing: Vec::new(),
    };
    if let Some(outcome) = refused {
        return Ok(reply(outcome, active, members));
    }
    match propose(ports, active, plan).await? {
        None => {
            let now = ports.meta.cluster().borrow().configuration.as_ref().map_or(0, |c| c.version);
            Ok(reply(Outcome::Overtaken, now, members))
        }
        Some(version) => {
            await_everywhere(ports, version, &mut members).await;
            Ok(reply(Outcome::Pushed, version, members))
        }
    }
}

/// The number of the new version; none when another one became active. While a leader is being
/// elected it is tried again: the version that it was made from lets it happen once only.
async fn propose(ports: &Ports, expected: u64, plan: Plan) -> Result<Option<u64>, Status> {
    let configuration = Configuration {
        version: expected + 1,
        pushed_at: Timestamp::now(),
        author: plan.author,
        comment: plan.comment,
        files: plan.bundle.into_files(),
    };
    let deadline = monotonic() + PROPOSE_DEADLINE;
    let mut answer_lost = false;
    loop {
        match ports.meta.change(Change::configure(expected, &configuration)).await {
            Ok(Changed::Number(version)) => {
                tracing::info!(
                    "configuration, version {version}, pushed by {}",
                    configuration.author
                );
                return Ok(Some(version));
            }
            Ok(Changed::Refused | Changed::Done) if answer_lost => {
                return Ok(earlier(ports, configuration).await);
            }
            Ok(Changed::Refused | Changed::Done) => return Ok(None),
            Err(ReportError::Stopping) => return Err(Status::unavailable("mtad is stopping")),
            Err(ReportError::LostLeadership) if monotonic() < deadline => {
                answer_lost = true;
                tokio::time::sleep(PROPOSE_AGAIN).await;
            }
            Err(ReportError::LostLeadership) => {
                return Err(Status::unavailable(
                    "the change was not confirmed: `mtactl config history` shows whether it was \
                     made; if not, too few nodes are up",
                ));
            }
        }
    }
}

/// The version, if it is this one that became active, by a try whose answer was lost.
async fn earlier(ports: &Ports, pushed: Configuration) -> Option<u64> {
    let version = pushed.version;
    let mut cluster = ports.meta.cluster();
    let known =
        cluster.wait_for(|c| c.configuration.as_ref().is_some_and(|c| c.version >= version));
    let _late = tokio::time::timeout(ANSWER_DEADLINE, known).await.is_err();
    (ports.meta.configuration(version).await? == pushed).then_some(version)
}

/// All members, this one first, and then in the order of their numbers.
async fn verify_everywhere(
    ports: &Ports,
    cluster: &Cluster,
    bundle: &Bundle,
) -> Vec<proto::ConfigMember> {
    let me = ports.meta.me();
    let files: Arc<Vec<_>> = Arc::new(bundle.files().to_vec());
    let others = cluster
        .members
        .iter()
        .filter(|(node, member)| **node != me && member.standing != Standing::Removing)
        .map(|(node, member)| verify_there(ports, *node, member.name.clone(), Arc::clone(&files)));
    let (here, others) = tokio::join!(verify_here(ports, me, bundle.clone()), join_all(others));
    std::iter::once(here).chain(others).collect()
}

async fn verify_here(ports: &Ports, me: NodeId, bundle: Bundle) -> proto::ConfigMember {
    let name = ports.runtime.figures().host_name;
    let mut member = proto::ConfigMember { node: me.0, name, ..Default::default() };
    match ports.runtime.verify(bundle).await {
        Ok(findings) => member.diagnostics = diagnostics(findings),
        Err(refusal) => member.unreachable = refusal.to_string(),
    }
    member
}

async fn verify_there(
    ports: &Ports,
    node: NodeId,
    name: String,
    files: Arc<Vec<(String, String)>>,
) -> proto::ConfigMember {
    let mut member = proto::ConfigMember { node: node.0, name, ..Default::default() };
    let file = |(name, text): &(String, String)| proto::ConfigFile {
        name: name.clone(),
        text: text.clone(),
    };
    let request = proto::ConfigVerifyRequest { files: files.iter().map(file).collect() };
    let asked = async move |mut client: AdminClient<Channel>| client.config_verify(request).await;
    match ask(ports, node, VERIFY_DEADLINE, asked).await {
        Ok(reply) => member.diagnostics = reply.diagnostics,
        Err(reason) => member.unreachable = reason,
    }
    member
}

/// Fills in what each member that answered runs with, once it has tried the version.
async fn await_everywhere(ports: &Ports, version: u64, members: &mut [proto::ConfigMember]) {
    let me = ports.meta.me().0;
    let wait_ms = u32::try_from(SWITCH_DEADLINE.as_millis()).unwrap_or(u32::MAX);
    let request = proto::ConfigAwaitRequest { version, wait_ms };
    let answers = members.iter().map(|member| async move {
        if !member.unreachable.is_empty() {
            return Err(member.unreachable.clone());
        }
        if member.node == me {
            return Ok(wait(ports, request).await);
        }
        let asked =
            async move |mut client: AdminClient<Channel>| client.config_await(request).await;
        ask(ports, NodeId(member.node), SWITCH_DEADLINE + ANSWER_DEADLINE, asked).await
    });
    let answers = join_all(answers).await;
    for (member, answer) in members.iter_mut().zip(answers) {
        match answer {
            Ok(reply) => {
                member.running = reply.running;
                member.refused = reply.refused;
            }
            Err(reason) => member.unreachable = reason,
        }
    }
}

/// Calls the administration of another node.
async fn ask<T>(
    ports: &Ports,
    node: NodeId,
    deadline: Duration,
    call: impl AsyncFnOnce(AdminClient<Channel>) -> Result<tonic::Response<T>, Status>,
) -> Result<T, String> {
    let client = AdminClient::new(ports.peers.channel(node)?);
    match tokio::time::timeout(deadline, call(client)).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {} s", deadline.as_secs())),
    }
}
