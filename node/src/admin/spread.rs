//! Asks the other nodes of the cluster, so that the one that is asked answers for all.
//!
//! Every call that is passed on carries [`LOCAL_KEY`], and is answered by its receiver for itself
//! alone. A node that does not answer in time is named in the reply: there are no silent gaps.

use std::time::Duration;

use convoy_proto::admin as proto;
use convoy_proto::admin::admin_client::AdminClient;
use futures_util::future::join_all;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::service::{API_KEY, Ports};
use crate::id::NodeId;

/// Metadata key of a call that is answered for the asked node alone.
pub const LOCAL_KEY: &str = "convoy-local";

/// A node that needs longer is missing.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Items of a table that another node may send: more queues than any node has.
const ITEMS_MAX: usize = 1 << 20;
/// Bytes of one reply: a status names all domains.
const REPLY_BYTES: usize = 64 << 20;

/// Whom a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// This node.
    Here,
    /// All nodes.
    Everywhere,
}

impl Scope {
    /// What the caller wants.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        if request.metadata().contains_key(LOCAL_KEY) { Self::Here } else { Self::Everywhere }
    }
}

/// Marks a call as one for its receiver alone.
type SayLocal = fn(Request<()>) -> Result<Request<()>, Status>;

/// The administration of another node.
pub(super) type Peer = AdminClient<InterceptedService<Channel, SayLocal>>;

fn say_local(mut request: Request<()>) -> Result<Request<()>, Status> {
    let metadata = request.metadata_mut();
    metadata.insert(LOCAL_KEY, MetadataValue::from(1));
    metadata.insert(API_KEY, MetadataValue::from(proto::Api::Current as u32));
    Ok(request)
}

/// The other nodes, when they are meant; those without a connection as missing.
pub(super) fn others(ports: &Ports, scope: Scope) -> (Vec<(NodeId, Peer)>, Vec<proto::Missing>) {
    let (mut peers, mut gone) = (Vec::new(), Vec::new());
    if scope == Scope::Here {
        return (peers, gone);
    }
    for (node, channel) in ports.cluster.others() {
        match channel {
            Ok(channel) => {
                let client = AdminClient::with_interceptor(channel, say_local as SayLocal);
                peers.push((node, client.max_decoding_message_size(REPLY_BYTES)));
            }
            Err(reason) => gone.push(missing(node, &reason)),
        }
    }
    (peers, gone)
}

/// A node that is not in the reply.
pub(super) fn missing(node: NodeId, reason: &str) -> proto::Missing {
    proto::Missing { node: node.0, reason: reason.to_owned() }
}

/// Asks all others at once, each for at most `deadline`.
pub(super) async fn ask<T, F>(
    ports: &Ports,
    scope: Scope,
    deadline: Duration,
    call: impl Fn(Peer) -> F,
) -> (Vec<(NodeId, T)>, Vec<proto::Missing>)
where
    F: Future<Output = Result<T, Status>>,
{
    match scope {
        Scope::Here => (Vec::new(), Vec::new()),
        Scope::Everywhere => ask_some(ports, deadline, |_| true, call).await,
    }
}

/// Asks those of the others that are wanted.
pub(super) async fn ask_some<T, F>(
    ports: &Ports,
    deadline: Duration,
    wanted: impl Fn(NodeId) -> bool,
    call: impl Fn(Peer) -> F,
) -> (Vec<(NodeId, T)>, Vec<proto::Missing>)
where
    F: Future<Output = Result<T, Status>>,
{
    let (mut peers, mut gone) = others(ports, Scope::Everywhere);
    peers.retain(|(node, _)| wanted(*node));
    gone.retain(|gone| wanted(NodeId(gone.node)));
    let asked = peers.into_iter().map(|(node, peer)| {
        let call = call(peer);
        async move {
            let answer = tokio::time::timeout(deadline, call).await;
            (node, answer.unwrap_or_else(|_| Err(late(deadline))))
        }
    });
    let mut answers = Vec::new();
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok(answer) => answers.push((node, answer)),
            Err(status) => gone.push(missing(node, &reason(&status))),
        }
    }
    gone.sort_by_key(|gone| gone.node);
    (answers, gone)
}

/// No answer in time.
pub(super) fn late(deadline: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within {} s", deadline.as_secs()))
}

/// Why a node did not answer, in few words: the innermost cause says most.
pub(super) fn reason(status: &Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| status.message().to_owned())
}

/// All items of a table.
pub(super) async fn collect<T>(mut items: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(item) = items.message().await? {
        if all.len() >= ITEMS_MAX {
            return Err(Status::resource_exhausted("the answer is too long"));
        }
        all.push(item);
    }
    Ok(all)
}
