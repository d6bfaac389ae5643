//! Reporting to SparkPost Signals, and the former Goodmail imprinter.

use super::terms::{
    BOOLEAN, GOODMAIL, IMPRINTER, PRIVACY, SIGNALS, SIGNALS_FILTER, SIZE, TEXT, WORD,
};
use crate::config::directive::{Arg, Directive, Kind};

/// Lines of `<signals>` and `<signals-filter>`.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("api-key", SIGNALS, WORD)
        .inert()
        .since("5.0")
        .example("api-key 0123456789abcdef")
        .doc("Key of the SparkPost account; required."),
    Directive::new("upload-url", SIGNALS, WORD)
        .inert()
        .since("5.0")
        .example("upload-url https://api.sparkpost.com/api/v1/ingest/events")
        .doc("Where events are uploaded."),
    Directive::new("engagement-tracking", SIGNALS, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("engagement-tracking no")
        .doc("Put tracking of opens and clicks into messages."),
    Directive::new("custom-message-id-header", SIGNALS, WORD)
        .inert()
        .since("5.0")
        .example("custom-message-id-header X-Message-Id")
        .doc("Header that identifies a message in the events."),
    Directive::new("process-x-sp-subaccount-id", SIGNALS, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("process-x-sp-subaccount-id no")
        .doc("Let a message name its subaccount by an x-sp-subaccount-id header."),
    Directive::new("retain-x-sp-subaccount-id", SIGNALS, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("retain-x-sp-subaccount-id no")
        .doc("Keep that header in the message that is sent."),
    Directive::new("log-verbose", SIGNALS, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("log-verbose no")
        .doc("Log more about the uploads."),
    Directive::new("min-free-space", SIGNALS, SIZE)
        .default("20M")
        .inert()
        .since("5.0")
        .example("min-free-space 20M")
        .doc("Keep no events for later upload when the disk has less free space than this."),
    Directive::new("privacy-policy", SIGNALS, PRIVACY)
        .default("retain")
        .inert()
        .since("5.0")
        .example("privacy-policy retain")
        .doc("How the local part of recipients is hidden in events."),
    Directive::new(
        "sender-or-from",
        SIGNALS_FILTER,
        &[Arg::required("DOMAIN or ADDRESS", Kind::Special)],
    )
    .inert()
    .repeated()
    .since("5.0")
    .example("sender-or-from news.example.com")
    .doc("Report only messages whose Sender or From header has this domain or address."),
];

/// Lines of `<gm-imprinter>`.
pub(super) const GOODMAIL_LINES: &[Directive] = &[
    Directive::new("imprinter-password", IMPRINTER, TEXT)
        .since("3.0")
        .moot(GOODMAIL)
        .example("imprinter-password s3cret")
        .doc("Was the password of the imprinter."),
    Directive::new("default-token-class", IMPRINTER, TEXT)
        .since("3.0")
        .moot(GOODMAIL)
        .example("default-token-class 1")
        .doc("Was the class of tokens put into messages that asked for none."),
];
