//! Top level: who this server is, which addresses and names it uses, whom it relays for.

use super::terms::{
    BOOLEAN, COUNT, DOMAIN_KEY, EMAIL, FILE, GLOBAL, HOST, NAME, NETWORK_LIMIT, PATTERN,
    SIZE_LIMIT, SOURCE_HOST, TEXT, WORD,
};
use crate::config::directive::{Arg, Directive, Kind, Scope};

/// Names, addresses and notices of the server.
pub(super) const IDENTITY: &[Directive] = &[
    Directive::new("host-name", GLOBAL, HOST)
        .overridable()
        .repeated()
        .since("3.0")
        .example("host-name mail.example.com")
        .doc(
            "Names of this server. The first one stands in greetings, EHLO, Received headers and \
              notices; all of them are local domains, for which mail is accepted from anybody. \
              Without it the name of the system is used.",
        ),
    Directive::new("host-id", GLOBAL, COUNT)
        .node_local()
        .default("0")
        .inert()
        .example("host-id 3")
        .doc(
            "A number that tells several servers apart in the Message-Id headers that they \
              generate.",
        ),
    Directive::new("domain-suffix", GLOBAL, HOST)
        .inert()
        .example("domain-suffix example.com")
        .doc("Domain that completes an address without one, and a domain without a dot."),
    Directive::new("postmaster", GLOBAL, EMAIL)
        .repeated()
        .since("3.0")
        .example("postmaster postmaster@example.com")
        .doc(
            "Mail for the bare recipient postmaster, without a domain, goes to the first address \
              that is named; without one it goes to postmaster at the server's host name. PowerMTA \
              also sends its own notices to all of them; Convoy writes those to the log.",
        ),
    Directive::new("smtp-source-host", &[Scope::Global, Scope::VirtualMta], SOURCE_HOST)
        .overridable()
        .repeated()
        .since("3.0")
        .example("smtp-source-host 10.0.0.7 news.example.com")
        .doc(
            "Local address from which mail is sent, and the name for EHLO that belongs to it; \
              without the name that of the virtual MTA or the server is used. A network names all \
              its addresses. Several are used in turn. At the top level it concerns the default \
              virtual MTA and those without an address of their own; without any, the system \
              chooses.",
        ),
    Directive::new("name-server", GLOBAL, &[Arg::required("ADDRESS[:PORT]", Kind::Endpoint)])
        .overridable()
        .repeated()
        .since("3.0")
        .example("name-server 127.0.0.1")
        .doc(
            "DNS server to ask, on port 53 unless another one is given. Several are used in turn. \
              Without it the resolver configuration of the system is used.",
        ),
    Directive::new(
        "edns-udp-length",
        GLOBAL,
        &[Arg::required("BYTES", Kind::Integer { min: 512, max: 2048 })],
    )
    .inert()
    .since("5.0r5")
    .example("edns-udp-length 1232")
    .doc(
        "Size of answers to DNS queries over UDP, announced by EDNS. PowerMTA uses no EDNS \
              unless this is given.",
    ),
    Directive::new("custom-dsn-from-header", GLOBAL, TEXT)
        .since("5.0")
        .example("custom-dsn-from-header \"Mail Delivery <mailer-daemon@mail.example.com>\"")
        .doc(
            "Value of the From header of notices about failure, delay and delivery. Their \
              envelope sender stays empty.",
        ),
    Directive::new("dsn-failed-from-template", GLOBAL, TEXT)
        .inert()
        .since("5.0r5")
        .example("dsn-failed-from-template \"Mail at ${hostname} <mailer-daemon@example.com>\"")
        .doc(
            "From header of notices of failure, with words such as ${hostname} and ${recipient} \
              that are replaced.",
        ),
    Directive::new("dsn-failed-subject-template", GLOBAL, TEXT)
        .inert()
        .since("5.0r5")
        .example("dsn-failed-subject-template \"Not delivered: ${subject}\"")
        .doc("Subject of notices of failure, with words that are replaced."),
    Directive::new("dsn-failed-body-template-from", GLOBAL, FILE)
        .inert()
        .since("5.0r5")
        .example("dsn-failed-body-template-from /etc/convoy/failed.txt")
        .doc(
            "File with the text of notices of failure. The words ${hostname}, ${originator}, \
              ${recipient}, ${subject}, ${retryAfter}, ${bounceAfter}, ${date}, ${timeQueued} and \
              ${response} are replaced.",
        ),
];

