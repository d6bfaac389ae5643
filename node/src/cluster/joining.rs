//! How this node joins: one call to a member, whose authority is known by its fingerprint, and then
//! `SPOOL/cluster`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoy_proto::join as proto;
use convoy_proto::join::join_client::JoinClient;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::authority::{self, AuthorityError, Pair};
use super::credentials::{Credentials, CredentialsError, JOIN_PROTOCOL};
use super::files::Card;
use super::subject::ANY_NODE;
use super::token::{BadToken, JoinToken};
use crate::clock::{Timestamp, monotonic};
use crate::id::NodeId;

/// The member answers within this, its consensus included.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A cluster without a leader has one again within this.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// What the new node says of itself.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// `HOST:PORT` of its cluster listener.
    pub address: String,
    /// Its host name.
    pub name: String,
    /// Formats up to this one are read by it.
    pub level: u32,
    /// Version of its program.
    pub version: String,
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// The token is too old.
    #[error("the token expired at {0}: `mtactl cluster token` makes a new one")]
    Expired(Timestamp),
    /// The spool is that of a node already.
    #[error(
        "{} holds the queue of a node, and mail may be in it: join with an empty spool, or start \
         without --join", .0.display()
    )]
    Occupied(PathBuf),
    /// The spool belongs to another cluster.
    #[error(
        "{} belongs to {node} of cluster {cluster}, and the token is of another cluster: join with \
         an empty spool, or start without --join", path.display()
    )]
    OtherCluster {
        /// The spool.
        path: PathBuf,
        /// Its node.
        node: NodeId,
        /// Its cluster.
        cluster: String,
    },
    /// Nobody answers there, or somebody else.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Somebody answered that it cannot be done now.
    #[error("{address} let nobody in: {reason}")]
    Later {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The cluster refused.
    #[error("the cluster did not let this node in: {0}")]
    Refused(String),
    /// The key of the node cannot be made.
    #[error(transparent)]
    Key(#[from] AuthorityError),
    /// What the cluster gave cannot be kept.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// What is to be done with a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Join with it.
    Fresh,
    /// It is a member of the token's cluster already: just start.
    Member,
}

/// May the node with this spool join with this token?
///
/// # Errors
/// When it belongs to another cluster, or holds the queue of a node.
pub fn check(
    spool: &Path,
    credentials: &Credentials,
    token: &JoinToken,
) -> Result<Readiness, JoinError> {
    if let Some(loaded) = credentials.loaded() {
        if loaded.fingerprint == token.fingerprint {
            return Ok(Readiness::Member);
        }
        return Err(JoinError::OtherCluster {
            path: spool.to_owned(),
            node: loaded.card.node,
            cluster: loaded.card.cluster.clone(),
        });
    }
    let store = spool.join("store");
    let occupied = std::fs::read_dir(&store).is_ok_and(|mut entries| entries.next().is_some());
    if occupied { Err(JoinError::Occupied(spool.to_owned())) } else { Ok(Readiness::Fresh) }
}

/// Joins through the member at `address` and keeps what it gives.
///
/// # Errors
/// See [`JoinError`]. The same node may try again with the same token.
pub async fn join(
    address: &str,
    token: &JoinToken,
    applicant: Applicant,
    credentials: &Credentials,
) -> Result<Card, JoinError> {
    if token.expires_at <= Timestamp::now() {
        return Err(JoinError::Expired(token.expires_at));
    }
    let key = credentials.joining_key()?;
    let own_address = applicant.address.clone();
    let request = proto::JoinRequest {
        secret: token.secret.to_vec().into(),
        address: applicant.address,
        name: applicant.name,
        level: applicant.level,
        version: applicant.version,
        public_key: key.public().into(),
    };
    let deadline = monotonic() + PATIENCE;
    let reply = loop {
        // The question may be asked again: the cluster knows who asks by the key.
        match attempt(address, token.fingerprint, request.clone()).await {
            Err(JoinError::Later { reason, .. }) if monotonic() < deadline => {
                tracing::info!("not let into the cluster yet: {reason}");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
            Ok(reply) => break reply,
        }
    };
    let card = Card {
        cluster: reply.cluster,
        node: NodeId(reply.node_id),
        partitions: reply.partitions,
        founder: false,
        started: false,
        address: own_address,
        members: reply.members.into_iter().map(|m| (NodeId(m.node_id), m.address)).collect(),
    };
    let own = Pair { certificate_pem: reply.certificate, key_pem: key.pem() };
    credentials.install(card.clone(), &reply.authority, &own)?;
    Ok(card)
}

async fn attempt(
    address: &str,
    fingerprint: [u8; 32],
    request: proto::JoinRequest,
) -> Result<proto::JoinReply, JoinError> {
    let unreachable =
        |reason: String| JoinError::Unreachable { address: address.to_owned(), reason };
    let stream = tokio::time::timeout(TIME_LIMIT, connect(address, fingerprint))
        .await
        .map_err(|_| unreachable("no answer in time".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    ask(stream, request).await.map_err(|status| refused(address, &status))
}

fn refused(address: &str, status: &Status) -> JoinError {
    let reason = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated | Code::FailedPrecondition | Code::InvalidArgument => {
            JoinError::Refused(reason)
        }
        _ => JoinError::Later { address: address.to_owned(), reason },
    }
}

async fn ask(
    stream: TlsStream<TcpStream>,
    request: proto::JoinRequest,
) -> Result<proto::JoinReply, Status> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::other("the connection broke"));
        std::future::ready(stream)
    });
    let channel = Endpoint::from_static("http://node.convoy.internal")
        .timeout(TIME_LIMIT)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(JoinClient::new(channel).join(request).await?.into_inner())
}

async fn connect(address: &str, fingerprint: [u8; 32]) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = ByFingerprint { fingerprint, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from(ANY_NODE).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Believes the authority with this fingerprint, if the server shows it, and nobody else.
#[derive(Debug)]
struct ByFingerprint {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut shown = intermediates.iter();
        let authority = shown.find(|c| authority::fingerprint(c) == self.fingerprint);
        let Some(authority) = authority else {
            let text = "the token is of another cluster: this one has another authority";
            return Err(rustls::Error::General(text.to_owned()));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
