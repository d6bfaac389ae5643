//! `<domain>`: DKIM signatures, and the same again for a second signature.

use super::terms::{BOOLEAN, CANON, DOMAIN, LIST, TIME_OR_NEVER, WORD};
use crate::config::directive::{Arg, Directive, Kind};

/// The first signature.
pub(super) const FIRST: &[Directive] = &[
    Directive::new(
        "dkim-sign",
        DOMAIN,
        &[Arg::required(
            "VALUE",
            Kind::Choice(&["yes", "no", "true", "false", "if-x-dkim-options-present"]),
        )],
    )
    .default("no")
    .inert()
    .example("dkim-sign yes")
    .doc(
        "Sign mail to this domain by DKIM, with the first domain-key that fits the identity. \
              With if-x-dkim-options-present, only messages with that header are signed.",
    ),
    Directive::new(
        "dkim-algorithm",
        DOMAIN,
        &[Arg::required("ALGORITHM", Kind::Choice(&["rsa-sha1", "rsa-sha256"]))],
    )
    .default("rsa-sha256")
    .inert()
    .example("dkim-algorithm rsa-sha256")
    .doc("Algorithm of the signature. Receivers reject rsa-sha1 today."),
    Directive::new("dkim-body-canon", DOMAIN, CANON)
        .default("relaxed")
        .inert()
        .example("dkim-body-canon relaxed")
        .doc(
            "How the body is normalised before it is signed; relaxed survives changes of white \
              space on the way.",
        ),
    Directive::new("dkim-headers-canon", DOMAIN, CANON)
        .default("relaxed")
        .inert()
        .example("dkim-headers-canon relaxed")
        .doc(
            "How headers are normalised before they are signed; relaxed survives changes of case \
              and white space on the way.",
        ),
    Directive::new("dkim-headers", DOMAIN, LIST)
        .inert()
        .example("dkim-headers List-Unsubscribe,Feedback-ID")
        .doc("Headers to sign besides those that always are."),
    Directive::new("dkim-disallow-adding-headers", DOMAIN, LIST)
        .inert()
        .since("5.0")
        .example("dkim-disallow-adding-headers Subject,To")
        .doc(
            "Headers that are signed once more than they occur, so that adding another one breaks \
              the signature.",
        ),
    Directive::new("dkim-identity", DOMAIN, WORD)
        .default("sender-or-from")
        .inert()
        .example("dkim-identity @news.example.com")
        .doc(
            "On whose behalf the message is signed, the tag i of the signature: an address, a \
              domain, or sender-or-from for the author's address in the message. Its domain \
              chooses the key.",
        ),
    Directive::new("dkim-identity-fallback", DOMAIN, WORD)
        .inert()
        .since("5.0")
        .example("dkim-identity-fallback @example.com")
        .doc("Identity to use when no key fits the first one."),
    Directive::new("dkim-add-body-limit", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("dkim-add-body-limit no")
        .doc(
            "Put the length of the signed body into the signature, so that text added behind it \
              does not break it. That invites abuse.",
        ),
    Directive::new("dkim-add-timestamp", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("dkim-add-timestamp yes")
        .doc("Put the time of signing into the signature."),
    Directive::new("dkim-expire-after", DOMAIN, TIME_OR_NEVER)
        .default("never")
        .inert()
        .example("dkim-expire-after 14d")
        .doc("Put a time of expiry into the signature, this long after signing."),
    Directive::new("dkim-query-method", DOMAIN, WORD)
        .inert()
        .example("dkim-query-method dns/txt")
        .doc("How the public key is looked up, the tag q of the signature."),
    Directive::new("dk-sign", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("dk-sign no")
        .doc(
            "Sign by DomainKeys, the forerunner of DKIM. Seen in old configurations only; \
              receivers no longer look at it.",
        ),
];

/// The second signature, with a key and an identity of its own.
pub(super) const SECOND: &[Directive] = &[
    Directive::new(
        "second-dkim-sign",
        DOMAIN,
        &[Arg::required(
            "VALUE",
            Kind::Choice(&["yes", "no", "true", "false", "if-x-dkim-options-present"]),
        )],
    )
    .default("no")
    .inert()
    .example("second-dkim-sign yes")
    .doc(
        "Add a second DKIM signature to mail for this domain, made by the directives with \
              this prefix.",
    ),
    Directive::new(
        "second-dkim-algorithm",
        DOMAIN,
        &[Arg::required("ALGORITHM", Kind::Choice(&["rsa-sha1", "rsa-sha256"]))],
    )
    .default("rsa-sha256")
    .inert()
    .example("second-dkim-algorithm rsa-sha256")
    .doc("Algorithm of the second signature."),
    Directive::new("second-dkim-body-canon", DOMAIN, CANON)
        .default("relaxed")
        .inert()
        .example("second-dkim-body-canon relaxed")
        .doc("How the body is normalised for the second signature."),
    Directive::new("second-dkim-headers-canon", DOMAIN, CANON)
        .default("relaxed")
        .inert()
        .example("second-dkim-headers-canon relaxed")
        .doc("How headers are normalised for the second signature."),
    Directive::new("second-dkim-headers", DOMAIN, LIST)
        .inert()
        .example("second-dkim-headers List-Unsubscribe,Feedback-ID")
        .doc("Headers that the second signature covers besides those that always are."),
    Directive::new("second-dkim-disallow-adding-headers", DOMAIN, LIST)
        .inert()
        .since("5.0")
        .example("second-dkim-disallow-adding-headers Subject,To")
        .doc("Headers that nobody may add without breaking the second signature."),
    Directive::new("second-dkim-identity", DOMAIN, WORD)
        .default("sender-or-from")
        .inert()
        .example("second-dkim-identity @news.example.com")
        .doc("Identity of the second signature; its domain chooses the key."),
    Directive::new("second-dkim-identity-fallback", DOMAIN, WORD)
        .inert()
        .since("5.0")
        .example("second-dkim-identity-fallback @example.com")
        .doc("Identity of the second signature when no key fits its first one."),
    Directive::new("second-dkim-add-body-limit", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("second-dkim-add-body-limit no")
        .doc("Put the length of the signed body into the second signature."),
    Directive::new("second-dkim-add-timestamp", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("second-dkim-add-timestamp yes")
        .doc("Put the time of signing into the second signature."),
    Directive::new("second-dkim-expire-after", DOMAIN, TIME_OR_NEVER)
        .default("never")
        .inert()
        .example("second-dkim-expire-after 14d")
        .doc("Put a time of expiry into the second signature, this long after signing."),
    Directive::new("second-dkim-query-method", DOMAIN, WORD)
        .inert()
        .example("second-dkim-query-method dns/txt")
        .doc("How the public key of the second signature is looked up."),
];
