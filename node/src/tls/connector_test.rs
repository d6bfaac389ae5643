use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::tls::fixture::{Authority, Files, ONLY_1_2, accept, client, named, self_signed};

/// One handshake with a server that has `certificate`, trusting `ca`.
async fn shake(
    certificate: &str,
    ca: Option<&str>,
    strict: bool,
    host: &str,
) -> Result<Established, HandshakeError> {
    let files = Files::new();
    let server = files.server(certificate);
    let mut settings = client();
    settings.ca_file = ca.map(|pem| files.write("ca.pem", pem));
    let (pipe, _accepting) = accept(&server, false);
    let connector = Connector::new(&settings, strict).expect("settings");
    connector.connect(pipe, host).await.map(|(_, established)| established)
}

/// A certificate is judged the same whether the judgement counts or not.
async fn check_verdict(certificate: &str, ca: &str, expected: Verdict, fault: Option<Fault>) {
    let tolerant = shake(certificate, Some(ca), false, "mx.host.example").await.expect("tolerated");
    assert_eq!((tolerant.verdict, &tolerant.fault), (expected, &fault));
    match (shake(certificate, Some(ca), true, "mx.host.example").await, fault) {
        (Ok(established), None) => assert_eq!(established.verdict, Verdict::Verified),
        (Err(HandshakeError::Certificate(found)), Some(fault)) => assert_eq!(found, fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn certificates_are_judged_by_chain_date_and_name() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = named("mx", &["mx.host.example"]);
    let mut expired = good.clone();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = good.clone();
    early.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let expected = || "mx.host.example".to_owned();
    let check = async |certificate: &str, verdict, fault| {
        check_verdict(certificate, &ours.pem, verdict, fault).await;
    };
    check(&ours.issue(&good), Verdict::Verified, None).await;
    check(&ours.issue(&named("mx", &["*.host.example"])), Verdict::Verified, None).await;
    let issuer = "/CN=theirs".to_owned();
    let fault = Fault::UnknownIssuer { issuer };
    check(&theirs.issue(&good), Verdict::Untrusted, Some(fault)).await;
    check(&self_signed(&good), Verdict::Untrusted, Some(Fault::SelfSigned)).await;
    check(&ours.issue(&expired), Verdict::Untrusted, Some(Fault::Expired)).await;
    check(&ours.issue(&early), Verdict::Untrusted, Some(Fault::NotYetValid)).await;
    let presented = vec!["other.example".to_owned(), "192.0.2.1".to_owned()];
    let fault = Fault::WrongName { expected: expected(), presented };
    let other = ours.issue(&named("mx.host.example", &["other.example", "192.0.2.1"]));
    check(&other, Verdict::Trusted, Some(fault)).await;
    let common_name = Some("mx.host.example".to_owned());
    let fault = Fault::NoName { expected: expected(), common_name };
    check(&ours.issue(&named("mx.host.example", &[])), Verdict::Trusted, Some(fault)).await;
}

#[tokio::test]
async fn a_server_certificate_named_as_its_own_authority_is_trusted() {
    // What a plain `openssl req -x509` makes: an authority's certificate.
    let mut own = named("mx", &["mx.host.example"]);
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = self_signed(&own);
    check_verdict(&certificate, &certificate, Verdict::Verified, None).await;
    let other = self_signed(&own);
    check_verdict(&certificate, &other, Verdict::Untrusted, Some(Fault::SelfSigned)).await;
}

#[tokio::test]
async fn without_authorities_any_certificate_is_untrusted_and_fine() {
    let certificate = self_signed(&named("mx", &[]));
    let established = shake(&certificate, None, false, "mx.host.example").await.expect("tolerated");
    assert_eq!((established.verdict, established.fault), (Verdict::Untrusted, None));
    assert_eq!(established.certificate, "Cert: /CN=mx; issuer=/CN=mx; verified=no");
    assert_eq!(established.group, "X25519");
    let error = Connector::new(&client(), true).unwrap_err();
    assert!(matches!(error, TlsError::NoRoots), "{error}");
}

#[tokio::test]
async fn names_go_to_the_server_and_addresses_do_not() {
    let files = Files::new();
    let server = files.server(&self_signed(&named("mx", &[])));
    let check = async |host: &str, expected: Option<&str>| {
        let (pipe, accepting) = accept(&server, false);
        let connector = Connector::new(&client(), false).unwrap();
        let _stream = connector.connect(pipe, host).await.expect(host);
        let stream = accepting.await.unwrap().expect(host);
        assert_eq!(stream.get_ref().1.server_name(), expected, "{host}");
    };
    check("mx.host.example", Some("mx.host.example")).await;
    check("MX.Host.Example.", Some("mx.host.example")).await;
    check("mx_1.example", Some("mx_1.example")).await;
    check("bücher.example", Some("xn--bcher-kva.example")).await;
    check("192.0.2.1", None).await;
    check("[192.0.2.1]", None).await;
    check("[IPv6:2001:db8::1]", None).await;
}

#[tokio::test]
async fn failures_say_what_the_server_did() {
    let check = async |answer: &[u8], expected: &str| {
        let (pipe, mut server) = tokio::io::duplex(1 << 16);
        let answering = async {
            let mut hello = [0; 5];
            server.read_exact(&mut hello).await.unwrap();
            server.write_all(answer).await.unwrap();
            drop(server);
        };
        let connector = Connector::new(&client(), false).unwrap();
        let (result, ()) = tokio::join!(connector.connect(pipe, "mx.host.example"), answering);
        let error = result.expect_err("fails");
        assert_eq!(error.event(), crate::tls::policy::Event::HandshakeFailed);
        assert_eq!(error.to_string(), expected);
    };
    check(b"", "the server closed the connection during the TLS handshake").await;
    check(
        b"454 4.7.0 TLS not available\r\n",
        "the TLS handshake failed: the server's answer is not TLS",
    )
    .await;
    check(&[21, 3, 3, 0, 2, 2, 40], "the server ended the TLS handshake: handshake failure").await;
    let error = shake(&self_signed(&named("mx", &[])), None, false, "a b").await.unwrap_err();
    assert_eq!(error.to_string(), "a b is not a name that TLS can ask for");
}

#[test]
fn connectors_are_kept_by_their_settings() {
    let files = Files::new();
    let connectors = Connectors::default();
    let plain = connectors.get(&client(), false).expect("settings");
    let again = connectors.get(&client(), false).expect("settings");
    assert!(Arc::ptr_eq(&plain, &again));
    let mut other = client();
    other.certificate = Some(files.certificate("client.pem", &self_signed(&named("client", &[]))));
    assert!(!Arc::ptr_eq(&plain, &connectors.get(&other, false).expect("settings")));
    other.certificate = None;
    other.ca_file = Some(files.write("ca.pem", &Authority::new("ours").pem));
    let strict = connectors.get(&other, true).expect("settings");
    assert!(!Arc::ptr_eq(&strict, &connectors.get(&other, false).expect("settings")));
    connectors.clear();
    assert!(!Arc::ptr_eq(&plain, &connectors.get(&client(), false).expect("settings")));
}

#[tokio::test]
async fn every_connection_has_a_verdict_of_its_own() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let good = files.server(&ours.issue(&named("mx", &["mx.host.example"])));
    let mut settings = client();
    settings.ca_file = Some(files.write("ca.pem", &ours.pem));
    settings.versions = ONLY_1_2;
    let connector = Connector::new(&settings, false).unwrap();
    for (host, expected) in [
        ("mx.host.example", Verdict::Verified),
        ("other.example", Verdict::Trusted),
        ("mx.host.example", Verdict::Verified),
    ] {
        let (pipe, _accepting) = accept(&good, false);
        let (_, established) = connector.connect(pipe, host).await.expect("tolerated");
        assert_eq!(established.verdict, expected);
    }
}
