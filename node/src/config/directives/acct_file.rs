//! `<acct-file>`: accounting files and programs.

use super::terms::{
    ACCT_FILE, BOOLEAN, DIRECTORY, FILE, LIST, PRIVACY, SIZE, TEXT, TIME, TIME_OR_NEVER, WORD,
};
use crate::config::directive::{Arg, Directive, Kind};

/// What is written, and where finished files go.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("records", ACCT_FILE, &[Arg::required("TYPES", Kind::RecordTypes)])
        .default("d,b")
        .since("3.0")
        .example("records d,b,t")
        .doc(
            "Which record types this file gets, by short or long name: d delivery, b bounce, t \
              transient, tq transient-queue, r receipt, rb remote-bounce, rs remote-status, f \
              feedback-loop. It may stand once in a file's section.",
        ),
    Directive::new("record-fields", ACCT_FILE, &[Arg::required("TYPE FIELDS", Kind::RecordFields)])
        .repeated()
        .since("3.0")
        .example("record-fields d timeLogged,orig,rcpt,header_X-Campaign,!jobId")
        .doc(
            "Columns of one record type: field names in the order wanted, an asterisk for the \
              standard set, a name with an exclamation mark to leave a field out, header_NAME for \
              a header of the message, arf_NAME for one of a complaint report. The column type \
              always comes first. A type without such a line has the standard set.",
        ),
    Directive::new("move-to", ACCT_FILE, DIRECTORY).example("move-to /var/log/convoy/done").doc(
        "Directory on the same file system to which finished files are moved. Without it they \
              stay where they are and delete-after removes them.",
    ),
    Directive::new("move-interval", ACCT_FILE, TIME).default("1d").example("move-interval 5m").doc(
        "Finish the file and begin a new one at this interval. Works only together with \
              move-to.",
    ),
    Directive::new("max-size", ACCT_FILE, SIZE).default("250M").example("max-size 100M").doc(
        "Finish the file and begin a new one when it would grow beyond this size, whether or \
              not move-to is given. The least is 1M. Webhooks have a default of 5M and take 50K to \
              10M.",
    ),
    Directive::new("delete-after", ACCT_FILE, TIME_OR_NEVER)
        .default("8d")
        .example("delete-after 60d")
        .doc(
            "Remove finished files when they are this old. Whole days; works only without \
              move-to.",
        ),
    Directive::new("sync", ACCT_FILE, BOOLEAN).default("no").example("sync no").doc(
        "Flush the file to disk regularly. Convoy loses no record either way, for records are \
              kept in the replicated store until their file is safe.",
    ),
    Directive::new("world-readable", ACCT_FILE, BOOLEAN)
        .default("no")
        .example("world-readable no")
        .doc("Create files that every user of the machine may read."),
    Directive::new("iso-times", ACCT_FILE, BOOLEAN).default("yes").example("iso-times yes").doc(
        "Write times as date, time and offset from UTC, like 2024-05-31 14:02:11+0200. With \
              no they are written as seconds since 1970.",
    ),
    Directive::new("user-string", ACCT_FILE, TEXT)
        .example("user-string node-7")
        .doc("Value of the field userString in each record of this file."),
    Directive::new(
        "map-header-to-field",
        ACCT_FILE,
        &[
            Arg::required("TYPE", Kind::Word),
            Arg::required("header_NAME", Kind::Word),
            Arg::required("FIELD", Kind::Word),
        ],
    )
    .repeated()
    .example("map-header-to-field d header_X-Campaign jobId")
    .doc(
        "Put the value of a header of the message into a field, for one record type, if the \
              message has that header. Several are applied in the order of the file. Not for tq \
              records, which belong to no message.",
    ),
    Directive::new("queue-filter", ACCT_FILE, LIST).example("queue-filter !*/test,*").doc(
        "Queue patterns, DOMAIN/VMTA with asterisks, tried in order against the queue of \
              records of type d, b, t and tq: the first that matches decides, and an exclamation \
              mark before it leaves the record out. A record that nothing matches is left out, so \
              a list of exclusions alone lets nothing through.",
    ),
    Directive::new("write-timeout", ACCT_FILE, TIME).default("1m").example("write-timeout 1m").doc(
        "How long a program may take to read what is written to it before it is stopped and \
              started again.",
    ),
    Directive::new("retry-interval", ACCT_FILE, TIME)
        .default("5m")
        .example("retry-interval 5m")
        .doc(
            "How long to wait before a program that failed is started again. Records wait \
              meanwhile.",
        ),
    Directive::new("privacy-policy", ACCT_FILE, PRIVACY)
        .default("retain")
        .inert()
        .since("5.0")
        .example("privacy-policy retain")
        .doc(
            "How the local part of recipients is hidden: retain leaves it, redact replaces it by \
              a text, siphash, siphash-hexkey, hmac-sha256 and hmac-sha256-hexkey with a key \
              replace it by a hash.",
        ),
    Directive::new("count-moved-records", ACCT_FILE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("count-moved-records no")
        .doc("Log how many records of each type a file has when it is moved."),
];

/// Records posted over HTTP.
pub(super) const WEBHOOK: &[Directive] = &[
    Directive::new("http-webhook-url", ACCT_FILE, WORD)
        .inert()
        .since("5.0r5")
        .example("http-webhook-url https://events.example.com/mail")
        .doc(
            "Post batches of records to this address; the accounting file only holds them until \
              then.",
        ),
    Directive::new("http-webhook-extra-headers", ACCT_FILE, FILE)
        .inert()
        .since("5.0r5")
        .example("http-webhook-extra-headers /etc/convoy/webhook-headers")
        .doc("File of further HTTP headers for the posts."),
    Directive::new("http-webhook-certificate", ACCT_FILE, FILE)
        .inert()
        .since("5.0r5")
        .example("http-webhook-certificate /etc/convoy/webhook.pem")
        .doc("PEM file of the certificate that the webhook's server may ask for."),
    Directive::new("http-webhook-ca-file", ACCT_FILE, FILE)
        .inert()
        .since("5.0r5")
        .example("http-webhook-ca-file /etc/ssl/certs/ca-certificates.crt")
        .doc("Certificate authorities by which the webhook's server is verified."),
    Directive::new("http-webhook-max-interval", ACCT_FILE, TIME)
        .default("5m")
        .inert()
        .since("5.0r5")
        .example("http-webhook-max-interval 5m")
        .doc("Post at least this often while there are records. The least is one minute."),
    Directive::new(
        "http-webhook-transfer-encoding",
        ACCT_FILE,
        &[Arg::required("ENCODING", Kind::Choice(&["gzip"]))],
    )
    .inert()
    .since("5.0r5")
    .example("http-webhook-transfer-encoding gzip")
    .doc("Compress the posts; without it they are not compressed."),
    Directive::new("http-webhook-log-verbose", ACCT_FILE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0r5")
        .example("http-webhook-log-verbose no")
        .doc("Log more about the posts."),
    Directive::new("http-webhook-connect-timeout", ACCT_FILE, TIME)
        .default("5s")
        .inert()
        .since("5.0r5")
        .example("http-webhook-connect-timeout 5s")
        .doc("How long to wait for a connection to the webhook's server."),
    Directive::new("http-webhook-io-timeout", ACCT_FILE, TIME)
        .default("5s")
        .inert()
        .since("5.0r5")
        .example("http-webhook-io-timeout 5s")
        .doc("How long to wait for the webhook's server to read or answer."),
];
