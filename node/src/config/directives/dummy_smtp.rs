//! Top level: a second SMTP port that accepts everything and keeps nothing, for load tests.

use super::terms::{ADDRESS, BOOLEAN, FILE, GLOBAL, PORT, WORD};
use crate::config::directive::{Arg, Directive, Kind};

/// The dummy SMTP service.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("dummy-smtp-ip", GLOBAL, ADDRESS)
        .node_local()
        .inert()
        .since("3.0")
        .example("dummy-smtp-ip 127.0.0.1")
        .doc("Address of the dummy service."),
    Directive::new("dummy-smtp-port", GLOBAL, PORT)
        .node_local()
        .default("0")
        .inert()
        .since("3.0")
        .example("dummy-smtp-port 2525")
        .doc("Port of the dummy service; 0 switches it off."),
    Directive::new("dummy-smtp-await-slot", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-await-slot no")
        .doc("Let clients wait for a free connection instead of answering 421."),
    Directive::new("dummy-smtp-has-chunking", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-has-chunking no")
        .doc("Offer CHUNKING in the dummy service."),
    Directive::new("dummy-smtp-has-pipelining", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-has-pipelining yes")
        .doc("Offer PIPELINING in the dummy service."),
    Directive::new("dummy-smtp-has-verp", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-has-verp no")
        .doc("Offer VERP in the dummy service."),
    Directive::new("dummy-smtp-has-mailmerge", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-has-mailmerge no")
        .doc("Offer the mail merge commands in the dummy service. In no guide."),
    Directive::new(
        "dummy-smtp-latency",
        GLOBAL,
        &[Arg::required("MILLISECONDS", Kind::Integer { min: 0, max: 4294967295 })],
    )
    .default("0")
    .inert()
    .example("dummy-smtp-latency 100")
    .doc("How long the dummy service waits before each reply."),
    Directive::new("dummy-smtp-update-stats", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .example("dummy-smtp-update-stats yes")
        .doc("Count what the dummy service accepts in the statistics."),
    Directive::new("dummy-smtp-blacklist", GLOBAL, FILE)
        .overridable()
        .inert()
        .example("dummy-smtp-blacklist /etc/convoy/refused")
        .doc("File of what the dummy service refuses. In no guide."),
    Directive::new("dummy-smtp-log-blacklist", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .example("dummy-smtp-log-blacklist no")
        .doc("Log what the dummy service refuses. In no guide."),
    Directive::new("dummy-smtp-blacklist-bounce-method", GLOBAL, WORD)
        .inert()
        .example("dummy-smtp-blacklist-bounce-method random")
        .doc("How the dummy service chooses what to refuse. In no guide."),
    Directive::new(
        "dummy-smtp-blacklist-bounce-percent",
        GLOBAL,
        &[Arg::required("PERCENT", Kind::Integer { min: 0, max: 100 })],
    )
    .inert()
    .example("dummy-smtp-blacklist-bounce-percent 5")
    .doc("What share the dummy service refuses. In no guide."),
];
