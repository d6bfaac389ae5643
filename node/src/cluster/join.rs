//! Lets new nodes in: answers the one call that needs no certificate, but a token.

use std::sync::Arc;

use convoy_proto::join as proto;
use convoy_proto::join::join_server::{Join, JoinServer};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::accept::Caller;
use super::authority::Authority;
use super::token;
use crate::clock::Timestamp;
use crate::config::address;
use crate::id::NodeId;
use crate::queue::cluster::{Change, Changed, Cluster};
use crate::queue::door::Meta;

/// A request is a few hundred bytes.
const REQUEST_MOST: usize = 16 << 10;
/// The longest host name, and the longest version.
const NAME_MOST: usize = 255;

/// The service.
pub struct JoinService {
    meta: Arc<dyn Meta>,
    partitions: u32,
}

/// The service as tonic serves it. New nodes get as many partitions as this one has.
#[must_use]
pub fn server(meta: Arc<dyn Meta>, partitions: u32) -> JoinServer<JoinService> {
    JoinServer::new(JoinService { meta, partitions }).max_decoding_message_size(REQUEST_MOST)
}

#[tonic::async_trait]
impl Join for JoinService {
    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinReply>, Status> {
        let from = match request.extensions().get::<Caller>() {
            Some(Caller::Stranger(from)) => from.to_string(),
            Some(Caller::Known(peer)) => peer.to_string(),
            None => "nobody".to_owned(),
        };
        let request = request.into_inner();
        let (name, address) = (request.name.clone(), request.address.clone());
        match self.let_in(request).await {
            Ok(reply) => {
                info!("{name} at {address} joined the cluster as n{}", reply.node_id);
                Ok(Response::new(reply))
            }
            Err(status) => {
                warn!("{from} was not let into the cluster: {}", status.message());
                Err(status)
            }
        }
    }
}

impl JoinService {
    async fn let_in(&self, request: proto::JoinRequest) -> Result<proto::JoinReply, Status> {
        let cluster = Arc::clone(&self.meta.cluster().borrow());
        let identity = cluster.identity.as_ref();
        let identity = identity.ok_or_else(|| Status::unavailable("this is no cluster yet"))?;
        let authority = Authority::of(identity).map_err(|e| Status::internal(e.to_string()))?;
        let host = check(&request, &cluster)?;
        // A certificate for nobody yet: what cannot be certified must not cost the token.
        let certify = |node| {
            authority
                .node(node, &host, &request.public_key, Timestamp::now())
                .map_err(|error| Status::failed_precondition(error.to_string()))
        };
        certify(NodeId(0))?;
        let node = self.admit(&request, &cluster).await?;
        Ok(proto::JoinReply {
            node_id: node.0,
            cluster: identity.id.clone(),
            certificate: certify(node)?,
            authority: authority.certificate_pem().to_owned(),
            partitions: self.partitions,
            members: members(&cluster),
        })
    }

    async fn admit(
        &self,
        request: &proto::JoinRequest,
        cluster: &Cluster,
    ) -> Result<NodeId, Status> {
        let hash = token::hash(&request.secret);
        let claim = token::claim(&request.secret, &request.public_key);
        let change = Change::admit(
            hash,
            claim,
            &request.address,
            &request.name,
            request.level,
            &request.version,
        );
        match self.meta.change(change).await {
            Ok(Changed::Number(node)) => Ok(NodeId(node)),
            Ok(Changed::Done | Changed::Refused) => Err(Status::unauthenticated(reason(
                cluster.tokens.get(&hash).map(|token| token.expires_at),
                Timestamp::now(),
            ))),
            Err(error) => Err(Status::unavailable(format!(
                "the cluster cannot let anybody in now ({error}): try again"
            ))),
        }
    }
}

/// Why a token was refused, as far as this node knows.
fn reason(expires_at: Option<Timestamp>, now: Timestamp) -> String {
    match expires_at {
        Some(expired) if expired <= now => format!("the token expired at {expired}"),
        _ => "the token is not known: it was used already, has expired, or is of another cluster; \
              `mtactl cluster token` makes a new one"
            .to_owned(),
    }
}

/// Can it be a member? Gives the host of its address.
fn check(request: &proto::JoinRequest, cluster: &Cluster) -> Result<String, Status> {
    let (host, _) = address::split(&request.address)
        .map_err(|error| Status::failed_precondition(error.to_string()))?;
    if request.name.len() > NAME_MOST || request.version.len() > NAME_MOST {
        return Err(Status::invalid_argument("name or version is too long"));
    }
    if request.level < cluster.level {
        return Err(Status::failed_precondition(format!(
            "the cluster uses format {} and the new node reads formats up to {}: install a newer \
             mtad on it",
            cluster.level, request.level
        )));
    }
    let taken = cluster.members.iter().find(|(_, member)| member.address == request.address);
    if let Some((node, _)) = taken {
        tracing::info!("{node} had the address {} before", request.address);
    }
    Ok(host.to_owned())
}

fn members(cluster: &Cluster) -> Vec<proto::join_reply::Member> {
    let members = cluster.members.iter();
    members
        .map(|(node, member)| proto::join_reply::Member {
            node_id: node.0,
            address: member.address.clone(),
        })
        .collect()
}
