//! `<domain>`: settings of delivery methods other than SMTP.

use super::terms::{BOOLEAN, DOMAIN, FILE, WORD};
use crate::config::directive::{Arg, Directive, Kind};

/// Discarding, files, programs, HTTP, SparkPost.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("discard-as-bounce", DOMAIN, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("discard-as-bounce yes")
        .doc(
            "Under type discard, count every recipient as bounced instead of delivered: \
              accounting records are of type b.",
        ),
    Directive::new(
        "file-format",
        DOMAIN,
        &[Arg::required(
            "FORMAT",
            Kind::Choice(&["newfile-plain", "newfile-pickup", "append-mbox"]),
        )],
    )
    .default("newfile-plain")
    .since("3.0")
    .example("file-format append-mbox")
    .doc(
        "Under type file, how messages are written: each to a new file as it is, each to a \
              new file with its envelope in leading lines as pickup directories take it, or \
              appended to one mbox file.",
    ),
    Directive::new("file-destination", DOMAIN, &[Arg::required("DESTINATION", Kind::Rest)])
        .since("3.0")
        .example("file-destination /var/mail/filed/$user.mbox")
        .doc(
            "Under type file, the directory for new files or the file to append to. In it $from, \
              $to, $user, $domain, $envid, $bodytype, $ctime and $isodate are replaced by what \
              they say of the message; what would lead out of the directory is made harmless.",
        ),
    Directive::new("command", DOMAIN, &[Arg::required("COMMAND", Kind::Rest)])
        .inert()
        .since("3.0")
        .example("command \"/usr/local/bin/receive $from $to\"")
        .doc(
            "Under type pipe, the command line of the program that is given the message. The same \
              words with a dollar sign are replaced in it, and its exit code decides about \
              delivery, retry or bounce.",
        ),
    Directive::new("macro-variables-preserve-case", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("macro-variables-preserve-case no")
        .doc("Insert $to and $from as written instead of in lower case."),
    Directive::new("http-delivery-url", DOMAIN, WORD)
        .inert()
        .since("5.0")
        .example("http-delivery-url https://hooks.example.com/mail")
        .doc("Under type http-delivery, the address to which messages are posted as JSON."),
    Directive::new("http-delivery-extra-headers", DOMAIN, FILE)
        .inert()
        .since("5.0")
        .example("http-delivery-extra-headers /etc/convoy/http-headers")
        .doc("Under type http-delivery, a file of further HTTP headers."),
    Directive::new("add-x-msys-api-header", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("add-x-msys-api-header yes")
        .doc(
            "Add the header by which SparkPost takes options. Its default is yes for the domain \
              {sparkpost} and no for all others.",
        ),
    Directive::new("sparkpost-sandbox", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("sparkpost-sandbox no")
        .doc("Use the sandbox of SparkPost for mail of the domain {sparkpost}."),
    Directive::new("sparkpost-ip-pool", DOMAIN, WORD)
        .inert()
        .since("5.0")
        .example("sparkpost-ip-pool marketing")
        .doc("Pool of addresses that SparkPost uses for mail of the domain {sparkpost}."),
];
