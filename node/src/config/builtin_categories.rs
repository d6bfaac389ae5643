//! The built-in list of bounce categories. What a server says in words comes before its status
//! code, because many servers send 5.7.1 or 5.0.0 for everything.

/// Pattern and category, in order. A test covers every category.
pub(super) const BUILTIN: &[(&str, &str)] = &[
    // Made by this server, not by another one.
    (r"virtual ?mta.*(does not exist|no such)|no such virtual ?mta", "bad-configuration"),
    (r"system incorrectly configured|^[45]\.3\.5;", "bad-configuration"),
    (r"message expired|delivery time expired|queue(d)? too long|^[45]\.4\.7;", "message-expired"),
    // A sender's domain before one of recipients: both are said not to exist.
    (r"sender address rejected|domain of sender|invalid DNS MX or A/AAAA", "invalid-sender"),
    (
        r"no such domain|domain (name |\S+ )?(does not exist|not found)|nxdomain|\binvalid domain\b",
        "bad-domain",
    ),
    (r"no mail hosts for domain|null ?mx|does not accept (any )?mail \(nullmx\)", "bad-domain"),
    (r"routing loop|mail loop|too many hops|loop detected|loops back", "routing-errors"),
    (r"unable to route|dns (lookup|query) failure|name service error", "routing-errors"),
    // Viruses before spam: filters for both mention both.
    (r"virus|malware|trojan|infected|phish(ing)?\b", "virus-related"),
    (r"\bspam|junk ?mail|unsolicited|bulk ?mail|\bUBE\b|\bUCE\b", "spam-related"),
    (r"\b(rbl|dnsbl|surbl|uribl)\b|spamhaus|spamcop|barracuda|senderscore", "spam-related"),
    (r"black ?list|block ?list|deny ?list|listed (at|in|on|by)\b|poor reputation", "spam-related"),
    (r"banned send(er|ing)|user complaints", "spam-related"),
    // What the message holds.
    (r"content presents a potential security issue", "content-related"),
    (r"attachment|content (was )?(rejected|not (allowed|accepted)|blocked)", "content-related"),
    (r"message (content|header|body).*(reject|denied|not (allowed|accepted))", "content-related"),
    (r"(message|size).*(too (big|large)|exceeds)|^[45]\.3\.4;|^[45]\.6\.", "content-related"),
    // Mailboxes.
    (r"out of storage|(mailbox|account|inbox)\b.* (has )?exceed", "quota-issues"),
    (r"over ?quota|quota (is )?(exceeded|full|reached)|exceed\w* .*quota", "quota-issues"),
    (
        r"mailbox (is )?(full|over)|(insufficient|not enough) (disk |system )?(space|storage)",
        "quota-issues",
    ),
    (
        r"(user|account|mailbox|recipient|address).*\b(inactive|disabled|suspended|deactivated|locked)",
        "inactive-mailbox",
    ),
    (
        r"(inactive|disabled|suspended|expired|closed) (user|account|mailbox|recipient)",
        "inactive-mailbox",
    ),
    (
        r"(account|mailbox) (has )?(expired|been closed)|no longer (active|in use)",
        "inactive-mailbox",
    ),
    (
        r"relay(ing)? (access )?(is )?(denied|prohibited|not (permitted|allowed))|(unable|refuse\w*|not (allowed|permitted)) to relay|we do not relay",
        "relaying-issues",
    ),
    (r"sender.*(reject|denied|invalid|unknown|not (exist|found|allowed)|verif)", "invalid-sender"),
    (r"(invalid|bad|unknown) (sender|return path|mail from)", "invalid-sender"),
    // Exchange Online's filter in front of a directory that does not know the recipient.
    (r"recipient address rejected: access denied", "bad-mailbox"),
    (r"does ?n.t have an? \S+ account", "bad-mailbox"),
    (
        r"(no such|unknown|invalid|bad|nonexistent|non-existent) (user|recipient|mailbox|account|address|local ?part)",
        "bad-mailbox",
    ),
    (
        r"(user|recipient|mailbox|account|address)\b.*(unknown|not (found|exist|known|listed|here)|does ?n.t exist|does not exist|invalid|unavailable|unrouteable|undeliverable)",
        "bad-mailbox",
    ),
    (
        r"no (mailbox|account|user|one) (here )?(by|with) that name|not a (valid|known) (user|mailbox|recipient)",
        "bad-mailbox",
    ),
    // Permissions.
    (
        r"\b(dmarc|dkim|spf)\b|authentication (is )?(required|failed)|unauthenticated",
        "policy-related",
    ),
    (
        r"polic(y|ies)\b|not authori[sz]ed|access denied|reverse dns|\bptr\b|rate limit|too many (connections|messages|recipients)|throttl|grey ?list|blocked|administrative(ly)? prohibit",
        "policy-related",
    ),
    // Connections.
    (
        r"connection (was )?(reset|dropped|lost|closed|refused)|ECONN(REFUSED|RESET)|EDISCON|broken pipe",
        "bad-connection",
    ),
    (
        r"no answer|ETIMEDOUT|connection timed out|(host|network) (is )?unreachable|timeout",
        "no-answer-from-host",
    ),
    // Status codes, for servers that say nothing in words.
    (r"^[45]\.1\.[1346];", "bad-mailbox"),
    (r"^[45]\.1\.2;", "bad-domain"),
    (r"^[45]\.1\.[78];", "invalid-sender"),
    (r"^[45]\.1\.\d+;", "bad-mailbox"),
    (r"^[45]\.2\.1;", "inactive-mailbox"),
    (r"^[45]\.2\.2;", "quota-issues"),
    (r"^[45]\.2\.3;", "content-related"),
    (r"^[45]\.3\.1;", "quota-issues"),
    (r"^[45]\.4\.1;", "no-answer-from-host"),
    (r"^[45]\.4\.2;", "bad-connection"),
    (r"^[45]\.4\.[346];", "routing-errors"),
    (r"^[45]\.4\.\d+;", "bad-connection"),
    (r"^[45]\.5\.\d+;", "protocol-errors"),
    (r"^[45]\.7\.\d+;", "policy-related"),
    (
        r"syntax error|command (not|un)\w*|bad sequence|protocol error|bare (lf|cr)",
        "protocol-errors",
    ),
    (r"^[45]\.\d+\.\d+;smtp;[45]50\b", "bad-mailbox"),
    ("", "other"),
];