/// For whom mail is accepted, and where it is forwarded to.
pub(super) const RELAY: &[Directive] = &[
    Directive::new("relay-domain", GLOBAL, PATTERN)
        .repeated()
        .since("3.0")
        .example("relay-domain [*.]example.com")
        .doc(
            "Accept mail for recipients of these domains from anybody. Local domains need not be \
              listed. A pattern may be a domain, its sub-domains with a leading asterisk, both \
              with [*.], or a domain macro.",
        ),
    Directive::new(
        "relay-address",
        GLOBAL,
        &[Arg::required("EMAIL or /REGEX/", Kind::EmailOrRegex)],
    )
    .repeated()
    .since("3.0")
    .example("relay-address /^bounce-[0-9]+@example\\.com$/")
    .doc(
        "Accept mail for this recipient, or for those whose address matches the expression, \
              from anybody.",
    ),
    Directive::new("relay-debug", GLOBAL, BOOLEAN)
        .default("no")
        .inert()
        .since("5.0")
        .example("relay-debug no")
        .doc(
            "Answer a refused recipient with a 4xx instead of a 5xx reply, while relaying is \
              being set up.",
        ),
    Directive::new(
        "alias",
        GLOBAL,
        &[Arg::required("FROM", Kind::Word), Arg::required("TO", Kind::Word)],
    )
    .inert()
    .repeated()
    .example("alias info@example.com office@example.net")
    .doc("Forward mail for the first address to the second."),
    Directive::new(
        "domain-macro",
        GLOBAL,
        &[Arg::required("NAME", Kind::Name), Arg::required("LIST", Kind::List)],
    )
    .repeated()
    .example("domain-macro webmail yahoo.example, gmail.example")
    .doc(
        "Gives a list of domains a name, written with a dollar sign before it where a domain \
              may stand. Macros may use other macros, and two of them joined by a dot give all \
              combinations; a macro that uses itself is an error. The list goes on in the next \
              line after a comma at the end of a line.",
    ),
    Directive::new("invalid-virtual-mta-fallback", GLOBAL, NAME)
        .inert()
        .since("5.0")
        .example("invalid-virtual-mta-fallback default-pool")
        .doc(
            "Where reject-invalid-virtual-mta is off, the virtual MTA that sends messages whose \
              own choice does not exist.",
        ),
    Directive::new(
        "include-headers-from",
        &[Scope::Global, Scope::VirtualMta, Scope::VirtualMtaPool],
        FILE,
    )
    .inert()
    .repeated()
    .example("include-headers-from /etc/convoy/headers")
    .doc(
        "File of headers that are inserted behind the Received header. Those of the server \
              and of the virtual MTA both apply.",
    ),
    Directive::new(
        "domain-key",
        &[Scope::Global, Scope::VirtualMta, Scope::VirtualMtaPool, Scope::DomainKeyList],
        DOMAIN_KEY,
    )
    .inert()
    .repeated()
    .example("domain-key s2024,example.com,/etc/convoy/s2024.pem")
    .doc(
        "A DKIM key: selector, domain or asterisk, and the file with the private key, or its \
              place in a vault. The first that fits counts, those of the virtual MTA before the \
              global ones; blanks around the commas do not matter.",
    ),
    Directive::new("mailmerge-expands-undefined-variables", GLOBAL, BOOLEAN)
        .default("yes")
        .inert()
        .example("mailmerge-expands-undefined-variables yes")
        .doc(
            "Replace a mail merge variable that is not defined by nothing; with no it is left as \
              written.",
        ),
    Directive::new(
        "enable-signals",
        &[Scope::Global, Scope::VirtualMta, Scope::VirtualMtaPool],
        BOOLEAN,
    )
    .default("no")
    .inert()
    .since("5.0")
    .example("enable-signals no")
    .doc("Report delivery events to SparkPost Signals."),
];

