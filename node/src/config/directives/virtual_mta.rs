//! `<virtual-mta>` and `<virtual-mta-pool>`.

use super::terms::{DATA_RATE, HOST, LIMIT, NAME, POOL, RATE, SOURCE_HOST, VMTA};
use crate::config::directive::{Directive, Scope};

/// Lines of `<virtual-mta NAME>`.
pub(super) const MEMBERS: &[Directive] = &[
    Directive::new("host-name", VMTA, HOST).since("3.0").example("host-name news.example.com").doc(
        "Name for EHLO and the Received header of mail sent by this virtual MTA, unless \
              smtp-source-host gives one for the address.",
    ),
    Directive::new("smtp-source-ip", VMTA, SOURCE_HOST)
        .alias_of("smtp-source-host")
        .repeated()
        .since("3.0")
        .example("smtp-source-ip 10.0.0.7")
        .doc("Old name of smtp-source-host, usually with the name for EHLO in a host-name line."),
    Directive::new("max-smtp-out", VMTA, LIMIT)
        .default("unlimited")
        .example("max-smtp-out 200")
        .doc(
            "Most simultaneous connections of all queues of this virtual MTA together, over all \
              nodes of the cluster.",
        ),
    Directive::new("cold-virtual-mta", VMTA, NAME)
        .inert()
        .repeated()
        .example("cold-virtual-mta news-new")
        .doc(
            "A virtual MTA whose address is not known to receivers yet and gets the first \
              messages of each day, as many as max-cold-virtual-mta-msg says.",
        ),
    Directive::new("auto-cold-virtual-mta", VMTA, SOURCE_HOST)
        .inert()
        .repeated()
        .since("3.0")
        .example("auto-cold-virtual-mta 10.0.0.8 new.example.com")
        .doc(
            "Old form of cold-virtual-mta that made the cold virtual MTA by itself. Obsolete \
              since 4.5.",
        ),
    Directive::new("max-smtp-msg-rate", &[Scope::VirtualMta, Scope::VirtualMtaPool], RATE)
        .default("unlimited")
        .since("5.0")
        .example("max-smtp-msg-rate 100000/h")
        .doc(
            "Most recipients that all queues of the virtual MTA attempt in the period, over all \
              nodes of the cluster. In a pool it is the setting of each member that has none.",
        ),
    Directive::new(
        "max-smtp-data-volume-rate",
        &[Scope::VirtualMta, Scope::VirtualMtaPool],
        DATA_RATE,
    )
    .default("unlimited")
    .inert()
    .since("5.0")
    .example("max-smtp-data-volume-rate 10g/h")
    .doc(
        "Most bytes that all queues of the virtual MTA deliver in the period. In a pool it is \
              the setting of each member.",
    ),
    Directive::new("rewrite-list", &[Scope::VirtualMta, Scope::VirtualMtaPool], NAME)
        .inert()
        .since("5.0")
        .example("rewrite-list brand")
        .doc(
            "The rewrite-list applied to mail of the virtual MTA. In a pool it is the setting of \
              each member.",
        ),
];

/// Lines of `<virtual-mta-pool NAME>`.
pub(super) const POOL_LINES: &[Directive] = &[
    Directive::new("virtual-mta", POOL, NAME)
        .repeated()
        .since("3.0")
        .example("virtual-mta news-1")
        .doc(
            "A member of the pool. Recipients go to the members in turn; a member that is named \
              several times gets that many shares.",
        ),
    Directive::new("max-smtp-out", POOL, LIMIT)
        .default("unlimited")
        .since("5.0")
        .example("max-smtp-out 200")
        .doc("Most simultaneous connections of each member that has no max-smtp-out of its own."),
];
