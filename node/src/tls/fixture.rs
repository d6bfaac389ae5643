//! Certificates and files for the tests of this module.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tokio_rustls::TlsAcceptor;

use crate::config::settings::{CertificateFile, ClientTls, ServerTls, TlsVersions};

pub(super) const BOTH: TlsVersions = TlsVersions { v1_2: true, v1_3: true };
pub(super) const ONLY_1_2: TlsVersions = TlsVersions { v1_2: true, v1_3: false };
pub(super) const ONLY_1_3: TlsVersions = TlsVersions { v1_2: false, v1_3: true };

/// An authority of the tests' own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut parameters = named(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A certificate and its key.
    pub(super) fn issue(&self, parameters: &CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }
}

/// Parameters of a certificate with a common name and host names.
pub(super) fn named(common_name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters
}

/// A certificate that nobody issued, with its key.
pub(super) fn self_signed(parameters: &CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    format!("{}{}", parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Files that live as long as a test.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        path
    }

    pub(super) fn certificate(&self, name: &str, content: &str) -> CertificateFile {
        CertificateFile { path: self.write(name, content), password: None }
    }

    /// Settings of a server with this certificate and nothing special.
    pub(super) fn server(&self, certificate: &str) -> ServerTls {
        ServerTls {
            certificate: self.certificate("server.pem", certificate),
            ca_file: None,
            versions: BOTH,
            ciphers: "HIGH:!ADH:@STRENGTH".to_owned(),
            ciphersuites: None,
        }
    }
}

/// Settings of a client with nothing special.
pub(super) fn client() -> ClientTls {
    ClientTls {
        certificate: None,
        ca_file: None,
        versions: BOTH,
        ciphers: "HIGH:!ADH:@STRENGTH".to_owned(),
        ciphersuites: None,
    }
}

/// The server's half of a connection.
pub(super) type ServerHalf = tokio_rustls::server::TlsStream<tokio::io::DuplexStream>;

/// Accepts on one end of a pipe; the other end is for the client.
pub(super) fn accept(
    tls: &ServerTls,
    ask: bool,
) -> (tokio::io::DuplexStream, tokio::task::JoinHandle<std::io::Result<ServerHalf>>) {
    let config = super::acceptor::server_config(tls, ask).expect("server settings");
    let (client, server) = tokio::io::duplex(1 << 16);
    let accepting = tokio::spawn(async move { TlsAcceptor::from(config).accept(server).await });
    (client, accepting)
}
