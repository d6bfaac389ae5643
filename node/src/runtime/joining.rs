//! `mtad --join`: becoming a member before anything else is started.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::runtime::Handle;

use super::{founding, say};
use crate::cluster::credentials::Credentials;
use crate::cluster::joining::{self, Applicant, Readiness};
use crate::cluster::token::JoinToken;
use crate::config::Config;

/// What the command line says about joining.
#[derive(Clone, Debug)]
pub struct JoinWith {
    /// `HOST:PORT` of a member.
    pub address: String,
    /// From `mtactl cluster token`. A node that is a member already needs none.
    pub token: Option<String>,
}

/// Joins, unless the node is a member already.
pub(super) async fn join(
    config: &Config,
    credentials: &Arc<Credentials>,
    with: JoinWith,
    runtime: &Handle,
) -> Result<()> {
    let Some(text) = with.token else {
        if let Some(card) = credentials.card() {
            tracing::info!("{} is a member of cluster {} already", card.node, card.cluster);
            return Ok(());
        }
        bail!("--join needs --token: `mtactl cluster token` on a member makes one");
    };
    let token: JoinToken = text.parse()?;
    match joining::check(&config.server.spool, credentials, &token)? {
        Readiness::Member => {
            tracing::info!("this node is a member already, and just starts");
            return Ok(());
        }
        Readiness::Fresh => {}
    }
    let own = config.server.reached_at().context(
        "a node that joins needs a cluster-listener in its configuration, for instance \
         `cluster-listener 0.0.0.0:2526`",
    )?;
    let own = founding::description(&config.server.host_name, own);
    let applicant =
        Applicant { address: own.address, name: own.name, level: own.level, version: own.version };
    let credentials = Arc::clone(credentials);
    let joining = runtime
        .spawn(async move { joining::join(&with.address, &token, applicant, &credentials).await });
    let card = joining.await.context("the runtime ended")??;
    say(format_args!("mtad: joined cluster {} as {}", card.cluster, card.node));
    tracing::info!("joined cluster {} as {}", card.cluster, card.node);
    Ok(())
}
