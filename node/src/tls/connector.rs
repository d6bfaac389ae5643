//! TLS towards other servers.

mod failure;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use failure::HandshakeError;

use super::name::Negotiated;
use super::provider::{OUTBOUND_GROUPS, protocol_versions, provider};
use super::roots::Roots;
use super::verify::{Fault, Finding, Verdict, Verifier};
use super::{TlsError, certificate, key};
use crate::config::settings::ClientTls;
use crate::message::TlsInfo;

/// What a handshake with a server settled.
#[derive(Clone, Debug)]
pub struct Established {
    /// Protocol and cipher, as accounting prints them.
    pub info: TlsInfo,
    /// Bits of the symmetric key.
    pub bits: u16,
    /// Key exchange group.
    pub group: &'static str,
    /// What the certificate is worth.
    pub verdict: Verdict,
    /// Why it is not worth more.
    pub fault: Option<Fault>,
    /// For the log: `TLSv1.2 connected with 128-bit ECDHE-RSA-AES128-GCM-SHA256`.
    pub summary: String,
    /// For the log: `Cert: /CN=mx.example; issuer=/CN=Authority; verified=no`.
    pub certificate: String,
}

/// Makes TLS connections under one set of settings. Cheap to use from many tasks at once.
#[derive(Debug)]
pub struct Connector {
    base: ClientConfig,
    roots: Option<Arc<Roots>>,
    strict: bool,
}

impl Connector {
    /// Reads the files of `tls`. With `demand_verification` a certificate that does not chain to
    /// `ca_file` or is not for the host ends the handshake; without, it is only recorded.
    ///
    /// # Errors
    /// When a file or a cipher list cannot be used, no version is left, or verification is demanded
    /// without authorities.
    pub fn new(tls: &ClientTls, demand_verification: bool) -> Result<Self, TlsError> {
        let versions = protocol_versions(tls.versions)?;
        let provider =
            provider(tls.versions, &tls.ciphers, tls.ciphersuites.as_deref(), OUTBOUND_GROUPS)?;
        let roots = tls.ca_file.as_deref().map(Roots::load).transpose()?.map(Arc::new);
        if demand_verification && roots.is_none() {
            return Err(TlsError::NoRoots);
        }
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Verifier {
            roots: roots.clone(),
            strict: demand_verification,
            algorithms,
            finding: Arc::default(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut base = match &tls.certificate {
            Some(file) => {
                let certified = key::load(file)?.certified;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        // A resumed session is not verified again, so its verdict would be unknown.
        base.resumption = Resumption::disabled();
        Ok(Self { base, roots, strict: demand_verification })
    }

    /// Performs the handshake with `host`, the MX host or address that was connected to. The
    /// deadline is the caller's.
    ///
    /// # Errors
    /// After one the connection must not be used again.
    pub async fn connect<S>(
        &self,
        stream: S,
        host: &str,
    ) -> Result<(TlsStream<S>, Established), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host)?;
        let finding: Arc<Mutex<Finding>> = Arc::default();
        let config = Arc::new(self.config(Arc::clone(&finding)));
        let connecting = TlsConnector::from(config).connect(name, stream);
        match connecting.await {
            Ok(stream) => {
                let established = established(&stream, finding.lock().clone())?;
                Ok((stream, established))
            }
            Err(error) => Err(HandshakeError::of(error, finding.lock().clone())),
        }
    }

    /// The shared configuration with a verifier of this connection's own.
    fn config(&self, finding: Arc<Mutex<Finding>>) -> ClientConfig {
        let mut config = self.base.clone();
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        let roots = self.roots.clone();
        let verifier = Verifier { roots, strict: self.strict, algorithms, finding };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config
    }
}

fn established<S>(stream: &TlsStream<S>, finding: Finding) -> Result<Established, HandshakeError> {
    let connection = stream.get_ref().1;
    let negotiated = Negotiated::of(connection)
        .ok_or_else(|| HandshakeError::Protocol("nothing was negotiated".to_owned()))?;
    let leaf = connection.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let verified = finding.verdict == Verdict::Verified;
    Ok(Established {
        summary: negotiated.summary(),
        certificate: leaf.map(|leaf| certificate::log_line(leaf, verified)).unwrap_or_default(),
        info: negotiated.info,
        bits: negotiated.bits,
        group: negotiated.group,
        verdict: finding.verdict,
        fault: finding.fault,
    })
}

/// The name to ask for and to verify. Address literals send no name (RFC 6066 3).
fn server_name(host: &str) -> Result<ServerName<'static>, HandshakeError> {
    let invalid = || HandshakeError::InvalidName(host.to_owned());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.strip_prefix("IPv6:").unwrap_or(bare).trim_end_matches('.');
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let ascii = if bare.is_ascii() {
        bare.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(bare).map_err(|_| invalid())?
    };
    ServerName::try_from(ascii).map_err(|_| invalid())
}

/// Distinct settings that [`Connectors`] remembers.
const CONNECTORS_MAX: usize = 256;

/// Connectors by settings. One per node; cleared by a reload, so that files are read again.
#[derive(Debug, Default)]
pub struct Connectors {
    known: Mutex<HashMap<(ClientTls, bool), Arc<Connector>>>,
}

impl Connectors {
    /// The connector for these settings; reads files the first time.
    ///
    /// # Errors
    /// Those of [`Connector::new`]; they are not remembered.
    pub fn get(
        &self,
        tls: &ClientTls,
        demand_verification: bool,
    ) -> Result<Arc<Connector>, TlsError> {
        let key = (tls.clone(), demand_verification);
        if let Some(connector) = self.known.lock().get(&key) {
            return Ok(Arc::clone(connector));
        }
        let connector = Arc::new(Connector::new(tls, demand_verification)?);
        let mut known = self.known.lock();
        if known.len() >= CONNECTORS_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&connector));
        Ok(connector)
    }

    /// Forgets all: the configuration was loaded again.
    pub fn clear(&self) {
        self.known.lock().clear();
    }
}

#[cfg(test)]
#[path = "connector_test.rs"]
mod tests;
