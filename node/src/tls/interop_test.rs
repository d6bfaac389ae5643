//! Against `openssl s_server`: names of what was negotiated, and servers whose certificates
//! cannot be checked.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::connector::{Connector, Established, HandshakeError};
use super::fixture::{Files, client};
use super::verify::{Fault, Verdict};
use crate::config::settings::ClientTls;

/// A running `openssl s_server`; killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(files: &Files, options: &str) -> Self {
        let mut child = Command::new("openssl")
            .args("s_server -accept 127.0.0.1:0 -cert crt.pem -key key.pem -naccept 1".split(' '))
            .args(options.split(' ').filter(|option| !option.is_empty()))
            .current_dir(files.path(""))
            // Its standard input stays open: at the end of it the server would leave.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs the program openssl");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let address = output
            .lines()
            .map(|line| line.expect("s_server runs"))
            .find_map(|line| line.strip_prefix("ACCEPT ").map(ToOwned::to_owned))
            .expect("s_server listens");
        Self { child, address: address.parse().expect("an address") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(files: &Files, arguments: &str) {
    let status = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(files.path(""))
        .stderr(Stdio::null())
        .status()
        .expect("this test needs the program openssl");
    assert!(status.success(), "{arguments}");
}

/// Makes `crt.pem` and `key.pem`.
fn certificate(files: &Files, key: &str, options: &str) {
    openssl(files, &format!("genpkey {key} -out key.pem"));
    let request = "req -x509 -new -key key.pem -out crt.pem -days 30 -subj /CN=mx.host.example";
    openssl(files, &format!("{request}{options}"));
}

async fn shake(
    files: &Files,
    server: &str,
    settings: &ClientTls,
    strict: bool,
) -> Result<Established, HandshakeError> {
    let server = Server::start(files, server);
    let stream = tokio::net::TcpStream::connect(server.address).await.expect("connects");
    let connector = Connector::new(settings, strict).expect("settings");
    connector.connect(stream, "mx.host.example").await.map(|(_, established)| established)
}

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[tokio::test]
async fn every_suite_is_called_what_openssl_calls_it() {
    let files = Files::new();
    for (row, protocol, option) in super::name::TLS12
        .iter()
        .map(|row| (row, "TLSv1.2", "-tls1_2 -cipher"))
        .chain(super::name::TLS13.iter().map(|row| (row, "TLSv1.3", "-tls1_3 -ciphersuites")))
    {
        certificate(&files, if row.name.contains("ECDSA") { EC } else { RSA }, "");
        let options = format!("{option} {}", row.name);
        let established = shake(&files, &options, &client(), false).await.expect(row.name);
        let expected = format!("{protocol} connected with {}-bit {}", row.bits, row.name);
        assert_eq!(established.summary, expected);
    }
}

#[tokio::test]
async fn key_exchange_groups_are_named() {
    let files = Files::new();
    certificate(&files, EC, "");
    for (option, expected) in [("X25519", "X25519"), ("P-256", "P-256"), ("P-384", "P-384")] {
        let options = format!("-groups {option}");
        let established = shake(&files, &options, &client(), false).await.expect(option);
        assert_eq!(established.group, expected);
    }
}

/// Connects without and with verification, trusting the server's own certificate.
async fn check_unverifiable(files: &Files, server: &str) {
    let mut settings = client();
    settings.ca_file = Some(files.path("crt.pem"));
    // Such a certificate may not even be fit to be an authority.
    let tolerant = match Connector::new(&settings, false) {
        Ok(_) => shake(files, server, &settings, false).await,
        Err(_) => shake(files, server, &client(), false).await,
    };
    assert_eq!(tolerant.expect(server).verdict, Verdict::Untrusted, "{server}");
    if Connector::new(&settings, true).is_ok() {
        let error = shake(files, server, &settings, true).await.expect_err(server);
        assert!(matches!(error, HandshakeError::Certificate(_) | HandshakeError::Alert(_)));
    }
}

#[tokio::test]
async fn signatures_that_cannot_be_checked_are_tolerated_only_without_verification() {
    let files = Files::new();
    let weak = "-cipher ALL:@SECLEVEL=0";
    let san = " -addext subjectAltName=DNS:mx.host.example";
    certificate(&files, "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", san);
    check_unverifiable(&files, weak).await;
    check_unverifiable(&files, &format!("{weak} -tls1_2")).await;
    certificate(&files, RSA, san);
    check_unverifiable(&files, &format!("{weak} -tls1_2 -sigalgs RSA+SHA1")).await;
}

#[tokio::test]
async fn a_certificate_of_version_one_is_tolerated_only_without_verification() {
    let files = Files::new();
    openssl(&files, &format!("genpkey {RSA} -out key.pem"));
    openssl(&files, "req -new -key key.pem -out request.pem -subj /CN=mx.host.example");
    openssl(&files, "x509 -req -in request.pem -signkey key.pem -out crt.pem -days 30");
    check_unverifiable(&files, "").await;
    let mut settings = client();
    settings.ca_file = Some(files.write("ca.pem", &super::fixture::Authority::new("other").pem));
    let error = shake(&files, "", &settings, true).await.expect_err("refused");
    let HandshakeError::Certificate(fault) = error else { panic!("{error:?}") };
    assert!(matches!(fault, Fault::Other(_) | Fault::SelfSigned), "{fault:?}");
}

#[tokio::test]
async fn servers_of_another_age_are_refused_with_a_reason() {
    let files = Files::new();
    certificate(&files, RSA, "");
    for server in ["-tls1_1 -cipher ALL:@SECLEVEL=0", "-tls1_2 -cipher AES256-SHA"] {
        let error = shake(&files, server, &client(), false).await.expect_err(server);
        assert!(matches!(error, HandshakeError::Alert(_)), "{server}: {error:?}");
    }
}
