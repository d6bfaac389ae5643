//! One listening socket: an actor that accepts and hands connections to the arbiters.
//!
//! Owns the accepting side of the socket and whose turn it is. Takes [`Stop`] and
//! [`Reconfigured`]; sends nothing: each connection is a task of its own.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture,
};
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::connection::{self, Accepted};
use super::shared::Shared;
use crate::clock::Timestamp;
use crate::config::settings::SmtpListener;
use crate::smtp::reply::Reply;
use crate::tls::acceptor::ClientAuthorities;

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Pause after accepting failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener is configured to be. A reload replaces it as a whole; connections keep theirs.
pub(super) struct ListenerState {
    pub(super) settings: SmtpListener,
    pub(super) tls: Option<Arc<TlsSetup>>,
}

/// TLS as loaded from its files.
pub(super) struct TlsSetup {
    pub(super) config: Arc<rustls::ServerConfig>,
    pub(super) authorities: ClientAuthorities,
    /// When the first certificate of the chain expires.
    pub(super) expires_at: Option<Timestamp>,
}

/// Opens a listening socket. IPv4 and IPv6 stay apart, so that `0.0.0.0` and `[::]` can both be
/// configured with the same port.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The actor. It can be made again from the same arguments: the socket is shared with its maker.
pub(super) struct Listener {
    socket: Arc<StdListener>,
    state: Arc<ArcSwap<ListenerState>>,
    shared: Arc<Shared>,
    arbiters: Arc<[ArbiterHandle]>,
    accepting: Option<SpawnHandle>,
}

impl Listener {
    pub(super) fn new(
        socket: Arc<StdListener>,
        state: Arc<ArcSwap<ListenerState>>,
        shared: Arc<Shared>,
        arbiters: Arc<[ArbiterHandle]>,
    ) -> Self {
        Self { socket, state, shared, arbiters, accepting: None }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let socket = self.socket.try_clone().and_then(TcpListener::from_std);
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                warn!("a listening socket cannot be used: {error}");
                return context.stop();
            }
        };
        let acceptor = Acceptor {
            socket,
            state: Arc::clone(&self.state),
            shared: Arc::clone(&self.shared),
            arbiters: Arc::clone(&self.arbiters),
        };
        self.accepting = Some(context.spawn(acceptor.run().into_actor(self)));
    }
}

/// Accept no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl Handler<Stop> for Listener {
    type Result = ();

    fn handle(&mut self, _stop: Stop, context: &mut Self::Context) {
        if let Some(accepting) = self.accepting.take() {
            context.cancel_future(accepting);
        }
        context.stop();
    }
}

/// The accept loop.
struct Acceptor {
    socket: TcpListener,
    state: Arc<ArcSwap<ListenerState>>,
    shared: Arc<Shared>,
    arbiters: Arc<[ArbiterHandle]>,
}

impl Acceptor {
    async fn run(self) {
        for turn in (0..self.arbiters.len()).cycle() {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    if let Ok(stream) = stream.into_std() {
                        self.hand_over(stream, peer, turn);
                    }
                }
                Err(error) => {
                    warn!("accepting a connection failed: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn hand_over(&self, stream: std::net::TcpStream, peer: SocketAddr, turn: usize) {
        let listener = self.state.load_full();
        if let Some(proxies) = &listener.settings.proxies
            && !proxies.hold(peer.ip())
        {
            let on = listener.settings.address;
            info!("refused {peer} on {on}: it is no proxy-trusted-source");
            return;
        }
        if self.shared.declines() {
            if !listener.settings.immediate_tls {
                refuse(&stream, "this server takes no mail now, try another one");
            }
            return;
        }
        let total_max = self.shared.config.load().server.total_max_smtp_in;
        let Some(permit) = self.shared.admission.connection(total_max) else {
            // In clear only: a client that expects TLS understands nothing else.
            if !listener.settings.immediate_tls {
                refuse(&stream, "too many connections, try again later");
            }
            return;
        };
        let accepted = Accepted { stream, peer, listener, permit };
        let shared = Arc::clone(&self.shared);
        let serve = move || {
            actix_rt::spawn(connection::serve(shared, accepted));
        };
        if !self.arbiters[turn].spawn_fn(serve) {
            warn!("a thread for connections has ended; a connection was dropped");
        }
    }
}

/// Says that there is no place. The buffer of a new socket takes the line at once; if it does not,
/// the client sees the connection closed, which says the same.
fn refuse(mut stream: &std::net::TcpStream, why: &'static str) {
    let mut line = bytes::BytesMut::new();
    Reply::new(421, 3, 2, why).write(&mut line);
    let _ = std::io::Write::write(&mut stream, &line);
    let _ = stream.shutdown(std::net::Shutdown::Write);
}
