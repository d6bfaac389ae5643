//! TLS towards clients.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::provider::{INBOUND_GROUPS, protocol_versions, provider};
use super::roots::Roots;
use super::verify::{Fault, Verdict};
use super::{TlsError, key};
use crate::config::settings::ServerTls;

/// Builds the configuration of a listener. Clients are asked for a certificate when `ca_file` is
/// set or `ask_client_certificate` is true; none is required, and one that does not verify does
/// not end the handshake: [`ClientAuthorities::verdict`] tells later what it is worth.
///
/// Reads files; call it when the configuration is loaded, not per connection.
///
/// # Errors
/// When a file or a cipher list cannot be used, or no version is left.
pub fn server_config(
    tls: &ServerTls,
    ask_client_certificate: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions = protocol_versions(tls.versions)?;
    let provider =
        provider(tls.versions, &tls.ciphers, tls.ciphersuites.as_deref(), INBOUND_GROUPS)?;
    let certified = key::load(&tls.certificate)?.certified;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?;
    let authorities = ClientAuthorities::load(tls.ca_file.as_deref())?;
    let asks = ask_client_certificate || tls.ca_file.is_some();
    let builder = if asks {
        builder.with_client_cert_verifier(Arc::new(Ask::new(&provider, &authorities)))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // A client that asks for another protocol was tricked into speaking to this port.
    config.alpn_protocols = vec![b"smtp".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    if !asks {
        // Tickets carry the client's certificate past a reload of the authorities, so they are
        // only given out where nobody is asked for one.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
    }
    Ok(Arc::new(config))
}

/// The authorities that a listener trusts for client certificates.
#[derive(Debug)]
pub struct ClientAuthorities {
    roots: Option<(Roots, Arc<dyn ClientCertVerifier>)>,
}

impl ClientAuthorities {
    /// Reads the file of `ca_file`; without one, every certificate is untrusted.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let Some(path) = ca_file else {
            return Ok(Self { roots: None });
        };
        let roots = Roots::load(path)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(roots.store()), provider)
                .build()
                .map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Self { roots: Some((roots, verifier)) })
    }

    /// What the certificates that a client presented (`peer_certificates()` after the handshake)
    /// are worth at `now`. The client has proved that it holds the key of the first. There is no
    /// name to compare, so the best verdict is [`Verdict::Trusted`].
    #[must_use]
    pub fn verdict(
        &self,
        presented: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> (Verdict, Option<Fault>) {
        let Some([end_entity, intermediates @ ..]) = presented else {
            return (Verdict::Anonymous, None);
        };
        let Some((roots, verifier)) = &self.roots else {
            return (Verdict::Untrusted, None);
        };
        match verifier.verify_client_cert(end_entity, intermediates, now) {
            Ok(_) => (Verdict::Trusted, None),
            Err(_) if roots.pins(end_entity, now) => (Verdict::Trusted, None),
            Err(error) => (Verdict::Untrusted, Some(Fault::of(&error, end_entity))),
        }
    }

    fn hints(&self) -> Vec<DistinguishedName> {
        self.roots.as_ref().map(|(roots, _)| roots.store().subjects()).unwrap_or_default()
    }
}

/// Asks for a certificate and takes any, as long as the client holds its key.
#[derive(Debug)]
struct Ask {
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl Ask {
    fn new(provider: &CryptoProvider, authorities: &ClientAuthorities) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, hints: authorities.hints() }
    }
}

impl ClientCertVerifier for Ask {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "acceptor_test.rs"]
mod tests;
