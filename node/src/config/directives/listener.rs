//! `smtp-listener`: where SMTP is accepted, and TLS of one listener.

use super::terms::{
    ADDRESS, BOOLEAN, CERTIFICATE, CIPHERS, COUNT, DH_BITS, FILE, GLOBAL, LISTENER, NAME, NO_DHE,
    OLD_TLS, PORT, STRONG_CIPHERS, SUITES,
};
use crate::config::directive::{Arg, Directive, Kind, Scope};

/// Listeners in one line, and what holds for all of them.
pub(super) const GLOBAL_LINES: &[Directive] = &[
    Directive::new(
        "smtp-listener",
        GLOBAL,
        &[
            Arg::required("ADDRESS:PORT", Kind::Listen),
            Arg::optional("OPTIONS", Kind::Options(&["source", "tls", "proxy-protocol"])),
        ],
    )
    .node_local()
    .repeated()
    .since("3.0")
    .example("smtp-listener 0/0:25 source=customers")
    .doc(
        "Accepts SMTP on this address and port, 25 unless a port is given. A network with \
              prefix length 0 such as 0/0 means all addresses of the machine. The word source=NAME \
              applies that named source to all its connections; tls=yes starts TLS at once, as on \
              port 465; Convoy's own proxy-protocol=yes is for listeners behind a load balancer, \
              see proxy-trusted-source. The same directive exists as a section with more settings. \
              When no listener is configured at all, mail is accepted on port 25 of 127.0.0.1 \
              only, with a warning; PowerMTA would open port 25 of all IPv4 addresses.",
    ),
    Directive::new("smtp-ip", GLOBAL, ADDRESS)
        .node_local()
        .inert()
        .since("3.0")
        .example("smtp-ip 10.0.0.1")
        .doc(
            "Was the address on which SMTP is accepted, before there were listeners. Write \
              smtp-listener instead.",
        ),
    Directive::new("smtp-port", GLOBAL, PORT)
        .node_local()
        .default("25")
        .inert()
        .since("3.0")
        .example("smtp-port 25")
        .doc(
            "Was the port on which SMTP is accepted, before there were listeners. Write \
              smtp-listener instead.",
        ),
    Directive::new("smtp-await-slot", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("smtp-await-slot no")
        .doc(
            "When all inbound connections are in use, let a new client wait for one to become \
              free; otherwise it is answered 421 at once.",
        ),
    Directive::new("total-max-smtp-in", GLOBAL, COUNT)
        .overridable()
        .default("100")
        .example("total-max-smtp-in 500")
        .doc(
            "Most SMTP connections that one node accepts at the same time, over all its listeners. \
              A client beyond that is answered 421 and disconnected.",
        ),
];

/// Which load balancers are believed: at the top level for all listeners, or in a section for one.
pub(super) const PROXIES: &[Directive] = &[
    Directive::new(
        "proxy-trusted-source",
        &[Scope::Global, Scope::SmtpListener],
        &[Arg::required("CIDR", Kind::Network)],
    )
    .repeated()
    .since("convoy 0.1")
    .example("proxy-trusted-source 10.0.0.0/24")
    .doc(
        "A network of load balancers that may connect to listeners with proxy-protocol and are \
              believed when they name a client. Connections from elsewhere to such a listener are \
              closed at once. A section's own lines take the place of those at the top level. \
              Whoever is trusted here can pass for any client, so name no network in which \
              clients are. Convoy's own.",
    ),
    Directive::new("proxy-protocol", LISTENER, BOOLEAN)
        .default("no")
        .since("convoy 0.1")
        .example("proxy-protocol yes")
        .doc(
            "Clients reach this listener through a load balancer that sends a header of the PROXY \
              protocol, version 1 or 2, before SMTP and before TLS (send-proxy or send-proxy-v2 \
              of HAProxy). The client that the header names counts for sources, relaying, limits, \
              accounting and Received; logs show the balancer, too. Without a header within 5 \
              seconds the connection is closed. Needs proxy-trusted-source. Convoy's own.",
        ),
];

/// Lines of `<smtp-listener ADDRESS:PORT>`.
pub(super) const SECTION: &[Directive] = &[
    Directive::new("source", LISTENER, NAME).since("5.0").example("source customers").doc(
        "The named source whose settings apply to connections of this listener, whatever the \
              client's address. A source chosen by the client's SMTP user comes before it.",
    ),
    Directive::new("await-slot", LISTENER, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("await-slot no")
        .doc("As smtp-await-slot, for connections to this listener."),
    Directive::new("immediate-tls", LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("immediate-tls yes")
        .doc(
            "Start TLS as soon as a client connects, before the greeting, as submission on port \
              465 expects. Needs a certificate here or at the top level. STARTTLS is not offered \
              on such a listener.",
        ),
    Directive::new("tls-certificate", LISTENER, CERTIFICATE)
        .since("5.0")
        .example("tls-certificate /etc/convoy/submission.pem")
        .doc(
            "PEM file with private key and certificate chain for this listener, and the password \
              if the key is encrypted. Takes the place of smtp-server-tls-certificate.",
        ),
    Directive::new("tls-ca-file", LISTENER, FILE)
        .since("5.0")
        .example("tls-ca-file /etc/convoy/client-ca.pem")
        .doc(
            "Certificate authorities for client certificates on this listener. Takes the place of \
              smtp-server-tls-ca-file.",
        ),
    Directive::new("tls-allow-sslv3", LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-sslv3 no")
        .doc(
            "Was the switch for SSL 3.0 on this listener; later guides refuse it. Convoy never \
              speaks SSL 3.0.",
        ),
    Directive::new("tls-allow-tlsv1", LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-tlsv1 no")
        .doc("Was the switch for TLS 1.0 on this listener. Convoy never speaks TLS 1.0."),
    Directive::new("tls-allow-tlsv1.1", LISTENER, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("tls-allow-tlsv1.1 no")
        .doc("Was the switch for TLS 1.1 on this listener. Convoy never speaks TLS 1.1."),
    Directive::new("tls-allow-tlsv1.2", LISTENER, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("tls-allow-tlsv1.2 no")
        .doc(
            "Accept TLS 1.2 on this listener. When it is absent, smtp-server-tls-allow-tlsv1.2 \
              decides.",
        ),
    Directive::new("tls-allow-tlsv1.3", LISTENER, BOOLEAN)
        .default("yes")
        .since("5.0r5")
        .example("tls-allow-tlsv1.3 yes")
        .doc(
            "Accept TLS 1.3 on this listener. When it is absent, smtp-server-tls-allow-tlsv1.3 \
              decides.",
        ),
    Directive::new("tls-ciphers", LISTENER, CIPHERS)
        .default(STRONG_CIPHERS)
        .since("5.0")
        .example("tls-ciphers HIGH:!ADH:@STRENGTH")
        .doc(
            "OpenSSL cipher string for TLS 1.2 on this listener, read as smtp-server-tls-ciphers, \
              which decides when it is absent.",
        ),
    Directive::new("tls-tlsv1.3-ciphersuites", LISTENER, CIPHERS)
        .default(SUITES)
        .since("5.0r5")
        .example("tls-tlsv1.3-ciphersuites TLS_AES_256_GCM_SHA384")
        .doc(
            "TLS 1.3 suites on this listener, separated by colons. When it is absent, \
              smtp-server-tls-v1.3-ciphersuites decides.",
        ),
    Directive::new("tls-dh-key-length", LISTENER, DH_BITS)
        .default("1024")
        .since("5.0r5")
        .moot(NO_DHE)
        .example("tls-dh-key-length 2048")
        .doc("Was the length in bits of the Diffie-Hellman parameters on this listener."),
];
