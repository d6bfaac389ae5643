//! `<domain>`: TLS and authentication towards other servers.

use super::terms::{
    BOOLEAN, CERTIFICATE, CIPHERS, DOMAIN, FILE, OLD_TLS, STRONG_CIPHERS, SUITES, TEXT,
};
use crate::config::directive::Directive;

/// Encryption of deliveries, certificates, and passwords for relays.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("use-starttls", DOMAIN, BOOLEAN)
        .default("yes")
        .since("3.0")
        .example("use-starttls yes")
        .doc(
            "Encrypt with STARTTLS when the receiving server offers it. When encryption cannot be \
              had and require-starttls is off, the message goes in clear in the same attempt: on \
              the same connection if the server refuses STARTTLS in words, on a new one if the \
              handshake fails. A host whose handshake failed is remembered for \
              tls-broken-host-memory.",
        ),
    Directive::new("require-starttls", DOMAIN, BOOLEAN)
        .default("no")
        .example("require-starttls yes")
        .doc(
            "Never send in clear: when the server does not offer STARTTLS or the handshake fails, \
              the connection is closed, the next host is tried, and the message waits for its next \
              attempt. Has a meaning only while use-starttls is on.",
        ),
    Directive::new("use-dane", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("use-dane no")
        .doc(
            "Look up the TLSA records of the receiving host through DNSSEC, demand TLS and verify \
              the certificate by them, and never fall back to clear text where they exist. The \
              first 5.0 had it on by default, later ones off.",
        ),
    Directive::new("use-mta-sts", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0r5")
        .example("use-mta-sts no")
        .doc(
            "Fetch the domain's MTA-STS policy over HTTPS and obey it: only hosts that it names, \
              only with TLS, and with a certificate that is valid for the host's name and issued \
              by a public authority.",
        ),
    Directive::new("reuse-ssl-session", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("reuse-ssl-session no")
        .doc(
            "Resume TLS sessions on later connections to the same host instead of making a full \
              handshake. It concerns TLS 1.2 only.",
        ),
    Directive::new("smtp-tls-allow-sslv3", DOMAIN, BOOLEAN)
        .default("no")
        .moot(OLD_TLS)
        .example("smtp-tls-allow-sslv3 no")
        .doc(
            "Was the switch for SSL 3.0 towards other servers; later guides refuse it. Convoy \
              never speaks SSL 3.0.",
        ),
    Directive::new("smtp-tls-allow-tlsv1", DOMAIN, BOOLEAN)
        .default("no")
        .moot(OLD_TLS)
        .example("smtp-tls-allow-tlsv1 no")
        .doc(
            "Was the switch for TLS 1.0 towards other servers. Convoy never speaks TLS 1.0; a \
              server that has nothing newer gets the mail in clear, or not at all under \
              require-starttls.",
        ),
    Directive::new("smtp-tls-allow-tlsv1.1", DOMAIN, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("smtp-tls-allow-tlsv1.1 no")
        .doc(
            "Was the switch for TLS 1.1 towards other servers, on by default in PowerMTA. Convoy \
              never speaks TLS 1.1.",
        ),
    Directive::new("smtp-tls-allow-tlsv1.2", DOMAIN, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("smtp-tls-allow-tlsv1.2 yes")
        .doc(
            "Use TLS 1.2 towards other servers. With TLS 1.2 and TLS 1.3 both off no handshake \
              can succeed, so switch off use-starttls instead.",
        ),
    Directive::new("smtp-tls-allow-tlsv1.3", DOMAIN, BOOLEAN)
        .default("yes")
        .since("5.0r5")
        .example("smtp-tls-allow-tlsv1.3 yes")
        .doc("Use TLS 1.3 towards other servers."),
    Directive::new("smtp-client-certificate", DOMAIN, CERTIFICATE)
        .example("smtp-client-certificate /etc/convoy/client.pem")
        .doc(
            "PEM file with private key and certificate that are presented when the receiving \
              server asks for a client certificate, and the password if the key is encrypted. An \
              empty string clears an inherited value.",
        ),
    Directive::new("smtp-tls-ca-file", DOMAIN, FILE)
        .example("smtp-tls-ca-file /etc/ssl/certs/ca-certificates.crt")
        .doc(
            "PEM file of root certificates; naming one turns verification of the receiving \
              server's certificate on. The chain has to lead to one of the roots and the \
              certificate has to be valid for the host's name. When verification fails, \
              opportunistic TLS falls back to clear text as after a failed handshake, and under \
              require-starttls the message stays queued. Without this directive any certificate is \
              taken.",
        ),
    Directive::new("smtp-tls-ciphers", DOMAIN, CIPHERS)
        .default(STRONG_CIPHERS)
        .since("5.0")
        .example("smtp-tls-ciphers HIGH:MEDIUM:!ADH:@STRENGTH")
        .doc(
            "OpenSSL cipher string that selects and orders the TLS 1.2 ciphers offered to other \
              servers, read as smtp-server-tls-ciphers. A string that leaves none is an error.",
        ),
    Directive::new("smtp-tls-tlsv1.3-ciphersuites", DOMAIN, CIPHERS)
        .default(SUITES)
        .since("5.0r5")
        .example("smtp-tls-tlsv1.3-ciphersuites TLS_AES_128_GCM_SHA256")
        .doc(
            "TLS 1.3 suites offered to other servers, by OpenSSL's names and separated by colons.",
        ),
    Directive::new("log-tls", DOMAIN, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("log-tls yes")
        .doc(
            "Log version, cipher and certificate of each TLS handshake with other servers, and \
              why one failed.",
        ),
    Directive::new("auth-username", DOMAIN, TEXT).example("auth-username customer-7").doc(
        "User name for SMTP authentication towards the receiving server, usually a relay. One \
              of this and auth-password has to be non-empty for authentication to take place, by \
              CRAM-MD5, PLAIN or LOGIN as offered. An empty string clears an inherited value.",
    ),
    Directive::new("auth-password", DOMAIN, TEXT).example("auth-password s3cret").doc(
        "Password for SMTP authentication towards the receiving server. It cannot contain a \
              number sign, which begins a comment. It is never logged or shown.",
    ),
    Directive::new("use-unencrypted-plain-auth", DOMAIN, BOOLEAN)
        .default("no")
        .example("use-unencrypted-plain-auth no")
        .doc(
            "Send the password by PLAIN or LOGIN even on a connection without TLS, where anybody \
              on the way can read it. CRAM-MD5 does not need it.",
        ),
];
