//! Hears what other nodes have open.

use std::sync::Arc;

use convoy_proto::indoubt as proto;
use convoy_proto::indoubt::in_doubt_server::{InDoubt, InDoubtServer};
use tonic::{Request, Response, Status};

use super::Foreign;
use crate::id::Peer;

/// The service that other nodes call.
pub struct InDoubtService(Arc<Foreign>);

impl InDoubtService {
    /// Puts what it hears into `foreign`.
    #[must_use]
    pub const fn new(foreign: Arc<Foreign>) -> Self {
        Self(foreign)
    }

    /// The same, ready to be served.
    #[must_use]
    pub fn server(foreign: Arc<Foreign>) -> InDoubtServer<Self> {
        InDoubtServer::new(Self::new(foreign))
    }
}

#[tonic::async_trait]
impl InDoubt for InDoubtService {
    async fn tell(
        &self,
        request: Request<proto::TellRequest>,
    ) -> Result<Response<proto::TellReply>, Status> {
        let Some(Peer::Node(node)) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::permission_denied("this is for nodes only"));
        };
        let again = self.0.take(node, request.into_inner());
        Ok(Response::new(proto::TellReply { again }))
    }
}
