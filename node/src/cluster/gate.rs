//! Who may call what, decided before a service sees the call.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tower::{Layer, Service};
use tracing::warn;

use super::accept::Caller;
use crate::id::{Peer, Role};

/// Who may make a call. Nodes may make them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Anybody who gets a connection, a node that wants to join included.
    Nothing,
    /// Operators with this role or a higher one.
    Role(Role),
    /// Nodes only.
    Node,
}

/// What a call needs, by its path: `/convoy.admin.v1.Admin/Status`.
pub type Needs = fn(path: &str) -> Need;

/// Refuses callers who may not. Services find the [`Peer`] in the extensions of the request.
#[derive(Clone, Copy)]
pub struct Gate(pub Needs);

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { needs: self.0, inner }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    needs: Needs,
    inner: S,
}

type Answer = Result<http::Response<Body>, Infallible>;

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let caller = request.extensions().get::<Caller>().cloned();
        if let Err(status) = judge((self.needs)(path), caller.as_ref()) {
            let who = match &caller {
                Some(Caller::Known(peer)) => peer.to_string(),
                Some(Caller::Stranger(from)) => format!("a stranger at {from}"),
                None => "nobody".to_owned(),
            };
            warn!("call of {path} by {who} refused: {}", status.message());
            return Either::Right(ready(Ok(status.into_http())));
        }
        if let Some(Caller::Known(peer)) = caller {
            request.extensions_mut().insert(peer);
        }
        Either::Left(self.inner.call(request))
    }
}

fn judge(need: Need, caller: Option<&Caller>) -> Result<(), Status> {
    match (need, caller) {
        (_, None) => Err(Status::unauthenticated("nobody knows who is calling")),
        (Need::Nothing, Some(_)) | (_, Some(Caller::Known(Peer::Node(_)))) => Ok(()),
        (_, Some(Caller::Stranger(_))) => {
            Err(Status::unauthenticated("a certificate of the cluster is needed"))
        }
        (Need::Node, Some(Caller::Known(Peer::Operator { .. }))) => {
            Err(Status::permission_denied("this is for nodes only"))
        }
        (Need::Role(needed), Some(Caller::Known(Peer::Operator { role, .. }))) => {
            if *role >= needed {
                return Ok(());
            }
            Err(Status::permission_denied(format!(
                "this needs the role {needed}; your credentials have the role {role}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn callers_may_what_they_may() {
        let node = Caller::Known(Peer::Node(NodeId(2)));
        let operator = |role| Caller::Known(Peer::Operator { name: "anna".to_owned(), role });
        let (monitor, admin) = (operator(Role::Monitor), operator(Role::Admin));
        let stranger = Caller::Stranger("192.0.2.1:9".parse().unwrap());
        let table = [
            (Need::Nothing, [true, true, true, true]),
            (Need::Role(Role::Monitor), [true, true, true, false]),
            (Need::Role(Role::Operator), [true, false, true, false]),
            (Need::Role(Role::Admin), [true, false, true, false]),
            (Need::Node, [true, false, false, false]),
        ];
        for (need, allowed) in table {
            let callers = [&node, &monitor, &admin, &stranger];
            let judged = callers.map(|caller| judge(need, Some(caller)).is_ok());
            assert_eq!(judged, allowed, "{need:?}");
            assert!(judge(need, None).is_err());
        }
    }
}
