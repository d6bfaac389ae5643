//! The gRPC server on the cluster listener: other nodes, operators elsewhere, and nodes that join.
//!
//! It serves while the configuration names a listener and the node belongs to a cluster, and
//! follows both: a cluster that is made and a listener that moves want no restart.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::{error, info};

use super::node::{Parts, partitions};
use crate::admin::{self, access};
use crate::cluster::accept::accept;
use crate::cluster::credentials::Credentials;
use crate::cluster::doubt::InDoubtService;
use crate::cluster::gate::{Gate, Need};
use crate::cluster::join;
use crate::queue::Queue;
use crate::queue::door::Meta as _;

/// How often the configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long calls may take to end.
const GRACE: Duration = Duration::from_secs(2);
/// A client that does not answer a ping is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Bytes that one call, and that all calls of a connection, may have on their way.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Calls of one connection at the same time.
const STREAMS: u32 = 4096;

/// Where the cluster is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// Nowhere: nothing is configured, or the node is alone.
    Off,
    /// There.
    On(SocketAddr),
    /// It should be, and cannot.
    Failed(SocketAddr, String),
}

/// The task that serves.
pub(super) struct ClusterRpc {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ClusterRpc {
    /// Begins to serve as soon as there is something to serve. To be called within the
    /// multi-thread runtime.
    pub(super) fn start(parts: Arc<Parts>, asked: Arc<admin::Ports>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(supervise(parts, asked, stopped)) }
    }

    /// Stops taking calls and ends. Streams that are open are cut after the grace time.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            error!("the cluster listener did not stop in order: {error}");
        }
    }
}

/// Every service of the cluster listener. Who may call which is in [`need`].
fn services(parts: &Arc<Parts>, asked: &Arc<admin::Ports>) -> Routes {
    let partitions = partitions(&parts.queue);
    let mut services = Routes::builder();
    services
        .add_service(parts.queue.peer_service())
        .add_service(parts.accounting.service())
        .add_service(parts.limits.service())
        .add_service(InDoubtService::server(Arc::clone(&parts.foreign)))
        .add_service(admin::server(admin::Service::new(Arc::clone(asked))))
        .add_service(join::server(parts.queue.clone(), partitions));
    services.routes()
}

/// Who may make a call. Services that are not named here are for nodes only.
fn need(path: &str) -> Need {
    let mut words = path.split('/').skip(1);
    match (words.next(), words.next()) {
        (Some("convoy.admin.v1.Admin"), Some(call)) => {
            access::role_for(call).map_or(Need::Node, Need::Role)
        }
        (Some("convoy.join.v1.Join"), Some(_)) => Need::Nothing,
        _ => Need::Node,
    }
}

/// The groups alone, served while the rest of a new member waits for what its cluster shares.
pub(super) struct Early(Serving);

impl Early {
    /// Begins to serve. To be called within the multi-thread runtime.
    pub(super) async fn start(
        address: SocketAddr,
        credentials: &Arc<Credentials>,
        queue: &Arc<Queue>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let mut services = Routes::builder();
        services.add_service(queue.peer_service());
        Ok(Self(Serving::start(listener, credentials, queue, services.routes())))
    }

    /// Ends, so that all can be served there.
    pub(super) async fn stop(self) {
        self.0.stop().await;
    }
}

/// A server at work.
struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(
        listener: TcpListener,
        credentials: &Arc<Credentials>,
        queue: &Queue,
        routes: Routes,
    ) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let incoming = accept(listener, Arc::clone(credentials), queue.cluster());
        let router = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .layer(Gate(need))
            .add_routes(routes);
        let served = router.serve_with_incoming_shutdown(incoming, async move {
            // A sender that is gone means that the node has stopped.
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                error!("the gRPC server of the cluster ended: {error}");
            }
        });
        Self { stop, task }
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn supervise(
    parts: Arc<Parts>,
    asked: Arc<admin::Ports>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut credentials = parts.credentials.watch();
    let mut serving: Option<Serving> = None;
    loop {
        let founded = credentials.borrow_and_update().is_some();
        let wanted = parts.config.load().server.cluster_listener.filter(|_| founded);
        follow(wanted, &parts, &asked, &mut serving).await;
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = credentials.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    if let Some(serving) = serving {
        serving.stop().await;
    }
}

/// Serves where it is wanted and nowhere else.
async fn follow(
    wanted: Option<SocketAddr>,
    parts: &Arc<Parts>,
    asked: &Arc<admin::Ports>,
    serving: &mut Option<Serving>,
) {
    let now = parts.listening.borrow().clone();
    let there = match &now {
        Listening::Off | Listening::Failed(..) => None,
        Listening::On(address) => Some(*address),
    };
    if there == wanted {
        return;
    }
    if let Some(old) = serving.take() {
        old.stop().await;
    }
    let next = match wanted {
        None => Listening::Off,
        Some(address) => match TcpListener::bind(address).await {
            Ok(listener) => {
                let routes = services(parts, asked);
                *serving = Some(Serving::start(listener, &parts.credentials, &parts.queue, routes));
                info!("cluster listener on {address}");
                Listening::On(address)
            }
            Err(refused) => Listening::Failed(address, refused.to_string()),
        },
    };
    if next == now {
        return;
    }
    if let Listening::Failed(address, reason) = &next {
        error!("cluster-listener {address}: {reason}; it is tried again every second");
    }
    parts.listening.send_replace(next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Role;

    #[test]
    fn calls_need_what_they_need() {
        for (path, needed) in [
            ("/convoy.admin.v1.Admin/Status", Need::Role(Role::Monitor)),
            ("/convoy.admin.v1.Admin/Delete", Need::Role(Role::Operator)),
            ("/convoy.admin.v1.Admin/ClusterToken", Need::Role(Role::Admin)),
            ("/convoy.admin.v1.Admin/New", Need::Node),
            ("/convoy.admin.v1.Admin/ConfigPush", Need::Role(Role::Admin)),
            ("/convoy.admin.v1.Admin/ConfigVerify", Need::Node),
            ("/convoy.admin.v1.Admin", Need::Node),
            ("/convoy.peer.v1.Peer/Append", Need::Node),
            ("/convoy.accounting.v1.AccountingCollector/Collect", Need::Node),
            ("/convoy.join.v1.Join/Join", Need::Nothing),
            ("/convoy.join.v1.Joint/Join", Need::Node),
            ("", Need::Node),
        ] {
            assert_eq!(need(path), needed, "{path}");
        }
    }
}
