//! Top level: the web monitor.

use super::terms::{
    BOOLEAN, CIPHERS, COUNT, DH_BITS, FILE, GLOBAL, NO_DHE, OLD_TLS, PORT, STRONG_CIPHERS, SUITES,
    WORD,
};
use crate::config::directive::{Arg, Directive, Kind};

/// Port, access, TLS and logging of the web monitor.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("http-mgmt-port", GLOBAL, PORT)
        .node_local()
        .default("8080")
        .inert()
        .at_restart()
        .since("3.0")
        .example("http-mgmt-port 8080")
        .doc("Port of the web monitor; 0 switches it off. Convoy is administered by mtactl."),
    Directive::new(
        "http-access",
        GLOBAL,
        &[
            Arg::required("CIDR", Kind::Network),
            Arg::required(
                "LEVEL",
                Kind::Choice(&["none", "monitor", "monitor,deny-logs", "operator", "admin"]),
            ),
        ],
    )
    .inert()
    .repeated()
    .since("3.0")
    .example("http-access 127.0.0.1 admin")
    .doc(
        "What clients of a network may do in the web monitor: nothing, read, run commands, or \
              change the configuration. The first line that fits a client counts, and whoever none \
              fits is refused.",
    ),
    Directive::new("http-mgmt-source", GLOBAL, &[Arg::required("CIDR", Kind::Network)])
        .inert()
        .repeated()
        .since("3.0")
        .example("http-mgmt-source 127.0.0.1/32")
        .doc("Old way to admit clients to the web monitor. Write http-access instead."),
    Directive::new("no-http-mgmt-source", GLOBAL, &[Arg::required("CIDR", Kind::Network)])
        .inert()
        .repeated()
        .since("3.0")
        .example("no-http-mgmt-source 10.0.0.0/8")
        .doc("Old way to keep clients from the web monitor. Write http-access instead."),
    Directive::new("http-api-key", GLOBAL, WORD)
        .inert()
        .repeated()
        .since("5.0")
        .example("http-api-key 0123456789abcdef0123456789abcdef")
        .doc(
            "A key of 32 to 128 letters, digits and underscores; a request with it in the \
              X-API-Key header has all rights.",
        ),
    Directive::new("http-csrf-protection", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("http-csrf-protection yes")
        .doc(
            "Refuse requests by GET that change something, and those by POST that carry neither \
              an API key nor a token from a page of the monitor.",
        ),
    Directive::new("http-redirect-to-https", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .example("http-redirect-to-https yes")
        .doc(
            "Redirect requests in clear to HTTPS, which the same port serves. Version 4.5 had it \
              off by default.",
        ),
    Directive::new(
        "http-strict-transport-security-max-age",
        GLOBAL,
        &[Arg::required("SECONDS", Kind::Integer { min: 0, max: 4294967295 })],
    )
    .default("0")
    .inert()
    .since("5.0")
    .example("http-strict-transport-security-max-age 31536000")
    .doc("How many seconds browsers are told to use HTTPS only."),
    Directive::new("http-tls-allow-sslv3", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("http-tls-allow-sslv3 no")
        .doc("Was the switch for SSL 3.0 in the web monitor; later guides refuse it."),
    Directive::new("http-tls-allow-tlsv1", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("http-tls-allow-tlsv1 no")
        .doc("Was the switch for TLS 1.0 in the web monitor."),
    Directive::new("http-tls-allow-tlsv1.1", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("http-tls-allow-tlsv1.1 no")
        .doc("Was the switch for TLS 1.1 in the web monitor."),
    Directive::new("http-tls-allow-tlsv1.2", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("http-tls-allow-tlsv1.2 yes")
        .doc("Accept TLS 1.2 in the web monitor."),
    Directive::new("http-tls-allow-tlsv1.3", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0r5")
        .example("http-tls-allow-tlsv1.3 yes")
        .doc("Accept TLS 1.3 in the web monitor."),
    Directive::new("http-tls-ciphers", GLOBAL, CIPHERS)
        .default(STRONG_CIPHERS)
        .inert()
        .since("5.0")
        .example("http-tls-ciphers HIGH:!ADH:@STRENGTH")
        .doc("OpenSSL cipher string for TLS 1.2 in the web monitor."),
    Directive::new("http-tls-tlsv1.3-ciphersuites", GLOBAL, CIPHERS)
        .default(SUITES)
        .inert()
        .since("5.0r5")
        .example("http-tls-tlsv1.3-ciphersuites TLS_AES_256_GCM_SHA384")
        .doc("TLS 1.3 suites of the web monitor, separated by colons."),
    Directive::new("http-tls-dh-key-length", GLOBAL, DH_BITS)
        .default("1024")
        .since("5.0r5")
        .moot(NO_DHE)
        .example("http-tls-dh-key-length 2048")
        .doc("Was the length in bits of the Diffie-Hellman parameters in the web monitor."),
    Directive::new("http-tls-ca-file", GLOBAL, FILE)
        .overridable()
        .inert()
        .since("5.0")
        .example("http-tls-ca-file /etc/convoy/admins-ca.pem")
        .doc(
            "Certificate authorities by which client certificates of the web monitor's users are \
              verified.",
        ),
    Directive::new("http-log-tls", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("http-log-tls no")
        .doc("Log TLS handshakes of the web monitor."),
    Directive::new("http-log-data", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("http-log-data no")
        .doc("Log the data that the web monitor receives and sends."),
    Directive::new("http-log-requests", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("http-log-requests no")
        .doc("Log the requests to the web monitor."),
    Directive::new("http-default-max-items", GLOBAL, COUNT)
        .default("10")
        .inert()
        .since("5.0")
        .example("http-default-max-items 10")
        .doc("How many rows the overview pages of the web monitor show."),
    Directive::new(
        "http-default-sort-order",
        GLOBAL,
        &[Arg::required("ORDER", Kind::Choice(&["rcpt", "name", "size"]))],
    )
    .default("rcpt")
    .inert()
    .since("5.0")
    .example("http-default-sort-order rcpt")
    .doc("By what the overview pages of the web monitor are sorted: recipients, name or size."),
];
