//! Sending through proxies, and keys from a vault.

use super::terms::{LIST, PROXY, PROXY_VERSION, TIME, VAULT, VMTA, WORD};
use crate::config::directive::{Arg, Directive, Kind, Scope};

/// Proxies and the lines of `<proxy NAME>`.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("use-proxy", &[Scope::Global, Scope::VirtualMta], LIST)
        .inert()
        .since("5.0")
        .example("use-proxy egress-1,egress-2")
        .doc("Proxies through which mail is sent; the next one is used when one fails."),
    Directive::new(
        "smtp-proxy-source-host",
        &[Scope::Global, Scope::VirtualMta],
        &[
            Arg::required("LOCAL", Kind::Network),
            Arg::required("PROXY:PORT", Kind::Word),
            Arg::required("CLIENT[:PORT]", Kind::Word),
            Arg::required("HOST", Kind::Host),
        ],
    )
    .inert()
    .repeated()
    .since("5.0r8")
    .example("smtp-proxy-source-host 10.0.0.7 10.0.0.1:5000 192.0.2.7 news.example.com")
    .doc(
        "A source address that is reached through a HAProxy-protocol proxy: local address, \
              proxy, the address that the proxy uses, and its name for EHLO. It excludes \
              smtp-source-host and use-proxy in the same virtual MTA.",
    ),
    Directive::new("proxy-protocol", VMTA, PROXY_VERSION)
        .default("1")
        .inert()
        .since("5.0r5")
        .example("proxy-protocol 2")
        .doc("Version of the HAProxy protocol for smtp-proxy-source-host."),
    Directive::new("server", PROXY, &[Arg::required("HOST:PORT", Kind::Word)])
        .inert()
        .since("5.0r5")
        .example("server proxy.example.com:5000")
        .doc("Where the proxy listens."),
    Directive::new(
        "client",
        PROXY,
        &[Arg::required("ADDRESS[:PORT]", Kind::Word), Arg::required("HOST", Kind::Host)],
    )
    .inert()
    .repeated()
    .since("5.0r5")
    .example("client 192.0.2.7 news.example.com")
    .doc("Address from which the proxy connects to receiving servers, and its name for EHLO."),
    Directive::new("protocol-version", PROXY, PROXY_VERSION)
        .default("1")
        .inert()
        .since("5.0r5")
        .example("protocol-version 1")
        .doc("Version of the HAProxy protocol that the proxy speaks."),
];

/// Lines of `<vault>`.
pub(super) const VAULT_LINES: &[Directive] = &[
    Directive::new("server-url", VAULT, WORD)
        .inert()
        .since("5.0r5")
        .example("server-url https://vault.example.com:8200")
        .doc("Where the HashiCorp Vault server is."),
    Directive::new("access-token", VAULT, WORD)
        .inert()
        .since("5.0r5")
        .example("access-token s.0123456789")
        .doc("Token that gives access to the keys."),
    Directive::new("cache-ttl", VAULT, TIME)
        .default("24h")
        .inert()
        .since("5.0r5")
        .example("cache-ttl 24h")
        .doc("How long a key is kept before it is fetched again."),
];
