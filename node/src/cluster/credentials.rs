//! The node's credentials in use: who it is, and how it speaks TLS with the others.
//!
//! TLS 1.3 only, and nobody is believed but the cluster's own authority. Sessions are not resumed,
//! so that every connection shows a certificate of today. Renewed credentials are used from the
//! next connection on; those that stand go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use super::authority::{self, AuthorityError, NodeKey, Pair};
use super::files::{self, Card, FilesError, Kept};
use super::subject::Validity;

/// What nodes and operators offer in the handshake.
pub const PROTOCOL: &[u8] = b"h2";
/// What a node that wants to join offers; it has no certificate to show.
pub const JOIN_PROTOCOL: &[u8] = b"convoy-join/1";

/// Credentials cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Certificate and key do not make a TLS configuration.
    #[error("the node's certificate cannot be used: {0}")]
    Unusable(String),
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl From<rustls::Error> for CredentialsError {
    fn from(error: rustls::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Credentials as they are at one moment.
#[derive(Clone)]
pub struct Loaded {
    /// Who the node is.
    pub card: Card,
    /// SHA-256 of the authority's certificate.
    pub fingerprint: [u8; 32],
    /// When the certificate is good.
    pub validity: Validity,
    /// For those who must show a certificate.
    pub server: Arc<ServerConfig>,
    /// For those who want to join.
    pub joining: Arc<ServerConfig>,
    /// Towards other nodes.
    pub client: Arc<ClientConfig>,
}

/// The node's credentials, replaced while in use.
pub struct Credentials {
    directory: PathBuf,
    loaded: watch::Sender<Option<Arc<Loaded>>>,
    /// One writer of the files at a time.
    writing: Mutex<()>,
}

impl Credentials {
    /// Reads `SPOOL/cluster`; it may hold nothing yet.
    ///
    /// # Errors
    /// When what it holds cannot be used.
    pub fn open(spool: &Path) -> Result<Self, CredentialsError> {
        let directory = spool.join("cluster");
        let loaded = match files::read(&directory)? {
            Some(kept) => Some(Arc::new(load(&kept)?)),
            None => None,
        };
        Ok(Self { directory, loaded: watch::Sender::new(loaded), writing: Mutex::new(()) })
    }

    /// As they are now; none while the node belongs to no cluster.
    #[must_use]
    pub fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded.borrow().clone()
    }

    /// As they are now, and when they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Loaded>>> {
        self.loaded.subscribe()
    }

    /// Who the node is.
    #[must_use]
    pub fn card(&self) -> Option<Card> {
        self.loaded.borrow().as_ref().map(|loaded| loaded.card.clone())
    }

    /// Notes that the node's queue exists from now on. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_started(&self) -> Result<(), CredentialsError> {
        let _one_at_a_time = self.writing.lock();
        let Some(loaded) = self.loaded().filter(|loaded| !loaded.card.started) else {
            return Ok(());
        };
        let card = Card { started: true, ..loaded.card.clone() };
        files::write_card(&self.directory, &card)?;
        self.loaded.send_replace(Some(Arc::new(Loaded { card, ..Loaded::clone(&loaded) })));
        Ok(())
    }

    /// The key with which this node joins: the same one until it has joined, so that the cluster
    /// knows it again when it was interrupted. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn joining_key(&self) -> Result<NodeKey, CredentialsError> {
        let _one_at_a_time = self.writing.lock();
        let kept = files::pending_key(&self.directory);
        if let Some(key) = kept.and_then(|pem| NodeKey::from_pem(&pem).ok()) {
            return Ok(key);
        }
        let key = NodeKey::generate()?;
        files::keep_pending_key(&self.directory, &key.pem())?;
        Ok(key)
    }

    /// Keeps new credentials, on disk first, and uses them. Waits for the disk.
    ///
    /// # Errors
    /// When they cannot be used or written; the old ones stay.
    pub fn install(
        &self,
        card: Card,
        authority_pem: &str,
        own: &Pair,
    ) -> Result<(), CredentialsError> {
        let own_pem = format!("{}{}", own.certificate_pem, own.key_pem);
        let kept = Kept { card, authority_pem: authority_pem.to_owned(), own_pem };
        let loaded = load(&kept)?;
        let _one_at_a_time = self.writing.lock();
        files::write(&self.directory, &kept)?;
        self.loaded.send_replace(Some(Arc::new(loaded)));
        Ok(())
    }
}

fn load(kept: &Kept) -> Result<Loaded, CredentialsError> {
    let unusable =
        |error: rustls_pki_types::pem::Error| CredentialsError::Unusable(error.to_string());
    let certificate = CertificateDer::from_pem_slice(kept.own_pem.as_bytes()).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(kept.own_pem.as_bytes()).map_err(unusable)?;
    let authority =
        CertificateDer::from_pem_slice(kept.authority_pem.as_bytes()).map_err(unusable)?;
    let validity = Validity::of(&certificate)
        .ok_or_else(|| CredentialsError::Unusable("it cannot be read".to_owned()))?;
    let fingerprint = authority::fingerprint(&authority);
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let (roots, own) = (Arc::new(roots), vec![certificate, authority]);
    Ok(Loaded {
        card: kept.card.clone(),
        fingerprint,
        validity,
        server: Arc::new(server(&own, &key, Some(&roots), PROTOCOL)?),
        joining: Arc::new(server(&own, &key, None, JOIN_PROTOCOL)?),
        client: Arc::new(client(own, key, roots)?),
    })
}

/// For those who show a certificate of `clients`, or for those who show none.
fn server(
    own: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    clients: Option<&Arc<RootCertStore>>,
    protocol: &[u8],
) -> Result<ServerConfig, CredentialsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match clients {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
                .build()
                .map_err(|error| CredentialsError::Unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    // The authority goes along for those who know only its fingerprint.
    let mut config = builder.with_single_cert(own.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    own: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
) -> Result<ClientConfig, CredentialsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(own, key)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
