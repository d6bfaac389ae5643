//! Keeps the node's certificate good: makes the first one when the cluster is founded, and a new
//! one when two thirds of its life are over. Every node has the authority in its replica of the
//! meta group, so it asks nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::authority::{Authority, NodeKey, Pair};
use super::credentials::{Credentials, CredentialsError};
use super::files::Card;
use super::subject::Validity;
use crate::clock::Timestamp;
use crate::config::address;
use crate::id::NodeId;
use crate::queue::cluster::{Cluster, Identity};
use crate::queue::door::Meta;

/// How often the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks at the certificate for as long as the node runs.
pub async fn run(credentials: Arc<Credentials>, meta: Arc<dyn Meta>, partitions: u32) {
    let mut cluster = meta.cluster();
    let mut failed = String::new();
    loop {
        let known = Arc::clone(&cluster.borrow_and_update());
        match look(&credentials, &known, meta.me(), partitions).await {
            Ok(()) => failed.clear(),
            Err(reason) if reason == failed => {}
            Err(reason) => {
                error!("the node's certificate cannot be renewed: {reason}");
                failed = reason;
            }
        }
        // Every change of the cluster wakes this up; looking costs nothing.
        let changed = tokio::time::timeout(LOOK_EVERY, cluster.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
    }
}

async fn look(
    credentials: &Arc<Credentials>,
    cluster: &Cluster,
    me: NodeId,
    partitions: u32,
) -> Result<(), String> {
    let Some(identity) = cluster.identity.clone() else { return Ok(()) };
    let now = Timestamp::now();
    let due = |validity: Validity| validity.is_due(now);
    let card = match credentials.loaded() {
        Some(loaded) if !due(loaded.validity) => return Ok(()),
        Some(loaded) => loaded.card.clone(),
        None => founders_card(&identity, cluster, me, partitions)
            .ok_or_else(|| format!("{me} is no member"))?,
    };
    let credentials = Arc::clone(credentials);
    let renewing = tokio::task::spawn_blocking(move || renew(&credentials, card, &identity, now));
    match renewing.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn founders_card(
    identity: &Identity,
    cluster: &Cluster,
    me: NodeId,
    partitions: u32,
) -> Option<Card> {
    let address = cluster.members.get(&me)?.address.clone();
    let cluster = identity.id.clone();
    let members = BTreeMap::from([(me, address.clone())]);
    Some(Card { cluster, node: me, partitions, founder: true, started: true, address, members })
}

/// Makes a key and a certificate, and puts them to use.
///
/// # Errors
/// When they cannot be made or written; the old ones stay in use.
pub fn renew(
    credentials: &Credentials,
    card: Card,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), CredentialsError> {
    let authority = Authority::of(identity)?;
    let key = NodeKey::generate()?;
    let host = address::split(&card.address).map_or("localhost", |(host, _)| host).to_owned();
    let certificate_pem = authority.node(card.node, &host, &key.public(), now)?;
    let node = card.node;
    let own = Pair { certificate_pem, key_pem: key.pem() };
    credentials.install(card, authority.certificate_pem(), &own)?;
    info!("{node} has a new certificate");
    Ok(())
}
