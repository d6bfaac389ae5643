//! Files of certificate authorities.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{TlsError, certificate, read};

/// Why a file of authorities or certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsFault {
    /// There is no `BEGIN CERTIFICATE`.
    #[error("no certificate in this file")]
    Empty,
    /// A block is not what it says.
    #[error("damaged certificate: {0}")]
    Damaged(String),
}

/// The authorities that a chain may end in.
#[derive(Debug)]
pub struct Roots {
    store: Arc<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
    skipped: usize,
}

impl Roots {
    /// Reads a PEM file of one or more certificates. Bundles hold relics: what cannot be parsed is
    /// skipped and counted.
    ///
    /// # Errors
    /// When the file cannot be read or no certificate of it can be used.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        let certificates = certificates(path)?;
        let mut store = RootCertStore::empty();
        let (added, skipped) = store.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 {
            let fault = RootsFault::Damaged("no certificate in this file can be read".to_owned());
            return Err(TlsError::Roots { path: path.to_owned(), fault });
        }
        Ok(Self { store: Arc::new(store), certificates, skipped })
    }

    /// How many certificates of the file were skipped because they cannot be parsed.
    #[must_use]
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    /// The anchors for webpki.
    #[must_use]
    pub const fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }

    /// The certificates of the file.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Does the file hold exactly this certificate, and is it within its dates? webpki refuses an
    /// authority as server, which is what a plain `openssl req -x509` makes; a file that names the
    /// server's own certificate means that it is to be trusted.
    pub(super) fn pins(&self, end_entity: &CertificateDer<'_>, now: UnixTime) -> bool {
        self.certificates.iter().any(|known| known.as_ref() == end_entity.as_ref())
            && ParsedCertificate::try_from(end_entity).is_ok()
            && certificate::is_in_date(end_entity, now)
    }
}

/// The certificates of a PEM file, in its order; at least one. Other blocks are skipped.
///
/// # Errors
/// When the file cannot be read, holds none, or a block is not base64.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = read(path)?;
    let failed = |fault| TlsError::Roots { path: path.to_owned(), fault };
    let found = CertificateDer::pem_slice_iter(&content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(RootsFault::Damaged(error.to_string())))?;
    if found.is_empty() { Err(failed(RootsFault::Empty)) } else { Ok(found) }
}
