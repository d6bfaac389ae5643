//! The cluster's authority: it issues the certificates of nodes and operators.
//!
//! Its key is in the state of the meta group, so that every node can issue; it is in no file. What
//! it certifies is in [`Subject`]. Keys are ECDSA on P-256.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SignatureAlgorithm, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::subject::{self, Subject};
use crate::clock::Timestamp;
use crate::id::{NodeId, Peer, Role};
use crate::queue::cluster::Identity;

/// Life of the authority. It is not replaced.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Life of a node's certificate.
pub const NODE_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Certificates are good from a day earlier on, for clocks that are slow.
const EARLIER: Duration = Duration::from_secs(86_400);

/// A point on P-256, uncompressed.
const POINT_BYTES: usize = 65;

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What the meta group keeps is no authority.
    #[error("the cluster's authority cannot be used: {0}")]
    Unusable(String),
    /// The key that is to be certified is no key.
    #[error("the public key is not a point on P-256")]
    Key,
    /// The making itself failed.
    #[error("no certificate can be made: {0}")]
    Making(#[from] rcgen::Error),
}

/// The authority.
pub struct Authority {
    cluster: String,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with the key that belongs to it, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate_pem: String,
    /// The key.
    pub key_pem: String,
}

/// A key pair of a node that has no certificate yet.
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, AuthorityError> {
        Ok(Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    /// One that was made before.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        Ok(Self(KeyPair::from_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)?))
    }

    /// The public half: a point on P-256, uncompressed.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key_raw().to_vec()
    }

    /// Both halves, for the node's own file.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }
}

/// A public key that came from elsewhere.
struct PublicKey(Vec<u8>);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A new authority, for a new cluster.
///
/// # Errors
/// When there is no randomness.
pub fn found(now: Timestamp) -> Result<Identity, AuthorityError> {
    let id = format!("{:016x}", rand::random::<u64>());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = parameters(&authority_name(&id), now, AUTHORITY_LIFE);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = parameters.self_signed(&key)?;
    Ok(Identity {
        id,
        authority_certificate_pem: certificate.pem(),
        authority_key_pem: key.serialize_pem(),
        founded_at: now,
    })
}

/// SHA-256 of an authority's certificate. It is in join tokens.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn authority_name(cluster: &str) -> String {
    format!("Convoy cluster {cluster}")
}

impl Authority {
    /// The authority that the meta group keeps.
    ///
    /// # Errors
    /// When its key or certificate cannot be read.
    pub fn of(identity: &Identity) -> Result<Self, AuthorityError> {
        let pem = identity.authority_certificate_pem.clone();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| AuthorityError::Unusable(error.to_string()))?;
        let key = KeyPair::from_pem(&identity.authority_key_pem)
            .map_err(|error| AuthorityError::Unusable(error.to_string()))?;
        // An issuer is its name and its key; both are as they were when it was made.
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(&authority_name(&identity.id));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(parameters, key);
        Ok(Self { cluster: identity.id.clone(), certificate, certificate_pem: pem, issuer })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// A node's certificate as PEM, for a key that stays on the node. `host` is where the others
    /// reach it.
    ///
    /// # Errors
    /// When `public_key` is none, or `host` cannot stand in a certificate.
    pub fn node(
        &self,
        node: NodeId,
        host: &str,
        public_key: &[u8],
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        self.node_for(node, host, public_key, now, NODE_LIFE)
    }

    /// The same for a life of another length.
    ///
    /// # Errors
    /// As [`Self::node`].
    pub fn node_for(
        &self,
        node: NodeId,
        host: &str,
        public_key: &[u8],
        now: Timestamp,
        life: Duration,
    ) -> Result<String, AuthorityError> {
        if public_key.len() != POINT_BYTES || public_key[0] != 4 {
            return Err(AuthorityError::Key);
        }
        let mut parameters = parameters(&format!("{node} of {}", self.cluster), now, life);
        parameters.subject_alt_names = vec![
            self.uri(Peer::Node(node))?,
            SanType::DnsName(subject::name_of(node).try_into()?),
            SanType::DnsName(subject::ANY_NODE.try_into()?),
            match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.try_into()?),
            },
        ];
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = PublicKey(public_key.to_vec());
        Ok(parameters.signed_by(&key, &self.issuer)?.pem())
    }

    /// Certificate and key of an operator.
    ///
    /// # Errors
    /// When the name cannot stand in a certificate.
    pub fn operator(
        &self,
        name: &str,
        role: Role,
        now: Timestamp,
        life: Duration,
    ) -> Result<Pair, AuthorityError> {
        let mut parameters = parameters(&format!("{name} of {}", self.cluster), now, life);
        parameters.subject_alt_names =
            vec![self.uri(Peer::Operator { name: name.to_owned(), role })?];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate_pem, key_pem: key.serialize_pem() })
    }

    fn uri(&self, peer: Peer) -> Result<SanType, AuthorityError> {
        let subject = Subject { cluster: self.cluster.clone(), peer };
        Ok(SanType::URI(subject.to_string().try_into()?))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn parameters(name: &str, now: Timestamp, life: Duration) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |time: Timestamp| epoch + Duration::from_secs(time.as_secs());
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(name);
    parameters.not_before = at(now - EARLIER);
    parameters.not_after = at(now + life);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::subject::Validity;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn certificates_say_whom_they_are_for_and_how_long() {
        let identity = found(NOW).unwrap();
        let authority = Authority::of(&identity).unwrap();
        let key = NodeKey::generate().unwrap();
        for host in ["mx1.example.com", "192.0.2.7", "[2001:db8::7]"] {
            let pem = authority.node(NodeId(3), host, &key.public(), NOW).unwrap();
            let subject = Subject::of(&der(&pem)).unwrap();
            assert_eq!(
                subject,
                Subject { cluster: identity.id.clone(), peer: Peer::Node(NodeId(3)) }
            );
            let validity = Validity::of(&der(&pem)).unwrap();
            assert_eq!(validity, Validity { from: NOW - EARLIER, until: NOW + NODE_LIFE });
        }
        let day = Duration::from_secs(86_400);
        let anna = authority.operator("anna", Role::Operator, NOW, day).unwrap();
        let subject = Subject::of(&der(&anna.certificate_pem)).unwrap();
        let expected = Peer::Operator { name: "anna".to_owned(), role: Role::Operator };
        assert_eq!(subject.peer, expected);
    }

    #[test]
    fn an_authority_is_found_again_in_what_is_kept() {
        let identity = found(NOW).unwrap();
        let (one, two) = (Authority::of(&identity).unwrap(), Authority::of(&identity).unwrap());
        assert_eq!(one.fingerprint(), two.fingerprint());
        let other = found(NOW).unwrap();
        assert_ne!(other.id, identity.id);
        assert_ne!(Authority::of(&other).unwrap().fingerprint(), one.fingerprint());
        let broken = Identity { authority_key_pem: "x".to_owned(), ..identity };
        assert!(matches!(Authority::of(&broken), Err(AuthorityError::Unusable(_))));
    }

    #[test]
    fn what_is_no_key_is_not_certified() {
        let authority = Authority::of(&found(NOW).unwrap()).unwrap();
        for key in [&[][..], &[4; 64], &[5; 65]] {
            let refused = authority.node(NodeId(2), "mx", key, NOW);
            assert!(matches!(refused, Err(AuthorityError::Key)));
        }
    }
}
