use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::connector::{Connector, HandshakeError};
use crate::tls::fixture::{
    Authority, BOTH, Files, ONLY_1_2, ONLY_1_3, accept, client, named, self_signed,
};

/// What the server makes of a client that presents `certificate`.
async fn client_verdict(
    files: &Files,
    tls: &ServerTls,
    ask: bool,
    certificate: Option<&str>,
) -> (Verdict, Option<Fault>) {
    let mut settings = client();
    settings.certificate = certificate.map(|pem| files.certificate("client.pem", pem));
    let (pipe, accepting) = accept(tls, ask);
    let connector = Connector::new(&settings, false).expect("client settings");
    let _stream = connector.connect(pipe, "mx.example").await.expect("handshake");
    let stream = accepting.await.unwrap().expect("handshake");
    let authorities = ClientAuthorities::load(tls.ca_file.as_deref()).expect("authorities");
    authorities.verdict(stream.get_ref().1.peer_certificates(), UnixTime::now())
}

#[tokio::test]
async fn client_certificates_are_judged_and_never_end_the_handshake() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let theirs = Authority::new("theirs");
    let mut expired = named("client", &["client.example"]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut asking = files.server(&ours.issue(&named("mx", &["mx.example"])));
    asking.ca_file = Some(files.write("ca.pem", &ours.pem));
    let check = async |certificate: Option<&str>, expected: Verdict, fault: Option<Fault>| {
        for versions in [BOTH, ONLY_1_2] {
            let tls = ServerTls { versions, ..asking.clone() };
            let found = client_verdict(&files, &tls, false, certificate).await;
            assert_eq!(found, (expected, fault.clone()));
        }
    };
    let client = named("client", &["client.example"]);
    check(None, Verdict::Anonymous, None).await;
    check(Some(&ours.issue(&client)), Verdict::Trusted, None).await;
    let issuer = "/CN=theirs".to_owned();
    let unknown = Fault::UnknownIssuer { issuer };
    check(Some(&theirs.issue(&client)), Verdict::Untrusted, Some(unknown)).await;
    check(Some(&self_signed(&client)), Verdict::Untrusted, Some(Fault::SelfSigned)).await;
    check(Some(&ours.issue(&expired)), Verdict::Untrusted, Some(Fault::Expired)).await;
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_only_when_wanted() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let tls = files.server(&ours.issue(&named("mx", &["mx.example"])));
    let certificate = self_signed(&named("client", &[]));
    let check = async |ask: bool, expected: Verdict| {
        let (verdict, _) = client_verdict(&files, &tls, ask, Some(&certificate)).await;
        assert_eq!(verdict, expected);
    };
    check(false, Verdict::Anonymous).await;
    check(true, Verdict::Untrusted).await;
}

#[tokio::test]
async fn versions_and_ciphers_are_those_of_the_settings() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let server = files.server(&ours.issue(&named("mx", &["mx.example"])));
    let check = async |versions, ciphers: &str, suites: Option<&str>, expected: &str| {
        let tls = ServerTls {
            versions,
            ciphers: ciphers.to_owned(),
            ciphersuites: suites.map(ToOwned::to_owned),
            ..server.clone()
        };
        let (pipe, _accepting) = accept(&tls, false);
        let connector = Connector::new(&client(), false).unwrap();
        let (_, established) = connector.connect(pipe, "mx.example").await.expect("handshake");
        assert_eq!(established.summary, expected);
    };
    check(BOTH, "AES128", None, "TLSv1.3 connected with 256-bit TLS_AES_256_GCM_SHA384").await;
    check(
        BOTH,
        "HIGH",
        Some("TLS_AES_128_GCM_SHA256"),
        "TLSv1.3 connected with 128-bit TLS_AES_128_GCM_SHA256",
    )
    .await;
    check(ONLY_1_2, "AES128", None, "TLSv1.2 connected with 128-bit ECDHE-ECDSA-AES128-GCM-SHA256")
        .await;
}

#[tokio::test]
async fn without_common_ground_the_handshake_fails() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let server = files.server(&ours.issue(&named("mx", &["mx.example"])));
    let check = async |tls: ServerTls, expected: &str| {
        let (pipe, accepting) = accept(&tls, false);
        let mut settings = client();
        settings.versions = ONLY_1_2;
        settings.ciphers = "AES256".to_owned();
        let connector = Connector::new(&settings, false).unwrap();
        let error = connector.connect(pipe, "mx.example").await.expect_err("fails");
        assert!(matches!(error, HandshakeError::Alert(_)), "{error:?}");
        assert_eq!(error.to_string(), expected);
        assert!(accepting.await.unwrap().is_err());
    };
    let alert = "the server ended the TLS handshake: ";
    let narrow = ServerTls { ciphers: "AES128".to_owned(), ..server.clone() };
    check(narrow, &format!("{alert}handshake failure")).await;
    let newer = ServerTls { versions: ONLY_1_3, ..server };
    check(newer, &format!("{alert}protocol version")).await;
}

#[tokio::test]
async fn a_client_that_asks_for_another_protocol_is_refused() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let server = files.server(&ours.issue(&named("mx", &["mx.example"])));
    let check = async |protocols: &[&str], accepted: bool| {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = files.write("ca.pem", &ours.pem);
        roots.add(crate::tls::roots::certificates(&pem).unwrap().remove(0)).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let (pipe, _accepting) = accept(&server, false);
        let name = ServerName::try_from("mx.example").unwrap();
        let result = TlsConnector::from(Arc::new(config)).connect(name, pipe).await;
        assert_eq!(result.is_ok(), accepted, "{protocols:?}");
    };
    check(&[], true).await;
    check(&["smtp"], true).await;
    check(&["h2", "http/1.1"], false).await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let good = files.server(&ours.issue(&named("mx", &["mx.example"])));
    let check = |tls: ServerTls, expected: &str| {
        let text = server_config(&tls, false).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    };
    let off = crate::config::settings::TlsVersions { v1_2: false, v1_3: false };
    check(ServerTls { versions: off, ..good.clone() }, "no version of TLS is allowed");
    check(ServerTls { ciphers: "RC4-SHA".to_owned(), ..good.clone() }, "selects nothing");
    let missing = Some(files.path("missing.pem"));
    check(ServerTls { ca_file: missing, ..good.clone() }, "missing.pem: No such file");
    let empty = Some(files.write("empty.pem", "nothing"));
    check(ServerTls { ca_file: empty, ..good.clone() }, "empty.pem: no certificate");
    // A string for a version that is off is nobody's concern.
    let tls = ServerTls { versions: ONLY_1_3, ciphers: "RC4-SHA".to_owned(), ..good };
    assert!(server_config(&tls, false).is_ok());
}
