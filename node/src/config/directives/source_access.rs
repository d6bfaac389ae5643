//! `<source>`: who may submit, how clients prove themselves, and encryption of their connections.

use super::terms::{BOOLEAN, GLOBAL, LIST, NAME, RATE, SOURCE, TIME};
use crate::config::directive::Directive;

/// Relaying, authentication, TLS and limits of a connection.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("smtp-service", SOURCE, BOOLEAN)
        .default("yes")
        .since("3.0")
        .example("smtp-service yes")
        .doc(
            "Serve these clients at all. With no, a client is greeted with a 5xx reply and \
              disconnected.",
        ),
    Directive::new("always-allow-relaying", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("always-allow-relaying yes")
        .doc(
            "Accept recipients of any domain from these clients. With no, only recipients of \
              local names, relay-domain and relay-address are accepted. Authentication alone \
              permits nothing: the source of the authenticated user needs this line too.",
        ),
    Directive::new("always-allow-relaying", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("always-allow-relaying no")
        .doc(
            "Accept recipients of any domain from every client whose source sections do not say \
              otherwise. With yes the server is an open relay to all who can reach it; set it in \
              source sections instead.",
        ),
    Directive::new("always-allow-api-submission", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("always-allow-api-submission yes")
        .doc(
            "Short for all that the submission libraries need; at present the same as \
              allow-mailmerge.",
        ),
    Directive::new("allow-mailmerge", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .example("allow-mailmerge no")
        .doc(
            "Offer the mail merge commands XMRG, XDFN, XPRT and XACK, by which one message \
              becomes a personal one for each recipient.",
        ),
    Directive::new("allow-auth", SOURCE, BOOLEAN)
        .default("yes")
        .example("allow-auth yes")
        .doc("Offer SMTP authentication to these clients, also while no smtp-user is configured."),
    Directive::new("require-auth", SOURCE, BOOLEAN).default("no").example("require-auth yes").doc(
        "Accept no mail before the client has authenticated; MAIL is answered 530 until then.",
    ),
    Directive::new("allow-starttls", SOURCE, BOOLEAN)
        .default("no")
        .example("allow-starttls yes")
        .doc(
            "Offer STARTTLS to these clients. It has to be switched on besides having a \
              certificate, and without one it has no effect.",
        ),
    Directive::new("require-starttls-before-auth", SOURCE, BOOLEAN)
        .default("no")
        .example("require-starttls-before-auth yes")
        .doc(
            "Offer and accept authentication only on encrypted connections, whatever the \
              mechanism.",
        ),
    Directive::new("allow-unencrypted-plain-auth", SOURCE, BOOLEAN)
        .default("no")
        .example("allow-unencrypted-plain-auth no")
        .doc(
            "Permit the mechanisms that show the password, PLAIN and LOGIN, on connections \
              without TLS. CRAM-MD5 does not need it.",
        ),
    Directive::new("smtp-max-auth-failure-rate", SOURCE, RATE)
        .default("unlimited")
        .since("5.0")
        .example("smtp-max-auth-failure-rate 10/h")
        .doc(
            "How many failed authentications a client address may have within the period. Beyond \
              that, further attempts are refused with a temporary error until the period has \
              passed, right password or not.",
        ),
    Directive::new("source-group", SOURCE, NAME)
        .inert()
        .since("5.0")
        .example("source-group customers")
        .doc("The source-group whose limits on inbound connections these clients share."),
    Directive::new("accept-invalid-recipients", SOURCE, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("accept-invalid-recipients no")
        .doc(
            "Accept recipients whose address is malformed and bounce them later instead of \
              refusing them in the session.",
        ),
    Directive::new("auto-qualify-domain", SOURCE, BOOLEAN)
        .default("yes")
        .inert()
        .since("5.0")
        .example("auto-qualify-domain yes")
        .doc("Complete an address whose domain has no dot by the domain-suffix."),
    Directive::new("disconnect-on-transient-error", SOURCE, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("disconnect-on-transient-error no")
        .doc(
            "Close the connection where a 4xx reply would be due, so that clients which handle \
              such replies badly try again later.",
        ),
    Directive::new("smtp-command-timeout", SOURCE, TIME)
        .default("10m")
        .since("5.0")
        .example("smtp-command-timeout 5m")
        .doc(
            "How long to wait for a client's next command before the connection is closed with \
              421.",
        ),
    Directive::new("smtp-data-timeout", SOURCE, TIME)
        .default("10m")
        .since("5.0")
        .example("smtp-data-timeout 10m")
        .doc(
            "How long to wait for more of a message that a client is sending. The message is \
              dropped when it runs out.",
        ),
    Directive::new("allow-chunking", SOURCE, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("allow-chunking yes")
        .doc("Offer CHUNKING, that is the BDAT command, to these clients."),
    Directive::new("allow-smtputf8", SOURCE, BOOLEAN)
        .default("yes")
        .since("5.0")
        .example("allow-smtputf8 yes")
        .doc("Offer SMTPUTF8, internationalised mail addresses and headers, to these clients."),
    Directive::new("suppression-lists", SOURCE, LIST)
        .inert()
        .since("5.0")
        .example("suppression-lists unsubscribed,complained")
        .doc("Names of address lists; recipients found in one of them are refused."),
];

/// What of a client's session goes to the log.
pub(super) const LOGGING: &[Directive] = &[
    Directive::new("log-connections", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-connections yes")
        .doc("Log when a client connects and disconnects."),
    Directive::new("log-commands", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-commands no")
        .doc("Log the commands of clients and the replies to them. Passwords are left out."),
    Directive::new("log-data", SOURCE, BOOLEAN)
        .default("no")
        .since("3.0")
        .example("log-data no")
        .doc(
            "Log the bytes of messages as they are received, readable and in hexadecimal. It \
              makes very large logs that hold private mail.",
        ),
    Directive::new("log-tls", SOURCE, BOOLEAN)
        .default("no")
        .since("5.0")
        .example("log-tls yes")
        .doc(
            "Log version, cipher and client certificate of each TLS handshake with a client, and \
              why one failed.",
        ),
];
