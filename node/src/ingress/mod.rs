//! The way in: listeners, connections, admission, and the submission of messages to the queue.
//!
//! Owns sockets and permits. Answers `250` only when the queue says that the message is stored.
//! Knows nothing of delivery.

mod admission;
mod authentication;
mod connection;
mod counters;
mod listener;
mod proxy;
mod shared;
mod submission;
mod tokens;
mod vmta;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::info;

use self::authentication::CertificateUsers;
pub use self::counters::{Counters, Figures};
use self::listener::{Listener, ListenerState, Stop, TlsSetup};
use self::shared::{Patience, Phase, Shared};
use crate::clock::Timestamp;
use crate::config::settings::{Config, ServerTls, SmtpListener};
use crate::queue::door::Inbox;
use crate::tls::acceptor::{self, ClientAuthorities};
use crate::tls::{TlsError, certificate, roots};

/// How often a drain looks whether the last connection has ended.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Why mail cannot be accepted as configured.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// A socket cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificates or ciphers cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener speaks TLS at once and has no certificate.
    #[error("the listener on {0} needs a certificate (smtp-server-tls-certificate)")]
    NoCertificate(SocketAddr),
    /// There is no thread to serve connections.
    #[error("no arbiter to serve connections")]
    NoArbiter,
}

/// All listeners and their connections.
pub struct Ingress {
    shared: Arc<Shared>,
    arbiters: Arc<[ArbiterHandle]>,
    phase: watch::Sender<Phase>,
    listeners: Mutex<Vec<Running>>,
}

/// One listener at work.
struct Running {
    /// As configured; port 0 stays 0 here.
    configured: SocketAddr,
    bound: Bound,
    state: Arc<ArcSwap<ListenerState>>,
    actor: Addr<Listener>,
}

impl Running {
    fn stop(&self) {
        // The mailbox is full only when a stop is in it already.
        let _ = self.actor.try_send(Stop);
    }
}

/// An open socket.
#[derive(Clone)]
struct Bound {
    socket: Arc<TcpListener>,
    address: SocketAddr,
}

/// Where the socket of a configured listener comes from.
enum Socket {
    /// It is open already, at this place.
    Open(usize),
    /// It was opened for it.
    New(Bound),
}

impl Ingress {
    /// Opens the configured listeners and accepts mail. Listeners and connections run on
    /// `arbiters` in turn.
    ///
    /// # Errors
    ///
    /// When a socket, a certificate or a cipher list cannot be used; then nothing listens.
    pub fn start(
        config: Arc<ArcSwap<Config>>,
        inbox: Arc<dyn Inbox>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<Self, IngressError> {
        if arbiters.is_empty() {
            return Err(IngressError::NoArbiter);
        }
        let (phase, watched) = watch::channel(Phase::Running);
        let ingress = Self {
            shared: Arc::new(Shared::new(config, inbox, watched, Patience::default())),
            arbiters: arbiters.into(),
            phase,
            listeners: Mutex::new(Vec::new()),
        };
        ingress.reconfigure()?;
        Ok(ingress)
    }

    /// Takes over the current configuration: listeners that went are closed, new ones opened,
    /// certificates read again. Open connections go on under the settings that they began with.
    ///
    /// # Errors
    ///
    /// As [`Self::start`]; then all is as it was before.
    pub fn reconfigure(&self) -> Result<(), IngressError> {
        let config = self.shared.config.load_full();
        let users = CertificateUsers::load(&config)?;
        let states = states(&config, !users.is_empty())?;
        let mut listeners = self.listeners.lock();
        let mut kept: Vec<usize> = (0..listeners.len()).collect();
        let mut plan = Vec::with_capacity(states.len());
        for state in states {
            let address = state.settings.address;
            let same = kept.iter().position(|n| listeners[*n].configured == address);
            let socket = match same {
                Some(at) => Socket::Open(kept.remove(at)),
                None => Socket::New(bind(address)?),
            };
            plan.push((state, socket));
        }
        // Nothing fails from here on.
        let mut old: Vec<Option<Running>> = listeners.drain(..).map(Some).collect();
        for (state, socket) in plan {
            let running = match socket {
                Socket::New(bound) => Some(self.listen(state, bound)),
                Socket::Open(n) => old[n].take().map(|running| {
                    running.state.store(Arc::new(state));
                    self.revived(running)
                }),
            };
            listeners.extend(running);
        }
        for gone in old.into_iter().flatten() {
            info!("no longer listening on {}", gone.bound.address);
            gone.stop();
        }
        self.shared.certificate_users.store(Arc::new(users));
        Ok(())
    }

    /// Makes listeners again whose actor has ended by a panic.
    pub fn revive(&self) {
        let mut listeners = self.listeners.lock();
        let running = std::mem::take(&mut *listeners);
        listeners.extend(running.into_iter().map(|running| self.revived(running)));
    }

    /// Bound addresses, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.lock().iter().map(|running| running.bound.address).collect()
    }

