use super::*;
use crate::tls::fixture::{Authority, Files, named, self_signed};

/// Checks a configuration in which `@` stands for the directory of `files`. What is found is
/// `LINE: severity: message`, without the directory.
fn found(files: &Files, text: &str) -> Vec<String> {
    let directory = files.path("").display().to_string();
    let directory = directory.trim_end_matches('/');
    let config = Config::from_text(&text.replace('@', directory)).expect("a configuration");
    let line = |d: &Diagnostic| {
        let line = d.position.as_ref().map(|p| format!("{}: ", p.line())).unwrap_or_default();
        let severity = if d.is_error() { "error" } else { "warning" };
        format!("{line}{severity}: {}", d.message.replace(directory, "@"))
    };
    check(&config, Timestamp::now()).iter().map(line).collect()
}

fn good(files: &Files) {
    files.write("server.pem", &self_signed(&named("mx", &["mx.host.example"])));
    files.write("ca.pem", &Authority::new("authority").pem);
}

const LISTENER: &str = "host-name mx.host.example\n\
    smtp-listener 127.0.0.1:2525\n\
    smtp-server-tls-certificate @/server.pem\n";

#[test]
fn a_configuration_in_order_is_silent() {
    let files = Files::new();
    good(&files);
    let text = format!(
        "{LISTENER}smtp-server-tls-ca-file @/ca.pem\n\
         smtp-server-tls-ciphers ECDHE+AESGCM:!aNULL\n\
         <domain example.com>\nsmtp-tls-ca-file @/ca.pem\n\
         smtp-client-certificate @/server.pem\n</domain>\n\
         <smtp-user cert>\nauthentication-method certificate\n\
         tls-certificate @/server.pem\nsource {{auth}}\n</smtp-user>\n\
         <source {{auth}}>\nsmtp-service yes\n</source>\n"
    );
    assert_eq!(found(&files, &text), [""; 0]);
}

#[test]
fn files_that_do_not_load_are_errors_where_they_are_named() {
    let files = Files::new();
    good(&files);
    files.write("text", "no certificate");
    let check = |text: &str, expected: &[&str]| assert_eq!(found(&files, text), expected);
    check(
        &LISTENER.replace("server.pem", "missing.pem"),
        &["3: error: @/missing.pem: No such file or directory (os error 2)"],
    );
    check(
        &format!("{LISTENER}smtp-server-tls-ca-file @/text\n"),
        &["4: error: @/text: no certificate in this file"],
    );
    check(
        "<domain example.com>\nsmtp-tls-ca-file @/text\n</domain>\n\
         <domain *.example.net>\nsmtp-client-certificate @/ca.pem\n</domain>\n",
        &[
            "2: error: @/text: no certificate in this file",
            "5: error: @/ca.pem: no private key in this file",
        ],
    );
    check(
        "<virtual-mta one>\n<domain *>\nsmtp-tls-ca-file @/none\n</domain>\n</virtual-mta>\n",
        &["3: error: @/none: No such file or directory (os error 2)"],
    );
    // One fault does not hide another.
    check(
        &format!(
            "{}smtp-server-tls-ciphers HIGH:@NONE\nsmtp-server-tls-ca-file @/text\n",
            LISTENER.replace("server.pem", "missing.pem")
        ),
        &[
            "3: error: @/missing.pem: No such file or directory (os error 2)",
            "4: error: cipher list \"HIGH:@NONE\": \"@NONE\" is not a cipher, + - ! or @ command",
            "5: error: @/text: no certificate in this file",
        ],
    );
    // Nothing is asked of a section that does not use TLS.
    check("<domain *>\nuse-starttls no\nsmtp-tls-ca-file @/text\n</domain>\n", &[]);
}

#[test]
fn cipher_lists_are_judged_where_they_are_given() {
    let files = Files::new();
    good(&files);
    let check = |text: &str, expected: &[&str]| assert_eq!(found(&files, text), expected);
    let has = super::super::name::TLS12.iter().map(|row| row.name).collect::<Vec<_>>().join(":");
    check(
        &format!("{LISTENER}smtp-server-tls-ciphers RC4-SHA\n"),
        &[&format!(
            "4: error: cipher list \"RC4-SHA\" selects nothing that this server has; it has {has}"
        )],
    );
    check(
        &format!("{LISTENER}smtp-server-tls-ciphers HIGH:MEDIUM:zzz\n"),
        &[
            "4: warning: MEDIUM cannot be honoured: this server has no such cipher; ignored",
            "4: warning: unknown cipher zzz; ignored",
        ],
    );
    check(
        "<domain *>\nsmtp-tls-tlsv1.3-ciphersuites TLS_AES_128_CCM_SHA256\n</domain>\n",
        &[
            "2: error: cipher list \"TLS_AES_128_CCM_SHA256\" selects nothing that this server has; \
           it has TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
        ],
    );
    check(
        "<domain *>\nsmtp-tls-allow-tlsv1.2 no\nsmtp-tls-allow-tlsv1.3 no\n</domain>\n",
        &["error: no version of TLS is allowed: TLS 1.2 and TLS 1.3 are both switched off"],
    );
}

#[test]
fn certificates_that_will_surprise_are_warned_of() {
    let files = Files::new();
    let check = |parameters: &rcgen::CertificateParams, expected: &[&str]| {
        files.write("server.pem", &self_signed(parameters));
        assert_eq!(found(&files, LISTENER), expected);
    };
    let good = named("mx", &["mx.host.example"]);
    let mut expired = good.clone();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    check(&expired, &["3: warning: @/server.pem: the certificate has expired"]);
    let mut early = good.clone();
    early.not_before = rcgen::date_time_ymd(2090, 1, 1);
    check(&early, &["3: warning: @/server.pem: the certificate is not valid yet"]);
    let mut short = good;
    let soon = Timestamp::now() + std::time::Duration::from_secs(30 * 3600);
    short.not_after =
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(soon.as_secs());
    let day = soon.local().strftime("%Y-%m-%d").to_string();
    let expected = format!("3: warning: @/server.pem: the certificate expires on {day}");
    check(&short, &[&expected]);
    check(
        &named("mx", &["other.host.example"]),
        &["3: warning: @/server.pem: the certificate is not for mx.host.example"],
    );
}
