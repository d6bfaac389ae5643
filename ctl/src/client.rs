//! The connection to the node: its Unix socket, or mutual TLS to its cluster listener.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::admin::Api;
use convoy_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::Error;

/// The administration service of a node.
pub(crate) type Client = AdminClient<InterceptedService<Channel, Say>>;

/// Says in each request which version of the protocol this program speaks, and whether the answer
/// is to be about the asked node alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    local: bool,
}

impl Interceptor for Say {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(API_KEY, MetadataValue::from(Api::Current as u32));
        if self.local {
            metadata.insert(LOCAL_KEY, MetadataValue::from(1));
        }
        Ok(request)
    }
}

/// Metadata key of the protocol's version.
const API_KEY: &str = "convoy-api";
/// Metadata key of a call about one node.
const LOCAL_KEY: &str = "convoy-local";

/// A node that is silent for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(20);
/// A connection that takes longer to make has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of what a node says first.
const FIRST_WORDS: usize = 1024;

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

/// Connects to the node; `local` to ask it about itself alone.
pub(crate) async fn connect(target: &Target, local: bool) -> Result<Client, Error> {
    match target {
        Target::Socket(path) => {
            let place = path.display().to_string();
            match UnixStream::connect(path).await {
                Ok(stream) => speak(place, stream, local).await,
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
                .map_err(|error| {
                    let text = error.to_string();
                    refused(&text).map_or_else(|| unreachable(text), Error::Local)
                })?;
            speak(address.clone(), stream, local).await
        }
    }
}

/// A connection whose other side has taken our certificate. In TLS 1.3 it judges it after this side
/// has finished the handshake: what it says first is waited for, since a refusal would be lost once
/// something was written. A node speaks first in HTTP/2.
async fn secured(
    address: &str,
    config: ClientConfig,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(ANY_NODE).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let mut first = vec![0; FIRST_WORDS];
    let length = stream.read(&mut first).await?;
    if length == 0 {
        return Err(io::Error::other("it closed the connection; its log says why"));
    }
    first.truncate(length);
    let (reader, writer) = tokio::io::split(stream);
    Ok(tokio::io::join(io::Cursor::new(first).chain(reader), writer))
}

/// What a refusal in the handshake means; none if the error is another one.
fn refused(error: &str) -> Option<String> {
    let (_, alert) = error.split_once("alert: ")?;
    Some(match alert {
        "CertificateExpired" => {
            let next = "`mtactl cluster operator` on a node makes new ones";
            format!("the credentials have expired: {next}")
        }
        _ => format!("the node does not take these credentials: {alert}"),
    })
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
async fn speak<S>(place: String, stream: S, local: bool) -> Result<Client, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // The connector hands over the one connection. The address is never used.
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::other("the connection broke"));
        std::future::ready(stream)
    });
    let channel = Endpoint::from_static("http://mtad")
        .http2_keep_alive_interval(SILENCE / 2)
        .keep_alive_timeout(SILENCE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::Unreachable { place, reason: error.to_string() })?;
    Ok(AdminClient::with_interceptor(channel, Say { local }))
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

    #[test]
    fn a_refusal_says_what_to_do() {
        assert_eq!(refused("connection reset"), None);
        let expired = refused("received fatal alert: CertificateExpired").unwrap();
        assert!(expired.contains("mtactl cluster operator"), "{expired}");
        let other = refused("received fatal alert: UnknownCA").unwrap();
        assert_eq!(other, "the node does not take these credentials: UnknownCA");
    }
}
