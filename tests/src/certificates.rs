//! A certification authority for one test, and certificates from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

type ClientBuilder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

/// An authority that lives as long as the test.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate chain, leaf first.
    pub certificate_pem: String,
    /// Private key, PKCS#8.
    pub key_pem: String,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names.
    ///
    /// # Errors
    ///
    /// When a name is invalid or the key cannot be made.
    pub fn issue(&self, names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        let common = names.first().context("a certificate needs a name")?;
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: format!("{}{}", certificate.pem(), self.issuer.pem()),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Identity {
    /// Writes certificate and key into one file, as PowerMTA's directives want them.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<PathBuf> {
        std::fs::write(path, format!("{}{}", self.certificate_pem, self.key_pem))
            .with_context(|| format!("cannot write {}", path.display()))?;
        restrict(path)?;
        Ok(path.to_owned())
    }

    /// The client side of rustls: shows this certificate, trusts this authority alone.
    ///
    /// # Errors
    ///
    /// When rustls refuses the certificate or the authority.
    pub fn client_config(&self, authority_pem: &str) -> Result<Arc<rustls::ClientConfig>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?;
        Ok(Arc::new(trusting(authority_pem)?.with_client_auth_cert(chain, key)?))
    }

    /// The server side of rustls with this certificate; `require_client_ca` demands client
    /// certificates from that authority.
    ///
    /// # Errors
    ///
    /// When rustls refuses the certificate.
    pub fn server_config(
        &self,
        require_client_ca: Option<&Authority>,
    ) -> Result<Arc<rustls::ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?;
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match require_client_ca {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    provider,
                )
                .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        Ok(Arc::new(builder.with_single_cert(chain, key)?))
    }
}

/// The client side of rustls: trusts this authority alone.
///
/// # Errors
///
/// When rustls refuses the authority.
pub fn client_config(authority_pem: &str) -> Result<Arc<rustls::ClientConfig>> {
    Ok(Arc::new(trusting(authority_pem)?.with_no_client_auth()))
}

fn trusting(authority_pem: &str) -> Result<ClientBuilder> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

#[cfg(unix)]
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
