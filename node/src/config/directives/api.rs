//! `<transmissions-api>` and its listeners: submission over HTTP.

use super::terms::{
    API, API_LISTENER, BOOLEAN, CERTIFICATE, CIPHERS, DH_BITS, FILE, NO_DHE, OLD_TLS,
    STRONG_CIPHERS, SUITES, WORD,
};
use crate::config::directive::Directive;

/// Keys and logging.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("api-key", API, WORD)
        .inert()
        .repeated()
        .since("5.0")
        .example("api-key 0123456789abcdef")
        .doc("A key that is accepted in the Authorization header."),
    Directive::new("log-requests", API, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-requests no")
        .doc("Log the requests to the HTTP submission interface."),
    Directive::new("log-data", API, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-data no")
        .doc("Log the data that the HTTP submission interface receives and sends."),
    Directive::new("log-tls", API, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-tls no")
        .doc("Log TLS handshakes of the HTTP submission interface."),
];

/// TLS of a listener.
pub(super) const LISTENERS: &[Directive] = &[
    Directive::new("tls-certificate", API_LISTENER, CERTIFICATE)
        .inert()
        .since("5.0")
        .example("tls-certificate /etc/convoy/api.pem")
        .doc(
            "PEM file with private key and certificate chain of this listener, and the password \
              if the key is encrypted.",
        ),
    Directive::new("tls-ca-file", API_LISTENER, FILE)
        .inert()
        .since("5.0")
        .example("tls-ca-file /etc/convoy/client-ca.pem")
        .doc("Certificate authorities by which certificates of clients are verified."),
    Directive::new("tls-trusted-certificate", API_LISTENER, FILE)
        .inert()
        .since("5.0")
        .example("tls-trusted-certificate /etc/convoy/partner.pem")
        .doc(
            "Named once in a comment of the guide, without a description; probably a client \
              certificate that is trusted by itself.",
        ),
    Directive::new("tls-allow-sslv3", API_LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-sslv3 no")
        .doc("Was the switch for SSL 3.0 on this listener; later guides refuse it."),
    Directive::new("tls-allow-tlsv1", API_LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-tlsv1 no")
        .doc("Was the switch for TLS 1.0 on this listener."),
    Directive::new("tls-allow-tlsv1.1", API_LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-tlsv1.1 no")
        .doc("Was the switch for TLS 1.1 on this listener."),
    Directive::new("tls-allow-tlsv1.2", API_LISTENER, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("tls-allow-tlsv1.2 yes")
        .doc("Accept TLS 1.2 on this listener."),
    Directive::new("tls-allow-tlsv1.3", API_LISTENER, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0r5")
        .example("tls-allow-tlsv1.3 yes")
        .doc("Accept TLS 1.3 on this listener."),
    Directive::new("tls-ciphers", API_LISTENER, CIPHERS)
        .default(STRONG_CIPHERS)
        .inert()
        .since("5.0")
        .example("tls-ciphers HIGH:!ADH:@STRENGTH")
        .doc("OpenSSL cipher string for TLS 1.2 on this listener."),
    Directive::new("tls-tlsv1.3-ciphersuites", API_LISTENER, CIPHERS)
        .default(SUITES)
        .inert()
        .since("5.0r5")
        .example("tls-tlsv1.3-ciphersuites TLS_AES_256_GCM_SHA384")
        .doc("TLS 1.3 suites of this listener, separated by colons."),
    Directive::new("tls-dh-key-length", API_LISTENER, DH_BITS)
        .default("1024")
        .since("5.0r5")
        .moot(NO_DHE)
        .example("tls-dh-key-length 2048")
        .doc("Was the length in bits of the Diffie-Hellman parameters on this listener."),
];
