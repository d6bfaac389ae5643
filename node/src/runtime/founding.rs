//! Making a cluster, and letting nodes and operators in, as administration asks for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tracing::info;

use super::cluster_rpc::Listening;
use super::node::Parts;
use crate::admin::ports::{Founded, FoundingPort, Pass, Refusal};
use crate::clock::Timestamp;
use crate::cluster::authority::{self, Authority};
use crate::cluster::token::JoinToken;
use crate::config::address;
use crate::id::{NodeId, Role};
use crate::queue::FORMAT;
use crate::queue::cluster::{Change, Changed, Description, Identity};
use crate::queue::door::{Meta as _, ReportError};

/// How long a node that made a cluster may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a node says of itself, as far as the runtime knows it from the start.
pub(super) fn description(host_name: &str, address: String) -> Description {
    Description {
        address,
        name: host_name.to_owned(),
        level: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Description::default()
    }
}

/// The port of a node.
pub(super) struct Port(pub(super) Arc<Parts>);

fn refused(text: impl Into<String>) -> Refusal {
    Refusal::Refused(text.into())
}

fn unavailable(error: ReportError) -> Refusal {
    Refusal::Unavailable(format!("the cluster cannot be changed now: {error}"))
}

impl Port {
    fn identity(&self) -> Result<Identity, Refusal> {
        let cluster = self.0.queue.cluster().borrow().clone();
        cluster.identity.clone().ok_or_else(|| {
            refused("this node belongs to no cluster: `mtactl cluster init` makes one")
        })
    }

    fn authority(&self) -> Result<Authority, Refusal> {
        Authority::of(&self.identity()?).map_err(|error| Refusal::Failed(error.to_string()))
    }

    async fn found(&self, given: Option<String>) -> Result<Founded, Refusal> {
        let config = self.0.config.load_full();
        let own = config.server.reached_at().ok_or_else(|| {
            refused(
                "there is no cluster-listener in the configuration: add one, for instance \
                 `cluster-listener 0.0.0.0:2526`, then `mtactl reload`",
            )
        })?;
        let address = given.unwrap_or(own);
        address::split(&address).map_err(|error| refused(error.to_string()))?;
        let identity = authority::found(Timestamp::now())
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let first = description(&config.server.host_name, address.clone());
        let queue = &self.0.queue;
        let change = Change::found(&identity, queue.me(), &first);
        match queue.change(change).await.map_err(unavailable)? {
            Changed::Done | Changed::Number(_) => {}
            Changed::Refused => {
                let known = self.identity().map_or_else(|_| String::new(), |known| known.id);
                return Err(refused(format!("this node belongs to cluster {known} already")));
            }
        }
        info!("cluster {} made by administrator", identity.id);
        self.listening().await?;
        Ok(Founded { cluster: identity.id, address })
    }

    /// Waits until others can come.
    async fn listening(&self) -> Result<(), Refusal> {
        let mut listening = self.0.listening.subscribe();
        let settled = listening.wait_for(|now| *now != Listening::Off);
        let why = match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Ok(now)) => match &*now {
                Listening::On(_) => return Ok(()),
                Listening::Failed(address, reason) => format!("{address}: {reason}"),
                Listening::Off => "it is off".to_owned(),
            },
            Ok(Err(_)) | Err(_) => "its certificate is not ready; see the log".to_owned(),
        };
        Err(Refusal::Failed(format!(
            "the cluster is made, but nobody can reach this node: cluster-listener {why}"
        )))
    }

    async fn make_token(&self, ttl: Duration, replaces: Option<NodeId>) -> Result<Pass, Refusal> {
        let expires_at = Timestamp::now() + ttl;
        let token = JoinToken::generate(self.authority()?.fingerprint(), expires_at);
        let queue = &self.0.queue;
        let change = Change::add_token(token.hash(), expires_at, replaces);
        match queue.change(change).await.map_err(unavailable)? {
            Changed::Done | Changed::Number(_) => {}
            Changed::Refused => return Err(self.why_no_token(replaces)),
        }
        Ok(Pass { text: token.text(), expires_at })
    }

    fn why_no_token(&self, replaces: Option<NodeId>) -> Refusal {
        let cluster = self.0.queue.cluster().borrow().clone();
        match replaces.filter(|node| !cluster.members.contains_key(node)) {
            Some(node) => refused(format!("{node} is no member, so nobody can take its place")),
            None => refused("too many join tokens wait: they go away when they expire"),
        }
    }
}

impl FoundingPort for Port {
    fn init(&self, address: Option<String>) -> BoxFuture<'_, Result<Founded, Refusal>> {
        self.found(address).boxed()
    }

    fn token(
        &self,
        ttl: Duration,
        replaces: Option<NodeId>,
    ) -> BoxFuture<'_, Result<Pass, Refusal>> {
        self.make_token(ttl, replaces).boxed()
    }

    fn operator(&self, name: &str, role: Role, ttl: Duration) -> Result<Pass, Refusal> {
        let authority = self.authority()?;
        let now = Timestamp::now();
        let pair = authority
            .operator(name, role, now, ttl)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let own = format!("{}{}", pair.certificate_pem, pair.key_pem);
        Ok(Pass { text: format!("{own}{}", authority.certificate_pem()), expires_at: now + ttl })
    }

    fn address(&self) -> String {
        let queue = &self.0.queue;
        let cluster = queue.cluster().borrow().clone();
        cluster.members.get(&queue.me()).map(|me| me.address.clone()).unwrap_or_default()
    }
}
