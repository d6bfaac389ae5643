//! `<smtp-user>` and `<source-group>`.

use super::terms::{FILE, LIMIT, NAME, SOURCE_GROUP, TEXT, USER};
use crate::config::directive::{Arg, Directive, Kind};

/// How a user authenticates.
pub(super) const USER_LINES: &[Directive] = &[
    Directive::new(
        "authentication-method",
        USER,
        &[Arg::required("METHOD", Kind::Choice(&["password", "system", "certificate"]))],
    )
    .default("password")
    .since("5.0")
    .example("authentication-method password")
    .doc(
        "How the user proves to be the user: by password, or by the client certificate shown \
              in the TLS handshake. The method system, an account of the operating system, is \
              refused.",
    ),
    Directive::new("password", USER, TEXT).since("3.0").example("password s3cret").doc(
        "The user's password in clear text. It cannot contain a number sign, which begins a \
              comment. It is never logged or shown.",
    ),
    Directive::new("tls-certificate", USER, FILE)
        .since("5.0")
        .example("tls-certificate /etc/convoy/customer-7.pem")
        .doc(
            "PEM file with the certificate that the client must present under \
              authentication-method certificate. Exactly this certificate is accepted.",
        ),
    Directive::new("source", USER, NAME).since("3.0").example("source customers").doc(
        "The named source whose settings apply once the user has authenticated. Without it \
              those of the source {auth} do.",
    ),
];

/// Limits that sources share.
pub(super) const GROUP_LINES: &[Directive] = &[
    Directive::new("max-smtp-in", SOURCE_GROUP, LIMIT)
        .default("unlimited")
        .inert()
        .since("5.0")
        .example("max-smtp-in 50")
        .doc("Most inbound connections of all sources of the group together."),
    Directive::new("reserved-smtp-in", SOURCE_GROUP, LIMIT)
        .default("unlimited")
        .inert()
        .since("5.0")
        .example("reserved-smtp-in 10")
        .doc("Inbound connections out of total-max-smtp-in that are kept free for the group."),
];
