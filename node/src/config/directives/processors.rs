//! Processors of bounces and complaints, and the sections inside them.

use super::terms::{BOOLEAN, EMAIL, EMAIL_PATTERNS, FILE, IGNORED, PROCESSORS};
use crate::config::directive::Directive;

/// Lines of both processors.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("deliver-unmatched-email", PROCESSORS, BOOLEAN)
        .default("yes")
        .inert()
        .example("deliver-unmatched-email yes")
        .doc(
            "Deliver mail to the processor's addresses that is no report. The default is no when \
              forward-unmatched-to is given.",
        ),
    Directive::new("deliver-matched-email", PROCESSORS, BOOLEAN)
        .default("no")
        .inert()
        .example("deliver-matched-email no")
        .doc("Deliver mail that is a report too, after it was read."),
    Directive::new("deliver-email", PROCESSORS, IGNORED)
        .inert()
        .since("3.0")
        .example("deliver-email no")
        .doc("Old form of the two directives for matched and unmatched mail."),
    Directive::new("forward-unmatched-to", PROCESSORS, EMAIL)
        .inert()
        .repeated()
        .example("forward-unmatched-to postmaster@example.com")
        .doc("Who receives mail that is no report."),
    Directive::new("forward-errors-to", PROCESSORS, EMAIL)
        .inert()
        .repeated()
        .example("forward-errors-to postmaster@example.com")
        .doc("Who receives reports that cannot be read."),
];

/// Lines of `<email-patterns>`.
pub(super) const PATTERNS: &[Directive] = &[
    Directive::new("body-pattern-file", EMAIL_PATTERNS, FILE)
        .inert()
        .repeated()
        .since("5.0")
        .example("body-pattern-file /etc/convoy/reports")
        .doc(
            "File of expressions with named groups that find the facts in reports of unusual \
              form.",
        ),
    Directive::new("log-match-info", EMAIL_PATTERNS, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-match-info no")
        .doc("Log which expression matched and what it found."),
];
