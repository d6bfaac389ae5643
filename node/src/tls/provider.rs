//! The cryptography of one rustls configuration: suites, key exchange groups, versions.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::TlsError;
use super::cipher::{self, Suite};
use crate::config::settings::TlsVersions;

/// Towards clients the post-quantum hybrid comes first: choosing it costs the client nothing.
pub(super) static INBOUND_GROUPS: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// Towards servers X25519 comes first, so that the hello stays small: servers exist that hang on
/// one of two segments. A server that wants the hybrid asks for it.
pub(super) static OUTBOUND_GROUPS: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519, kx_group::X25519MLKEM768, kx_group::SECP256R1, kx_group::SECP384R1];

/// The provider for a cipher string, a TLS 1.3 list and a set of versions. The string of a version
/// that is switched off is not looked at.
pub(super) fn provider(
    versions: TlsVersions,
    ciphers: &str,
    ciphersuites: Option<&str>,
    groups: &[&'static dyn SupportedKxGroup],
) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut suites: Vec<Suite> = Vec::new();
    if versions.v1_3 {
        suites.extend(cipher::select_tls13(ciphersuites)?.suites);
    }
    if versions.v1_2 {
        suites.extend(cipher::select(ciphers)?.suites);
    }
    Ok(Arc::new(CryptoProvider {
        cipher_suites: suites.into_iter().filter_map(implementation).collect(),
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    }))
}

fn implementation(suite: Suite) -> Option<SupportedCipherSuite> {
    aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|known| known.suite() == suite.suite).copied()
}

/// The versions for rustls.
pub(super) fn protocol_versions(
    versions: TlsVersions,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let switches =
        [(versions.v1_3, &rustls::version::TLS13), (versions.v1_2, &rustls::version::TLS12)];
    let on: Vec<_> = switches.into_iter().filter(|(on, _)| *on).map(|(_, v)| v).collect();
    if on.is_empty() { Err(TlsError::NoVersions) } else { Ok(on) }
}
