//! TLS towards clients that submit mail: the server's defaults for all listeners.

use super::terms::{
    BOOLEAN, CERTIFICATE, CIPHERS, DH_BITS, FILE, GLOBAL, NO_DHE, OLD_TLS, STRONG_CIPHERS, SUITES,
};
use crate::config::directive::Directive;

/// Certificate, versions and ciphers of inbound SMTP.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("smtp-server-tls-certificate", GLOBAL, CERTIFICATE)
        .overridable()
        .example("smtp-server-tls-certificate /etc/convoy/mail.pem")
        .doc(
            "One PEM file with the private key and the certificate chain that the server shows \
              after STARTTLS and on listeners with immediate TLS. The password is needed only when \
              the key is encrypted. A listener's own tls-certificate takes precedence. Without any \
              certificate STARTTLS is not offered, whatever allow-starttls says. The file is read \
              again at each reload.",
        ),
    Directive::new("smtp-server-tls-ca-file", GLOBAL, FILE)
        .overridable()
        .since("5.0")
        .example("smtp-server-tls-ca-file /etc/convoy/client-ca.pem")
        .doc(
            "PEM file with one or more certificate authorities against which certificates \
              presented by clients are verified. When it is set, clients are asked for a \
              certificate; a client without one is still served.",
        ),
    Directive::new("smtp-server-tls-allow-sslv3", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("smtp-server-tls-allow-sslv3 no")
        .doc(
            "Was the switch for SSL 3.0 towards clients; later guides refuse it. Convoy never \
              speaks SSL 3.0.",
        ),
    Directive::new("smtp-server-tls-allow-tlsv1", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("smtp-server-tls-allow-tlsv1 no")
        .doc("Was the switch for TLS 1.0 towards clients. Convoy never speaks TLS 1.0."),
    Directive::new("smtp-server-tls-allow-tlsv1.1", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .moot(OLD_TLS)
        .example("smtp-server-tls-allow-tlsv1.1 no")
        .doc(
            "Was the switch for TLS 1.1 towards clients, on in the first 5.0 and off in later \
              ones. Convoy never speaks TLS 1.1.",
        ),
    Directive::new("smtp-server-tls-allow-tlsv1.2", GLOBAL, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("smtp-server-tls-allow-tlsv1.2 yes")
        .doc(
            "Accept TLS 1.2 from clients. At least one of TLS 1.2 and TLS 1.3 has to stay on \
              where a certificate is configured.",
        ),
    Directive::new("smtp-server-tls-allow-tlsv1.3", GLOBAL, BOOLEAN)
        .default("yes")
        .since("5.0r5")
        .example("smtp-server-tls-allow-tlsv1.3 yes")
        .doc("Accept TLS 1.3 from clients."),
    Directive::new("smtp-server-tls-ciphers", GLOBAL, CIPHERS)
        .default(STRONG_CIPHERS)
        .example("smtp-server-tls-ciphers HIGH:!ADH:@STRENGTH")
        .doc(
            "OpenSSL cipher string that selects and orders the TLS 1.2 ciphers offered to \
              clients. It is read as OpenSSL reads it, over the six ciphers that Convoy has: ECDHE \
              with ECDSA or RSA, and AES-256-GCM, AES-128-GCM or ChaCha20-Poly1305. A string that \
              leaves none of them is an error; it has no influence on TLS 1.3.",
        ),
    Directive::new("smtp-server-tls-v1.3-ciphersuites", GLOBAL, CIPHERS)
        .default(SUITES)
        .since("5.0r5")
        .example("smtp-server-tls-v1.3-ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256")
        .doc(
            "TLS 1.3 suites offered to clients, by OpenSSL's names and separated by colons. The \
              name really lacks the second tls that all its siblings have. The two CCM suites of \
              PowerMTA's default do not exist here and are skipped with a warning.",
        ),
    Directive::new("smtp-server-tls-dh-key-length", GLOBAL, DH_BITS)
        .default("1024")
        .since("5.0r5")
        .moot(NO_DHE)
        .example("smtp-server-tls-dh-key-length 2048")
        .doc(
            "Was the length in bits of the Diffie-Hellman parameters for clients of TLS 1.2 and \
              older.",
        ),
];
