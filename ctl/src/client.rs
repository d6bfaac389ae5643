//! The connection to the node: its Unix socket, or mutual TLS to its cluster listener.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use convoy_proto::admin::Api;
use convoy_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::Error;

/// Says in each request which version of the protocol this program speaks.
type SayApi = fn(Request<()>) -> Result<Request<()>, Status>;

/// The administration service of a node.
pub(crate) type Client = AdminClient<InterceptedService<Channel, SayApi>>;

/// Metadata key of the protocol's version.
const API_KEY: &str = "convoy-api";

/// A node that is silent for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(20);
/// A connection that takes longer to make has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A name that is in the certificate of every node, and in no operator's.
const ANY_NODE: &str = "node.convoy.internal";

/// Where the node is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// On this machine.
    Socket(PathBuf),
    /// Its cluster listener, and the file of the operator's credentials.
    Node { address: String, credentials: PathBuf },
}

impl Target {
    /// As the command line and the environment say.
    pub(crate) fn of(
        socket: PathBuf,
        node: Option<String>,
        credentials: Option<PathBuf>,
    ) -> Result<Self, Error> {
        match (node, credentials) {
            (Some(address), Some(credentials)) => Ok(Self::Node { address, credentials }),
            (Some(_), None) => Err(Error::Local(
                "--node needs --credentials FILE, or MTACTL_CREDENTIALS: a node takes commands \
                 from operators that it knows; `mtactl cluster operator` makes such a file"
                    .to_owned(),
            )),
            // Credentials in the environment do no harm to who works on the node itself.
            (None, _) => Ok(Self::Socket(socket)),
        }
    }
}

/// Connects to the node.
pub(crate) async fn connect(target: &Target) -> Result<Client, Error> {
    match target {
        Target::Socket(path) => {
            let place = path.display().to_string();
            match UnixStream::connect(path).await {
                Ok(stream) => speak(place, stream).await,
                Err(error) => Err(Error::Unreachable { place, reason: hint(&error) }),
            }
        }
        Target::Node { address, credentials } => {
            let config = tls(credentials)?;
            let unreachable = |reason| Error::Unreachable { place: address.clone(), reason };
            let connecting = tokio::time::timeout(CONNECT_TIMEOUT, secured(address, config));
            let stream = connecting
                .await
                .map_err(|_| unreachable("it does not answer in time".to_owned()))?
                .map_err(|error| unreachable(error.to_string()))?;
            speak(address.clone(), stream).await
        }
    }
}

async fn secured(
    address: &str,
    config: ClientConfig,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(ANY_NODE).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Certificate, key and authority from a file that `cluster operator` made.
fn tls(path: &Path) -> Result<ClientConfig, Error> {
    let wrong = |what: String| Error::Local(format!("{}: {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    config(&pem).map_err(wrong)
}

fn config(pem: &[u8]) -> Result<ClientConfig, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    let [own, authority] = certificates.as_slice() else {
        return Err(
            "two certificates are expected in it, the operator's and the authority's".to_owned()
        );
    };
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.clone()], key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Speaks gRPC over a connection that is made.
async fn speak<S>(place: String, stream: S) -> Result<Client, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // The connector hands over the one connection. When it is asked for another one, the first has
    // ended, and why is what is to be said. The address is never used.
    let fault = Fault::default();
    let mut stream = Some(TokioIo::new(Watched { stream, fault: Arc::clone(&fault) }));
    let connector = tower::service_fn(move |_| {
        let why = || fault.get().map_or("the connection broke", String::as_str).to_owned();
        std::future::ready(stream.take().ok_or_else(|| io::Error::other(why())))
    });
    let channel = Endpoint::from_static("http://mtad")
        .http2_keep_alive_interval(SILENCE / 2)
        .keep_alive_timeout(SILENCE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::Unreachable { place, reason: error.to_string() })?;
    Ok(AdminClient::with_interceptor(channel, say_api))
}

/// Why a connection ended, once it has.
type Fault = Arc<OnceLock<String>>;

/// A connection that remembers why it ended.
struct Watched<S> {
    stream: S,
    fault: Fault,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read {
            // The first reason is the true one.
            let _later = self.fault.set(error.to_string());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn say_api(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert(API_KEY, MetadataValue::from(Api::Current as u32));
    Ok(request)
}

/// What to do about a socket that cannot be opened.
fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such socket. Is mtad running? If admin-socket is set in its \
             configuration, give --socket PATH or set MTACTL_SOCKET"
                .to_owned()
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens. mtad has stopped: start it and look at its log".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied. Run mtactl as the user or in the group of mtad".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_elsewhere_needs_credentials() {
        let of = |node: Option<&str>, file: Option<&str>| {
            Target::of("s".into(), node.map(ToOwned::to_owned), file.map(PathBuf::from)).ok()
        };
        assert_eq!(of(None, None), Some(Target::Socket("s".into())));
        assert_eq!(of(None, Some("f")), Some(Target::Socket("s".into())));
        assert_eq!(of(Some("a:1"), None), None);
        let node = Target::Node { address: "a:1".to_owned(), credentials: "f".into() };
        assert_eq!(of(Some("a:1"), Some("f")), Some(node));
    }

    #[test]
    fn a_file_that_holds_no_credentials_is_refused() {
        assert!(config(b"").unwrap_err().starts_with("two certificates are expected"));
    }
}
