//! The gRPC server on the Unix socket, and the way to the collector: this node by the same socket,
//! so that rows travel one way however many nodes there are, and others by the cluster's
//! connections.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server, Uri};

use crate::accounting::{Accounting, Connect, NoCollector};
use crate::admin;
use crate::id::{GroupId, NodeId};
use crate::queue::door::Meta;
use crate::queue::raft::Peers;

/// The way to the collector, which is the node that leads the accounting group.
pub(super) struct ToCollector {
    /// Who leads.
    pub(super) meta: Arc<dyn Meta>,
    /// The way to other nodes.
    pub(super) peers: Arc<dyn Peers>,
    /// `admin-socket`.
    pub(super) socket: PathBuf,
}

impl Connect for ToCollector {
    fn leader(&self) -> Option<NodeId> {
        self.meta.leader(GroupId::ACCOUNTING)
    }

    fn collector(&self) -> BoxFuture<'_, Result<Channel, NoCollector>> {
        async move {
            match self.leader() {
                None => Err(NoCollector("no node leads the accounting group".to_owned())),
                Some(node) if node == self.meta.me() => own_socket(self.socket.clone()).await,
                Some(node) => self.peers.channel(node).map_err(NoCollector),
            }
        }
        .boxed()
    }
}

async fn own_socket(path: PathBuf) -> Result<Channel, NoCollector> {
    // The address is never used: the connector knows the socket.
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .map_err(|error| NoCollector(format!("the collector cannot be reached: {error}")))
}

/// The server at work.
pub(super) struct Rpc {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Rpc {
    /// Binds the socket and serves administration and the collector on it. To be called within
    /// the multi-thread runtime.
    pub(super) async fn start(
        path: PathBuf,
        ports: Arc<admin::Ports>,
        accounting: &Accounting,
    ) -> Result<Self> {
        let listener = admin::socket::bind(&path).await?;
        let (stop, mut stopped) = watch::channel(false);
        let router = Server::builder()
            .add_service(admin::server(admin::Service::new(ports)))
            .add_service(accounting.service());
        let served =
            router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
                // A sender that is gone means that the node has stopped.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        let task = tokio::spawn(async move {
            if let Err(error) = served.await.context("the gRPC server ended") {
                tracing::error!("{error:#}");
            }
            // The next start replaces a socket that is left behind; this is for tidiness.
            let _ = tokio::fs::remove_file(path).await;
        });
        Ok(Self { stop, task })
    }

    /// Stops taking calls and ends. Streams that are open are cut after the grace time.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let grace = std::time::Duration::from_secs(2);
        let mut task = self.task;
        if tokio::time::timeout(grace, &mut task).await.is_err() {
            task.abort();
        }
    }
}
