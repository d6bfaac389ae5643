//! `<domain>`: how many connections, recipients and bytes a queue may have, over all nodes.

use super::terms::{
    BOOLEAN, COUNT, DATA_RATE, DOMAIN, LIMIT, NETWORK_DATA_RATE, NETWORK_LIMIT, NETWORK_RATE, RATE,
    TIME,
};
use crate::config::directive::{Arg, Directive, Kind};

/// Limits and rates; all hold per queue, that is per domain and virtual MTA.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("max-smtp-out", DOMAIN, LIMIT)
        .default("20")
        .since("3.0")
        .example("max-smtp-out 50")
        .doc(
            "Most simultaneous connections of the queue, over all nodes of the cluster together. \
              The limits of the virtual MTA and of the server hold besides.",
        ),
    Directive::new("backoff-max-smtp-out", DOMAIN, LIMIT)
        .default("20")
        .inert()
        .example("backoff-max-smtp-out 1")
        .doc("As max-smtp-out, while the queue is in backoff mode."),
    Directive::new("source-ip-max-smtp-out", DOMAIN, NETWORK_LIMIT)
        .repeated()
        .since("5.0")
        .example("source-ip-max-smtp-out 10.0.0.0/24 5")
        .doc(
            "Most simultaneous connections of the queue from each local address of the network. \
              Addresses for which there is no such line have no limit of their own; of \
              several networks, the smallest counts.",
        ),
    Directive::new("max-smtp-out-per-source-ip", DOMAIN, LIMIT)
        .default("unlimited")
        .example("max-smtp-out-per-source-ip 5")
        .doc(
            "Old form of source-ip-max-smtp-out, for all local addresses that no line of that one \
              names.",
        ),
    Directive::new("max-connect-rate", DOMAIN, RATE)
        .default("unlimited")
        .example("max-connect-rate 30/m")
        .doc(
            "Most new connections of the queue in the period, over all nodes of the cluster \
              together. Connections are spaced evenly. Every attempt at a host counts, and so does \
              a second one that goes on in clear.",
        ),
    Directive::new("backoff-max-connect-rate", DOMAIN, RATE)
        .inert()
        .since("5.0")
        .example("backoff-max-connect-rate 1/m")
        .doc(
            "As max-connect-rate, while the queue is in backoff mode. When it is absent, \
              max-connect-rate holds then too.",
        ),
    Directive::new("source-ip-max-connect-rate", DOMAIN, NETWORK_RATE)
        .repeated()
        .since("5.0")
        .example("source-ip-max-connect-rate 10.0.0.0/24 10/m")
        .doc(
            "Most new connections of the queue in the period from each local address of the \
          network. Addresses for which there is no such line have no limit of their own; of \
              several networks, the smallest counts.",
        ),
    Directive::new("max-msg-rate", DOMAIN, RATE)
        .default("unlimited")
        .example("max-msg-rate 1000/h")
        .doc(
            "Most recipients that the queue attempts in the period, over all nodes of the cluster \
              together. Attempts count, whether or not they succeed. They are spaced evenly; in \
              one transaction go at most a fiftieth of them, and at least one.",
        ),
    Directive::new("backoff-max-msg-rate", DOMAIN, RATE)
        .inert()
        .example("backoff-max-msg-rate 10/h")
        .doc(
            "As max-msg-rate, while the queue is in backoff mode. When it is absent, max-msg-rate \
              holds then too.",
        ),
    Directive::new("source-ip-max-msg-rate", DOMAIN, NETWORK_RATE)
        .repeated()
        .since("5.0")
        .example("source-ip-max-msg-rate 10.0.0.0/24 100/h")
        .doc(
            "Most recipients that the queue attempts in the period from each local address of the \
          network. Addresses for which there is no such line have no limit of their own; of \
              several networks, the smallest counts.",
        ),
    Directive::new("max-msg-per-hour", DOMAIN, COUNT)
        .alias_of("max-msg-rate")
        .since("3.0")
        .example("max-msg-per-hour 1000")
        .doc(
            "Old form of max-msg-rate with an hour as the period: max-msg-rate 1000/h says the \
              same. When both are given, the one that stands later counts.",
        ),
    Directive::new("backoff-max-msg-per-hour", DOMAIN, COUNT)
        .inert()
        .since("3.0")
        .example("backoff-max-msg-per-hour 10")
        .doc("Old form of backoff-max-msg-rate with an hour as the period."),
    Directive::new("max-data-volume-rate", DOMAIN, DATA_RATE)
        .default("unlimited")
        .inert()
        .since("5.0")
        .example("max-data-volume-rate 10g/2h")
        .doc(
            "Most bytes of messages delivered with success in the period. Failed attempts do not \
              count.",
        ),
    Directive::new("backoff-max-data-volume-rate", DOMAIN, DATA_RATE)
        .inert()
        .since("5.0")
        .example("backoff-max-data-volume-rate 500m/h")
        .doc(
            "As max-data-volume-rate, while the queue is in backoff mode. When it is absent, \
              max-data-volume-rate holds then too.",
        ),
    Directive::new("source-ip-max-data-volume-rate", DOMAIN, NETWORK_DATA_RATE)
        .inert()
        .repeated()
        .since("5.0")
        .example("source-ip-max-data-volume-rate 10.0.0.0/24 500m/h")
        .doc(
            "Most bytes delivered with success in the period from each local address of the \
          network. Addresses for which there is no such line have no limit of their own; of \
              several networks, the smallest counts.",
        ),
    Directive::new("max-msg-per-connection", DOMAIN, LIMIT)
        .default("0")
        .example("max-msg-per-connection 100")
        .doc(
            "How many messages to send over one connection before it is closed and another one \
              opened. 0 sets no limit.",
        ),
    Directive::new("max-rcpt-per-transaction", DOMAIN, LIMIT)
        .default("1000")
        .since("5.0")
        .example("max-rcpt-per-transaction 100")
        .doc(
            "Most recipients named in one transaction; a message with more of them in the queue \
              is sent several times over. 0 and unlimited set no limit.",
        ),
    Directive::new("max-rcpt-per-message", DOMAIN, LIMIT)
        .default("1000")
        .alias_of("max-rcpt-per-transaction")
        .since("3.0")
        .example("max-rcpt-per-message 100")
        .doc(
            "Old name of max-rcpt-per-transaction in domain sections. In source sections the same \
              name limits inbound messages.",
        ),
    Directive::new("max-errors-per-connection", DOMAIN, LIMIT)
        .default("unlimited")
        .example("max-errors-per-connection 10")
        .doc(
            "Close a connection after this many replies that refused a recipient, and go on over \
              another one.",
        ),
    Directive::new("smtp-out-rampup-interval", DOMAIN, TIME)
        .default("0")
        .inert()
        .since("5.0")
        .example("smtp-out-rampup-interval 10s")
        .doc("Least time between the opening of one connection of the queue and the next."),
    Directive::new("connection-idle-timeout", DOMAIN, TIME)
        .default("0")
        .since("5.0")
        .example("connection-idle-timeout 30s")
        .doc(
            "Keep a connection open for this long after its last message, in case more mail for \
              the queue comes in. It may be at most 10 minutes; 0 closes at once.",
        ),
    Directive::new(
        "max-cold-virtual-mta-msg",
        DOMAIN,
        &[Arg::required("N/DAY[,N...]", Kind::Special)],
    )
    .default("0/d")
    .inert()
    .example("max-cold-virtual-mta-msg 100/d,200,400")
    .doc(
        "How many messages of each day to send to this domain through the cold virtual MTA, \
              to warm up its address. A list gives one value for each day since the start, and its \
              last value repeats.",
    ),
    Directive::new(
        "queue-priority",
        DOMAIN,
        &[Arg::required("PRIORITY", Kind::Integer { min: 0, max: 100 })],
    )
    .default("50")
    .inert()
    .example("queue-priority 80")
    .doc(
        "Rank of the queue when connections are scarce: a queue gives way to those of higher \
              rank.",
    ),
    Directive::new(
        "delivery-priority",
        DOMAIN,
        &[Arg::required("PRIORITY", Kind::Integer { min: 0, max: 100 })],
    )
    .default("50")
    .inert()
    .since("3.0")
    .example("delivery-priority 80")
    .doc("Old name of queue-priority."),
    Directive::new("allow-priority-interruption", DOMAIN, BOOLEAN)
        .default("yes")
        .inert()
        .example("allow-priority-interruption yes")
        .doc("Let queues of higher rank take connections of this queue between two messages."),
    Directive::new("allow-priority-interruption-during-transfer", DOMAIN, BOOLEAN)
        .default("no")
        .inert()
        .example("allow-priority-interruption-during-transfer no")
        .doc(
            "Let queues of higher rank take connections of this queue even while a message is \
              being sent.",
        ),
    Directive::new("allow-cancel-during-transfer", DOMAIN, BOOLEAN)
        .default("yes")
        .inert()
        .example("allow-cancel-during-transfer yes")
        .doc(
            "Permit that a connection is cancelled, for instance at shutdown, while a message is \
              being sent. Convoy always finishes the current message first.",
        ),
];
