//! `<source>`: what becomes of a submitted message before it is queued.

use super::terms::{BOOLEAN, COUNT, EMAIL, LIMIT, LIST, NAME, SIZE_LIMIT, SOURCE, WORD};
use crate::config::directive::{Arg, Directive, Kind};

/// Size, headers, choice of virtual MTA and job, and notices.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("max-message-size", SOURCE, SIZE_LIMIT)
        .default("unlimited")
        .example("max-message-size 50M")
        .doc(
            "Largest message accepted. It is announced with the SIZE extension, and a larger \
              message is refused with 552. 0 and unlimited set no limit; a bare number counts \
              bytes.",
        ),
    Directive::new("max-message-hops", SOURCE, COUNT)
        .default("100")
        .since("5.0")
        .example("max-message-hops 100")
        .doc(
            "Most Received headers that a message may have. One with more is taken to run in a \
              loop and refused with 554.",
        ),
    Directive::new("max-rcpt-per-message", SOURCE, LIMIT)
        .default("0")
        .example("max-rcpt-per-message 1000")
        .doc(
            "Most recipients of one inbound message. Further ones are refused with 452, so that \
              the client sends them in another message; 0 and unlimited set no limit.",
        ),
    Directive::new("too-many-rcpts-fails-message", SOURCE, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("too-many-rcpts-fails-message no")
        .doc(
            "Refuse the whole message at DATA when it had more recipients than \
              max-rcpt-per-message, instead of the extra recipients one by one.",
        ),
    Directive::new("default-virtual-mta", SOURCE, NAME)
        .since("3.0")
        .example("default-virtual-mta news")
        .doc(
            "Virtual MTA or pool for messages for which nothing of higher rank chose one; without \
              it those go to the virtual MTA {default}. The word by-smtp-source-ip chooses the \
              virtual MTA that sends from the address on which the message was received.",
        ),
    Directive::new("process-x-virtual-mta", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("process-x-virtual-mta yes")
        .doc(
            "Let a message choose its virtual MTA or pool by an x-virtual-mta header, and remove \
              that header.",
        ),
    Directive::new("retain-x-virtual-mta", SOURCE, BOOLEAN)
        .default("no")
        .example("retain-x-virtual-mta no")
        .doc("Keep the x-virtual-mta header in the message that is sent."),
    Directive::new("allow-empty-x-virtual-mta", SOURCE, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("allow-empty-x-virtual-mta no")
        .doc(
            "Take an x-virtual-mta header without a value to mean the default virtual MTA. With \
              no, such a message is treated as one that names an unknown virtual MTA.",
        ),
    Directive::new("add-x-virtual-mta-header", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("add-x-virtual-mta-header no")
        .doc("Add an x-virtual-mta header that names the virtual MTA used, on delivery."),
    Directive::new("reject-invalid-virtual-mta", SOURCE, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("reject-invalid-virtual-mta yes")
        .doc(
            "Refuse a message that names a virtual MTA which is not configured. With no, it goes \
              to the default virtual MTA.",
        ),
    Directive::new("process-x-job", SOURCE, BOOLEAN)
        .default("no")
        .example("process-x-job yes")
        .doc(
            "Let a message set its job identifier, an accounting field, by an x-job header, and \
              remove that header.",
        ),
    Directive::new("retain-x-job", SOURCE, BOOLEAN).default("no").example("retain-x-job no").doc(
        "Keep the x-job header, or the one that jobid-header names, in the message that is \
              sent.",
    ),
    Directive::new("jobid-header", SOURCE, WORD).example("jobid-header X-Campaign").doc(
        "Another header whose value becomes the job identifier. It comes before an x-job \
              header, and like that it is removed unless retain-x-job is on.",
    ),
    Directive::new("jobid-prefix", SOURCE, WORD)
        .inert()
        .since("5.0")
        .example("jobid-prefix {auth}")
        .doc(
            "Text put before the job identifier; the word {auth} stands for the name of the \
              authenticated user.",
        ),
    Directive::new("process-x-envid", SOURCE, BOOLEAN)
        .default("no")
        .example("process-x-envid yes")
        .doc(
            "Let a message set its envelope identifier, which delivery notices and accounting \
              records repeat, by an x-envid header, and remove that header.",
        ),
    Directive::new("process-x-schedule", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("process-x-schedule no")
        .doc("Let a message say by an x-schedule header in which spans of time it may be sent."),
    Directive::new("retain-x-schedule", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("retain-x-schedule no")
        .doc("Keep the x-schedule header in the message that is sent."),
    Directive::new("process-x-dkim-options", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("process-x-dkim-options no")
        .doc(
            "Let a message influence its DKIM signature by an x-dkim-options header: selector, \
              domain, identity, query method and key list.",
        ),
    Directive::new("retain-x-dkim-options", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("retain-x-dkim-options no")
        .doc("Keep the x-dkim-options header in the message that is sent."),
    Directive::new("process-x-dkim-key", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("process-x-dkim-key no")
        .doc("Sign a message with the private key that it carries in an x-dkim-key header."),
    Directive::new("retain-x-dkim-key", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("retain-x-dkim-key no")
        .doc("Keep the x-dkim-key header, and thus the private key, in the message that is sent."),
    Directive::new("pattern-list", SOURCE, NAME).inert().example("pattern-list by-sender").doc(
        "The pattern-list that chooses the virtual MTA of a message; the list has to stand \
              earlier in the file.",
    ),
    Directive::new("rewrite-list", SOURCE, NAME)
        .inert()
        .since("5.0")
        .example("rewrite-list brand")
        .doc("The rewrite-list applied to messages of these clients."),
    Directive::new("add-received-header", SOURCE, BOOLEAN)
        .default("yes")
        .since("3.0")
        .example("add-received-header yes")
        .doc("Put a Received header on top of each message. Without it, mail loops go unnoticed."),
    Directive::new("hide-message-source", SOURCE, BOOLEAN)
        .default("no")
        .example("hide-message-source yes")
        .doc("Leave the client's name and address out of the Received header."),
    Directive::new("remove-header", SOURCE, LIST).example("remove-header X-Mailer,User-Agent").doc(
        "Headers that are removed from messages of these clients, all occurrences, by names \
              in any case. An empty string clears an inherited list.",
    ),
    Directive::new("remove-received-headers", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("remove-received-headers no")
        .doc(
            "Remove the Received headers that a message has when it comes in. Seen in \
              configurations of old versions only.",
        ),
    Directive::new(
        "add-date-header",
        SOURCE,
        &[Arg::required("VALUE", Kind::Choice(&["no", "yes", "override", "true", "false"]))],
    )
    .default("no")
    .example("add-date-header yes")
    .doc(
        "Add a Date header: with yes when there is none, with override also in place of the \
              one that is there.",
    ),
    Directive::new(
        "date-header-time",
        SOURCE,
        &[Arg::required("WHEN", Kind::Choice(&["reception", "delivery"]))],
    )
    .default("reception")
    .inert()
    .example("date-header-time reception")
    .doc("Which time the added Date header shows: that of reception or that of delivery."),
    Directive::new("add-message-id-header", SOURCE, BOOLEAN)
        .default("no")
        .example("add-message-id-header yes")
        .doc("Add a Message-Id header when there is none."),
    Directive::new("bcc", SOURCE, EMAIL)
        .inert()
        .since("5.0")
        .example("bcc archive@example.com")
        .doc("Send a copy of each message received to this address."),
    Directive::new("verp-default", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("verp-default no")
        .doc(
            "Send with variable envelope return paths, one for each recipient, even when the \
              client did not ask for them.",
        ),
    Directive::new("suppress-local-dsn", SOURCE, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("suppress-local-dsn yes")
        .doc(
            "Send no notices of failure, delay or delivery for messages of these clients; \
              accounting records tell the outcome.",
        ),
    Directive::new(
        "dsn-return-default",
        SOURCE,
        &[Arg::required("WHAT", Kind::Choice(&["headers", "full", "system"]))],
    )
    .default("system")
    .since("5.0")
    .example("dsn-return-default headers")
    .doc(
        "How much of the message its notices return when the client did not say by RET. The \
              value system leaves it to Convoy, which returns the headers.",
    ),
];
