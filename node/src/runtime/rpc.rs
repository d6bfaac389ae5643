//! The gRPC server on the Unix socket, and the way to the collector.

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

/// The collector of a single node: the same process, reached through the node's own socket, so
/// that rows travel one way however many nodes there are.
pub(super) struct OwnSocket {
    /// `admin-socket`.
    pub(super) path: PathBuf,
}

impl Connect for OwnSocket {
    fn collector(&self) -> BoxFuture<'_, Result<Channel, NoCollector>> {
        let path = self.path.clone();
        async move {
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
        .boxed()
    }
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
