//! `<domain>`: when to try again, when to give up, and backoff mode.

use super::terms::{BOOLEAN, COUNT, DOMAIN, LIST, NAME, TIME, TIME_OR_NEVER, TIMES, WORD};
use crate::config::directive::{Arg, Directive, Kind};

/// Retry intervals, expiry, and replies that decide about them.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("retry-after", DOMAIN, TIMES)
        .default("10m")
        .since("3.0")
        .example("retry-after 10m,10m,30m,1h")
        .doc(
            "How long the queue waits after a failed attempt. A list, without blanks, is walked \
              through attempt by attempt and its last value repeats. A success starts it afresh.",
        ),
    Directive::new("retry-recipients-after", DOMAIN, TIME)
        .default("10m")
        .example("retry-recipients-after 15m")
        .doc(
            "Least time until a recipient that was refused with a 4xx reply is tried again. The \
              message's other recipients do not wait for it.",
        ),
    Directive::new("retry-after-dns-error", DOMAIN, TIME)
        .default("1m")
        .since("5.0r5")
        .example("retry-after-dns-error 1m")
        .doc("How long the queue waits after the domain's DNS records could not be looked up."),
    Directive::new("retry-upon-new-mail", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("retry-upon-new-mail no")
        .doc("Try a waiting queue at once when new mail for it comes in."),
    Directive::new("bounce-after", DOMAIN, TIME)
        .default("4d12h")
        .since("3.0")
        .example("bounce-after 2d")
        .doc(
            "Age at which a message that could not be delivered is given up and bounced, with the \
              last error as the reason. It counts from the reception of the message.",
        ),
    Directive::new(
        "bounce-upon-no-mx",
        DOMAIN,
        &[Arg::required("BOOLEAN or TIME", Kind::BoolOrTime)],
    )
    .default("no")
    .example("bounce-upon-no-mx 1h")
    .doc(
        "Bounce when the domain has no mail exchanger and no address record. A time does so \
              only for messages queued for at least that long, as a guard against a passing fault \
              of the DNS; with no they are tried until bounce-after. A domain that refuses all \
              mail by a null MX record is bounced at once in any case.",
    ),
    Directive::new("bounce-upon-5xx-greeting", DOMAIN, BOOLEAN)
        .default("yes")
        .example("bounce-upon-5xx-greeting no")
        .doc(
            "Bounce all mail of the attempt when the server's greeting is a 5xx reply. With no, \
              the greeting counts as a temporary failure.",
        ),
    Directive::new("bounce-upon-transfer-failure", DOMAIN, BOOLEAN)
        .default("no")
        .example("bounce-upon-transfer-failure no")
        .doc(
            "Bounce a message when the connection broke while it was being sent, instead of \
              trying again.",
        ),
    Directive::new("bounce-upon-pix-transfer-failure", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("bounce-upon-pix-transfer-failure no")
        .doc("The same, only where the greeting shows a PIX firewall by ten or more asterisks."),
    Directive::new("smtp-553-means-invalid-mailbox", DOMAIN, BOOLEAN)
        .default("yes")
        .example("smtp-553-means-invalid-mailbox yes")
        .doc(
            "Take a 553 reply to RCPT without an enhanced status code to mean that the mailbox \
              does not exist, status 5.1.1.",
        ),
    Directive::new("smtp-421-means-mx-unavailable", DOMAIN, BOOLEAN)
        .default("no")
        .example("smtp-421-means-mx-unavailable yes")
        .doc(
            "Upon a 421 reply close the connection and go on with the domain's next mail \
              exchanger in the same attempt.",
        ),
    Directive::new("421-means-mx-unavailable", DOMAIN, BOOLEAN)
        .default("no")
        .alias_of("smtp-421-means-mx-unavailable")
        .since("3.0")
        .example("421-means-mx-unavailable yes")
        .doc("Old name of smtp-421-means-mx-unavailable."),
    Directive::new("replace-smtp-421-service-response", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("replace-smtp-421-service-response no")
        .doc(
            "Put the words service unavailable in place of the server's text when a 421 reply is \
              reported in a bounce.",
        ),
    Directive::new("assume-delivery-upon-data-termination-timeout", DOMAIN, BOOLEAN)
        .default("no")
        .example("assume-delivery-upon-data-termination-timeout no")
        .doc(
            "Count a message as delivered when the server did not answer the end of its data in \
              time. With no it is sent again later, and the recipient may get it twice.",
        ),
    Directive::new("notify-of-delay-every", DOMAIN, TIME_OR_NEVER)
        .default("4h")
        .inert()
        .example("notify-of-delay-every 4h")
        .doc(
            "How often senders who asked for notices of delay are told that a message is still \
              waiting.",
        ),
    Directive::new("mx-connection-attempts", DOMAIN, COUNT)
        .default("10")
        .inert()
        .example("mx-connection-attempts 10")
        .doc(
            "How many hosts or addresses of the domain are tried in one attempt. Known from old \
              versions.",
        ),
    Directive::new("smtp-multiple-line-response-timeout", DOMAIN, TIME)
        .default("5m")
        .inert()
        .example("smtp-multiple-line-response-timeout 5m")
        .doc("How long a server may take for all lines of a reply. Known from old versions."),
];

/// Backoff mode, rerouting, and disabled source addresses.
pub(super) const BACKOFF: &[Directive] = &[
    Directive::new("smtp-pattern-list", DOMAIN, NAME)
        .inert()
        .example("smtp-pattern-list backoff")
        .doc("The smtp-pattern-list that is applied to replies of the domain's servers."),
    Directive::new("backoff-retry-after", DOMAIN, TIMES)
        .default("1h")
        .inert()
        .example("backoff-retry-after 20m,1h")
        .doc("As retry-after, while the queue is in backoff mode."),
    Directive::new("backoff-notify", DOMAIN, LIST)
        .inert()
        .example("backoff-notify ops@example.com")
        .doc(
            "Addresses that are told by mail when the queue enters or leaves backoff mode. An \
              empty string clears an inherited list.",
        ),
    Directive::new("backoff-to-normal-after", DOMAIN, TIME_OR_NEVER)
        .default("never")
        .inert()
        .example("backoff-to-normal-after 1h")
        .doc("Return to normal mode after this time in backoff mode."),
    Directive::new("backoff-to-normal-after-delivery", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("backoff-to-normal-after-delivery yes")
        .doc("Return to normal mode after the first message that was delivered in backoff mode."),
    Directive::new("backoff-upon-all-sources-disabled", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("backoff-upon-all-sources-disabled no")
        .doc("Enter backoff mode when all source addresses of the queue are disabled."),
    Directive::new("backoff-reroute-to-virtual-mta", DOMAIN, WORD)
        .inert()
        .example("backoff-reroute-to-virtual-mta last-resort")
        .doc(
            "Virtual MTA or pool to which the queue's mail is moved while the queue is in backoff \
              mode. An empty string clears an inherited name.",
        ),
    Directive::new("reroute-to-virtual-mta", DOMAIN, WORD)
        .inert()
        .example("reroute-to-virtual-mta other")
        .doc(
            "Virtual MTA or pool to which mail for the domain is always moved. An empty string \
              clears an inherited name.",
        ),
    Directive::new("disabled-source-ip-notify", DOMAIN, LIST)
        .inert()
        .since("5.0")
        .example("disabled-source-ip-notify ops@example.com")
        .doc(
            "Addresses that are told by mail when a source address of the queue is disabled or \
              enabled again.",
        ),
    Directive::new("reenable-source-ip-after", DOMAIN, TIME_OR_NEVER)
        .default("never")
        .inert()
        .since("5.0")
        .example("reenable-source-ip-after 4h")
        .doc("Enable a source address again this long after a reply pattern disabled it."),
];
