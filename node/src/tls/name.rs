//! OpenSSL's names for what was negotiated: they stand in logs, trace headers and accounting.

use rustls::{CipherSuite, CommonState, NamedGroup, ProtocolVersion};

use crate::message::TlsInfo;

/// One cipher suite that rustls has.
#[derive(Debug, PartialEq, Eq)]
pub struct SuiteName {
    /// rustls's identity.
    pub suite: CipherSuite,
    /// OpenSSL's name.
    pub name: &'static str,
    /// The name in IANA's registry.
    pub iana: &'static str,
    /// Bits of the symmetric key.
    pub bits: u16,
}

const fn row(suite: CipherSuite, name: &'static str, iana: &'static str, bits: u16) -> SuiteName {
    SuiteName { suite, name, iana, bits }
}

/// The TLS 1.2 suites, in the order of OpenSSL's built-in preference.
pub static TLS12: [SuiteName; 6] = [
    row(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        256,
    ),
    row(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        256,
    ),
    row(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        256,
    ),
    row(
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        256,
    ),
    row(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        128,
    ),
    row(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        128,
    ),
];

/// The TLS 1.3 suites, in OpenSSL's default order.
pub static TLS13: [SuiteName; 3] = [
    row(
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_256_GCM_SHA384",
        256,
    ),
    row(
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        256,
    ),
    row(
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256",
        128,
    ),
];

/// What a handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Protocol and cipher, as accounting prints them.
    pub info: TlsInfo,
    /// Bits of the symmetric key.
    pub bits: u16,
    /// Key exchange group; empty for a resumed TLS 1.2 session.
    pub group: &'static str,
}

impl Negotiated {
    /// Reads a connection; none before the handshake is complete.
    #[must_use]
    pub fn of(connection: &CommonState) -> Option<Self> {
        let protocol = protocol(connection.protocol_version()?)?;
        let suite = suite(connection.negotiated_cipher_suite()?.suite())?;
        let group = connection.negotiated_key_exchange_group().map_or("", |g| group(g.name()));
        Some(Self {
            info: TlsInfo { protocol: protocol.to_owned(), cipher: suite.name.to_owned() },
            bits: suite.bits,
            group,
        })
    }

    /// The line for the log: `TLSv1.2 connected with 128-bit ECDHE-RSA-AES128-GCM-SHA256`.
    #[must_use]
    pub fn summary(&self) -> String {
        let TlsInfo { protocol, cipher } = &self.info;
        format!("{protocol} connected with {}-bit {cipher}", self.bits)
    }
}

/// `TLSv1.2` or `TLSv1.3`; none for what rustls never negotiates.
#[must_use]
pub fn protocol(version: ProtocolVersion) -> Option<&'static str> {
    if version == ProtocolVersion::TLSv1_2 {
        Some("TLSv1.2")
    } else if version == ProtocolVersion::TLSv1_3 {
        Some("TLSv1.3")
    } else {
        None
    }
}

/// The row of a suite; none for one that rustls does not have.
#[must_use]
pub fn suite(suite: CipherSuite) -> Option<&'static SuiteName> {
    TLS12.iter().chain(&TLS13).find(|row| row.suite == suite)
}

/// A key exchange group as operators know it.
#[must_use]
pub fn group(group: NamedGroup) -> &'static str {
    const NAMES: [(NamedGroup, &str); 5] = [
        (NamedGroup::X25519, "X25519"),
        (NamedGroup::secp256r1, "P-256"),
        (NamedGroup::secp384r1, "P-384"),
        (NamedGroup::secp521r1, "P-521"),
        (NamedGroup::X25519MLKEM768, "X25519MLKEM768"),
    ];
    NAMES.iter().find(|(g, _)| *g == group).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_a_name() {
        for known in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
            let row = suite(known.suite()).expect("named");
            // rustls spells TLS 1.3 suites with a prefix of its own.
            let rustls_name = format!("{:?}", known.suite()).replace("TLS13_", "TLS_");
            assert_eq!(row.iana, rustls_name);
        }
        assert_eq!(TLS12.len() + TLS13.len(), rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.len());
    }

    #[test]
    fn the_summary_reads_like_powermta() {
        let negotiated = Negotiated {
            info: TlsInfo {
                protocol: "TLSv1.2".into(),
                cipher: "ECDHE-RSA-AES128-GCM-SHA256".into(),
            },
            bits: 128,
            group: "X25519",
        };
        assert_eq!(
            negotiated.summary(),
            "TLSv1.2 connected with 128-bit ECDHE-RSA-AES128-GCM-SHA256"
        );
    }
}