/// Connections and resources of the server as a whole.
pub(super) const LIMITS: &[Directive] = &[
    Directive::new("total-max-smtp-out", GLOBAL, COUNT)
        .overridable()
        .default("1200")
        .since("3.0")
        .example("total-max-smtp-out 2000")
        .doc(
            "Most outbound connections of one node at the same time, over all queues: each node of \
              a cluster may have so many. PowerMTA's default depends on its licence, 1200 or 200; \
              Convoy's is the larger one.",
        ),
    Directive::new("total-max-file", GLOBAL, COUNT)
        .overridable()
        .inert()
        .since("3.0")
        .example("total-max-file 10")
        .doc("Most deliveries into files at the same time. Seen in old configurations only."),
    Directive::new(
        "max-memory-usage-percent",
        GLOBAL,
        &[Arg::required("PERCENT", Kind::Integer { min: 1, max: 100 })],
    )
    .overridable()
    .default("90")
    .inert()
    .since("5.0r5")
    .example("max-memory-usage-percent 90")
    .doc(
        "Answer MAIL with 452 4.3.2 while the server uses more than this share of the \
              machine's memory.",
    ),
    Directive::new(
        "mx-connection-limit",
        GLOBAL,
        &[
            Arg::required("MX", Kind::DomainPattern),
            Arg::required("N", Kind::IntegerOrUnlimited { min: 0, max: 4294967295 }),
        ],
    )
    .inert()
    .repeated()
    .since("5.0")
    .example("mx-connection-limit *.mx.example.net 20")
    .doc(
        "Most connections to the matching mail exchangers from each local address, over all \
              queues.",
    ),
    Directive::new("ip-connection-limit", GLOBAL, NETWORK_LIMIT)
        .inert()
        .repeated()
        .since("5.0")
        .example("ip-connection-limit 192.0.2.0/24 20")
        .doc(
            "Most connections to each address of the network from each local address, over all \
              queues.",
        ),
    Directive::new("track-time-first-attempt", GLOBAL, BOOLEAN)
        .default("no")
        .since("5.0r5")
        .example("track-time-first-attempt yes")
        .doc(
            "Fill the accounting field timeFirstAttempt with the time of the first attempt to \
              deliver the message.",
        ),
];

/// What concerns the process or the licence of another program.
pub(super) const MOOT: &[Directive] = &[
    Directive::new("run-as-root", GLOBAL, BOOLEAN)
        .node_local()
        .default("yes")
        .at_restart()
        .moot("the user under which the server runs is chosen where it is started")
        .example("run-as-root no")
        .doc(
            "Was the choice to keep the rights of root after the start. Convoy needs them at most \
              to open ports below 1024, and the service file that comes with it grants just that.",
        ),
    Directive::new("thread-min-priority", GLOBAL, WORD)
        .node_local()
        .default("15")
        .moot("the priority of the process is chosen where it is started")
        .example("thread-min-priority 15")
        .doc("Was the lowest scheduling priority of threads on Unix."),
    Directive::new("thread-max-priority", GLOBAL, WORD)
        .node_local()
        .default("0")
        .moot("the priority of the process is chosen where it is started")
        .example("thread-max-priority 0")
        .doc("Was the highest scheduling priority of threads on Unix."),
    Directive::new("thread-reuse", GLOBAL, BOOLEAN)
        .node_local()
        .default("yes")
        .moot("there is no thread per connection that could be kept")
        .example("thread-reuse yes")
        .doc("Was the choice to keep finished threads for later connections."),
    Directive::new("volume-audit-api-key", GLOBAL, TEXT)
        .since("5.0r5")
        .moot("there is no licence whose volume would be reported")
        .example("volume-audit-api-key 0123456789abcdef")
        .doc("Was the key for reporting the volume sent under a licence."),
    Directive::new("pmc-acct-min-free-space", GLOBAL, SIZE_LIMIT)
        .overridable()
        .default("unlimited")
        .since("5.0")
        .moot("no accounting data is kept for the PowerMTA Management Console")
        .example("pmc-acct-min-free-space 10G")
        .doc(
            "Was the free space below which accounting data for the management console was \
              removed.",
        ),
];