    /// What came in so far.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Answers new connections `421`, and ends open ones after their transaction, until it is told
    /// to accept mail again. Listeners stay open.
    pub fn decline(&self, declining: bool) {
        self.phase.send_if_modified(|phase| {
            let next = match (*phase, declining) {
                (Phase::Running, true) => Phase::Declining,
                (Phase::Declining, false) => Phase::Running,
                (other, _) => other,
            };
            let changed = *phase != next;
            *phase = next;
            changed
        });
    }

    /// Bound addresses of listeners with a certificate, and when the first certificate in its
    /// chain expires.
    #[must_use]
    pub fn certificates(&self) -> Vec<(SocketAddr, Timestamp)> {
        let listeners = self.listeners.lock();
        let expiry = |running: &Running| {
            let state = running.state.load();
            Some((running.bound.address, state.tls.as_ref()?.expires_at?))
        };
        listeners.iter().filter_map(expiry).collect()
    }

    /// Stops listening, lets connections finish their transactions, answers `421`; ends what is
    /// left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.close_listeners();
        // Nobody listening to the phase means that there is no connection.
        let _ = self.phase.send(Phase::Draining);
        if tokio::time::timeout(grace, self.no_connections()).await.is_err() {
            let _ = self.phase.send(Phase::Ending);
            let open = self.shared.counters.figures().connections;
            info!("{open} connections did not finish in time and are closed");
        }
    }

    fn close_listeners(&self) {
        for running in self.listeners.lock().drain(..) {
            running.stop();
        }
    }

    async fn no_connections(&self) {
        while self.shared.counters.figures().connections > 0 {
            tokio::time::sleep(DRAIN_STEP).await;
        }
    }

    fn listen(&self, state: ListenerState, bound: Bound) -> Running {
        let configured = state.settings.address;
        let state = Arc::new(ArcSwap::from_pointee(state));
        let actor = self.actor(&bound, &state);
        info!("listening on {}", bound.address);
        Running { configured, bound, state, actor }
    }

    fn revived(&self, running: Running) -> Running {
        if running.actor.connected() {
            return running;
        }
        let actor = self.actor(&running.bound, &running.state);
        Running { actor, ..running }
    }

    fn actor(&self, bound: &Bound, state: &Arc<ArcSwap<ListenerState>>) -> Addr<Listener> {
        let listener = Listener::new(
            Arc::clone(&bound.socket),
            Arc::clone(state),
            Arc::clone(&self.shared),
            Arc::clone(&self.arbiters),
        );
        let turn = usize::from(bound.address.port()) % self.arbiters.len();
        Listener::start_in_arbiter(&self.arbiters[turn], |_| listener)
    }
}

fn bind(address: SocketAddr) -> Result<Bound, IngressError> {
    let failed = |source| IngressError::Listen { address, source };
    let socket = listener::bind(address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound { socket: Arc::new(socket), address })
}

/// The listeners of a configuration, with their certificates loaded.
fn states(config: &Config, ask_certificate: bool) -> Result<Vec<ListenerState>, IngressError> {
    let mut loaded: HashMap<ServerTls, Arc<TlsSetup>> = HashMap::new();
    config.listeners.iter().map(|settings| state(settings, ask_certificate, &mut loaded)).collect()
}

fn state(
    settings: &SmtpListener,
    ask_certificate: bool,
    loaded: &mut HashMap<ServerTls, Arc<TlsSetup>>,
) -> Result<ListenerState, IngressError> {
    let tls = match &settings.tls {
        None if settings.immediate_tls => {
            return Err(IngressError::NoCertificate(settings.address));
        }
        None => None,
        Some(tls) => Some(match loaded.get(tls) {
            Some(setup) => Arc::clone(setup),
            None => {
                let setup = Arc::new(TlsSetup {
                    config: acceptor::server_config(tls, ask_certificate)?,
                    authorities: ClientAuthorities::load(tls.ca_file.as_deref())?,
                    expires_at: certificate::expiry(&roots::certificates(&tls.certificate.path)?),
                });
                loaded.insert(tls.clone(), Arc::clone(&setup));
                setup
            }
        }),
    };
    Ok(ListenerState { settings: settings.clone(), tls })
}

#[cfg(test)]
mod ingress_test;
