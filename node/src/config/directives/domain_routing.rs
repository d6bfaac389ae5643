//! `<domain>`: where mail goes, how long to wait for the other side, and what to use of its SMTP.

use super::terms::{BOOLEAN, DOMAIN, EMAIL, GOODMAIL, INCLUDED, LIST, TIME, WORD};
use crate::config::directive::{Arg, Directive, Kind, Scope};

/// Delivery method and route.
pub(super) const ROUTE: &[Directive] = &[
    Directive::new(
        "type",
        DOMAIN,
        &[Arg::required(
            "METHOD",
            Kind::Choice(&["smtp", "pipe", "file", "discard", "http-delivery"]),
        )],
    )
    .default("smtp")
    .since("3.0")
    .example("type discard")
    .doc(
        "How mail is delivered: by SMTP, into files, or not at all with discard, which counts \
              every recipient as delivered. The methods pipe and http-delivery are known but not \
              acted on: mail for such a domain waits until bounce-after, and a warning says so \
              when the configuration is loaded.",
    ),
    Directive::new("smtp-hosts", DOMAIN, &[Arg::required("HOSTS", Kind::Rest)])
        .example("smtp-hosts mx1.example.net:2525,mx2.example.net;[10.0.0.9]")
        .doc(
            "Send to these hosts instead of the domain's mail exchangers. Commas separate hosts \
              of equal preference, which are used in random order; semicolons separate levels, \
              tried one after the other. A host is a name, an address in brackets, IPv6 as \
              [IPv6:...], or lookup-mx:DOMAIN for the mail exchangers of another domain, each with \
              an optional port. An empty string clears an inherited route.",
        ),
    Directive::new("route", DOMAIN, &[Arg::required("HOSTS", Kind::Rest)])
        .alias_of("smtp-hosts")
        .since("3.0")
        .example("route [10.0.0.9]:2525")
        .doc("Old name of smtp-hosts."),
    Directive::new("queue-to", DOMAIN, WORD).example("queue-to yahoo.example").doc(
        "Put mail for this domain into the queue of another one, so that both share its \
              limits, connections and route. An empty string clears an inherited value.",
    ),
    Directive::new(
        "default-smtp-port",
        DOMAIN,
        &[Arg::required("PORT", Kind::Integer { min: 1, max: 65535 })],
    )
    .default("25")
    .example("default-smtp-port 2525")
    .doc("Port of the receiving hosts, unless smtp-hosts names another one."),
    Directive::new("disable-mx-rollup", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("disable-mx-rollup yes")
        .doc(
            "Leave this domain in a queue of its own even when mx-rollup-list would join it with \
              others.",
        ),
    Directive::new(
        "include",
        &[Scope::Global, Scope::Source, Scope::Domain, Scope::VirtualMta, Scope::SmtpPatternList],
        INCLUDED,
    )
    .anywhere()
    .repeated()
    .example("include /etc/convoy/domains/*.conf")
    .doc(
        "Read another file in this place; wildcards name several, read in order of their \
              names. Relative names start at the directory of the including file. Inside a section \
              the file holds lines of that section. URLs, which later versions of PowerMTA fetch, \
              are refused.",
    ),
];

/// How long to wait for the receiving server.
pub(super) const TIMEOUTS: &[Directive] = &[
    Directive::new("connect-timeout", DOMAIN, TIME)
        .default("2m")
        .example("connect-timeout 30s")
        .doc("How long to wait for a TCP connection to one address before the next one is tried."),
    Directive::new("smtp-greeting-timeout", DOMAIN, TIME)
        .default("5m")
        .example("smtp-greeting-timeout 1m")
        .doc("How long to wait for the server's greeting."),
    Directive::new("data-send-timeout", DOMAIN, TIME)
        .default("3m")
        .example("data-send-timeout 3m")
        .doc(
            "How long the server may take to accept a further piece of a message that is being \
              sent.",
        ),
    Directive::new("smtp-data-termination-timeout", DOMAIN, TIME)
        .default("10m")
        .since("5.0")
        .example("smtp-data-termination-timeout 10m")
        .doc(
            "How long the server may take to confirm a message that was sent to its end. A short \
              time makes duplicates, for the server may have accepted the message by then.",
        ),
];

/// What to use of the server's extensions, and changes of the message.
pub(super) const PROTOCOL: &[Directive] = &[
    Directive::new("ignore-8bitmime", DOMAIN, BOOLEAN)
        .default("no")
        .example("ignore-8bitmime no")
        .doc("Act as if the server did not offer 8BITMIME."),
    Directive::new("ignore-chunking", DOMAIN, BOOLEAN)
        .default("yes")
        .example("ignore-chunking no")
        .doc(
            "Act as if the server did not offer CHUNKING, and send messages by DATA. Sending by \
              BDAT has to be asked for with no, for servers that are known to do it well.",
        ),
    Directive::new("ignore-pipelining", DOMAIN, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("ignore-pipelining yes")
        .doc(
            "Act as if the server did not offer PIPELINING, and wait for each reply before the \
              next command.",
        ),
    Directive::new("ignore-dsn", DOMAIN, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("ignore-dsn no")
        .doc(
            "Act as if the server did not offer DSN. Requests for notices then end here, as with \
              servers that really lack it.",
        ),
    Directive::new("pix-bug-workaround", DOMAIN, BOOLEAN)
        .default("yes")
        .inert()
        .example("pix-bug-workaround yes")
        .doc(
            "Send the end of a message in a packet of its own where the greeting shows a PIX \
              firewall.",
        ),
    Directive::new("check-spf-outbound", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("check-spf-outbound no")
        .doc(
            "Check the own source address by SPF against the sender's domain before sending: send \
              upon a pass, try again later upon a temporary error, bounce otherwise. Needs a \
              source host.",
        ),
    Directive::new("check-mfrom-outbound", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("check-mfrom-outbound no")
        .doc(
            "Check own mail by the Sender ID rules for the envelope sender. Seen in old \
              configurations only.",
        ),
    Directive::new("check-pra-outbound", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .since("3.0")
        .example("check-pra-outbound no")
        .doc(
            "Check own mail by the Sender ID rules for the purported responsible address. Seen in \
              old configurations only.",
        ),
    Directive::new("remove-header", DOMAIN, LIST)
        .inert()
        .since("5.0")
        .example("remove-header X-Internal")
        .doc(
            "Headers that are removed from messages to this domain as they are sent. An empty \
              string clears an inherited list.",
        ),
    Directive::new("bcc-upon-delivery", DOMAIN, EMAIL)
        .inert()
        .since("5.0")
        .example("bcc-upon-delivery archive@example.com")
        .doc("Send a copy of each message that was delivered to this domain to this address."),
    Directive::new(
        "dsn-format",
        DOMAIN,
        &[Arg::required("FORMAT", Kind::Choice(&["standard", "plain-text"]))],
    )
    .default("standard")
    .inert()
    .example("dsn-format standard")
    .doc("Form of notices sent to this domain: the standard one of RFC 3464, or plain text."),
    Directive::new("deliver-local-dsn", DOMAIN, BOOLEAN)
        .default("yes")
        .inert()
        .since("3.0")
        .example("deliver-local-dsn no")
        .doc(
            "Send notices about mail whose sender is in this domain. Use suppress-local-dsn in \
              the source section instead.",
        ),
    Directive::new("bounce-address", DOMAIN, EMAIL)
        .inert()
        .since("3.0")
        .example("bounce-address bounces@example.com")
        .doc(
            "Seen in one old configuration, without a documented meaning; probably another return \
              address.",
        ),
    Directive::new("add-gm-token", DOMAIN, BOOLEAN)
        .default("no")
        .since("3.0")
        .moot(GOODMAIL)
        .example("add-gm-token no")
        .doc("Was the switch for adding Goodmail tokens to mail for this domain."),
];
