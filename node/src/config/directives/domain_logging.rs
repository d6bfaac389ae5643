//! `<domain>`: what of a delivery goes to the log, to memory and to the accounting files.

use super::terms::{BOOLEAN, COUNT, DOMAIN};
use crate::config::directive::{Arg, Directive, Kind};

/// Logging and recorded events.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("log-connections", DOMAIN, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-connections yes")
        .doc("Log when a connection to the domain's servers begins and ends."),
    Directive::new("log-commands", DOMAIN, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-commands no")
        .doc("Log the SMTP dialogue with the domain's servers. Passwords are left out."),
    Directive::new("log-data", DOMAIN, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-data no")
        .doc(
            "Log the bytes of messages as they are sent, readable and in hexadecimal. It makes \
              very large logs that hold private mail.",
        ),
    Directive::new("log-resolution", DOMAIN, BOOLEAN)
        .default("no")
        .example("log-resolution no")
        .doc("Log the DNS queries for the domain and their answers."),
    Directive::new("log-transfer-failures", DOMAIN, BOOLEAN)
        .default("no")
        .example("log-transfer-failures yes")
        .doc("Log a warning when a connection breaks while a message is being sent."),
    Directive::new("log-disabled-ips", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-disabled-ips no")
        .doc("Log when a source address of the queue is disabled or enabled again."),
    Directive::new("log-messages", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("log-messages no")
        .doc("Log one line for each message. Used by the guide for the domains of processors."),
    Directive::new("max-events-recorded", DOMAIN, COUNT)
        .default("10")
        .inert()
        .example("max-events-recorded 10")
        .doc("How many recent events of the queue are kept in memory for monitoring."),
    Directive::new("track-recipient-events", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("track-recipient-events no")
        .doc("Keep the last 50 events that concerned single recipients in memory too."),
    Directive::new("disable-acct-records", DOMAIN, &[Arg::required("TYPES", Kind::RecordTypes)])
        .since("5.0")
        .example("disable-acct-records t,tq")
        .doc(
            "Write no accounting records of these types for the queue, to any accounting file. \
              Types may be short or long names.",
        ),
];
