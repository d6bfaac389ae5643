//! Connections to other nodes over TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::credentials::Credentials;
use super::subject;
use super::transport::{Dial, Io, Transport};
use crate::id::NodeId;
use crate::queue::raft::Peers as _;

/// A connection with its handshake takes no longer than this.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Dials with the node's credentials, and takes nobody but the node that it means.
pub struct TlsDial {
    credentials: Arc<Credentials>,
}

impl TlsDial {
    /// Dials with these, as they are at the time.
    #[must_use]
    pub const fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials }
    }
}

/// Connections to the other nodes. Those that a node was told of when it joined are known from the
/// start.
#[must_use]
pub fn transport(credentials: &Arc<Credentials>) -> Arc<Transport> {
    let transport = Transport::new(Arc::new(TlsDial::new(Arc::clone(credentials))));
    if let Some(card) = credentials.card() {
        transport.learn(&card.members);
    }
    transport
}

impl Dial for TlsDial {
    fn dial(&self, node: NodeId, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let loaded = self.credentials.loaded();
        async move {
            let Some(loaded) = loaded else {
                return Err(io::Error::other("this node belongs to no cluster"));
            };
            let connecting = async {
                let tcp = TcpStream::connect(&address).await?;
                tcp.set_nodelay(true)?;
                let name =
                    ServerName::try_from(subject::name_of(node)).map_err(io::Error::other)?;
                TlsConnector::from(Arc::clone(&loaded.client)).connect(name, tcp).await
            };
            let stream = tokio::time::timeout(TIME_LIMIT, connecting)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
            Ok(Box::new(stream) as Box<dyn Io>)
        }
        .boxed()
    }
}
