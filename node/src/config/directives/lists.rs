//! Lists that other sections name: addresses, patterns, rewriting, rollups, cached domains.

use super::terms::{
    ADDRESS_LIST, COUNT, DNS, FILE, PATTERN, PATTERN_LIST, REWRITE_LIST, ROLLUP_LIST,
    SMTP_PATTERN_LIST, TIME,
};
use crate::config::directive::{Arg, Directive, Kind};

/// Lines of the lists.
pub(super) const TABLE: &[Directive] = &[
    Directive::new(
        "address",
        ADDRESS_LIST,
        &[Arg::required("EMAIL or /REGEX/", Kind::EmailOrRegex)],
    )
    .inert()
    .repeated()
    .example("address /^bounce-/")
    .doc("An address, or an expression for addresses, that belongs to the list."),
    Directive::new("address-file", ADDRESS_LIST, FILE)
        .inert()
        .repeated()
        .since("5.0")
        .example("address-file /etc/convoy/unsubscribed")
        .doc("File with an address or a local part on each line."),
    Directive::new("domain", ADDRESS_LIST, PATTERN)
        .inert()
        .repeated()
        .example("domain bounces.example.com")
        .doc("A domain, all of whose addresses belong to the list; macros may be used."),
    Directive::new(
        "header",
        PATTERN_LIST,
        &[
            Arg::required("NAME", Kind::Word),
            Arg::required("/REGEX/", Kind::Regex),
            Arg::required("RESULT", Kind::Special),
        ],
    )
    .inert()
    .repeated()
    .example("header X-Stream /^bulk/ virtual-mta=bulk")
    .doc(
        "Decide by a header of the message, matched as it stands with its white space. The \
              result is virtual-mta=NAME, priority=N or call-to=PATTERN-LIST.",
    ),
    Directive::new(
        "mail-from",
        PATTERN_LIST,
        &[Arg::required("/REGEX/", Kind::Regex), Arg::required("RESULT", Kind::Special)],
    )
    .inert()
    .repeated()
    .example("mail-from /@news\\.example\\.com$/ virtual-mta=news")
    .doc("Decide by the envelope sender."),
    Directive::new(
        "rcpt-to",
        PATTERN_LIST,
        &[Arg::required("/REGEX/", Kind::Regex), Arg::required("RESULT", Kind::Special)],
    )
    .inert()
    .repeated()
    .example("rcpt-to /@yahoo\\.example$/ virtual-mta=yahoo")
    .doc(
        "Decide by an envelope recipient; the first recipient that matches decides for the \
              whole message.",
    ),
    Directive::new(
        "reply",
        SMTP_PATTERN_LIST,
        &[
            Arg::required("/REGEX/", Kind::Regex),
            Arg::required("ACTION[,ACTION...]", Kind::Special),
        ],
    )
    .inert()
    .repeated()
    .example("reply /too many connections/ mode=backoff,backoff-to-normal-after=1h")
    .doc(
        "What to do upon a reply that matches: mode=normal or mode=backoff with \
              backoff-to-normal-after=TIME, skip-mx, bounce-queue, bounce-rcpt for 4xx replies to \
              RCPT, disable-source-ip with reenable-after=TIME, defer-queue. Both modes together, \
              or skip-mx with bounce-queue, are not allowed.",
    ),
    Directive::new(
        "mx",
        ROLLUP_LIST,
        &[
            Arg::required("MX", Kind::DomainPattern),
            Arg::required("NAME.rollup", Kind::Host),
            Arg::optional("WORD", Kind::Choice(&["rollup-by-ip"])),
        ],
    )
    .inert()
    .repeated()
    .example("mx *.mx.yahoo.example yahoo.rollup")
    .doc(
        "Put domains with this mail exchanger into the queue of that name. Only exchangers of \
              lowest preference count, and all that are named without an asterisk have to be \
              there. A pattern needs smtp-hosts in the domain section of the rollup, unless \
              rollup-by-ip is given.",
    ),
    Directive::new(
        "mail-from",
        REWRITE_LIST,
        &[Arg::required("FROM", Kind::Word), Arg::required("TO", Kind::Word)],
    )
    .inert()
    .repeated()
    .since("5.0")
    .example("mail-from *@old.example.com *@new.example.com")
    .doc(
        "Rewrite an envelope sender; an asterisk stands for any local part or domain and is \
              kept, and <> stands for the empty sender.",
    ),
    Directive::new(
        "from-domain",
        REWRITE_LIST,
        &[Arg::required("PATTERN", Kind::DomainPattern), Arg::required("DOMAIN", Kind::Host)],
    )
    .inert()
    .repeated()
    .since("5.0")
    .example("from-domain old.example.com new.example.com")
    .doc("Rewrite the domain of the From header."),
    Directive::new("precached-domains-file", DNS, FILE)
        .inert()
        .since("5.0")
        .example("precached-domains-file /etc/convoy/hot-domains")
        .doc("File of domains whose DNS records are always kept in the cache."),
    Directive::new("precached-refresh-interval", DNS, TIME)
        .default("5m")
        .inert()
        .since("5.0")
        .example("precached-refresh-interval 5m")
        .doc("How often the records of those domains are looked up again."),
    Directive::new("precached-max-domains", DNS, COUNT)
        .default("500")
        .inert()
        .since("5.0")
        .example("precached-max-domains 500")
        .doc("How many domains are kept at most."),
];
