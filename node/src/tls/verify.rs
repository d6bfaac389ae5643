//! The verifier of server certificates: it records what it finds, and enforces only when told to.
//!
//! Where any certificate will do, anyone in the middle could present one of his own; then a
//! signature that cannot be checked (X.509 version 1, an RSA key of 1024 bits, SHA-1) is no reason
//! to fall back to clear text. It is recorded and tolerated. Where verification is demanded,
//! nothing is tolerated.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate;
use super::roots::Roots;

/// What a peer's certificate is worth, in the words of Postfix's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// There was none.
    #[default]
    Anonymous,
    /// No chain to a configured authority, or none configured.
    Untrusted,
    /// A chain, but not the name that was asked for.
    Trusted,
    /// Chain and name.
    Verified,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Untrusted => "Untrusted",
            Self::Trusted => "Trusted",
            Self::Verified => "Verified",
        })
    }
}

/// Why a certificate did not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its issuer is not among the authorities.
    #[error("the certificate's issuer {issuer} is not trusted")]
    UnknownIssuer {
        /// The issuer's name, as for `openssl x509`.
        issuer: String,
    },
    /// It is its own issuer.
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// Past its date.
    #[error("the certificate has expired")]
    Expired,
    /// Before its date.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// It names other hosts.
    #[error("the certificate is not for {expected} but for {}", presented.join(", "))]
    WrongName {
        /// The host that was asked for.
        expected: String,
        /// Names in subjectAltName.
        presented: Vec<String>,
    },
    /// It names no host in subjectAltName. The common name is not looked at (RFC 9525).
    #[error("the certificate for {expected} has no subjectAltName{}", cn(common_name.as_deref()))]
    NoName {
        /// The host that was asked for.
        expected: String,
        /// The common name, which other programs would have compared.
        common_name: Option<String>,
    },
    /// The peer's signature over the handshake is wrong or of a kind that cannot be checked.
    #[error("the peer's signature cannot be verified")]
    Signature,
    /// Something else in the certificate.
    #[error("the certificate cannot be used: {0}")]
    Other(String),
}

fn cn(common_name: Option<&str>) -> String {
    let text = |cn| format!(" (its common name {cn} does not count)");
    common_name.map(text).unwrap_or_default()
}

impl Fault {
    /// Reads the library's answer about `end_entity`.
    pub(super) fn of(error: &Error, end_entity: &CertificateDer<'_>) -> Self {
        let Error::InvalidCertificate(error) = error else {
            return Self::Other(error.to_string());
        };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer => Self::unknown_issuer(end_entity),
            CertificateError::NotValidForNameContext { expected, .. } => {
                Self::name(&expected.to_str(), end_entity)
            }
            CertificateError::BadSignature => Self::Signature,
            // webpki's name for an authority's certificate that a server presents as its own:
            // that is what a plain `openssl req -x509` makes.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                Self::unknown_issuer(end_entity)
            }
            other => Self::Other(other.to_string()),
        }
    }

    fn unknown_issuer(end_entity: &CertificateDer<'_>) -> Self {
        match certificate::parse(end_entity) {
            Some(c) if c.issuer().as_raw() == c.subject().as_raw() => Self::SelfSigned,
            Some(c) => Self::UnknownIssuer { issuer: certificate::one_line(c.issuer()) },
            None => Self::Other("it cannot be read".to_owned()),
        }
    }

    fn name(expected: &str, end_entity: &CertificateDer<'_>) -> Self {
        let expected = expected.to_owned();
        let parsed = certificate::parse(end_entity);
        let presented = parsed.as_ref().map(certificate::names).unwrap_or_default();
        if presented.is_empty() {
            let common_name = parsed.as_ref().and_then(certificate::common_name);
            return Self::NoName { expected, common_name };
        }
        Self::WrongName { expected, presented }
    }
}

/// What one handshake showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Chain, name and signature together.
    pub verdict: Verdict,
    /// Why the verdict is not better; none without authorities to verify against.
    pub fault: Option<Fault>,
}

/// Verifies for one connection. A session that resumes another would never come here: resumption
/// is switched off.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) roots: Option<Arc<Roots>>,
    /// Ends the handshake unless the verdict is [`Verdict::Verified`].
    pub(super) strict: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) finding: Arc<Mutex<Finding>>,
}

impl Verifier {
    fn chain(
        &self,
        roots: &Roots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if roots.pins(end_entity, now) {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let store = roots.store();
        verify_server_cert_signed_by_trust_anchor(&parsed, store, intermediates, now, algorithms)
    }

    /// Notes a signature that failed; it counts unless tolerated.
    fn signature(
        &self,
        result: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        result.or_else(|error| {
            *self.finding.lock() =
                Finding { verdict: Verdict::Untrusted, fault: Some(Fault::Signature) };
            if self.strict { Err(error) } else { Ok(HandshakeSignatureValid::assertion()) }
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            self.finding.lock().verdict = Verdict::Untrusted;
            return Ok(ServerCertVerified::assertion());
        };
        let chain = self.chain(roots, end_entity, intermediates, now);
        let name = ParsedCertificate::try_from(end_entity)
            .and_then(|parsed| verify_server_name(&parsed, server_name));
        let (verdict, error) = match (chain, name) {
            (Err(error), _) => (Verdict::Untrusted, Some(error)),
            (Ok(()), Err(error)) => (Verdict::Trusted, Some(error)),
            (Ok(()), Ok(())) => (Verdict::Verified, None),
        };
        let fault = error.as_ref().map(|error| Fault::of(error, end_entity));
        *self.finding.lock() = Finding { verdict, fault };
        match error {
            Some(error) if self.strict => Err(error),
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        if !self.strict {
            // Servers that sign with nothing newer end the handshake unless these are offered.
            schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        }
        schemes
    }
}
