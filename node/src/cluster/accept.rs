//! Connections from nodes, operators and nodes that want to join.
//!
//! Who has no certificate of this cluster that is good now, or is a node that was removed, is
//! refused in the handshake or right behind it, and logged. A connection that stands is cut when
//! its node is removed or its operator's credentials expire.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::server::Acceptor;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::warn;

use super::credentials::{Credentials, JOIN_PROTOCOL, Loaded};
use super::subject::{Subject, Validity};
use crate::clock::Timestamp;
use crate::id::{NodeId, Peer};
use crate::queue::cluster::Cluster;

/// A handshake takes no longer than this.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Handshakes at the same time; more clients wait in the backlog of the socket.
const HANDSHAKES: usize = 128;
/// Nodes that are joining at the same time.
const STRANGERS: usize = 16;
/// A node that joins asks one question, and it needs no longer for that.
const STRANGER_LIMIT: Duration = Duration::from_secs(60);
/// Connections that may wait for the server to take them.
const WAITING: usize = 16;
/// After an error of the socket, such as no free descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Who called, as services find it in the extensions of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody with a certificate.
    Known(Peer),
    /// A node that wants to join.
    Stranger(SocketAddr),
}

/// A connection with its caller.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    /// Ends when the connection must.
    cut: BoxFuture<'static, ()>,
    _permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("this node belongs to no cluster")]
    NoCluster,
    #[error("no handshake in time")]
    Slow,
    #[error("{0}")]
    Handshake(#[from] io::Error),
    #[error(transparent)]
    NoSubject(#[from] super::subject::NoSubject),
    #[error("its certificate is of cluster {0}")]
    OtherCluster(String),
    #[error("{0} is no member any more")]
    Removed(NodeId),
    #[error("too many nodes are joining")]
    Crowded,
}

/// Accepts until the stream is dropped.
#[must_use]
pub fn accept(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    cluster: watch::Receiver<Arc<Cluster>>,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, accepted) = mpsc::channel(WAITING);
    let door =
        Arc::new(Door { credentials, cluster, strangers: Arc::new(Semaphore::new(STRANGERS)) });
    tokio::spawn(run(listener, door, ready));
    ReceiverStream::new(accepted)
}

async fn run(listener: TcpListener, door: Arc<Door>, ready: mpsc::Sender<io::Result<Connection>>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let next = async {
            let permit = Arc::clone(&handshakes).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = ready.closed() => return,
            next = next => next,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("cluster listener: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (door, ready) = (Arc::clone(&door), ready.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match door.admit(tcp, from).await {
                // A server that has stopped takes nothing.
                Ok(connection) => drop(ready.send(Ok(connection)).await),
                Err(refused) => warn!("cluster connection from {from} refused: {refused}"),
            }
        });
    }
}

struct Door {
    credentials: Arc<Credentials>,
    cluster: watch::Receiver<Arc<Cluster>>,
    strangers: Arc<Semaphore>,
}

impl Door {
    async fn admit(&self, tcp: TcpStream, from: SocketAddr) -> Result<Connection, Refused> {
        let loaded = self.credentials.loaded().ok_or(Refused::NoCluster)?;
        let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, shake(tcp, &loaded));
        let (stream, joins) = handshake.await.map_err(|_| Refused::Slow)??;
        if joins {
            let permit = Arc::clone(&self.strangers).try_acquire_owned();
            let permit = permit.map_err(|_| Refused::Crowded)?;
            let cut = tokio::time::sleep(STRANGER_LIMIT).boxed();
            let caller = Caller::Stranger(from);
            return Ok(Connection { stream, caller, cut, _permit: Some(permit) });
        }
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = shown.ok_or(super::subject::NoSubject)?;
        let (peer, cut) = self.recognise(shown, &loaded)?;
        Ok(Connection { stream, caller: Caller::Known(peer), cut, _permit: None })
    }

    /// Who shows this certificate, which the authority has vouched for; and when they must go.
    fn recognise(
        &self,
        shown: &CertificateDer<'_>,
        loaded: &Loaded,
    ) -> Result<(Peer, BoxFuture<'static, ()>), Refused> {
        let subject = Subject::of(shown)?;
        if subject.cluster != loaded.card.cluster {
            return Err(Refused::OtherCluster(subject.cluster));
        }
        let cut = match &subject.peer {
            Peer::Node(node) => {
                let node = *node;
                if is_removed(&self.cluster.borrow(), node) {
                    return Err(Refused::Removed(node));
                }
                let mut cluster = self.cluster.clone();
                async move {
                    // Without a sender the node is stopping, and the server ends connections.
                    if cluster.wait_for(|known| is_removed(known, node)).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    warn!("cluster connection of {node} ended: it is no member any more");
                }
                .boxed()
            }
            Peer::Operator { .. } => {
                let validity = Validity::of(shown).ok_or(super::subject::NoSubject)?;
                tokio::time::sleep(validity.until.since(Timestamp::now())).boxed()
            }
        };
        Ok((subject.peer, cut))
    }
}

/// Numbers of members are given in order and never twice. A number that was not given yet, as far
/// as is known here, belongs to a node that the others admitted a moment ago.
fn is_removed(cluster: &Cluster, node: NodeId) -> bool {
    node.0 < cluster.next_node && !cluster.members.contains_key(&node)
}

/// The handshake; true for a client that wants to join.
async fn shake(tcp: TcpStream, loaded: &Loaded) -> io::Result<(TlsStream<TcpStream>, bool)> {
    tcp.set_nodelay(true)?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let joins = start
        .client_hello()
        .alpn()
        .is_some_and(|mut offered| offered.any(|protocol| protocol == JOIN_PROTOCOL));
    let config = if joins { &loaded.joining } else { &loaded.server };
    Ok((start.into_stream(Arc::clone(config)).await?, joins))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.poll_unpin(cx).is_ready() {
            self.cut = std::future::ready(()).boxed();
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "not welcome any more");
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
