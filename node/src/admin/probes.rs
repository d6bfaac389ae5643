//! `health-listener`: health and figures over HTTP, for load balancers and monitoring.
//!
//! Owns its socket and connections. Answers three paths and changes nothing; whoever can connect
//! may read, so it says nothing about mail but sums.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::warn;

use super::health::{self, Unready};
use super::metrics::{self, Figures};
use super::ports::HealthPort;
use super::service::Ports;
use crate::clock::Timestamp;

/// Connections at the same time; whoever comes then waits.
const MAX_CONNECTIONS: usize = 64;
/// A request's head has to come within this time, and a connection idles no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is closed after this time, however busy: its place is for others as well.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after accepting failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";

/// The listener at work; it ends when this is dropped.
pub struct Probes {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Probes {
    /// Listens on `address`. To be called within the multi-thread runtime.
    ///
    /// # Errors
    ///
    /// When the socket cannot be opened.
    pub async fn start(
        address: SocketAddr,
        ports: Arc<Ports>,
        health: Arc<dyn HealthPort>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Asked { ports, health });
        Ok(Self { address, task: tokio::spawn(accept(listener, asked)) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, asked: Arc<Asked>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Connections end with this task: the set is dropped with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let asked = Arc::clone(&asked);
                connections.spawn(async move {
                    serve(stream, asked).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!("accepting a connection on health-listener failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, asked: Arc<Asked>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let asked = Arc::clone(&asked);
        async move {
            let answer = asked.answer(request.method(), request.uri().path()).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A client that speaks no HTTP, or is slow, is nobody's concern.
    let _ended = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

struct Asked {
    ports: Arc<Ports>,
    health: Arc<dyn HealthPort>,
}

impl Asked {
    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n".into());
        }
        match path {
            "/health/live" => reply(StatusCode::OK, PLAIN, "live\n".into()),
            "/health/ready" => match self.readiness() {
                Ok(()) => reply(StatusCode::OK, PLAIN, "ready\n".into()),
                Err(reason) => {
                    let text = format!("not ready: {reason}\n");
                    reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
                }
            },
            "/metrics" => {
                let text = metrics::text(&self.figures().await);
                reply(StatusCode::OK, metrics::CONTENT_TYPE, text)
            }
            _ => {
                let known = "there are /health/live, /health/ready and /metrics\n";
                reply(StatusCode::NOT_FOUND, PLAIN, known.into())
            }
        }
    }

    fn readiness(&self) -> Result<(), Unready> {
        let (groups, leaving) = (self.health.groups(), self.health.leaving());
        health::ready(&self.ports.runtime.figures(), &groups, leaving)
    }

    async fn figures(&self) -> Figures {
        let ports = &self.ports;
        let queues = ports.queue.queues();
        let sum = |of: fn(&crate::queue::model::QueueFigures) -> u64| {
            queues.iter().map(|(_, figures)| of(figures)).sum()
        };
        Figures {
            now: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION"),
            node: ports.runtime.figures(),
            readiness: self.readiness(),
            groups: self.health.groups(),
            certificates: self.health.certificates(),
            queues: queues.len() as u64,
            recipients: sum(|figures| figures.recipients),
            bytes: sum(|figures| figures.bytes),
            inbound: ports.ingress.connections().current,
            outbound: ports.delivery.connections().current,
            accepted: ports.ingress.accepted(),
            delivered: ports.delivery.delivered(),
            waiting_rows: ports.accounting.figures().await.waiting_rows,
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
