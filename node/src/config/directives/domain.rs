//! `<domain>`: delivery to the recipients of a domain.

use crate::config::directive::{Applies, Arg, Directive, Kind, Scope, Support};

/// TLS and authentication towards other servers.
pub const TLS: &[Directive] = &[Directive {
    name: "use-starttls",
    scopes: &[Scope::Domain],
    args: &[Arg::required("BOOLEAN", Kind::Bool)],
    default: "yes",
    repeats: false,
    support: Support::Active,
    applies: Applies::Live,
    since: "3.0",
    doc: "Encrypt with STARTTLS when the receiving server offers it. When encryption cannot be \
          had and require-starttls is off, the message goes in clear in the same attempt.",
    example: "use-starttls yes",
}];
